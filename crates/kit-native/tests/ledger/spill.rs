//! The database is away, and a file of this machine holds what was to be committed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kit::ledger::LedgerOptions;
use kit::ports::Spill;
use kit_native::spill::SpillFile;
use kit_native::testing::TempFolder;
use tokio::time::Instant;

use crate::tap::Fault;
use crate::world::World;

fn open(folder: &TempFolder, max_bytes: u64) -> (Arc<dyn Spill>, PathBuf) {
    let path = folder.path().join("spill");
    (Arc::new(SpillFile::open(&path, max_bytes).unwrap()), path)
}

fn size(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

async fn drained(path: &std::path::Path) {
    while size(path) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn calls_are_answered_while_the_store_is_away_and_written_when_it_is_back() {
    let folder = TempFolder::new();
    let (spill, path) = open(&folder, 1 << 20);
    let world = World::in_place(Some(spill), LedgerOptions::default()).await;
    world.call("p_get").await.unwrap();
    world.tap.down.store(true, Ordering::SeqCst);
    for tool in ["p_get", "p_set", "p_get"] {
        world.call(tool).await.unwrap();
    }
    assert_eq!(world.audit().await, ["call p_get ok"]);
    assert!(size(&path) > 0);
    world.tap.down.store(false, Ordering::SeqCst);
    // Whether by now it has been replayed or not: this one comes behind.
    world.call("p_get").await.unwrap();
    drained(&path).await;
    let rows = ["call p_get ok", "call p_get ok", "intent p_set -", "call p_set ok", "call p_get ok", "call p_get ok"];
    assert_eq!(world.audit().await, rows);
    assert_eq!(world.usage().await, ["p_get ok 4 4", "p_set ok 1 1"]);
    assert_eq!(world.findings().await, []);
}

#[tokio::test]
async fn a_group_that_was_committed_unheard_and_spilled_counts_once() {
    let folder = TempFolder::new();
    let (spill, path) = open(&folder, 1 << 20);
    let world = World::in_place(Some(spill), LedgerOptions::default()).await;
    world.tap.plan(Fault::Unheard);
    world.call("p_get").await.unwrap();
    world.call("p_get").await.unwrap();
    drained(&path).await;
    assert_eq!(world.usage().await, ["p_get ok 2 2"]);
    assert_eq!(world.findings().await, []);
}

#[tokio::test]
async fn what_a_killed_process_spilled_is_written_by_the_next_one() {
    let folder = TempFolder::new();
    let (spill, path) = open(&folder, 1 << 20);
    let world = World::in_place(Some(spill), LedgerOptions::default()).await;
    world.call("p_get").await.unwrap();
    world.tap.down.store(true, Ordering::SeqCst);
    world.call("p_set").await.unwrap();
    world.call("p_get").await.unwrap();
    // As a power cut in the middle of the next frame leaves it.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[200, 0, 0, 0, 1, 2, 3, 4, b'[']);
    let killed = folder.path().join("killed");
    std::fs::write(&killed, &bytes).unwrap();
    let next: Arc<dyn Spill> = Arc::new(SpillFile::open(&killed, 1 << 20).unwrap());
    let next = world.another(Some(next)).await;
    assert_eq!(size(&killed), 0);
    next.clock.advance_ms(1);
    next.call("p_get").await.unwrap();
    assert_eq!(
        next.audit().await,
        ["call p_get ok", "intent p_set -", "call p_set ok", "call p_get ok", "call p_get ok"]
    );
    assert_eq!(next.usage().await, ["p_get ok 3 3", "p_set ok 1 1"]);
    // The one that was not killed after all finds its rows there.
    world.tap.down.store(false, Ordering::SeqCst);
    drained(&path).await;
    assert_eq!(next.usage().await, ["p_get ok 3 3", "p_set ok 1 1"]);
    assert_eq!(next.findings().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_spill_that_is_full_refuses() {
    let folder = TempFolder::new();
    let (spill, path) = open(&folder, 2_000);
    let world = World::in_place(Some(spill), LedgerOptions::default()).await;
    world.call("p_get").await.unwrap();
    world.tap.down.store(true, Ordering::SeqCst);
    let mut answered = 0;
    while world.call("p_get").await.is_ok() {
        answered += 1;
    }
    assert!((1..10).contains(&answered), "{answered}");
    assert!(size(&path) <= 2_000);
    let began = Instant::now();
    assert_eq!(world.call("p_set").await, Err("unavailable: storage_full".into()));
    assert_eq!((world.bench.sets.load(Ordering::SeqCst), began.elapsed()), (0, Duration::from_millis(250)));
    // And goes on when the store is back: also the call that was turned away for lack of space is written down.
    world.tap.down.store(false, Ordering::SeqCst);
    drained(&path).await;
    world.kit.ledger.settled().await;
    world.call("p_set").await.unwrap();
    let reads = answered + 2;
    assert_eq!(world.usage().await, [format!("p_get ok {reads} {reads}"), "p_set ok 1 1".to_owned()]);
    assert_eq!(world.findings().await, []);
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_that_stops_and_comes_back_misses_nothing() {
    use kit_native::postgres::{Bounds, Postgres};
    let mut server = crate::postgres::Server::start(&[]);
    let bounds = Bounds { connect: Duration::from_millis(500), ..Bounds::default() };
    let sql = Postgres::open_with(&server.target().await, bounds).await.unwrap();
    let folder = Arc::new(TempFolder::new());
    let (spill, path) = open(&folder, 1 << 20);
    let world = World::over(Arc::new(sql), folder, false, Some(spill), LedgerOptions::default()).await;
    world.call("p_get").await.unwrap();
    server.stop();
    for _ in 0..5 {
        world.call("p_set").await.unwrap();
    }
    assert!(size(&path) > 0);
    server.start_again();
    drained(&path).await;
    world.call("p_get").await.unwrap();
    assert_eq!(world.usage().await, ["p_get ok 2 2", "p_set ok 5 5"]);
    assert_eq!(world.audit().await.iter().filter(|row| row.starts_with("intent")).count(), 5);
    assert_eq!(world.findings().await, []);
}
