//! Criteria 18 and 19: what a person does wins over a refresh, and how a consent is carried out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::connect::{Begun, Callback, ConnectError, Start};
use kit::tenant::Account;
use sha2::{Digest as _, Sha256};

use crate::net::{CLIENT_ID, Place};
use crate::world::{MINUTE, Replica, World, all, good, pass};

const BACK: &str = "https://mcp.test/connect/callback";

async fn begin(one: &Replica, integration: &str) -> (Begun, BTreeMap<String, String>) {
    one.kit.operator.tenant_add("a").await.unwrap_or_default();
    let (a, account) = (one.local("a").await, Account::parse("default").unwrap());
    let begun = one
        .kit
        .connector
        .begin(
            &a,
            &Start { integration, account: &account, site: None, redirect_uri: BACK, browser: "cookie", link: None },
        )
        .await
        .unwrap();
    let query = begun.authorize_url.query_pairs().into_owned().collect();
    (begun, query)
}

/// The query that the provider sends the browser back with.
fn back(state: &str, code: Option<&str>) -> Vec<(String, String)> {
    let code = code.map(|code| ("code".to_owned(), code.to_owned()));
    [("state".to_owned(), state.to_owned())].into_iter().chain(code).collect()
}

fn state(begun: &Begun) -> &str {
    begun.state.expose_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn criterion_19_a_consent_ends_in_a_connection_and_a_second_callback_changes_nothing() {
    let (world, one) = World::with_one().await;
    let (begun, query) = begin(&one, "ads").await;
    let challenge = query["code_challenge"].clone();
    let expected = [
        ("access_type", "offline"),
        ("client_id", CLIENT_ID),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("prompt", "consent"),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", "adwords email"),
        ("state", state(&begun)),
    ];
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    world.net.consent("code", "a", BACK, Some(&challenge));
    world.net.grant("email adwords");
    let callback = Callback { query: &back(state(&begun), Some("code")), browser: "cookie" };
    one.kit.connector.finish(&callback).await.unwrap();
    // What was sent proves the challenge, and was never in an address.
    let sent = world.net.seen(Place::Token)[0].params.clone();
    let verifier = &sent["code_verifier"];
    assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())), challenge);
    assert!(!begun.authorize_url.as_str().contains(verifier.as_str()));
    assert_eq!((sent["grant_type"].as_str(), sent["redirect_uri"].as_str()), ("authorization_code", BACK));
    let a = one.local("a").await;
    assert_eq!(one.call(&a, "ads_me").await, good("a"));
    assert_eq!(one.kit.connector.finish(&callback).await, Err(ConnectError::UnknownState));
    assert_eq!(one.call(&a, "ads_me").await, good("a"));
    assert_eq!(world.net.counts().0, 1);
}

#[tokio::test(start_paused = true)]
async fn criterion_19_a_state_is_good_for_ten_minutes_in_the_browser_that_began() {
    let (world, one) = World::with_one().await;
    for (wait, browser, expected) in
        [(10 * MINUTE, "cookie", ConnectError::UnknownState), (0, "another", ConnectError::OtherBrowser)]
    {
        let (begun, query) = begin(&one, "ads").await;
        world.net.consent("code", "a", BACK, Some(&query["code_challenge"]));
        pass(wait).await;
        let callback = Callback { query: &back(state(&begun), Some("code")), browser };
        assert_eq!(one.kit.connector.finish(&callback).await, Err(expected));
        // It is used up either way.
        let again = Callback { browser: "cookie", ..callback };
        assert_eq!(one.kit.connector.finish(&again).await, Err(ConnectError::UnknownState));
    }
    let forged = Callback { query: &back("forged", Some("code")), browser: "cookie" };
    assert_eq!(one.kit.connector.finish(&forged).await, Err(ConnectError::UnknownState));
    assert_eq!(world.net.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn criterion_19_a_consent_that_leaves_something_out_or_is_refused_makes_no_connection() {
    let (world, one) = World::with_one().await;
    let (begun, query) = begin(&one, "ads").await;
    world.net.consent("code", "a", BACK, Some(&query["code_challenge"]));
    world.net.grant("email");
    let callback = Callback { query: &back(state(&begun), Some("code")), browser: "cookie" };
    let missing = ConnectError::MissingScopes(vec!["adwords".to_owned()]);
    assert_eq!(one.kit.connector.finish(&callback).await, Err(missing));
    let (begun, _) = begin(&one, "ads").await;
    let refused = Callback { query: &back(state(&begun), None), browser: "cookie" };
    assert_eq!(one.kit.connector.finish(&refused).await, Err(ConnectError::Denied));
    assert_eq!(one.kit.operator.connection_list("a").await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn criterion_19_a_code_that_was_stolen_is_of_no_use_without_the_verifier() {
    let (world, one) = World::with_one().await;
    let (begun, _) = begin(&one, "ads").await;
    // The code of another consent, with another challenge.
    world.net.consent("stolen", "victim", BACK, Some("another challenge"));
    let callback = Callback { query: &back(state(&begun), Some("stolen")), browser: "cookie" };
    let refused = ConnectError::NoTokens("the authorization server does not accept the code");
    assert_eq!(one.kit.connector.finish(&callback).await, Err(refused));
}

#[tokio::test(start_paused = true)]
async fn criterion_19_two_callbacks_at_once_exchange_the_code_once() {
    let (world, [one, two, _]) = World::with_three().await;
    let (begun, query) = begin(&one, "ads").await;
    world.net.consent("code", "a", BACK, Some(&query["code_challenge"]));
    let callback = Callback { query: &back(state(&begun), Some("code")), browser: "cookie" };
    let (first, second) = tokio::join!(one.kit.connector.finish(&callback), two.kit.connector.finish(&callback));
    assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1, "{first:?} {second:?}");
    assert_eq!(world.net.counts().0, 1);
    drop(all(Vec::new()).await);
}
