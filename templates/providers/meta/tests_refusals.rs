//! What Meta says no to, and what becomes of the connection then.

use kit::App;
use kit::error::ErrorKind;
use kit::inbound::TenantCtx;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox::{SHOP, TOKEN};

async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("m", super::integration())).await
}

/// A tenant whose connection has the token that ends in `end`.
async fn with_token(kit: &TestKit, end: &str) -> TenantCtx {
    let tenant = kit.tenant("acme").await;
    let token = format!("{TOKEN}{end}");
    let new = NewConnection::new("acme", "m", Secret::from(token.as_str()));
    kit.kit.operator.connection_set(NewConnection { target: Some(SHOP), ..new }).await.unwrap();
    tenant
}

#[tokio::test]
async fn each_refusal_has_its_kind_and_leaves_the_connection_alone() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for (account, kind) in [
        // 10, 200, 273.
        ("9000000000000009", ErrorKind::Forbidden),
        ("9000000000000010", ErrorKind::Forbidden),
        ("9000000000000011", ErrorKind::Forbidden),
        // 1, 2, 368, `is_transient`, and a code in no list.
        ("9000000000000012", ErrorKind::Upstream),
        ("9000000000000013", ErrorKind::Upstream),
        ("9000000000000014", ErrorKind::Upstream),
        ("9000000000000015", ErrorKind::Upstream),
        ("9000000000000017", ErrorKind::Upstream),
        // 100 with the subcode 33: somebody else's, or nobody's.
        ("1", ErrorKind::NotFound),
    ] {
        let error = kit.call(&tenant, "m_campaigns", json!({"ad_account_id": account})).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{account}");
        assert!(kit.call(&tenant, "m_campaigns", json!({})).await.is_ok(), "{account}");
    }
}

#[tokio::test]
async fn a_limit_stops_the_connection_or_the_app_for_as_long_as_meta_says() {
    // How long it is, in seconds: the second number is what is added at random at most. Whether it is the app's.
    for (account, stopped_s, of_app) in [
        // 4 and 341: no word on how long.
        ("9000000000000001", Some((5, 5)), true),
        ("9000000000000004", Some((5, 5)), true),
        // 17, 32, 613, 80004 and 80014: one of them stops nothing yet.
        ("9000000000000002", None, false),
        ("9000000000000003", None, false),
        ("9000000000000005", None, false),
        ("9000000000000007", None, false),
        ("9000000000000008", None, false),
        // 80000 with five minutes.
        ("9000000000000006", Some((300, 5)), false),
    ] {
        let kit = test_kit().await;
        let (tenant, other) = (kit.tenant("acme").await, kit.tenant("other").await);
        let error = kit.call(&tenant, "m_campaigns", json!({"ad_account_id": account})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UpstreamRateLimited, "{account}");
        let wait_ms = error.to_value()["error"]["retry_after_ms"].as_i64();
        let (least, most) = stopped_s.map_or((0, 0), |(least, more)| (least * 1_000, (least + more) * 1_000));
        assert!(wait_ms.unwrap_or(0) >= least && wait_ms.unwrap_or(0) <= most, "{account}: {wait_ms:?}");
        assert_eq!(kit.call(&tenant, "m_campaigns", json!({})).await.is_err(), stopped_s.is_some(), "{account}");
        assert_eq!(kit.call(&other, "m_campaigns", json!({})).await.is_err(), of_app, "{account}");
        kit.clock.advance_ms(most);
        assert!(kit.call(&tenant, "m_campaigns", json!({})).await.is_ok(), "{account}");
    }
}

/// The call is answered; it is the next one that waits.
#[tokio::test]
async fn a_limit_that_is_nearly_used_up_stops_the_connection_or_the_app_before_meta_has_to() {
    // For how many seconds, and whether it is the app's. Up to five are added at random.
    for (account, stopped_s, of_app) in [
        ("8000000000000001", Some(60), true),
        ("8000000000000002", Some(100), false),
        ("8000000000000003", None, false),
        ("8000000000000004", Some(60), false),
        ("8000000000000005", Some(180), false),
    ] {
        let kit = test_kit().await;
        let (tenant, other) = (kit.tenant("acme").await, kit.tenant("other").await);
        let answer = kit.call(&tenant, "m_campaigns", json!({"ad_account_id": account})).await.unwrap();
        assert!(!answer["campaigns"].as_array().unwrap().is_empty(), "{account}");
        let next = kit.call(&tenant, "m_campaigns", json!({})).await.map_err(|error| error.to_value()["error"].clone());
        let wait_ms = next.as_ref().err().map(|error| {
            assert_eq!((&error["type"], &error["scope"]), (&json!("upstream_rate_limited"), &json!("upstream")));
            error["retry_after_ms"].as_i64().unwrap()
        });
        let expected = stopped_s.map(|seconds: i64| seconds * 1_000..=seconds * 1_000 + 5_000);
        assert!(expected.is_none_or(|range| wait_ms.is_some_and(|ms| range.contains(&ms))), "{account}: {wait_ms:?}");
        assert_eq!(wait_ms.is_some(), stopped_s.is_some(), "{account}");
        assert_eq!(kit.call(&other, "m_campaigns", json!({})).await.is_err(), of_app, "{account}");
        kit.clock.advance_ms(wait_ms.unwrap_or(0));
        assert!(kit.call(&tenant, "m_campaigns", json!({})).await.is_ok(), "{account}");
    }
}

