//! When a row is written, what stands in it, and what waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kit::ledger::LedgerOptions;
use kit::limit::Rate;
use kit::limit::plan::{Plan, Plans};
use kit::limit::traffic::Rules;
use kit::pipeline::Caller;
use kit::ports::Val;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::World;

on_both! {
    async fn a_call_leaves_one_row_and_one_unit_of_usage(world) {
        world.call("p_get").await.unwrap();
        assert_eq!(world.audit().await, ["call p_get ok"]);
        assert_eq!(world.usage().await, ["p_get ok 1 1"]);
        assert_eq!(world.findings().await, []);
    }

    async fn a_tool_that_writes_leaves_its_intent_before(world) {
        world.call("p_set").await.unwrap();
        assert_eq!(world.audit().await, ["intent p_set -", "call p_set ok"]);
        assert_eq!(world.usage().await, ["p_set ok 1 1"]);
    }

    async fn every_end_of_a_call_has_its_row(world) {
        for tool in ["p_fail", "p_panic"] {
            world.call(tool).await.unwrap_err();
        }
        world.call_with("a", "p_get", json!({"limit": "no number"})).await.unwrap_err();
        let rows = ["call p_fail not_found", "call p_panic panic", "call p_get invalid_arguments"];
        assert_eq!(world.audit().await, rows);
        assert_eq!(world.usage().await, ["p_fail not_found 1 1", "p_get invalid_arguments 1 1", "p_panic panic 1 1"]);
    }

    /// Not charged, and yet answered.
    async fn a_call_that_was_not_let_in_has_a_row_and_no_usage(world) {
        let plan = Plan { rate: Some(Rate::per_minute(1, 1)), ..Plan::default() };
        let plans = Plans { default: Arc::new(plan), ..Plans::default() };
        world.kit.traffic.set_rules(Rules { plans, max_in_flight: None });
        world.call("p_get").await.unwrap();
        assert_eq!(world.call("p_get").await, Err("rate_limited".into()));
        assert_eq!(world.audit().await, ["call p_get ok", "call p_get rate_limited"]);
        assert_eq!(world.usage().await, ["p_get ok 1 1"]);
    }

    async fn many_calls_at_once_share_few_transactions(world) {
        let gate = world.tap.hold();
        let mut calls = vec![world.spawn("p_get").await];
        world.tap.held().await;
        for _ in 0..49 {
            calls.push(world.spawn("p_get").await);
        }
        while world.kit.ledger.waiting() < 49 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(world.tap.groups(), 2);
        assert_eq!(world.usage().await, ["p_get ok 50 50"]);
        assert_eq!(world.findings().await, []);
    }

    async fn usage_is_told_apart_by_client_and_version(world) {
        world.call("p_get").await.unwrap();
        let plain = world.spawn("p_get").await;
        plain.await.unwrap().unwrap();
        world.call("p_get").await.unwrap();
        let sql = "SELECT tool, client, client_version, server_version, calls FROM usage_clients ORDER BY client";
        let row = |client: &str, version: &str, calls: i64| {
            let texts = ["p_get", client, version, "1.2.3"].map(Val::from).to_vec();
            [texts, vec![Val::I64(calls)]].concat()
        };
        assert_eq!(world.rows(sql, &[]).await, [row("", "", 1), row("Claude", "1.0", 2)]);
    }

    async fn what_the_operator_does_has_its_row(world) {
        let key = world.kit.operator.key_create("a", "laptop", None).await.unwrap();
        world.kit.operator.key_revoke("a", &key.id).await.unwrap();
        let lines = world.kit.operator.audit_tail(Some("a"), 2).await.unwrap();
        let told: Vec<(&Value, &Value)> = lines.iter().map(|line| (&line.record["tool"], &line.record["args"])).collect();
        let created = json!({"account": null, "id": key.id, "label": "laptop"});
        let revoked = json!({"id": key.id});
        assert_eq!(told, [(&json!("key create"), &created), (&json!("key revoke"), &revoked)]);
        assert!(!format!("{lines:?}").contains(key.key.expose_str().unwrap()));
    }
}

#[tokio::test]
async fn a_record_tells_what_the_schema_marks_and_nothing_else() {
    let world = World::on_sqlite().await;
    world.call_with("a", "p_get", json!({"limit": 7, "text": "jane@acme.test", "more": "surprise"})).await.unwrap();
    let line = world.kit.operator.audit_tail(Some("a"), 1).await.unwrap().remove(0);
    let mut record = line.record.clone();
    let secret = |value: &Value| value.as_str().is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    for path in ["/args/text/hmac", "/args/*/hmac", "/args_hmac"] {
        assert!(secret(record.pointer(path).unwrap()), "{path}");
        *record.pointer_mut(path).unwrap() = "hmac".into();
    }
    assert!(secret(&record["trace"]) && record["trace"].as_str().unwrap().len() == 32);
    record["trace"] = "trace".into();
    assert_eq!(
        record,
        json!({
            "v": 1, "kind": "call", "stream": line.stream, "seq": 2, "at_ms": 1_800_000_000_000_i64, "call": line.call,
            "tenant": line.stream[..18], "actor": "local", "tool": "p_get", "class": "read", "outcome": "ok", "units": 1,
            "trace": "trace",
            "duration_us": 0, "upstream": [], "client": "Claude/1.0", "server": "1.2.3", "args_hmac": "hmac",
            "args": {
                "*": {"hmac": "hmac", "len": 1, "type": "object"}, "limit": 7,
                "text": {"hmac": "hmac", "len": 14, "type": "string"},
            },
        })
    );
    assert!(!line.record.to_string().contains("\"a\""), "the tenant's name is in the record");
}

