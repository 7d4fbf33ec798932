//! Criteria 11 and 12: no credential is lost that was good.

use kit::ports::SendError;
use kit::store::connections::ConnectionState;

use crate::net::Reply;
use crate::world::{HOUR, SECOND, World, bad, good, pass};

#[tokio::test(start_paused = true)]
async fn criterion_11_without_an_app_nothing_is_sent() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    one.kit.operator.app_remove("shop", None).await.unwrap();
    pass(HOUR).await;
    let missing = bad("misconfigured", "Shop cannot be reached: the owner's app is missing");
    assert_eq!(one.call(&a, "shop_me").await, missing);
    assert_eq!(world.net.counts(), (0, 0));
    assert_eq!(one.state("a").await, ConnectionState::Active);
}

/// One trouble of the token endpoint: the call fails, the endpoint is left alone for a while, and then all is well again.
async fn recovers(reply: Reply, message: &str, cooling_s: i64) {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    world.net.script_token(reply);
    let expected = format!("the connection to Shop could not be renewed: {message}");
    assert_eq!(one.call(&a, "shop_me").await, bad("unavailable", &expected));
    assert_eq!(one.call(&a, "shop_me").await, bad("unavailable", "the connection to Shop cannot be renewed just now"));
    assert_eq!((world.net.counts(), one.state("a").await), ((1, 0), ConnectionState::Active), "{message}");
    pass(cooling_s * SECOND + 500).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"), "{message}");
    assert_eq!(world.alarms(), [], "{message}");
}

#[tokio::test(start_paused = true)]
async fn criterion_12_an_endpoint_that_fails_costs_no_credential() {
    let json = |text: &str| Reply::Give(200, vec![("content-type", "application/json".to_owned())], text.to_owned());
    recovers(Reply::json(500, &serde_json::json!({})), "the authorization server failed", 2).await;
    recovers(Reply::html(502), "the authorization server failed", 2).await;
    recovers(Reply::html(200), "the authorization server answered something that is not JSON", 2).await;
    recovers(json("{\"access_token\": \"A-"), "the authorization server answered something that is not JSON", 2).await;
    recovers(json("{}"), "the authorization server answered without an access token", 2).await;
    recovers(json(""), "the authorization server answered something that is not JSON", 2).await;
    recovers(Reply::Never, "the authorization server did not answer in time", 2).await;
    recovers(Reply::Fail(SendError::Connect), "the authorization server cannot be reached", 2).await;
    recovers(Reply::error(400, "temporarily_unavailable"), "the authorization server refused without saying why", 2)
        .await;
}
