//! What a call costs the ledger. Run by hand, in a release build:
//!
//!     cargo test --release -p kit-native --test ledger cost -- --ignored --nocapture

use std::time::Instant;

use kit::ledger::redact::Shape;
use kit::tool::Class;
use serde_json::json;

use crate::world::World;

/// CPU time of this process so far, in seconds. Linux counts it in hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_a_call() {
    const CALLS: usize = 50_000;
    let world = World::on_sqlite().await;
    let (ledger, ctx) = (world.kit.ledger.clone(), world.tenant("a").await);
    let arguments = json!({"query": "campaigns of the last week", "limit": 50, "fields": ["id", "name", "clicks"]});
    for at_once in [1, 32, 256] {
        let calls = if at_once == 1 { CALLS / 10 } else { CALLS };
        let (began, before) = (Instant::now(), cpu());
        let tasks: Vec<_> = (0..at_once)
            .map(|_| {
                let (ledger, ctx, arguments) = (ledger.clone(), ctx.clone(), arguments.clone());
                tokio::spawn(async move {
                    for _ in 0..calls / at_once {
                        let mut open = ledger.open(&ctx, "p_get", Class::Read, None, None).await.unwrap();
                        open.arguments(&Shape::default(), &arguments);
                        open.charged(1);
                        open.close(&ctx, "ok", None).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let (wall, cpu, groups) = (began.elapsed().as_secs_f64(), cpu() - before, world.tap.groups());
        let each = |seconds: f64| seconds * 1e6 / calls as f64;
        println!(
            "{at_once:>3} at once: {:.1} µs CPU, {:.1} µs wall a call, {:.1} calls a group",
            each(cpu),
            each(wall),
            calls as f64 / groups as f64
        );
    }
}
