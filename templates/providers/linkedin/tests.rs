//! Each tool and each kind of failure against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox_reports::{BROKEN, ENDED, REFUSED, REVOKED, THROTTLED};

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("l", super::integration())).await
}

fn october(account: u64) -> Value {
    json!({"accounts": [account], "start": "2026-10-01", "end": "2026-10-31"})
}

#[tokio::test]
async fn ad_accounts_are_those_that_are_active() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "l_ad_accounts", json!({})).await.unwrap();
    let account = |id: u64, name: &str| {
        json!({"id": id, "name": name, "status": "ACTIVE", "kind": "BUSINESS", "currency": "EUR",
               "advertiser": "urn:li:organization:2414183", "test": false})
    };
    let accounts = [account(502_840_441, "Kornblume Bakery"), account(502_840_442, "Kornblume Catering")];
    assert_eq!(answer, json!({"accounts": accounts}));
}

#[tokio::test]
async fn ad_accounts_come_in_pages_to_the_end() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (mut names, mut cursor) = (Vec::new(), json!(""));
    while !cursor.is_null() {
        let arguments = json!({"active_only": false, "limit": 1, "cursor": cursor});
        let mut page = kit.call(&tenant, "l_ad_accounts", arguments).await.unwrap();
        names.push(page["accounts"][0]["name"].take());
        cursor = page["next_cursor"].take();
    }
    assert_eq!(names, ["Kornblume Bakery", "Kornblume Catering", "Kornblume Franchise"]);
}

#[tokio::test]
async fn a_cursor_that_linkedin_never_gave_is_refused() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "l_ad_accounts", json!({"cursor": "(a:List('',%))"})).await.unwrap_err();
    assert_eq!(error.to_string(), "UPSTREAM_ERROR: LinkedIn refused the request with status 400");
}

#[tokio::test]
async fn analytics_add_up_by_campaign() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "l_analytics", october(502_840_441)).await.unwrap();
    let row = |entity: &str, impressions: u64, clicks: u64, cost: f64| {
        json!({"entity": entity, "start": "2026-10-01", "end": "2026-10-31",
               "impressions": impressions, "clicks": clicks, "cost": cost})
    };
    let rows = [row("urn:li:sponsoredCampaign:710", 320, 13, 40.0), row("urn:li:sponsoredCampaign:720", 80, 1, 4.5)];
    assert_eq!(answer, json!({"rows": rows}));
}

#[tokio::test]
async fn analytics_say_how_many_rows_they_leave_out() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let mut arguments = october(502_840_441);
    (arguments["granularity"], arguments["pivot"], arguments["limit"]) = (json!("DAILY"), json!("CREATIVE"), json!(1));
    let answer = kit.call(&tenant, "l_analytics", arguments).await.unwrap();
    let row = json!({"entity": "urn:li:sponsoredCreative:810", "start": "2026-10-01", "end": "2026-10-01",
                     "impressions": 120, "clicks": 4, "cost": 12.34});
    assert_eq!(answer, json!({"rows": [row], "left_out": 2}));
}

#[tokio::test]
async fn an_account_without_access_has_no_rows() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    assert_eq!(kit.call(&tenant, "l_analytics", october(7)).await, Ok(json!({"rows": []})));
}

#[tokio::test]
async fn analytics_of_many_accounts_travel_in_the_body() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    // A hundred URNs are longer than a URL may be.
    let accounts: Vec<u64> = (502_840_400..502_840_500).collect();
    let arguments = json!({"accounts": accounts, "start": "2026-01-01", "end": "2026-12-31", "pivot": "ACCOUNT"});
    let answer = kit.call(&tenant, "l_analytics", arguments).await.unwrap();
    assert_eq!(answer["rows"][0]["entity"], "urn:li:sponsoredAccount:502840441");
    assert_eq!(answer["rows"][1]["entity"], "urn:li:sponsoredAccount:502840442");
}

