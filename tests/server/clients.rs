//! Clients that nobody here wrote, against a generated server: seven clients over both transports, and the conformance
//! suite in both eras. `scripts/setup` installs them at their pinned versions.

use std::path::Path;
use std::process::Command;

use crate::harness::{Dev, NAME, binary};
use crate::support::must;
use crate::wire::call;

const TOOL: &str = "notion_search";
const ARGUMENTS: &str = r#"{"query":"media"}"#;
const EXPECTED: &str = "Media plan 2027";

/// A script of this repository.
fn script(path: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

/// Fails unless every line of the table says `ok`, and there are seven.
fn all_seven(table: &[u8]) {
    let table = String::from_utf8_lossy(table);
    let passed = table.lines().filter(|line| line.split_whitespace().nth(1) == Some("ok")).count();
    assert_eq!(passed, 7, "{table}");
}

#[test]
fn seven_clients_list_and_call_a_tool_over_http() {
    let dev = Dev::start();
    let output =
        must(script("tests/clients/run").args(["http", &dev.listening.url(), &dev.key, TOOL, ARGUMENTS, EXPECTED]));
    all_seven(&output.stdout);
}

#[test]
fn seven_clients_list_and_call_a_tool_over_stdio() {
    let folder = tempfile::tempdir().unwrap();
    let output = must(
        script("tests/clients/run")
            .args(["stdio", TOOL, ARGUMENTS, EXPECTED, "--"])
            .arg(binary())
            .args(["dev", "--stdio", "--folder"])
            .arg(folder.path().join(".dev")),
    );
    all_seven(&output.stdout);
}

#[test]
fn the_conformance_suite_passes_in_both_eras() {
    let dev = Dev::start();
    must(script("scripts/conformance").args([&dev.listening.url(), &dev.key]));
}

#[test]
fn dev_tells_programs_where_it_is_and_what_it_offers_in_one_line() {
    let dev = Dev::start();
    let mut line = dev.line.clone();
    assert_eq!(line["url"], dev.listening.url());
    assert!(line["api_key"].as_str().unwrap().starts_with("mk_dev_"));
    line.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "url" | "api_key"));
    assert_eq!(
        line,
        serde_json::json!({
            "tenant": "demo",
            "tools": ["notion_page", "notion_page_text", "notion_search", "shop_get", "shop_list"],
        })
    );
    assert_eq!(dev.listening.log.text(), "", "and nothing to the person");
}

#[test]
fn dev_started_again_takes_the_key_that_was_pasted_into_a_client() {
    let dev = Dev::start();
    let folder = dev.folder;
    let (first, key) = (dev.listening, dev.key);
    first.kill();
    let mut command = crate::harness::server();
    command.args(["dev", "--json", "--bind", "127.0.0.1:0", "--folder"]).arg(folder.path().join(".dev"));
    let again = Dev::of(command, folder);
    assert_eq!(again.key, key);
    assert_eq!(again.ask(call(TOOL, serde_json::json!({}))).status, 200);
}

#[test]
fn the_binary_says_its_name_and_version() {
    let output = must(Command::new(binary()).arg("--version"));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{NAME} 0.1.0\n"));
}
