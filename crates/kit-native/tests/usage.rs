//! Usage: added up, given out to be billed once and not twice, and compared with the audit. On a clock that is moved by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use kit::App;
use kit::inbound::TenantCtx;
use kit::ledger::ClientInfo;
use kit::ledger::export::{self, Format, UsageRow};
use kit::limit::traffic::Rules;
use kit::observe::request::RequestFacts;
use kit::operator::{By, Period, UsageBatch};
use kit::pipeline::Caller;
use kit::prelude::*;
use kit_native::testing::{TempFolder, TestKit};
use serde_json::Map;

type Out = Result<Map<String, Value>, ToolError>;

const HOUR_MS: i64 = 3_600_000;

async fn fine(_: Call, _: BTreeMap<String, Value>) -> Out {
    Ok(Map::new())
}

async fn bad(_: Call, _: BTreeMap<String, Value>) -> Out {
    Err(ToolError::not_found("there is none"))
}

fn app() -> App {
    let provider = Provider { title: "Shop", base_url: "https://api.shop.test", ..Provider::PLAIN };
    let tools = Tools::new()
        .read("fine", "Answers.", fine)
        .read("old", "Answers as well.", fine)
        .deprecated("fine", "2027-03-31")
        .read("bad", "Fails.", bad);
    App::new("acme", "1.2.3").integration("p", Integration::new(provider).tools(tools))
}

fn ok() -> Vec<String> {
    vec!["ok".to_owned()]
}

async fn call(kit: &TestKit, tenant: &TenantCtx, tool: &str, times: usize) {
    for _ in 0..times {
        let request = RequestFacts { client: Some(ClientInfo::new("cursor", "2.1")), ..RequestFacts::default() };
        let _ = kit.kit.pipeline.tool(tenant, tool, json!({}), Caller { request, ..Caller::patient() }).await;
    }
}

async fn export(kit: &TestKit, to: &str, format: Format) -> Option<UsageBatch> {
    kit.kit.operator.usage_export(to, format, &ok()).await.unwrap()
}

/// Tenant, tool, revision and units of each row.
fn told(batch: &UsageBatch) -> Vec<(&str, &str, i64, i64)> {
    batch.rows.iter().map(|row| (row.tenant.as_str(), row.tool.as_str(), row.revision, row.units)).collect()
}

#[tokio::test]
async fn usage_is_added_up_by_tenant_tool_and_day() {
    let kit = TestKit::new(&app()).await;
    let (a, b) = (kit.bare_tenant("a").await, kit.bare_tenant("b").await);
    call(&kit, &a, "p_fine", 3).await;
    call(&kit, &a, "p_bad", 1).await;
    kit.clock.advance_ms(24 * HOUR_MS);
    call(&kit, &b, "p_fine", 2).await;
    let report =
        async |by| serde_json::to_value(kit.kit.operator.usage_report(&Period::default(), by).await.unwrap()).unwrap();
    let line = |tenant: Value, tool: Value, day: Value, calls: i64, failed: i64| json!({"tenant": tenant, "tool": tool, "day": day, "calls": calls, "units": calls, "failed": failed});
    let none = || Value::Null;
    assert_eq!(
        report(By::Tenant).await,
        json!([line(json!("a"), none(), none(), 4, 1), line(json!("b"), none(), none(), 2, 0)])
    );
    assert_eq!(
        report(By::Tool).await,
        json!([
            line(json!("a"), json!("p_bad"), none(), 1, 1),
            line(json!("a"), json!("p_fine"), none(), 3, 0),
            line(json!("b"), json!("p_fine"), none(), 2, 0),
        ])
    );
    assert_eq!(
        report(By::Day).await,
        json!([line(none(), none(), json!("2027-01-15"), 4, 1), line(none(), none(), json!("2027-01-16"), 2, 0)])
    );
    let period = Period { from: Day::parse("2027-01-16"), to: None, tenant: Some("a".into()) };
    assert_eq!(kit.kit.operator.usage_report(&period, By::Tenant).await.unwrap(), []);
}

#[tokio::test]
async fn the_hour_that_goes_on_is_not_billed() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine", 2).await;
    assert_eq!(export(&kit, "csv", Format::Csv).await, None);
    kit.clock.advance_ms(HOUR_MS);
    assert_eq!(told(&export(&kit, "csv", Format::Csv).await.unwrap()), [("a", "p_fine", 1, 2)]);
}

