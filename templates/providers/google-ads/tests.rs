//! Each tool against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox::{MANAGER, OUTLET, SHOP};

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("g", super::integration())).await
}

/// What `tool` answers the tenant `acme` of a fresh kit.
async fn answer(tool: &str, arguments: Value) -> Result<Value, ToolError> {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.call(&tenant, tool, arguments).await
}

async fn error(tool: &str, arguments: Value) -> ToolError {
    answer(tool, arguments).await.unwrap_err()
}

#[tokio::test]
async fn customers_are_listed_with_the_chosen_one() {
    let customers = json!([{"id": SHOP, "chosen": true}, {"id": MANAGER, "chosen": false}]);
    assert_eq!(answer("g_customers", json!({})).await.unwrap(), json!({"customers": customers}));
}

#[tokio::test]
async fn campaigns_come_with_what_they_brought() {
    let answer = answer("g_campaigns", json!({"limit": 1, "status": "enabled"})).await.unwrap();
    let brand = json!({
        "id": "21000000001", "name": "Brand", "status": "ENABLED", "channel": "SEARCH",
        "impressions": 27_510, "clicks": 1_049, "cost": 451.07, "conversions": 63.0,
    });
    assert_eq!(answer, json!({"currency": "EUR", "campaigns": [brand], "next_cursor": "21000000001"}));
}

#[tokio::test]
async fn campaigns_go_on_at_the_cursor_to_the_end() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (mut names, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    while pages == 0 || !cursor.is_null() {
        let page = kit.call(&tenant, "g_campaigns", json!({"limit": 3, "cursor": cursor})).await.unwrap();
        names.extend(page["campaigns"].as_array().unwrap().iter().map(|one| one["name"].clone()));
        (cursor, pages) = (page["next_cursor"].clone(), pages + 1);
    }
    assert_eq!(pages, 2);
    assert_eq!(names, ["Brand", "City bikes", "Winter tyres", "Service and repair"]);
}

#[tokio::test]
async fn campaigns_keep_to_one_state() {
    for (status, name) in [("paused", "Winter tyres"), ("removed", "Summer sale")] {
        let answer = answer("g_campaigns", json!({"status": status, "period": "last_7_days"})).await.unwrap();
        assert_eq!(answer["campaigns"][0]["name"], name);
        assert_eq!(answer["campaigns"].as_array().map(Vec::len), Some(1));
        assert_eq!(answer["campaigns"][0]["impressions"], 0);
    }
}

#[tokio::test]
async fn a_report_by_day_has_a_row_for_each_day_with_an_impression() {
    let arguments = json!({"by": "day", "from": "2026-11-20", "to": "2026-11-30"});
    let answer = answer("g_report", arguments).await.unwrap();
    let rows = json!([
        {"date": "2026-11-20", "impressions": 5_300, "clicks": 188, "cost": 80.84, "conversions": 11.75},
        {"date": "2026-11-21", "impressions": 5_330, "clicks": 191, "cost": 82.13, "conversions": 11.75},
    ]);
    assert_eq!(answer, json!({"currency": "EUR", "rows": rows, "truncated": false}));
}

#[tokio::test]
async fn a_report_by_day_keeps_to_one_campaign_and_says_what_is_left_out() {
    let arguments = json!({"by": "day", "campaign_id": "21000000003", "period": "last_14_days", "limit": 1});
    let answer = answer("g_report", arguments).await.unwrap();
    let row = json!({"date": "2026-11-08", "impressions": 880, "clicks": 35, "cost": 15.05, "conversions": 2.0});
    assert_eq!(answer, json!({"currency": "EUR", "rows": [row], "truncated": true}));
}

