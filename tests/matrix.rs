//! The compile matrix: every preset is generated, and in it a developer's own commands pass as they stand. Slow the
//! first time, since it builds a server; then minutes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;

use support::presets::{PRESETS, Preset, preset};
use support::{Project, must};

/// Everything a fresh project promises.
fn holds(preset: &Preset) {
    let project = Project::of(preset);
    must(&mut project.cargo(&["fmt", "--all", "--check"]));
    must(&mut project.cargo(&["build", "--locked", "--quiet"]));
    must(&mut project.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]));
    must(&mut project.cargo(&["test", "--workspace", "--locked", "--quiet"]));
    let status = must(Command::new("git").current_dir(&project.folder).args(["status", "--porcelain"]));
    assert_eq!(String::from_utf8_lossy(&status.stdout), "", "building and testing leaves nothing behind");
}

#[test]
fn the_default_project_builds_lints_and_passes_its_tests() {
    holds(preset("demo-default"));
}

#[test]
fn an_http_project_builds_lints_and_passes_its_tests() {
    holds(preset("notion-http"));
}

#[test]
fn a_stdio_project_builds_lints_and_passes_its_tests() {
    holds(preset("notion-stdio"));
}

#[test]
fn a_custom_api_builds_lints_and_passes_its_tests() {
    holds(preset("custom-api"));
}

#[test]
fn a_project_with_every_provider_holds() {
    holds(preset("agency"));
}

#[test]
fn a_project_with_everything_builds_lints_and_passes_its_tests() {
    holds(preset("zz-everything"));
}

#[test]
fn a_custom_api_behind_oauth_builds_lints_and_passes_its_tests() {
    holds(preset("custom-oauth"));
}

#[test]
fn a_custom_api_with_a_system_users_token_builds_lints_and_passes_its_tests() {
    holds(preset("custom-system-user"));
}

#[test]
fn a_custom_api_whose_tokens_are_exchanged_builds_lints_and_passes_its_tests() {
    holds(preset("custom-graph"));
}

#[test]
fn a_custom_api_with_profiles_builds_lints_and_passes_its_tests() {
    holds(preset("custom-lwa"));
}

#[test]
fn a_custom_api_that_speaks_restli_builds_lints_and_passes_its_tests() {
    holds(preset("custom-restli"));
}

#[test]
fn every_preset_is_in_the_matrix() {
    assert_eq!(PRESETS.len(), 11, "add a test for the new preset above");
}

#[test]
fn a_stdio_project_builds_without_a_web_server() {
    let project = Project::of(preset("notion-stdio"));
    let tree = must(&mut project.cargo(&["tree", "--locked", "--edges", "normal", "--prefix", "none"]));
    let tree = String::from_utf8_lossy(&tree.stdout);
    assert!(tree.contains("rmcp v3.11"), "{tree}");
    assert!(!tree.contains("axum"), "{tree}");
}

/// The owner's library, and with it the kit's core, links into a Worker.
#[test]
fn the_library_builds_for_wasm_where_the_target_is_installed() {
    let toolchain = Command::new("rustup").args(["run", "rust-wasm", "rustc", "--version"]).output();
    if !toolchain.is_ok_and(|output| output.status.success()) {
        // scripts/test says whether it installed the target; without it this check is not made, and says so there.
        return;
    }
    let project = Project::of(preset("zz-everything"));
    let mut check = Command::new("rustup");
    check
        .args(["run", "rust-wasm", "cargo", "check", "--lib", "--locked", "--target", "wasm32-unknown-unknown"])
        .current_dir(&project.folder)
        .env("CARGO_TARGET_DIR", support::cache().join("target-wasm"))
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN");
    must(&mut check);
}