#[tokio::test]
async fn a_batch_is_given_out_again_until_it_is_acknowledged() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine", 2).await;
    kit.clock.advance_ms(HOUR_MS);
    let first = export(&kit, "lago", Format::Lago).await.unwrap();
    call(&kit, &a, "p_fine", 5).await;
    kit.clock.advance_ms(HOUR_MS);
    let again = export(&kit, "lago", Format::Lago).await.unwrap();
    assert_eq!((again.batch, again.again, &again.rows), (first.batch, true, &first.rows));
    kit.kit.operator.usage_ack("lago", first.batch).await.unwrap();
    let next = export(&kit, "lago", Format::Lago).await.unwrap();
    assert_eq!((next.batch, next.again, told(&next)), (first.batch + 1, false, vec![("a", "p_fine", 1, 5)]));
    kit.kit.operator.usage_ack("lago", next.batch).await.unwrap();
    assert_eq!(export(&kit, "lago", Format::Lago).await, None);
    let error = kit.kit.operator.usage_ack("lago", next.batch).await.unwrap_err();
    assert_eq!(error.to_string(), "no batch 2 for `lago` waits to be acknowledged");
}

#[tokio::test]
async fn what_comes_late_goes_out_as_a_delta_with_an_id_of_its_own() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine", 2).await;
    kit.clock.advance_ms(HOUR_MS);
    let first = export(&kit, "csv", Format::Csv).await.unwrap();
    kit.kit.operator.usage_ack("csv", first.batch).await.unwrap();
    // A spill that is played back brings rows of an hour that was billed.
    kit.clock.advance_ms(-HOUR_MS);
    call(&kit, &a, "p_fine", 3).await;
    kit.clock.advance_ms(HOUR_MS);
    let late = export(&kit, "csv", Format::Csv).await.unwrap();
    assert_eq!(told(&late), [("a", "p_fine", 2, 3)]);
    assert_eq!(late.rows[0].hour, first.rows[0].hour);
    assert_ne!(late.rows[0].id, first.rows[0].id);
}

#[tokio::test]
async fn each_destination_gets_everything_once() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine", 1).await;
    kit.clock.advance_ms(HOUR_MS);
    let (one, other) =
        (export(&kit, "books", Format::Csv).await.unwrap(), export(&kit, "lake", Format::Jsonl).await.unwrap());
    assert_eq!(one.rows, other.rows, "the same row has the same id wherever it goes");
    kit.kit.operator.usage_ack("books", one.batch).await.unwrap();
    assert_eq!(export(&kit, "books", Format::Csv).await, None);
    assert!(export(&kit, "lake", Format::Jsonl).await.unwrap().again);
}

#[tokio::test]
async fn failed_calls_are_billed_only_where_the_operator_says_so() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_bad", 2).await;
    kit.clock.advance_ms(HOUR_MS);
    assert_eq!(export(&kit, "csv", Format::Csv).await, None);
    let outcomes = ["ok", "not_found"].map(str::to_owned);
    let batch = kit.kit.operator.usage_export("all", Format::Csv, &outcomes).await.unwrap().unwrap();
    assert_eq!((batch.rows[0].outcome.as_str(), batch.rows[0].calls), ("not_found", 2));
}

#[tokio::test]
async fn stripe_gets_customers_and_nothing_that_is_too_old() {
    let kit = TestKit::new(&app()).await;
    let (a, b) = (kit.bare_tenant("a").await, kit.bare_tenant("b").await);
    call(&kit, &a, "p_fine", 1).await;
    call(&kit, &b, "p_fine", 1).await;
    kit.clock.advance_ms(HOUR_MS);
    let operator = &kit.kit.operator;
    operator.tenant_billing("a", Some("cus_A")).await.unwrap();
    let error = operator.usage_export("stripe", Format::Stripe, &ok()).await.unwrap_err();
    assert_eq!(error.to_string(), "Stripe knows no tenants, and these have no customer: b");
    assert_eq!(error.hint(), Some("`acme tenant billing b cus_…`"));
    operator.tenant_billing("b", Some("cus_B")).await.unwrap();
    kit.clock.advance_ms(35 * 24 * HOUR_MS);
    let error = operator.usage_export("stripe", Format::Stripe, &ok()).await.unwrap_err();
    assert_eq!(error.to_string(), "2 rows are older than the 35 days that Stripe takes");
    kit.clock.advance_ms(-2 * HOUR_MS);
    let batch = export(&kit, "stripe", Format::Stripe).await.unwrap();
    assert_eq!(batch.rows.iter().map(|row| row.billing_id.as_str()).collect::<Vec<_>>(), ["cus_A", "cus_B"]);
}

