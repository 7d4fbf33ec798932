//! Processes that are killed under load, a hundred times on one store: every call that was answered has its row, every tool
//! that writes and has run has its intent, the chains verify, and usage is what the audit adds up to.
//!
//! `LEDGER_KILLS` sets how many (100).

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use kit::ledger::LedgerOptions;
use kit::ports::Val;
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;
use serde_json::{Value, json};

use crate::world::World;

const FOLDER: &str = "LEDGER_FOLDER";
const ROUND: &str = "LEDGER_ROUND";
/// Calls of one process at once.
const CALLERS: u64 = 8;

async fn world(folder: PathBuf) -> World {
    let sql = Arc::new(Sqlite::open(&folder.join("store.db")).unwrap());
    World::over(sql, Arc::new(TempFolder::new()), false, None, LedgerOptions::default()).await
}

/// Says that the call `number` was answered. A line goes out whole.
fn say(number: u64) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\nanswered {number}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The process that is killed: it calls until then. Every other tool writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let world = Arc::new(world(folder.into()).await);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let world = world.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let number = (round * CALLERS + caller) * 1_000_000 + n;
                    let tool = if n % 2 == 0 { "p_set" } else { "p_get" };
                    let answer = world.call_with("a", tool, json!({"limit": number, "text": "x"})).await;
                    if answer.is_ok() {
                        say(number);
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn what_a_killed_process_has_answered_is_written_down() {
    let kills: u64 = std::env::var("LEDGER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let (folder, mut answered) = (TempFolder::new(), HashSet::new());
    for round in 0..kills {
        let mut victim = Command::new(std::env::current_exe().unwrap());
        victim.args(["--exact", "kill::victim", "--nocapture"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut victim = victim.env(FOLDER, folder.path()).env(ROUND, round.to_string()).spawn().unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        // From right at the start to well under way, and never at the end of a line alone: others are in the middle then.
        let enough = usize::try_from(1 + round * 7 % 83).unwrap();
        let mut numbers = lines.filter_map(|line| line.strip_prefix("answered ")?.parse::<u64>().ok());
        answered.extend(numbers.by_ref().take(enough));
        victim.kill().unwrap();
        victim.wait().unwrap();
        answered.extend(numbers);
    }
    let world = world(folder.path().to_owned()).await;
    assert_eq!(world.findings().await, []);
    world.usage().await;
    let (mut calls, mut intents) = (HashSet::new(), HashSet::new());
    for row in world.rows("SELECT record FROM audit", &[]).await {
        let Val::Text(record) = &row[0] else { panic!("{row:?}") };
        let record: Value = serde_json::from_str(record).unwrap();
        let number = record["args"]["limit"].as_u64();
        match (record["kind"].as_str(), number) {
            (Some("call"), Some(number)) => assert!(calls.insert(number), "{number} stands there twice"),
            (Some("intent"), Some(number)) => drop(intents.insert(number)),
            _ => {}
        }
    }
    let missing: Vec<&u64> = answered.difference(&calls).collect();
    assert!(missing.is_empty(), "answered and not written down: {missing:?}");
    let ran = std::fs::read_to_string(folder.path().join("ran")).unwrap_or_default();
    let ran: HashSet<u64> = ran.lines().filter_map(|line| line.parse().ok()).collect();
    let missing: Vec<&u64> = ran.difference(&intents).collect();
    assert!(missing.is_empty(), "run without an intent: {missing:?}");
    assert!(answered.len() as u64 >= kills && ran.len() as u64 >= kills, "{} {}", answered.len(), ran.len());
}
