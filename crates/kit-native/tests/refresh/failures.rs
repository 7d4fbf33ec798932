//! Criteria 10 to 12: what a token endpoint's no means, and that no credential is lost that was good.

use kit::observe::Alarm;
use kit::ports::SendError;
use kit::store::connections::ConnectionState;

use crate::net::{CLIENT_SECRET, Place, Reply};
use crate::world::{HOUR, MINUTE, SECOND, World, bad, good, pass, until};

#[tokio::test(start_paused = true)]
async fn criterion_10_a_dead_refresh_token_asks_for_a_person_and_the_provider_hears_nothing_more() {
    let (world, [one, two, _]) = World::with_three().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    world.net.revoke("a");
    for _ in 0..3 {
        for replica in [&one, &two] {
            let error = replica.raw(&a, "shop_me").await.unwrap_err();
            assert_eq!(error.kind().as_str(), "reconnect_required");
            assert_eq!(error.hint_text(), Some("the operator runs `acme connection set shop --tenant a`"));
        }
    }
    assert_eq!(world.net.counts(), (1, 0));
    let connection = one.connection("a").await;
    assert_eq!(connection.state, ConnectionState::NeedsReconnect);
    assert_eq!(connection.reason.as_deref(), Some("the authorization server no longer accepts the refresh token"));
    assert_eq!(world.alarms(), [Alarm::ReconnectNeeded]);
    // A person connects again.
    one.connect("a", "shop", crate::world::pair("again", 3_600)).await;
    assert_eq!(one.call(&a, "shop_me").await, good("again"));
}

#[tokio::test(start_paused = true)]
async fn criterion_11_a_refused_app_is_the_owners_fault_and_no_tenants() {
    let (world, one) = World::with_one().await;
    let (a, b) = (one.tenant_with_pair("a", "shop", 3_600).await, one.tenant_with_pair("b", "shop", 3_600).await);
    pass(HOUR).await;
    world.net.manner(|manner| manner.client_secret = "another".to_owned());
    for tenant in [&a, &b, &a, &b] {
        let error = one.raw(tenant, "shop_me").await.unwrap_err();
        assert_eq!(error.kind().as_str(), "misconfigured");
        assert_eq!(error.hint_text(), Some("the operator runs `acme app set shop --client-id ID`"));
    }
    assert_eq!(one.state("a").await, ConnectionState::Misconfigured);
    assert_eq!(world.net.counts(), (2, 0));
    assert_eq!(world.alarms(), [Alarm::AppRejected], "once, not once a tenant");
    world.net.manner(|manner| manner.client_secret = CLIENT_SECRET.to_owned());
    one.app_set("shop", CLIENT_SECRET).await;
    assert_eq!((one.call(&a, "shop_me").await, one.call(&b, "shop_me").await), (good("a"), good("b")));
}

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

#[tokio::test(start_paused = true)]
async fn criterion_12_the_wait_that_an_endpoint_asks_for_is_kept() {
    recovers(Reply::limit(429, "7"), "the authorization server limits its requests", 7).await;
    recovers(Reply::limit(503, "7.5"), "the authorization server failed", 8).await;
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    world.net.script_token(Reply::limit(429, "7"));
    drop(one.call(&a, "shop_me").await);
    pass(6 * SECOND).await;
    drop(one.call(&a, "shop_me").await);
    assert_eq!(world.net.counts().0, 1);
}

#[tokio::test(start_paused = true)]
async fn criterion_12_a_token_that_is_still_good_is_used_while_the_endpoint_fails() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR - MINUTE).await;
    world.net.script_token(Reply::json(500, &serde_json::json!({})));
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    until("it was asked", || world.net.counts().0 == 1 && one.kit.refresher.under_way() == 0).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Api), ["A-a-0", "A-a-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_12_the_pauses_grow_with_each_failure() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    for _ in 0..60 {
        world.net.script_token(Reply::json(500, &serde_json::json!({})));
    }
    for _ in 0..600 {
        drop(one.call(&a, "shop_me").await);
        pass(SECOND).await;
    }
    // Ten minutes of a call a second: 1, 2, 4 … 300 s apart.
    let asked = world.net.counts().0;
    assert!((7..=10).contains(&asked), "{asked}");
}