#[tokio::test]
async fn two_exports_at_once_give_out_one_batch() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine", 1).await;
    kit.clock.advance_ms(HOUR_MS);
    let operator = kit.kit.operator.clone();
    let many = (0..8).map(|_| {
        let operator = operator.clone();
        tokio::spawn(async move { operator.usage_export("csv", Format::Csv, &ok()).await })
    });
    let mut batches = BTreeSet::new();
    for export in many.collect::<Vec<_>>() {
        match export.await.unwrap() {
            Ok(batch) => drop(batches.insert(batch.unwrap().batch)),
            Err(error) => assert_eq!(error.to_string(), "somebody else exports to `csv` just now"),
        }
    }
    assert_eq!(batches, BTreeSet::from([1]));
}

#[tokio::test]
async fn a_deleted_tenants_usage_is_not_billed_twice() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    call(&kit, &a, "p_fine", 2).await;
    kit.clock.advance_ms(HOUR_MS);
    let first = export(&kit, "csv", Format::Csv).await.unwrap();
    kit.kit.operator.usage_ack("csv", first.batch).await.unwrap();
    kit.kit.operator.tenant_delete("a").await.unwrap();
    assert_eq!(export(&kit, "csv", Format::Csv).await, None);
    let report = kit.kit.operator.usage_report(&Period::default(), By::Tenant).await.unwrap();
    let name = report[0].tenant.clone().unwrap();
    assert!(name.starts_with("t_") && report[0].calls == 2, "{report:?}");
}

#[tokio::test]
async fn the_operator_sees_which_programs_call_and_who_calls_what_goes() {
    let kit = TestKit::new(&app()).await;
    let (a, b) = (kit.bare_tenant("a").await, kit.bare_tenant("b").await);
    call(&kit, &a, "p_fine", 2).await;
    call(&kit, &b, "p_old", 3).await;
    let clients = kit.kit.operator.usage_clients(&Period::default()).await.unwrap();
    assert_eq!(
        serde_json::to_value(clients).unwrap(),
        json!([{
            "client": "cursor", "version": "2.1", "server": "1.2.3", "tenants": 2, "calls": 5, "last": "2027-01-15",
        }])
    );
    let deprecated = kit.kit.operator.usage_deprecated(&Period::default()).await.unwrap();
    assert_eq!(
        serde_json::to_value(deprecated).unwrap(),
        json!([{
            "tool": "p_old", "successor": "p_fine", "ends": "2027-03-31", "tenant": "b", "client": "cursor 2.1",
            "calls": 3, "last": "2027-01-15",
        }])
    );
    let tool = kit.kit.registry.tool("p_old").unwrap();
    assert_eq!(tool.description, "Deprecated: call p_fine instead, this tool goes on 2027-03-31. Answers as well.");
}

#[test]
fn a_deprecation_that_leads_nowhere_refuses_boot() {
    let provider = Provider { title: "Shop", base_url: "https://api.shop.test", ..Provider::PLAIN };
    let tools = Tools::new().read("old", "Answers.", fine).deprecated("new", "soon");
    let app = App::new("acme", "1.2.3").integration("p", Integration::new(provider).tools(tools));
    let error = kit::registry::Registry::mount(&app, &BTreeMap::new()).err().unwrap();
    assert_eq!(
        error.0,
        [
            "tool `p_old`: there is no `p_new` to call instead of it",
            "tool `p_old`: `soon` is not a day on which it could go"
        ]
    );
}

