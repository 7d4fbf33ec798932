//! Each tool against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox::{SHOP, TOKEN};

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("m", super::integration())).await
}

/// What `tool` answers the tenant `acme` of a fresh kit.
async fn answer(tool: &str, arguments: Value) -> Result<Value, ToolError> {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.call(&tenant, tool, arguments).await
}

/// All pages of `tool` and the values of `field` in their `list`. No page holds what Meta's own paging holds.
async fn pages(tool: &str, arguments: Value, list: &str, field: &str) -> (usize, Vec<Value>) {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (mut arguments, mut found, mut count) = (arguments, Vec::new(), 0);
    loop {
        let page = kit.call(&tenant, tool, arguments.clone()).await.unwrap();
        assert!(["access_token", TOKEN, "https://"].iter().all(|secret| !page.to_string().contains(secret)), "{page}");
        found.extend(page[list].as_array().unwrap().iter().map(|one| one[field].clone()));
        count += 1;
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => return (count, found),
        }
    }
}

#[tokio::test]
async fn ad_accounts_are_listed_with_the_chosen_one() {
    let answer = answer("m_ad_accounts", json!({"limit": 1})).await.unwrap();
    let shop = json!({"id": SHOP, "name": "Kestrel Bicycles", "status": "active", "currency": "EUR", "chosen": true});
    assert_eq!(answer, json!({"ad_accounts": [shop], "next_cursor": "QVFI1"}));
}

#[tokio::test]
async fn lists_go_on_at_the_cursor_to_the_end_and_the_address_of_the_next_page_stays_here() {
    let (count, states) = pages("m_ad_accounts", json!({"limit": 2}), "ad_accounts", "status").await;
    assert_eq!((count, states), (2, vec![json!("active"), json!("active"), json!("closed")]));
    let (count, names) = pages("m_campaigns", json!({"limit": 1}), "campaigns", "name").await;
    assert_eq!((count, names), (3, vec![json!("Winter collection"), json!("Test rides"), json!("Summer sale")]));
    let daily = json!({"level": "account", "by_day": true, "limit": 10});
    let (count, days) = pages("m_insights", daily, "rows", "date_from").await;
    assert_eq!((count, days.len(), &days[20]), (3, 21, &json!("2026-11-21")));
}

#[tokio::test]
async fn campaigns_come_with_their_states() {
    let answer = answer("m_campaigns", json!({"state": "paused"})).await.unwrap();
    let summer = json!({
        "id": "23000000000000003", "name": "Summer sale", "status": "PAUSED", "effective_status": "PAUSED",
        "objective": "OUTCOME_SALES", "start_time": "2026-10-01T00:00:00+0200", "stop_time": "2026-10-31T23:59:59+0100",
    });
    assert_eq!(answer, json!({"campaigns": [summer]}));
}

#[tokio::test]
async fn campaigns_keep_to_what_is_really_the_case() {
    let answer = answer("m_campaigns", json!({"state": "with_issues"})).await.unwrap();
    assert_eq!((&answer["campaigns"][0]["name"], &answer["campaigns"][1]), (&json!("Test rides"), &Value::Null));
}

#[tokio::test]
async fn insights_tell_what_each_campaign_brought() {
    let answer = answer("m_insights", json!({"period": "last_7d", "limit": 1})).await.unwrap();
    let winter = json!({
        "campaign_id": "23000000000000001", "campaign_name": "Winter collection",
        "date_from": "2026-11-15", "date_to": "2026-11-21",
        "impressions": 7_532, "clicks": 91, "reach": 3_766, "cost": 33.67, "currency": "EUR",
    });
    assert_eq!(answer, json!({"rows": [winter], "next_cursor": "QVFI1"}));
}

#[tokio::test]
async fn insights_of_an_ad_name_all_that_it_belongs_to() {
    let arguments = json!({"level": "ad", "from": "2026-11-20", "to": "2026-11-20", "limit": 1});
    let answer = answer("m_insights", arguments).await.unwrap();
    let ad = json!({
        "campaign_id": "23000000000000001", "campaign_name": "Winter collection",
        "adset_id": "24000000000000001", "adset_name": "Lights and locks",
        "ad_id": "25000000000000001", "ad_name": "Lights, video",
        "date_from": "2026-11-20", "date_to": "2026-11-20",
        "impressions": 740, "clicks": 9, "reach": 370, "cost": 3.33, "currency": "EUR",
    });
    assert_eq!(answer["rows"], json!([ad]));
}

#[tokio::test]
async fn insights_have_a_row_for_each_thing_at_a_level() {
    for (level, rows) in [("account", 1), ("campaign", 2), ("adset", 3), ("ad", 4)] {
        let answer = answer("m_insights", json!({"level": level})).await.unwrap();
        assert_eq!(answer["rows"].as_array().map(Vec::len), Some(rows), "{level}");
    }
}

#[tokio::test]
async fn every_period_is_one_that_meta_knows() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for period in ["today", "yesterday", "last_7d", "last_14d", "last_30d", "last_90d", "this_month", "last_month"] {
        assert!(kit.call(&tenant, "m_insights", json!({"period": period})).await.is_ok(), "{period}");
    }
}

#[tokio::test]
async fn another_ad_account_can_be_named_with_and_without_its_prefix() {
    for id in ["act_1000000000000002", "1000000000000002"] {
        assert_eq!(answer("m_insights", json!({"ad_account_id": id})).await.unwrap(), json!({"rows": []}));
    }
}

#[tokio::test]
async fn a_connection_without_an_ad_account_can_list_them_and_waits_for_one() {
    let kit = test_kit().await;
    kit.tenant("first").await;
    let tenant = kit.bare_tenant("acme").await;
    let (operator, token) = (&kit.kit.operator, format!("{TOKEN}0"));
    operator.connection_set(NewConnection::new("acme", "m", Secret::from(token.as_str()))).await.unwrap();
    let listed = kit.call(&tenant, "m_ad_accounts", json!({})).await.unwrap();
    assert_eq!(listed["ad_accounts"][0]["chosen"], false);
    assert_eq!(kit.call(&tenant, "m_campaigns", json!({})).await.unwrap_err().kind(), ErrorKind::NeedsTarget);

    let found = operator.connection_targets("acme", "m", "default").await.unwrap();
    assert_eq!(found[0], Target { id: SHOP.into(), label: "Kestrel Bicycles (EUR)".into() });
    operator.connection_target("acme", "m", "default", SHOP).await.unwrap();
    assert!(kit.call(&tenant, "m_campaigns", json!({})).await.is_ok());
}

#[tokio::test]
async fn what_is_not_an_id_or_a_day_never_leaves_the_server() {
    for (arguments, message) in [
        (json!({"ad_account_id": "me"}), "an ad account id is `act_` and digits"),
        (json!({"ad_account_id": "act_1/insights"}), "an ad account id is `act_` and digits"),
        (json!({"from": "2026-11-1", "to": "2026-11-02"}), "a day is written as YYYY-MM-DD"),
        (json!({"from": "2026-11-02", "to": "2026-11-01"}), "`from` lies after `to`"),
        (json!({"to": "2026-11-02"}), "`from` and `to` go together"),
        (json!({"period": "today", "from": "2026-11-01"}), "give either `period`, or `from` and `to`"),
    ] {
        let error = answer("m_insights", arguments).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArguments);
        assert!(error.message().ends_with(message), "{error}");
    }
}