#[tokio::test]
async fn a_passing_error_and_a_wrong_argument_read_differently() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let passing = kit.call(&tenant, "m_campaigns", json!({"ad_account_id": "9000000000000015"})).await.unwrap_err();
    assert_eq!(passing.message(), "Meta failed with status 400");
    let wrong = kit.call(&tenant, "m_campaigns", json!({"cursor": "nonsense"})).await.unwrap_err();
    assert_eq!(wrong.message(), "Meta refused the request with status 400");
}

#[tokio::test]
async fn a_dead_token_says_so_inside_a_400_and_asks_for_a_person() {
    for subcode in ["-458", "-459", "-460", "-463", "-464", "-467"] {
        let kit = test_kit().await;
        let tenant = with_token(&kit, subcode).await;
        for _ in 0..2 {
            let error = kit.call(&tenant, "m_campaigns", json!({})).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReconnectRequired, "{subcode}");
            assert!(error.to_string().contains("test-server connection set m --tenant acme"), "{subcode}");
        }
    }
}

#[tokio::test]
async fn code_102_is_a_dead_token_too() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "m_campaigns", json!({"ad_account_id": "9000000000000016"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
}

#[tokio::test]
async fn a_token_of_sixty_days_is_exchanged_before_its_end_and_lives_on() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..6 {
        assert!(kit.call(&tenant, "m_campaigns", json!({})).await.is_ok());
        kit.kit.sweeper.pass().await.unwrap();
        kit.clock.advance_ms(55 * 86_400_000);
    }
}

#[tokio::test]
async fn a_token_that_never_ends_is_never_exchanged() {
    let kit = test_kit().await;
    let tenant = with_token(&kit, "0").await;
    let changed = || async { kit.kit.operator.connection_list("acme").await.unwrap()[0].changed_ms };
    let before = changed().await;
    kit.clock.advance_ms(400 * 86_400_000);
    kit.kit.sweeper.pass().await.unwrap();
    assert!(kit.call(&tenant, "m_campaigns", json!({})).await.is_ok());
    assert_eq!(changed().await, before);
}

#[tokio::test]
async fn a_token_that_ended_before_it_was_exchanged_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.clock.advance_ms(60 * 86_400_000);
    let error = kit.call(&tenant, "m_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
}

#[tokio::test]
async fn a_dead_token_is_found_out_by_its_exchange() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let kept = json!({"access_token": format!("{TOKEN}-463"), "expires_in": 60 * 86_400}).to_string();
    let new = NewConnection::new("acme", "m", Secret::from(kept.as_str()));
    kit.kit.operator.connection_set(NewConnection { target: Some(SHOP), ..new }).await.unwrap();
    kit.clock.advance_ms(55 * 86_400_000);
    kit.kit.sweeper.pass().await.unwrap();
    let connection = &kit.kit.operator.connection_list("acme").await.unwrap()[0];
    assert_eq!(connection.reason.as_deref(), Some("the provider no longer accepts the token"));
    let error = kit.call(&tenant, "m_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
}

#[tokio::test]
async fn a_wrong_app_secret_is_no_proof_and_kills_no_connection() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let operator = &kit.kit.operator;
    operator.app_set("m", None, CLIENT_ID, Secret::from("another-secret")).await.unwrap();
    for _ in 0..2 {
        let error = kit.call(&tenant, "m_campaigns", json!({})).await.unwrap_err();
        assert_eq!(error.message(), "Meta refused the request with status 400");
    }
    operator.app_set("m", None, CLIENT_ID, Secret::from(CLIENT_SECRET)).await.unwrap();
    assert!(kit.call(&tenant, "m_campaigns", json!({})).await.is_ok());
}

#[tokio::test]
async fn without_the_owners_app_the_operator_is_told_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.app_remove("m", None).await.unwrap();
    let error = kit.call(&tenant, "m_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("test-server app set m --client-id ID"));
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_the_way_out() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    let error = kit.call(&tenant, "m_ad_accounts", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains("test-server connection set m --tenant acme"));
}

/// What `proof` and a token as a parameter are answered with.
fn asked_without_a_header(token: &str, proof: &str) -> Value {
    let url = format!("https://graph.facebook.com/v26.0/me/adaccounts?access_token={token}&appsecret_proof={proof}");
    let request = HttpRequest {
        integration: "m".into(),
        method: Method::Get,
        url: url.parse().unwrap(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_secs(1),
        max_response_bytes: 1 << 20,
    };
    serde_json::from_slice(&super::sandbox::MetaSandbox::default().handle(&request).body).unwrap()
}

#[test]
fn the_token_is_also_read_from_the_address_where_metas_own_packages_put_it() {
    let token = format!("{TOKEN}0");
    let proof = proof(&Secret::from(CLIENT_SECRET), &Secret::from(token.as_str()));
    assert_eq!(asked_without_a_header(&token, &proof)["data"][0]["id"], SHOP);
    assert_eq!(asked_without_a_header(&token, "wrong")["error"]["code"], 100);
    assert_eq!(asked_without_a_header("", "")["error"]["code"], 190);
}