#[tokio::test]
async fn a_report_by_campaign_begins_with_the_most_expensive() {
    let answer = answer("g_report", json!({"by": "campaign", "period": "yesterday", "limit": 2})).await.unwrap();
    let rows = json!([
        {"campaign_id": "21000000002", "campaign_name": "City bikes",
         "impressions": 3_210, "clicks": 121, "cost": 52.03, "conversions": 7.5},
        {"campaign_id": "21000000001", "campaign_name": "Brand",
         "impressions": 1_410, "clicks": 49, "cost": 21.07, "conversions": 3.0},
    ]);
    assert_eq!(answer, json!({"currency": "EUR", "rows": rows, "truncated": true}));
}

#[tokio::test]
async fn nothing_found_is_an_empty_answer() {
    let answer = answer("g_report", json!({"by": "day", "period": "last_month"})).await.unwrap();
    assert_eq!(answer, json!({"rows": [], "truncated": false}));
}

#[tokio::test]
async fn a_client_is_reached_through_its_manager_only() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let client = json!({"customer_id": "345-678-9012"});
    let error = kit.call(&tenant, "g_campaigns", client.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    kit.kit.operator.connection_target("acme", "g", "default", MANAGER).await.unwrap();
    let campaigns = kit.call(&tenant, "g_campaigns", client).await.unwrap();
    assert_eq!((&campaigns["currency"], &campaigns["campaigns"][0]["name"]), (&json!("GBP"), &json!("Clearance")));
    let report = kit.call(&tenant, "g_report", json!({"by": "campaign", "customer_id": OUTLET})).await.unwrap();
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(1));
    // A manager has no figures of its own.
    assert_eq!(kit.call(&tenant, "g_campaigns", json!({})).await.unwrap_err().kind(), ErrorKind::Upstream);
}

#[tokio::test]
async fn a_connection_without_a_customer_can_list_them_and_waits_for_one() {
    let kit = test_kit().await;
    kit.tenant("first").await;
    let tenant = kit.bare_tenant("acme").await;
    let operator = &kit.kit.operator;
    operator.connection_set(NewConnection::new("acme", "g", Secret::from("sandbox-refresh-0"))).await.unwrap();
    let listed = kit.call(&tenant, "g_customers", json!({})).await.unwrap();
    assert_eq!(listed["customers"][0], json!({"id": SHOP, "chosen": false}));
    assert_eq!(kit.call(&tenant, "g_campaigns", json!({})).await.unwrap_err().kind(), ErrorKind::NeedsTarget);

    let found = operator.connection_targets("acme", "g", "default").await.unwrap();
    assert_eq!(found[0], Target { id: SHOP.into(), label: "123-456-7890".into() });
    operator.connection_target("acme", "g", "default", SHOP).await.unwrap();
    assert!(kit.call(&tenant, "g_campaigns", json!({})).await.is_ok());
}

#[tokio::test]
async fn what_is_not_an_id_a_day_or_a_cursor_never_gets_into_a_query() {
    for (arguments, message) in [
        (json!({"customer_id": "12345678901"}), "a customer id has ten digits"),
        (json!({"customer_id": "../customers"}), "a customer id has ten digits"),
        (json!({"from": "2026-11-01' OR '", "to": "2026-11-02"}), "a day is written as YYYY-MM-DD"),
        (json!({"from": "2026-13-01", "to": "2026-13-02"}), "a day is written as YYYY-MM-DD"),
        (json!({"from": "2026-11-02", "to": "2026-11-01"}), "`from` lies after `to`"),
        (json!({"from": "2026-11-02"}), "`from` and `to` go together"),
        (json!({"period": "today", "to": "2026-11-01"}), "give either `period`, or `from` and `to`"),
        (json!({"cursor": "1 OR"}), "`cursor` is not the `next_cursor` of an answer"),
    ] {
        let error = error("g_campaigns", arguments).await;
        assert_eq!(error.kind(), ErrorKind::InvalidArguments);
        assert!(error.message().ends_with(message), "{error}");
    }
    let error = error("g_report", json!({"by": "day", "campaign_id": "+1"})).await;
    assert_eq!(error.message(), "invalid arguments: a campaign id has digits only");
}
