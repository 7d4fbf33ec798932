//! What the operator reads of the audit and of usage on the command line, of a server that runs beside.

use serde_json::{Value, json};

use crate::harness::{Ended, Live};
use crate::wire::call;

#[track_caller]
fn said(ended: &Ended, message: &str) {
    assert_eq!((ended.code, ended.err.as_str(), ended.out.as_str()), (Some(0), message, ""));
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A server with a tenant that has made two good calls and a bad one, with a client that says who it is.
fn used() -> (Live, crate::harness::Listening) {
    let (live, key) = Live::with_tenant();
    let server = live.serve();
    for arguments in [json!({"query": "media"}), json!({"query": "secret words"}), json!({"limit": "many"})] {
        server.ask(&call("notion_search", arguments).key(&key).header("User-Agent", "curl/8.5"));
    }
    (live, server)
}

#[test]
fn each_call_has_a_row_that_the_operator_reads() {
    let (live, _server) = used();
    let rows = lines(&live.run(&["audit", "tail", "--tenant", "acme", "--limit", "3", "--json"]).ok());
    let of = |name: &str| rows.iter().map(|row| row["record"][name].clone()).collect::<Vec<_>>();
    assert_eq!(of("outcome"), ["ok", "ok", "invalid_arguments"]);
    assert_eq!(of("tool"), ["notion_search", "notion_search", "notion_search"]);
    assert_eq!(of("client"), ["curl/8.5", "curl/8.5", "curl/8.5"]);
    assert_eq!(rows[1]["record"]["upstream"], json!([{"integration": "notion", "status": 200, "attempts": 1}]));
    assert!(!rows.iter().any(|row| row.to_string().contains("secret words")));
    let table = live.run(&["audit", "tail", "--tenant", "acme", "--limit", "1"]).ok();
    let words: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().skip(3).take(4).collect();
    assert_eq!(words, ["acme", "call", "notion_search", "invalid_arguments"]);
}

#[test]
fn a_call_shows_its_words_only_while_it_was_captured() {
    let (live, key) = Live::with_tenant();
    let on = live.run(&["capture", "on", "--tenant", "acme", "--for", "1h"]);
    assert!(on.err.starts_with("the calls of tenant `acme` are captured until "), "{}", on.err);
    let server = live.serve();
    server.ask(&call("notion_search", json!({"query": "secret words"})).key(&key));
    said(
        &live.run(&["capture", "off", "--tenant", "acme"]),
        "the calls of tenant `acme` are captured no more, by any replica within 15 s\n",
    );
    let tail = lines(&live.run(&["audit", "tail", "--tenant", "acme", "--limit", "20", "--json"]).ok());
    let row = tail.iter().find(|row| row["record"]["kind"] == "call").unwrap();
    let shown: Value = {
        let shown = live.run(&["audit", "show", row["call"].as_str().unwrap(), "--tenant", "acme"]).ok();
        serde_json::from_str(&shown).unwrap()
    };
    assert_eq!(shown["captured"]["arguments"], json!({"query": "secret words"}));
    // That somebody has read it is written down.
    let tail = live.run(&["audit", "tail", "--tenant", "acme", "--limit", "1", "--json"]).ok();
    assert_eq!(lines(&tail)[0]["record"]["kind"], "operator");
    assert!(!String::from_utf8_lossy(&live.store_bytes()).contains("secret words"));
}

#[test]
fn the_audit_is_verified_exported_and_purged() {
    let (live, server) = used();
    let whole = live.run(&["audit", "verify"]);
    assert_eq!(whole.code, Some(0));
    assert!(whole.err.starts_with("the audit is whole: "), "{}", whole.err);
    live.run(&["audit", "checkpoint"]).ok();
    let tomorrow = "2999-01-01";
    let out = live.folder.path().join("audit.jsonl");
    let export = ["audit", "export", "--before", tomorrow, "--out", "audit.jsonl"];
    assert_eq!(live.run(&export).code, Some(0));
    assert!(std::fs::read_to_string(&out).unwrap().lines().count() >= 3);
    assert_eq!(live.run(&export).code, Some(1), "the file is there already");
    drop(server);
    let purged = live.run(&["audit", "purge", "--before", tomorrow]);
    assert!(purged.code == Some(0) && purged.err.starts_with("purged "), "{}", purged.err);
    assert!(live.run(&["audit", "verify"]).err.starts_with("the audit is whole: "));
}

#[test]
fn what_was_used_is_reported_and_agrees_with_the_audit() {
    let (live, _server) = used();
    let report = live.run(&["usage", "report", "--by", "tool"]).ok();
    let rows: Vec<Vec<&str>> = report.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [vec!["TENANT", "TOOL", "CALLS", "UNITS", "FAILED"], vec!["acme", "notion_search", "3", "3", "1"]]
    );
    let clients: Value = serde_json::from_str(&live.run(&["usage", "clients", "--json"]).ok()).unwrap();
    assert_eq!(
        (&clients[0]["client"], &clients[0]["version"], &clients[0]["calls"]),
        (&json!("curl"), &json!("8.5"), &json!(3))
    );
    said(&live.run(&["usage", "deprecated"]), "nobody calls a tool that goes\n");
    said(&live.run(&["usage", "reconcile"]), "usage and audit agree\n");
    said(&live.run(&["usage", "export", "--format", "jsonl"]), "`jsonl` has everything up to the last full hour\n");
    let format = live.run(&["usage", "export", "--format", "xml"]);
    assert_eq!(format.code, Some(2));
    assert!(format.err.contains("give one of: csv, jsonl, cloudevents, lago, stripe"), "{}", format.err);
    said(&live.run(&["tenant", "billing", "acme", "cus_1"]), "tenant `acme` is billed as `cus_1`\n");
    let none = live.run(&["usage", "ack", "7", "--to", "jsonl"]);
    assert_eq!(
        none.err,
        "error: no batch 7 for `jsonl` waits to be acknowledged\n\nhint: make one with `zz-everything usage export`\n"
    );
}