#[tokio::test]
async fn usage_and_audit_agree_until_somebody_changes_one_of_them() {
    let kit = TestKit::new(&app()).await;
    let a = kit.bare_tenant("a").await;
    // More than fit on a page of the audit.
    kit.kit.traffic.set_rules(Rules::default());
    call(&kit, &a, "p_fine", 600).await;
    call(&kit, &a, "p_bad", 2).await;
    kit.clock.advance_ms(HOUR_MS);
    assert_eq!(kit.kit.operator.usage_reconcile(&Period::default()).await.unwrap(), []);
    assert_eq!(kit.kit.operator.usage_reconcile_last(36).await.unwrap(), []);
    let store = rusqlite::Connection::open(kit.folder.path().join("store.db")).unwrap();
    store.execute("UPDATE usage_rollup SET calls = calls - 1, units = units - 1 WHERE tool = 'p_fine'", []).unwrap();
    let found = kit.kit.operator.usage_reconcile(&Period::default()).await.unwrap();
    assert_eq!(kit.kit.operator.usage_reconcile_last(1).await.unwrap(), found);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].tool.as_str(), found[0].usage, found[0].audit), ("p_fine", (599, 599), (600, 600)));
}

/// A month of three tenants, exported in batches that are interrupted and given out again: what has arrived in the end, and
/// how many units were used.
async fn month(format: Format) -> (Vec<UsageRow>, i64) {
    let kit = TestKit::new(&app()).await;
    let tenants = [kit.bare_tenant("a").await, kit.bare_tenant("b").await, kit.bare_tenant("c").await];
    for tenant in ["a", "b", "c"] {
        kit.kit.operator.tenant_billing(tenant, Some(&format!("cus_{tenant}"))).await.unwrap();
    }
    let (mut arrived, mut sent): (BTreeMap<String, UsageRow>, i64) = (BTreeMap::new(), 0);
    let mut arrives = |batch: &UsageBatch| {
        for row in &batch.rows {
            let known = arrived.insert(row.id.clone(), row.clone());
            assert!(known.is_none_or(|known| known == *row), "one id for two rows");
        }
    };
    for hour in 0..30 * 8 {
        for (n, tenant) in tenants.iter().enumerate().filter(|(n, _)| hour % (n + 2) == 0) {
            call(&kit, tenant, "p_fine", n + 1).await;
            sent += i64::try_from(n + 1).unwrap();
        }
        kit.clock.advance_ms(3 * HOUR_MS);
        if hour % 7 == 0
            && let Some(batch) = export(&kit, "there", format).await
        {
            // Some are acknowledged, some arrive and are sent again, and some are lost on their way.
            if hour % 2 == 0 {
                arrives(&batch);
                kit.kit.operator.usage_ack("there", batch.batch).await.unwrap();
            } else if hour % 3 == 0 {
                arrives(&batch);
            }
        }
    }
    while let Some(batch) = export(&kit, "there", format).await {
        arrives(&batch);
        kit.kit.operator.usage_ack("there", batch.batch).await.unwrap();
    }
    (arrived.into_values().collect(), sent)
}

#[tokio::test]
async fn a_month_arrives_complete_and_without_a_duplicate() {
    for format in [Format::Jsonl, Format::Stripe] {
        let (arrived, sent) = month(format).await;
        assert_eq!(arrived.iter().map(|row| row.units).sum::<i64>(), sent);
    }
}

/// Runs a script of tests/vendors with what reads it, and returns its line of JSON.
fn read_with(program: &str, script: &str, folder: &std::path::Path) -> Value {
    let program = std::env::var_os(program).expect("run: eval \"$(scripts/setup --print-env)\"");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vendors").join(script);
    let output = std::process::Command::new(program).arg(script).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
#[ignore = "scripts/test runs it once scripts/setup has installed the packages"]
async fn the_vendors_own_packages_read_each_form_completely() {
    let (rows, _) = month(Format::Stripe).await;
    let folder = TempFolder::new();
    for format in Format::ALL {
        std::fs::write(folder.path().join(format.as_str()), export::write(format, &rows, "acme", "mcp_units")).unwrap();
    }
    let all: Value = rows.iter().map(|row| json!({"id": row.id, "value": row.units})).collect();
    let node = read_with("MCPKIT_NODE", "exports.mjs", folder.path());
    let python = read_with("MCPKIT_PY_VENDORS", "exports.py", folder.path());
    for (read, name) in
        [(&node, "stripe"), (&node, "lago"), (&python, "cloudevents"), (&python, "csv"), (&python, "jsonl")]
    {
        assert_eq!(read[name], all, "{name}");
    }
}
