//! Each tool and each kind of failure against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox::{BROKEN, PROFILE, PROFILE_EU, THROTTLED};

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("a", super::integration())).await
}

#[tokio::test]
async fn campaigns_come_with_budget_and_targeting() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let mut answer = kit.call(&tenant, "a_campaigns", json!({"states": ["PAUSED"]})).await.unwrap();
    let campaign = json!({"id": "281474976710004", "name": "Rye bread 4", "state": "PAUSED", "targeting": "MANUAL",
                          "budget": 10.5, "budget_type": "DAILY", "start_date": "2026-10-01"});
    assert_eq!(answer["campaigns"][0].take(), campaign);
    assert_eq!(answer["campaigns"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn campaigns_come_in_pages_to_the_end() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (mut sizes, mut cursor) = (Vec::new(), json!(""));
    while !cursor.is_null() {
        let mut page = kit.call(&tenant, "a_campaigns", json!({"limit": 10, "cursor": cursor})).await.unwrap();
        sizes.push(page["campaigns"].as_array().map_or(0, Vec::len));
        cursor = page["next_cursor"].take();
    }
    assert_eq!(sizes, [10, 2]);
}

#[tokio::test]
async fn campaigns_of_one_ad_product_come_from_the_unified_api() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let arguments = json!({"ad_product": "SPONSORED_PRODUCTS", "limit": 1});
    let answer = kit.call(&tenant, "a_campaigns_v1", arguments).await.unwrap();
    let campaign = json!({"id": "281474976710001", "name": "Rye bread 1", "state": "ENABLED",
                          "ad_product": "SPONSORED_PRODUCTS"});
    assert_eq!(answer, json!({"campaigns": [campaign], "next_cursor": "token-1"}));
    let none = kit.call(&tenant, "a_campaigns_v1", json!({"ad_product": "SPONSORED_BRANDS"})).await;
    assert_eq!(none, Ok(json!({"campaigns": []})));
}

#[tokio::test]
async fn a_cursor_that_amazon_never_gave_is_refused() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "a_campaigns", json!({"cursor": "2"})).await.unwrap_err();
    assert_eq!(error.to_string(), "UPSTREAM_ERROR: Amazon Ads refused the request with status 400");
}

#[tokio::test]
async fn a_connection_waits_for_its_profile_and_keeps_its_id_to_the_last_digit() {
    let kit = test_kit().await;
    kit.tenant("first").await;
    let tenant = kit.bare_tenant("acme").await;
    let operator = &kit.kit.operator;
    let new = NewConnection::new("acme", "a", Secret::from("sandbox-refresh-0"));
    operator.connection_set(NewConnection { site: Some("na"), ..new }).await.unwrap();
    let error = kit.call(&tenant, "a_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsTarget);
    assert!(error.to_string().contains("test-server connection targets a --tenant acme"));

    let found = operator.connection_targets("acme", "a", "default").await.unwrap();
    let target = |id: &str, label: &str| Target { id: id.into(), label: label.into() };
    let canada = target("3425973802606848", "Kornblume Bakery (seller, CA)");
    assert_eq!(found, [target(PROFILE, "Kornblume Bakery (seller, US)"), canada]);
    operator.connection_target("acme", "a", "default", &found[0].id).await.unwrap();
    assert!(kit.call(&tenant, "a_campaigns", json!({})).await.is_ok());
}

#[tokio::test]
async fn each_region_has_its_own_profiles() {
    let kit = test_kit().await;
    kit.tenant("first").await;
    let tenant = kit.bare_tenant("acme").await;
    let operator = &kit.kit.operator;
    for (site, account, profiles) in [("eu", "europe", 1), ("fe", "east", 0)] {
        let new = NewConnection::new("acme", "a", Secret::from("sandbox-refresh-0"));
        operator.connection_set(NewConnection { site: Some(site), account, ..new }).await.unwrap();
        assert_eq!(operator.connection_targets("acme", "a", account).await.unwrap().len(), profiles, "{site}");
    }
    operator.connection_target("acme", "a", "europe", PROFILE_EU).await.unwrap();
    assert!(kit.call(&tenant, "a_campaigns", json!({"account": "europe"})).await.is_ok());
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    // The profile of another region is no reason to renew a token, though Amazon says 401.
    let kinds = [
        (PROFILE_EU, ErrorKind::Forbidden),
        (THROTTLED, ErrorKind::UpstreamRateLimited),
        (BROKEN, ErrorKind::Upstream),
    ];
    for (profile, kind) in kinds {
        kit.kit.operator.connection_target("acme", "a", "default", profile).await.unwrap();
        let error = kit.call(&tenant, "a_campaigns", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    kit.kit.operator.connection_target("acme", "a", "default", PROFILE).await.unwrap();
    assert!(kit.call(&tenant, "a_campaigns", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_throttle_says_how_long_to_wait() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.connection_target("acme", "a", "default", THROTTLED).await.unwrap();
    let error = kit.call(&tenant, "a_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.to_value()["error"]["retry_after_ms"], 2_000);
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_the_way_out() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    let error = kit.call(&tenant, "a_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains("test-server connection set a --tenant acme"));
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_on_the_way() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..3 {
        assert!(kit.call(&tenant, "a_campaigns", json!({})).await.is_ok());
        kit.clock.advance_ms(2 * 3_600_000);
    }
}

#[tokio::test]
async fn a_connection_whose_refresh_token_is_dead_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let dead = NewConnection::new("acme", "a", Secret::from("revoked"));
    let dead = NewConnection { site: Some("na"), target: Some(PROFILE), ..dead };
    kit.kit.operator.connection_set(dead).await.unwrap();
    for _ in 0..2 {
        let error = kit.call(&tenant, "a_campaigns", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
        assert!(error.to_string().contains("test-server connection set a --tenant acme"));
    }
}

#[tokio::test]
async fn without_the_owners_app_the_operator_is_told_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.app_remove("a", None).await.unwrap();
    let error = kit.call(&tenant, "a_campaigns", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("test-server app set a --client-id ID"));
}
