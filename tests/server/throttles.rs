//! Every provider's "too many requests" on its way to a client that nobody here wrote: through a generated server with all
//! nine of them. Which breakers open is what `crates/providers/tests/throttles.rs` says of the same table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::connect::{agency, tool};
use crate::support::must;

const TABLE: &str = include_str!("../fixtures/throttles.json");

/// Where more than one row is about a provider, the next is asked through its other instance, and then on another server.
fn rounds(table: &[Value]) -> Vec<BTreeMap<String, &Value>> {
    let mut rounds: Vec<BTreeMap<String, &Value>> = Vec::new();
    for row in table {
        let first = row["integration"].as_str().unwrap().replace('-', "_");
        let second = match first.as_str() {
            "google_ads" => "google_ads_uk",
            "slack" => "slack_eu",
            _ => "",
        };
        let names = [first.as_str(), second].into_iter().filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        let place = rounds.iter().enumerate().find_map(|(at, round)| {
            names.iter().find(|name| !round.contains_key(*name)).map(|name| (at, name.clone()))
        });
        let (at, name) = place.unwrap_or_else(|| (rounds.len(), first.clone()));
        if at == rounds.len() {
            rounds.push(BTreeMap::new());
        }
        rounds[at].insert(name, row);
    }
    rounds
}

/// Until the day ends (UTC).
fn midnight_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    86_400_000 - i64::try_from(now).unwrap().rem_euclid(86_400_000)
}

/// Fails unless `result` is the refusal that `row` speaks of, with a wait within `range`, or without one.
#[track_caller]
fn is_refusal(row: &Value, result: &Value, range: Option<(i64, i64)>) {
    let error = &result["structuredContent"]["error"];
    let wait_ms = error["retry_after_ms"].as_i64();
    let fits = match range {
        Some((least, most)) => wait_ms.is_some_and(|ms| (least..=most).contains(&ms)),
        None => wait_ms.is_none(),
    };
    assert!(fits, "{row}: {result}, not {range:?}");
    let title = row["title"].as_str().unwrap();
    let message = match wait_ms {
        Some(ms) => format!("Upstream rate limit: {title} asked us to wait {} s", (ms + 999) / 1_000),
        None => format!("Upstream rate limit: {title} limits its requests and does not say for how long"),
    };
    let mut expected = json!({"type": "upstream_rate_limited", "message": message, "scope": "upstream"});
    if let Some(ms) = wait_ms {
        (expected["retry_after_ms"], expected["retry_at"]) = (ms.into(), error["retry_at"].clone());
        assert!(error["retry_at"].as_str().is_some_and(|at| at.len() == 20 && at.ends_with('Z')), "{error}");
    }
    assert_eq!(*error, expected, "{row}");
    let text = format!("UPSTREAM_RATE_LIMITED: {message}");
    assert_eq!((&result["isError"], &result["content"][0]["text"]), (&json!(true), &json!(text)), "{row}");
}

#[test]
fn every_providers_limit_reaches_a_client_as_the_specified_error() {
    let table: Vec<Value> = serde_json::from_str(TABLE).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/calls.mjs");
    let mut seen = BTreeSet::new();
    for round in rounds(&table) {
        let dev = agency();
        // Until the breaker opens, and once more, when nothing is sent.
        let mut plan = Vec::new();
        for (instance, row) in &round {
            let tool = format!("{instance}_{}", row["tool"].as_str().unwrap());
            let times = row["times"].as_u64().unwrap();
            plan.extend((0..times).map(|_| json!({"tool": tool, "arguments": row["arguments"]})));
            plan.push(json!({"tool": tool, "arguments": row["good"]}));
        }
        let today_ms = midnight_ms();
        let mut command = Command::new(tool("MCPKIT_NODE"));
        command.arg(&script).args([&dev.listening.url(), &dev.key, &Value::from(plan).to_string()]);
        let output = String::from_utf8(must(&mut command).stdout).unwrap();
        let mut results = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        for row in round.values() {
            let number = |name: &Value| name.as_i64().unwrap();
            for _ in 1..number(&row["times"]) {
                is_refusal(row, &results.next().unwrap(), row["says_ms"].as_i64().map(|ms| (ms, ms)));
            }
            let (mut least, mut most) = (number(&row["for_ms"][0]), number(&row["for_ms"][1]));
            if row["integration"] == "linkedin" {
                (least, most) = (least.min(today_ms - 60_000), most.min(today_ms + 5_000));
            }
            is_refusal(row, &results.next().unwrap(), Some((least, most)));
            // By then some of the time has passed.
            is_refusal(row, &results.next().unwrap(), Some(((least - 60_000).max(1), most)));
            seen.insert(row["integration"].as_str().unwrap());
        }
        assert_eq!(results.next(), None);
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}
