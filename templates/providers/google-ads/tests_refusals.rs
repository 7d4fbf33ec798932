//! What Google says no to, what becomes of the connection then, and how one is made by consent.

use kit::App;
use kit::connect::ConnectError;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox::SHOP;

async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("g", super::integration())).await
}

#[tokio::test]
async fn each_refusal_has_its_kind_and_leaves_the_connection_alone() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for (customer, kind) in [
        ("9000000001", ErrorKind::NotFound),
        ("9000000002", ErrorKind::Forbidden),
        ("9000000003", ErrorKind::Forbidden),
        ("9000000004", ErrorKind::Forbidden),
        ("9000000005", ErrorKind::Forbidden),
        ("9000000006", ErrorKind::Forbidden),
        ("9000000010", ErrorKind::Upstream),
        // Somebody else's.
        ("1111111111", ErrorKind::Forbidden),
    ] {
        let error = kit.call(&tenant, "g_campaigns", json!({"customer_id": customer})).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{customer}");
        assert!(kit.call(&tenant, "g_campaigns", json!({})).await.is_ok(), "{customer}");
    }
}

#[tokio::test]
async fn a_limit_stops_the_account_or_the_app_for_as_long_as_google_says() {
    // The wait in milliseconds and what is added to it at most; whether it stops this tenant, and whether all.
    for (customer, wait_ms, more_ms, stops, of_app) in [
        // What a day allows is used up, of which Google says nothing.
        ("9000000007", 3_600_000, 0, true, false),
        ("9000000008", 30_000, 0, false, false),
        ("9000000009", 1_500, 0, false, false),
        // The project's, with 90 seconds.
        ("9000000011", 90_000, 5_000, true, true),
    ] {
        let kit = test_kit().await;
        let (tenant, other) = (kit.tenant("acme").await, kit.tenant("other").await);
        let error = kit.call(&tenant, "g_campaigns", json!({"customer_id": customer})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UpstreamRateLimited, "{customer}");
        let wait = error.to_value()["error"]["retry_after_ms"].as_i64().unwrap();
        assert!((wait_ms..=wait_ms + more_ms).contains(&wait), "{customer}: {wait}");
        assert_eq!(kit.call(&tenant, "g_campaigns", json!({})).await.is_err(), stops, "{customer}");
        assert_eq!(kit.call(&other, "g_campaigns", json!({})).await.is_err(), of_app, "{customer}");
    }
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_the_way_out() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    let error = kit.call(&tenant, "g_customers", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains("test-server connection set g --tenant acme"));
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_with_the_same_refresh_token() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..3 {
        assert!(kit.call(&tenant, "g_customers", json!({})).await.is_ok());
        kit.clock.advance_ms(2 * 3_600_000);
    }
}

#[tokio::test]
async fn a_token_that_google_ends_early_is_renewed_and_the_query_sent_again() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let pair = json!({"access_token": "ended", "expires_in": 3_599, "refresh_token": "sandbox-refresh-0"});
    let new = NewConnection::new("acme", "g", Secret::from(pair.to_string().as_str()));
    kit.kit.operator.connection_set(NewConnection { target: Some(SHOP), ..new }).await.unwrap();
    assert!(kit.call(&tenant, "g_campaigns", json!({})).await.is_ok());
}

#[tokio::test]
async fn an_idle_connection_is_kept_alive_before_six_months_are_over() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    assert!(kit.call(&tenant, "g_customers", json!({})).await.is_ok());
    kit.clock.advance_ms(150 * 86_400_000);
    kit.kit.sweeper.pass().await.unwrap();
    let connection = &kit.kit.operator.connection_list("acme").await.unwrap()[0];
    assert_eq!(connection.changed_ms, 1_800_000_000_000 + 150 * 86_400_000);
}

#[tokio::test]
async fn a_connection_whose_refresh_token_is_dead_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let dead = NewConnection::new("acme", "g", Secret::from("revoked"));
    kit.kit.operator.connection_set(NewConnection { target: Some(SHOP), ..dead }).await.unwrap();
    for _ in 0..2 {
        let error = kit.call(&tenant, "g_campaigns", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
        assert!(error.to_string().contains("test-server connection set g --tenant acme"));
    }
}

#[tokio::test]
async fn without_the_owners_app_the_operator_is_told_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.app_remove("g", None).await.unwrap();
    let error = kit.call(&tenant, "g_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("test-server app set g --client-id ID"));
}

/// A consent as a person gives it, with the button `decision`, up to the stored connection.
async fn consent(kit: &TestKit, tenant: &str, decision: &str) -> Result<(), ConnectError> {
    let tenant = kit.bare_tenant(tenant).await;
    kit.consent(&tenant, "g", None, decision).await.map(drop)
}

#[tokio::test]
async fn a_consent_makes_a_connection_that_waits_for_a_customer_and_renews_itself() {
    let kit = test_kit().await;
    kit.tenant("first").await;
    consent(&kit, "acme", "allow").await.unwrap();
    let found = kit.kit.operator.connection_targets("acme", "g", "default").await.unwrap();
    assert_eq!(found.len(), 2);
    // The first consent brought a refresh token.
    kit.clock.advance_ms(2 * 3_600_000);
    assert!(kit.kit.operator.connection_targets("acme", "g", "default").await.is_ok());
}

#[tokio::test]
async fn a_consent_that_is_refused_makes_no_connection() {
    let kit = test_kit().await;
    kit.tenant("first").await;
    assert_eq!(consent(&kit, "acme", "deny").await, Err(ConnectError::Denied));
    assert!(kit.kit.operator.connection_list("acme").await.unwrap().is_empty());
}
