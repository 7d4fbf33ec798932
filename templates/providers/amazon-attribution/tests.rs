//! Each tool and each kind of failure against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox::{ADVERTISER, BROKEN, PROFILE, REFUSED, THROTTLED};

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("a", super::integration())).await
}

fn october() -> Value {
    json!({"advertisers": [ADVERTISER], "start": "2026-10-01", "end": "2026-10-31"})
}

#[tokio::test]
async fn advertisers_are_those_of_the_profile() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "a_advertisers", json!({})).await.unwrap();
    let advertiser = |id: &str, name: &str| json!({"id": id, "name": name});
    let catering = advertiser("58126740510232", "Kornblume Catering");
    assert_eq!(answer, json!({"advertisers": [advertiser(ADVERTISER, "Kornblume Bakery"), catering]}));
}

#[tokio::test]
async fn a_report_has_a_row_for_each_day_and_campaign() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let mut arguments = october();
    arguments["end"] = json!("2026-10-01");
    let answer = kit.call(&tenant, "a_report", arguments).await.unwrap();
    let row = json!({"date": "2026-10-01", "advertiser": "Kornblume Bakery", "campaign_id": "autumn", "clicks": 4,
                     "detail_page_views": 3, "purchases": 1, "units_sold": 2, "sales": 19.8});
    assert_eq!(answer, json!({"rows": [row]}));
}

#[tokio::test]
async fn a_finer_report_names_ad_group_creative_and_publisher() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let mut arguments = october();
    arguments["group_by"] = json!("CREATIVE");
    let row = kit.call(&tenant, "a_report", arguments).await.unwrap()["rows"][2].take();
    assert_eq!(
        [&row["ad_group_id"], &row["creative_id"], &row["publisher"]],
        ["winter-stollen", "winter-stollen-1", "Google Ads"]
    );
}

#[tokio::test]
async fn a_report_comes_in_pages_to_the_end() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (mut days, mut arguments) = (Vec::new(), october());
    (arguments["limit"], arguments["cursor"]) = (json!(1), json!(""));
    while !arguments["cursor"].is_null() {
        let mut page = kit.call(&tenant, "a_report", arguments.clone()).await.unwrap();
        days.push(page["rows"][0]["date"].take());
        arguments["cursor"] = page["next_cursor"].take();
    }
    assert_eq!(days, ["2026-10-01", "2026-10-02", "2026-10-03"]);
}

#[tokio::test]
async fn an_advertiser_of_somebody_else_is_refused() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let mut arguments = october();
    arguments["advertisers"] = json!(["7"]);
    let error = kit.call(&tenant, "a_report", arguments).await.unwrap_err();
    assert_eq!(error.to_string(), "UPSTREAM_ERROR: Amazon Attribution refused the request with status 400");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_any_request() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let wrong = [("advertisers", json!(["1,2"])), ("advertisers", json!([])), ("end", json!("2026-09-30"))];
    for (name, value) in wrong {
        let mut arguments = october();
        arguments[name] = value;
        let error = kit.call(&tenant, "a_report", arguments).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArguments, "{error}");
    }
}

#[tokio::test]
async fn a_connection_waits_for_its_profile_and_keeps_its_id_to_the_last_digit() {
    let kit = test_kit().await;
    kit.tenant("first").await;
    let tenant = kit.bare_tenant("acme").await;
    let operator = &kit.kit.operator;
    let new = NewConnection::new("acme", "a", Secret::from("sandbox-refresh-0"));
    operator.connection_set(NewConnection { site: Some("na"), ..new }).await.unwrap();
    let error = kit.call(&tenant, "a_advertisers", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NeedsTarget);
    assert!(error.to_string().contains("test-server connection targets a --tenant acme"));

    let found = operator.connection_targets("acme", "a", "default").await.unwrap();
    let label = "Kornblume Bakery (vendor, AMAZON_ATTRIBUTION, US)".to_owned();
    assert_eq!(found, [Target { id: PROFILE.into(), label }]);
    operator.connection_target("acme", "a", "default", &found[0].id).await.unwrap();
    assert!(kit.call(&tenant, "a_advertisers", json!({})).await.is_ok());
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    // The profile of somebody else is no reason to renew a token, though Amazon says 401.
    let kinds = [
        ("1", ErrorKind::Forbidden),
        (REFUSED, ErrorKind::Forbidden),
        (THROTTLED, ErrorKind::UpstreamRateLimited),
        (BROKEN, ErrorKind::Upstream),
    ];
    for (profile, kind) in kinds {
        kit.kit.operator.connection_target("acme", "a", "default", profile).await.unwrap();
        let error = kit.call(&tenant, "a_advertisers", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    kit.kit.operator.connection_target("acme", "a", "default", PROFILE).await.unwrap();
    assert!(kit.call(&tenant, "a_advertisers", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_throttle_says_how_long_to_wait() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.connection_target("acme", "a", "default", THROTTLED).await.unwrap();
    let error = kit.call(&tenant, "a_advertisers", json!({})).await.unwrap_err();
    assert_eq!(error.to_value()["error"]["retry_after_ms"], 2_000);
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_the_way_out() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    let error = kit.call(&tenant, "a_advertisers", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains("test-server connection set a --tenant acme"));
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_on_the_way() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..3 {
        assert!(kit.call(&tenant, "a_advertisers", json!({})).await.is_ok());
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
        let error = kit.call(&tenant, "a_advertisers", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
        assert!(error.to_string().contains("test-server connection set a --tenant acme"));
    }
}

#[tokio::test]
async fn without_the_owners_app_the_operator_is_told_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.app_remove("a", None).await.unwrap();
    let error = kit.call(&tenant, "a_advertisers", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("test-server app set a --client-id ID"));
}
