//! All nine providers, two of them twice, as a client and a person meet them: every tool is called, its token is ended, its
//! consent is withdrawn, the account is connected again in Chromium, and every tool is called once more. Then the vendors'
//! own packages ask the same sandboxes.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::harness::{Dev, isolated};
use crate::support::presets::preset;
use crate::support::{Project, must};

/// A development server of the project with every provider.
pub fn agency() -> Dev {
    agency_with(&[])
}

/// The same with more arguments.
pub fn agency_with(arguments: &[&str]) -> Dev {
    static BINARY: OnceLock<std::path::PathBuf> = OnceLock::new();
    let binary = BINARY.get_or_init(|| Project::of(preset("agency")).build());
    let folder = tempfile::tempdir().unwrap();
    let mut command = isolated(binary);
    command
        .args(["dev", "--json", "--bind", "127.0.0.1:0", "--folder"])
        .arg(folder.path().join(".dev"))
        .args(arguments)
        .current_dir(folder.path());
    Dev::of(command, folder)
}

/// The instance, its tools, and what a person chooses or pastes on the way.
pub fn plan() -> Value {
    let october = json!({"start": "2026-10-01", "end": "2026-10-31"});
    let with = |more: Value| {
        let mut all = october.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let google = |instance: &str| {
        json!({"instance": instance, "refreshes": true, "target": "1234567890", "tools": {
            "customers": {}, "campaigns": {}, "report": {"by": "day"}}})
    };
    let slack = |instance: &str| {
        json!({"instance": instance, "refreshes": true, "tools": {
            "channels": {}, "post_message": {"channel": "C0LANTERN01", "text": "The weekly report is ready."}}})
    };
    json!([
        {"instance": "amazon_ads", "refreshes": true, "site": "na", "target": "36893488147419103233", "tools": {
            "campaigns": {}, "campaigns_v1": {"ad_product": "SPONSORED_PRODUCTS"}}},
        {"instance": "amazon_attribution", "refreshes": true, "site": "na", "target": "36893488147419103235", "tools": {
            "advertisers": {}, "report": with(json!({"advertisers": ["58126740510231"]}))}},
        google("google_ads"),
        google("google_ads_uk"),
        {"instance": "linkedin", "refreshes": true, "tools": {
            "ad_accounts": {}, "analytics": with(json!({"accounts": [502_840_441]}))}},
        {"instance": "meta", "secret": "EAASandboxSystemUser0", "target": "act_1000000000000001", "tools": {
            "ad_accounts": {}, "campaigns": {}, "insights": {}}},
        {"instance": "notion", "secret": "ntn_sandbox_0000000000000000000000000000000000", "tools": {
            "search": {}, "page": {"id": "5f2c0001-0000-4000-8000-000000000000"},
            "page_text": {"id": "5f2c0001-0000-4000-8000-000000000000"}}},
        {"instance": "shopify", "refreshes": true, "site": "little-lantern.myshopify.com", "tools": {
            "orders": {}, "products": {}}},
        slack("slack"),
        slack("slack_eu"),
        {"instance": "supermetrics", "secret": "api_sandbox_00000000000000000000000000000000", "tools": {
            "accounts": {"data_source": "GAWA"},
            "query": with(json!({"data_source": "GAWA", "accounts": ["slow"], "fields": ["Date", "Sessions"]})),
            "query_result": {"query_id": "req-1"}}},
    ])
}

#[test]
fn every_provider_is_called_dies_is_connected_in_a_browser_and_called_again() {
    let dev = agency();
    let offered: Vec<String> = serde_json::from_value(dev.line["tools"].clone()).unwrap();
    let plan = plan();
    let mut planned: Vec<String> = Vec::new();
    for step in plan.as_array().unwrap() {
        let instance = step["instance"].as_str().unwrap();
        planned.extend(step["tools"].as_object().unwrap().keys().map(|tool| format!("{instance}_{tool}")));
    }
    planned.sort();
    assert_eq!(planned, offered, "every tool is called");
    let shots = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/connect.mjs");
    let node = std::env::var_os("MCPKIT_NODE").expect("run `eval \"$(scripts/setup --print-env)\"` first");
    let output = must(
        Command::new(node).arg(script).args([&dev.listening.url(), &dev.key, &plan.to_string()]).arg(shots.path()),
    );
    let lines = String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("OK ")).count();
    assert_eq!(lines, plan.as_array().unwrap().len());
}

/// The environment variable `name`, which `scripts/setup` prints.
pub fn tool(name: &str) -> std::ffi::OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name}: run `eval \"$(scripts/setup --print-env)\"` first"))
}

#[test]
fn the_vendors_own_packages_understand_the_sandboxes_and_send_what_was_recorded() {
    let (node, python) = (tool("MCPKIT_NODE"), tool("MCPKIT_PY_VENDORS"));
    tool("MCPKIT_VENDORS_NODE_MODULES");
    let dev = agency();
    let vendors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vendors");
    for (integration, script) in [
        ("slack", "slack.py"),
        ("notion", "notion.mjs"),
        ("meta", "meta.py"),
        ("linkedin", "linkedin.py"),
        ("linkedin", "linkedin.mjs"),
        ("supermetrics", "supermetrics_query.py"),
        ("shopify", "shopify.mjs"),
        ("google_ads", "google_oauth.py"),
        ("google_ads", "google_oauth.mjs"),
        ("slack", "slack_oauth.py"),
        ("slack", "slack_oauth.mjs"),
        ("notion", "notion_oauth.mjs"),
        ("linkedin", "linkedin_oauth.py"),
        ("shopify", "shopify_oauth.mjs"),
    ] {
        let program = if script.ends_with(".py") { &python } else { &node };
        let sandbox = format!("http://{}/sandbox/{integration}", dev.listening.address);
        let output = must(Command::new(program).arg(vendors.join(script)).arg(sandbox));
        let output = String::from_utf8(output.stdout).unwrap();
        assert!(output.ends_with(&format!("OK {script}\n")), "{script}: {output}");
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let sent: Vec<Value> = output.lines().filter_map(|line| line.strip_prefix("SENT ")).map(parsed).collect();
        let recorded = std::fs::read_to_string(vendors.join(format!("sent/{script}.jsonl"))).unwrap();
        assert_eq!(sent, recorded.lines().map(parsed).collect::<Vec<_>>(), "{script}: see common.py for how to record");
    }
}
