//! What becomes of the ledger while the store fails: nothing is lost, nothing is counted twice, nobody waits for long.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kit::ledger::LedgerOptions;
use kit::ledger::verify::What;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::tap::Fault;
use crate::world::World;

on_both! {
    async fn a_commit_that_was_not_heard_of_counts_once(world) {
        world.tap.plan(Fault::Unheard);
        world.call("p_get").await.unwrap();
        world.call("p_get").await.unwrap();
        assert_eq!(world.audit().await, ["call p_get ok", "call p_get ok"]);
        assert_eq!(world.usage().await, ["p_get ok 2 2"]);
        assert_eq!(world.findings().await, []);
    }

    async fn a_commit_that_was_lost_is_made_up_for(world) {
        world.tap.plan(Fault::Lost);
        world.tap.plan(Fault::Lost);
        world.tap.plan(Fault::Unheard);
        world.call("p_set").await.unwrap();
        assert_eq!(world.audit().await, ["intent p_set -", "call p_set ok"]);
        assert_eq!(world.usage().await, ["p_set ok 1 1"]);
        assert_eq!(world.findings().await, []);
    }

    /// 200 calls while every third group meets a fault of some kind.
    async fn whatever_happens_to_groups_usage_is_what_the_audit_adds_up_to(world) {
        for n in 0..60 {
            match n % 9 {
                2 => world.tap.plan(Fault::Lost),
                5 | 6 => world.tap.plan(Fault::Unheard),
                _ => world.tap.plan(Fault::Held(Arc::new(Semaphore::new(1)))),
            }
        }
        let mut calls = Vec::new();
        for n in 0..200 {
            calls.push(world.spawn(if n % 4 == 0 { "p_set" } else { "p_get" }).await);
            if n % 5 == 0 {
                tokio::task::yield_now().await;
            }
        }
        // On a machine that is busy with other things some have to be turned away.
        let mut answered = 0;
        for call in calls {
            answered += usize::from(call.await.unwrap().is_ok());
        }
        world.kit.ledger.settled().await;
        world.usage().await;
        let ends = world.audit().await.iter().filter(|row| row.starts_with("call") && row.ends_with("ok")).count();
        assert!(answered > 0 && answered <= ends, "{answered} {ends}");
        assert_eq!(world.findings().await, []);
    }

    /// Two copies of one machine's image write the same streams, until one of them meets the other's row.
    async fn a_copy_of_this_process_that_was_faster_is_given_way_to(world) {
        world.call("p_get").await.unwrap();
        let stream = world.stream("a").await;
        let sql = "INSERT INTO audit (stream, seq, tenant_id, at_ms, call_id, record, hash) \
                   SELECT stream, seq + 1, tenant_id, at_ms, call_id, replace(record, '\"seq\":2', '\"seq\":3'), hash \
                   FROM audit WHERE stream = $1 AND seq = 2";
        world.rows(sql, &[stream.as_str().into()]).await;
        world.call("p_get").await.unwrap();
        world.call("p_get").await.unwrap();
        assert_ne!(world.stream("a").await, stream);
        // The row that this test has put there.
        assert_eq!(world.findings().await, [(stream, 3, 3, What::Changed)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_costs_a_caller_less_than_a_second_and_then_a_quarter_of_one() {
    let world = World::in_place(None, LedgerOptions::default()).await;
    world.call("p_get").await.unwrap();
    world.tap.down.store(true, Ordering::SeqCst);
    for expected in [700, 250, 250] {
        let began = Instant::now();
        assert_eq!(world.call("p_get").await, Err("unavailable: audit_unavailable".into()));
        assert_eq!(began.elapsed(), Duration::from_millis(expected));
    }
    world.tap.down.store(false, Ordering::SeqCst);
    // Without a restart; the first call is not lost, although its caller was turned away.
    world.kit.ledger.settled().await;
    world.call("p_get").await.unwrap();
    assert_eq!(world.usage().await, ["p_get ok 3 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_at_once_and_recovers() {
    let world = World::in_place(None, LedgerOptions::default()).await;
    world.tap.full.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert_eq!(world.call("p_get").await, Err("unavailable: storage_full".into()));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(world.call("p_set").await, Err("unavailable: storage_full".into()));
    assert_eq!((began.elapsed(), world.bench.sets.load(Ordering::SeqCst)), (Duration::from_millis(250), 0));
    world.tap.full.store(false, Ordering::SeqCst);
    world.kit.ledger.settled().await;
    world.call("p_set").await.unwrap();
    assert_eq!(world.audit().await, ["call p_get ok", "intent p_set -", "call p_set ok"]);
    assert_eq!(world.findings().await, []);
}

/// It has run, and its answer says so: a model that calls it again would do everything twice.
#[tokio::test(start_paused = true)]
async fn a_tool_that_has_run_and_cannot_be_written_down_says_so() {
    let world = World::in_place(None, LedgerOptions::default()).await;
    world.tap.plan(Fault::Held(Arc::new(Semaphore::new(1))));
    for _ in 0..100 {
        world.tap.plan(Fault::Lost);
    }
    let ctx = world.tenant("a").await;
    let result = world.kit.pipeline.tool(&ctx, "p_set", serde_json::json!({}), kit::pipeline::Caller::patient()).await;
    let Err(kit::pipeline::Failure::Tool(error)) = result else { panic!("{result:?}") };
    assert_eq!(
        error.to_string(),
        "UNAVAILABLE: the tool has run, but its outcome could not be written down\n\
         hint: look whether it has done its work before calling it again"
    );
    assert_eq!((&error.to_value()["error"]["ran"], world.bench.sets.load(Ordering::SeqCst)), (&true.into(), 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_the_queue_full_does_not_run() {
    let world = World::in_place(None, LedgerOptions::default()).await;
    let mut calls = Vec::new();
    for _ in 0..4_096 {
        calls.push(world.spawn("p_wait").await);
    }
    while world.bench.waiting.load(Ordering::SeqCst) < 4_096 {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    assert_eq!(world.call("p_set").await, Err("unavailable: audit_unavailable".into()));
    assert_eq!((began.elapsed(), world.bench.sets.load(Ordering::SeqCst)), (Duration::from_millis(250), 0));
    // Room for two is there within the quarter of a second.
    let patient = world.spawn("p_set").await;
    tokio::task::yield_now().await;
    world.bench.gate.notify_one();
    world.bench.gate.notify_one();
    patient.await.unwrap().unwrap();
    world.bench.gate.notify_waiters();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(world.usage().await, ["p_set ok 1 1", "p_wait ok 4096 4096"]);
    assert_eq!(world.findings().await, []);
}