#[tokio::test(start_paused = true)]
async fn a_lone_call_waits_for_nobody() {
    let world = World::in_place(None, LedgerOptions::default()).await;
    let began = Instant::now();
    world.call("p_get").await.unwrap();
    world.call("p_set").await.unwrap();
    assert_eq!((began.elapsed(), world.tap.groups()), (Duration::ZERO, 3));
}

#[tokio::test]
async fn the_code_of_a_tool_that_writes_does_not_run_before_its_intent_is_committed() {
    let world = World::on_sqlite().await;
    let gate = world.tap.hold();
    let call = world.spawn("p_set").await;
    world.tap.held().await;
    assert_eq!(world.bench.sets.load(Ordering::SeqCst), 0);
    gate.add_permits(1);
    call.await.unwrap().unwrap();
    assert_eq!(world.bench.sets.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tool_whose_intent_cannot_be_committed_does_not_run() {
    let world = World::in_place(None, LedgerOptions::default()).await;
    world.call("p_get").await.unwrap();
    world.tap.down.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert_eq!(world.call("p_set").await, Err("unavailable: audit_unavailable".into()));
    assert_eq!((world.bench.sets.load(Ordering::SeqCst), began.elapsed()), (0, Duration::from_millis(700)));
}

#[tokio::test]
async fn a_strict_answer_waits_for_its_commit() {
    let world = World::on_sqlite().await;
    let gate = world.tap.hold();
    let call = world.spawn("p_get").await;
    world.tap.held().await;
    assert!(!call.is_finished());
    gate.add_permits(1);
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn relaxed_only_the_answer_of_a_tool_that_reads_does_not_wait() {
    let world = World::in_place(None, LedgerOptions { relaxed: true, ..LedgerOptions::default() }).await;
    let gate = world.tap.hold();
    world.call("p_get").await.unwrap();
    let write = world.spawn("p_set").await;
    while world.kit.ledger.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!write.is_finished());
    gate.add_permits(1);
    write.await.unwrap().unwrap();
    assert_eq!(world.audit().await, ["call p_get ok", "intent p_set -", "call p_set ok"]);
}

#[tokio::test]
async fn a_caller_who_is_dropped_in_the_middle_leaves_a_row() {
    let world = World::on_sqlite().await;
    for tool in ["p_wait", "p_hold"] {
        let call = world.spawn(tool).await;
        while world.bench.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
        call.await.unwrap_err();
        world.bench.waiting.store(0, Ordering::SeqCst);
    }
    world.kit.ledger.settled().await;
    assert_eq!(world.audit().await, ["call p_wait cancelled", "intent p_hold -", "call p_hold cancelled"]);
    assert_eq!(world.usage().await, ["p_hold cancelled 1 1", "p_wait cancelled 1 1"]);
}

#[tokio::test]
async fn a_client_that_leaves_leaves_a_row() {
    let world = World::on_sqlite().await;
    let caller = Caller { cancelled: Box::pin(std::future::ready(())), ..Caller::patient() };
    let ctx = world.tenant("a").await;
    world.kit.pipeline.tool(&ctx, "p_wait", json!({}), caller).await.unwrap_err();
    assert_eq!(world.audit().await, ["call p_wait cancelled"]);
}

#[tokio::test]
async fn a_caller_who_is_dropped_while_it_waits_for_its_commit_takes_nobody_along() {
    let world = World::on_sqlite().await;
    let gate = world.tap.hold();
    // It had the committer started.
    let first = world.spawn("p_get").await;
    world.tap.held().await;
    let second = world.spawn("p_get").await;
    while world.kit.ledger.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    first.await.unwrap_err();
    gate.add_permits(1);
    second.await.unwrap().unwrap();
    assert_eq!(world.usage().await, ["p_get ok 2 2"]);
}

/// A quota goes by what is counted, committed or not.
#[tokio::test]
async fn a_quota_sees_what_is_not_committed_yet() {
    let world = World::in_place(None, LedgerOptions { relaxed: true, ..LedgerOptions::default() }).await;
    let ctx = world.tenant("a").await;
    let gate = world.tap.hold();
    for _ in 0..3 {
        world.call("p_get").await.unwrap();
    }
    assert_eq!(world.kit.traffic.standing(&ctx, &[]).await.unwrap().today, 3);
    gate.add_permits(1);
    world.kit.ledger.settled().await;
    for later_ms in [0, 20_000] {
        world.clock.advance_ms(later_ms);
        assert_eq!(world.kit.traffic.standing(&ctx, &[]).await.unwrap().today, 3);
    }
}
