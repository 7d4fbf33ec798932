//! How much is let in: what a tenant's plan allows, and what it is told when that is used up. On a clock that is moved by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::App;
use kit::inbound::TenantCtx;
use kit::limit::Rate;
use kit::limit::plan::{Plan, Plans};
use kit::limit::traffic::Rules;
use kit::pipeline::Caller;
use kit::prelude::*;
use kit_native::testing::TestKit;
use serde_json::Map;
use tokio::sync::Notify;

type Out = Result<Map<String, Value>, ToolError>;

async fn fine(_: Call, _: BTreeMap<String, Value>) -> Out {
    Ok(Map::new())
}

fn app(held: &Arc<Notify>) -> App {
    let held = held.clone();
    let waits = move |_: Call, _: BTreeMap<String, Value>| {
        let held = held.clone();
        async move {
            held.notified().await;
            Ok::<_, ToolError>(Map::new())
        }
    };
    let provider = Provider { title: "Shop", base_url: "https://api.shop.test", ..Provider::PLAIN };
    let tools = Tools::new().read("fine", "Answers at once.", fine).read("other", "Answers at once.", fine).read(
        "waits",
        "Answers when it is told to.",
        waits,
    );
    App::new("acme", "0.0.0").integration("p", Integration::new(provider).tools(tools))
}

fn plan(name: &str) -> Plan {
    Plan { name: name.to_owned(), ..Plan::default() }
}

/// Rules with one plan, which tenants without a plan have too.
fn only(plan: Plan) -> Rules {
    Rules { plans: Plans { default: Arc::new(plan), ..Plans::default() }, max_in_flight: None }
}

async fn kit(rules: Rules) -> TestKit {
    let kit = TestKit::new(&app(&Arc::default())).await;
    kit.kit.traffic.set_rules(rules);
    kit
}

async fn call(kit: &TestKit, tenant: &TenantCtx, tool: &str) -> Result<(), Value> {
    kit.call(tenant, tool, json!({})).await.map(drop).map_err(|error| error.to_value()["error"].clone())
}