#[tokio::test]
async fn days_that_are_none_are_refused_before_any_request() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for (start, end) in [("2026-10-02", "2026-10-01"), ("2026-02-30", "2026-03-01"), ("yesterday", "2026-03-01")] {
        let arguments = json!({"accounts": [1], "start": start, "end": end});
        let error = kit.call(&tenant, "l_analytics", arguments).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArguments, "{start}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let kinds = [
        (REFUSED, ErrorKind::Forbidden),
        (BROKEN, ErrorKind::Upstream),
        (ENDED, ErrorKind::Misconfigured),
        (THROTTLED, ErrorKind::UpstreamRateLimited),
    ];
    for (account, kind) in kinds {
        let error = kit.call(&tenant, "l_analytics", october(account)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn a_limit_is_the_days_and_stops_the_connection_until_midnight_or_for_an_hour() {
    // The tests' clock begins at eight in the morning.
    for (hours, wait_ms) in [(0, 3_600_000..=3_600_000), (16 * 2 - 1, 1_800_000..=1_805_000)] {
        let kit = test_kit().await;
        let (tenant, other) = (kit.tenant("acme").await, kit.tenant("other").await);
        kit.clock.advance_ms(hours * 1_800_000);
        let error = kit.call(&tenant, "l_analytics", october(THROTTLED)).await.unwrap_err();
        let wait = error.to_value()["error"]["retry_after_ms"].as_i64().unwrap();
        assert!(wait_ms.contains(&wait), "{wait}");
        assert_eq!(
            kit.call(&tenant, "l_ad_accounts", json!({})).await.unwrap_err().kind(),
            ErrorKind::UpstreamRateLimited
        );
        assert!(kit.call(&other, "l_ad_accounts", json!({})).await.is_ok());
        kit.clock.advance_ms(wait);
        assert!(kit.call(&tenant, "l_ad_accounts", json!({})).await.is_ok());
    }
}

#[tokio::test]
async fn a_version_that_has_ended_is_the_owners_to_mend() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "l_analytics", october(ENDED)).await.unwrap_err();
    let text = "MISCONFIGURED: LinkedIn has ended version 202607 of its API\n\
                hint: the owner raises the version in the files of the integration `l` and deploys again";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_new_token_that_linkedin_calls_revoked_is_given_time() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..2 {
        let error = kit.call(&tenant, "l_analytics", october(REVOKED)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        // Past the time that is given, a refresh shows that the consent is good, and the next token is new again.
        kit.clock.advance_ms(61_000);
    }
    assert!(kit.call(&tenant, "l_ad_accounts", json!({})).await.is_ok());
}

#[tokio::test]
async fn without_a_refresh_token_a_revoked_token_asks_for_a_person_once_it_is_not_new() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let kept = json!({"access_token": FIRST_ACCESS_TOKEN, "expires_in": 5_184_000}).to_string();
    let kept = NewConnection::new("acme", "l", Secret::from(kept.as_str()));
    kit.kit.operator.connection_set(kept).await.unwrap();
    for kind in [ErrorKind::Unavailable, ErrorKind::ReconnectRequired] {
        let error = kit.call(&tenant, "l_analytics", october(REVOKED)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        kit.clock.advance_ms(61_000);
    }
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_the_way_out() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    let error = kit.call(&tenant, "l_ad_accounts", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains("test-server connection set l --tenant acme"));
}

#[tokio::test]
async fn refreshing_does_not_move_the_end_of_the_consent() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    // Six lives of sixty days fit into a year.
    for _ in 0..6 {
        assert!(kit.call(&tenant, "l_ad_accounts", json!({})).await.is_ok());
        kit.clock.advance_ms(61 * 86_400_000);
    }
    for _ in 0..2 {
        let error = kit.call(&tenant, "l_ad_accounts", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    }
}

#[tokio::test]
async fn a_connection_whose_refresh_token_is_dead_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let dead = NewConnection::new("acme", "l", Secret::from("revoked"));
    kit.kit.operator.connection_set(dead).await.unwrap();
    for _ in 0..2 {
        let error = kit.call(&tenant, "l_ad_accounts", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
        assert!(error.to_string().contains("test-server connection set l --tenant acme"));
    }
}

#[tokio::test]
async fn without_the_owners_app_the_operator_is_told_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.app_remove("l", None).await.unwrap();
    let error = kit.call(&tenant, "l_ad_accounts", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("test-server app set l --client-id ID"));
}