#[tokio::test]
async fn a_tool_that_is_called_too_often_is_refused_and_the_others_are_not() {
    let kit = kit(only(Plan { tool_rate: Some(Rate::per_minute(60, 1)), ..plan("") })).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine").await.unwrap();
    let refused = call(&kit, &a, "p_fine").await.unwrap_err();
    assert_eq!(
        refused,
        json!({
            "type": "rate_limited", "message": "`p_fine` is called too often; try again in 1 s", "scope": "tenant_tool",
            "limit": 1, "retry_after_ms": 1_000, "retry_at": "2027-01-15T08:00:01Z",
        })
    );
    call(&kit, &a, "p_other").await.unwrap();
    call(&kit, &kit.bare_tenant("b").await, "p_fine").await.unwrap();
    kit.clock.advance_ms(1_000);
    call(&kit, &a, "p_fine").await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_calls_too_often_in_all_is_refused() {
    let kit = kit(only(Plan { rate: Some(Rate::per_minute(60, 2)), ..plan("") })).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine").await.unwrap();
    call(&kit, &a, "p_other").await.unwrap();
    let refused = call(&kit, &a, "p_fine").await.unwrap_err();
    assert_eq!((&refused["scope"], &refused["limit"]), (&json!("tenant"), &json!(2)));
    assert_eq!(refused["message"], "this tenant calls too often; try again in 1 s");
}

/// What a refused call would have cost is not taken from the other layers.
#[tokio::test]
async fn a_refused_call_costs_nothing() {
    let rate = Some(Rate::per_minute(60, 2));
    let kit = kit(only(Plan { rate, tool_rate: Some(Rate::per_minute(1, 1)), ..plan("") })).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine").await.unwrap();
    for _ in 0..5 {
        assert_eq!(call(&kit, &a, "p_fine").await.unwrap_err()["scope"], "tenant_tool");
    }
    call(&kit, &a, "p_other").await.unwrap();
}

#[tokio::test]
async fn an_expensive_tool_takes_more() {
    let mut rules = only(Plan { rate: Some(Rate::per_minute(60, 10)), ..plan("") });
    rules.plans.costs.insert("p_other".into(), 8);
    let kit = kit(rules).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_other").await.unwrap();
    assert_eq!(call(&kit, &a, "p_other").await.unwrap_err()["retry_after_ms"], 6_000);
    call(&kit, &a, "p_fine").await.unwrap();
}

#[tokio::test]
async fn a_call_under_way_keeps_its_place_until_its_client_leaves() {
    let held = Arc::new(Notify::new());
    let kit = TestKit::new(&app(&held)).await;
    kit.kit.traffic.set_rules(only(Plan { concurrency: Some(1), ..plan("") }));
    let a = kit.bare_tenant("a").await;
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    let caller = Caller { cancelled: Box::pin(async { drop(left.await) }), ..Caller::patient() };
    let (pipeline, ctx) = (kit.kit.pipeline.clone(), a.clone());
    let waiting = tokio::spawn(async move { pipeline.tool(&ctx, "p_waits", json!({}), caller).await });
    while kit.kit.traffic.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = call(&kit, &a, "p_fine").await.unwrap_err();
    assert_eq!(refused["message"], "too many calls are under way; wait for one of them to end");
    assert_eq!((&refused["scope"], &refused["limit"]), (&json!("tenant"), &json!(1)));
    call(&kit, &kit.bare_tenant("b").await, "p_fine").await.unwrap();
    leave.send(()).unwrap();
    assert!(waiting.await.unwrap().is_err());
    call(&kit, &a, "p_fine").await.unwrap();
    assert_eq!(kit.kit.traffic.in_flight(), 0);
}

#[tokio::test]
async fn the_servers_last_room_is_kept_for_cheap_calls() {
    let held = Arc::new(Notify::new());
    let kit = TestKit::new(&app(&held)).await;
    let mut rules = Rules { max_in_flight: Some(5), ..Rules::default() };
    rules.plans.costs.insert("p_other".into(), 3);
    kit.kit.traffic.set_rules(rules);
    let a = kit.bare_tenant("a").await;
    // A fifth of five is kept, so that a dear call is the fourth at the most.
    let mut waiting = Vec::new();
    for under_way in 0..5 {
        assert_eq!(kit.kit.traffic.in_flight(), under_way);
        let dear = call(&kit, &a, "p_other").await.map_err(|refused| refused["message"].clone());
        let full = json!("the server is at its capacity; try again in 1 s");
        assert_eq!(dear, if under_way < 4 { Ok(()) } else { Err(full) }, "{under_way}");
        call(&kit, &a, "p_fine").await.unwrap();
        let (pipeline, ctx) = (kit.kit.pipeline.clone(), a.clone());
        waiting.push(tokio::spawn(async move { pipeline.tool(&ctx, "p_waits", json!({}), Caller::patient()).await }));
        while kit.kit.traffic.in_flight() == under_way {
            tokio::task::yield_now().await;
        }
    }
    let full = call(&kit, &a, "p_fine").await.unwrap_err();
    assert_eq!((&full["scope"], &full["retry_after_ms"]), (&json!("server"), &json!(1_000)));
    for one in waiting {
        held.notify_one();
        drop(one.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn a_days_units_end_with_the_day() {
    let kit = kit(only(Plan { daily: Some(2), ..plan("") })).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine").await.unwrap();
    call(&kit, &a, "p_fine").await.unwrap();
    let refused = call(&kit, &a, "p_fine").await.unwrap_err();
    // The clock stands at 2027-01-15T08:00:00Z.
    assert_eq!(
        refused,
        json!({
            "type": "rate_limited", "message": "the plan's units for this day are used up; try again in 16 h",
            "scope": "quota", "limit": 2, "period": "day", "retry_after_ms": 16 * 3_600_000,
            "retry_at": "2027-01-16T00:00:00Z",
        })
    );
    kit.clock.advance_ms(16 * 3_600_000);
    call(&kit, &a, "p_fine").await.unwrap();
}

#[tokio::test]
async fn a_months_units_hold_over_days_and_over_a_restart() {
    let rules = || only(Plan { monthly: Some(2), ..plan("") });
    let kit = kit(rules()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine").await.unwrap();
    kit.clock.advance_ms(3 * 86_400_000);
    call(&kit, &a, "p_fine").await.unwrap();
    kit.kit.ledger.settled().await;
    // What was counted is read again once it is stale, as another replica would read it.
    kit.clock.advance_ms(11_000);
    let refused = call(&kit, &a, "p_fine").await.unwrap_err();
    assert_eq!((&refused["period"], &refused["limit"]), (&json!("month"), &json!(2)));
    let standing = kit.kit.traffic.standing(&a, &[]).await.unwrap();
    assert_eq!((standing.today, standing.this_month, standing.in_flight), (1, 2, 0));
}

#[tokio::test]
async fn a_tenant_is_on_the_plan_it_was_put_on() {
    let mut rules = only(Plan { tool_rate: Some(Rate::per_minute(60, 1)), ..plan("") });
    let big = Plan { tool_rate: Some(Rate::per_minute(60, 3)), ..plan("growth") };
    rules.plans.by_name.insert("growth".into(), Arc::new(big));
    let kit = kit(rules).await;
    let operator = &kit.kit.operator;
    operator.tenant_add("a").await.unwrap();
    operator.tenant_plan("a", Some("growth")).await.unwrap();
    let key = operator.key_create("a", "test", None).await.unwrap().key;
    let key = key.expose_str().unwrap();
    let a = kit.kit.authenticator.api_key(key).await.unwrap();
    assert_eq!(a.plan(), Some("growth"));
    for _ in 0..3 {
        call(&kit, &a, "p_fine").await.unwrap();
    }
    assert_eq!(call(&kit, &a, "p_fine").await.unwrap_err()["limit"], 3);
    operator.tenant_plan("a", None).await.unwrap();
    assert_eq!(kit.kit.authenticator.api_key(key).await.unwrap().plan(), None);
    let error = operator.tenant_plan("a", Some("scale")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no plan `scale`");
    assert_eq!(error.hint(), Some("there are: growth; they are under `[plans]` in config/server.toml"));
}

#[tokio::test]
async fn the_operator_sees_what_is_used_and_looking_costs_nothing() {
    let rate = Some(Rate::per_minute(60, 10));
    let big = Plan { rate, tool_rate: Some(Rate::per_minute(30, 3)), daily: Some(100), ..plan("growth") };
    let mut rules = only(plan(""));
    rules.plans.by_name.insert("growth".into(), Arc::new(big));
    let kit = kit(rules).await;
    let a = kit.bare_tenant("a").await;
    kit.kit.operator.tenant_plan("a", Some("growth")).await.unwrap();
    kit.clock.advance_ms(16_000);
    let key = kit.kit.operator.key_create("a", "test", None).await.unwrap().key;
    let on_plan = kit.kit.authenticator.api_key(key.expose_str().unwrap()).await.unwrap();
    assert_eq!((a.plan(), on_plan.plan()), (None, Some("growth")));
    call(&kit, &on_plan, "p_fine").await.unwrap();
    call(&kit, &on_plan, "p_fine").await.unwrap();
    for _ in 0..3 {
        let standing = serde_json::to_value(kit.kit.operator.limits_show("a").await.unwrap()).unwrap();
        assert_eq!(
            standing,
            json!({
                "plan": {
                    "name": "growth", "rate": {"interval_us": 1_000_000, "burst": 10},
                    "tool_rate": {"interval_us": 2_000_000, "burst": 3}, "concurrency": null, "daily": 100, "monthly": null,
                },
                "in_flight": 0, "today": 2, "this_month": 2,
                "buckets": [
                    {"tool": null, "rate": {"interval_us": 1_000_000, "burst": 10}, "left": 8},
                    {"tool": "p_fine", "rate": {"interval_us": 2_000_000, "burst": 3}, "left": 1},
                ],
            })
        );
    }
    let unknown = kit.kit.operator.limits_show("nobody").await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no tenant `nobody`");
}
