//! The compile matrix: every preset is generated, and in it a developer's own commands pass as they stand. Slow the
//! first time, since it builds a server; then minutes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Command;

use mcpkit::exit::Exit;
use mcpkit::templates::Templates;
use support::presets::{PRESETS, Preset, preset};
use support::{Project, frozen, grow, mcpkit, must};

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

/// The same project again, grown from the smallest one command at a time: what was built above is then built from both.
#[test]
fn a_project_with_every_provider_is_also_what_a_small_one_grows_into() {
    let Preset { name, flags } = preset("agency");
    let folder = tempfile::tempdir().unwrap();
    must(mcpkit().current_dir(folder.path()).args(["new", name, "--yes", "--no-git", "--transport", "http"]));
    let root = folder.path().join(name);
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { panic!("{pair:?}") };
        match *flag {
            "--integration" => must(mcpkit().current_dir(&root).args(["add-integration", value])),
            "--deploy" => must(mcpkit().current_dir(&root).args(["add-deploy", value])),
            _ => continue,
        };
    }
    let whole = Project::of(preset(name));
    let diff =
        Command::new("diff").args(["--recursive", "--exclude=.git"]).args([&whole.folder, &root]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&diff.stdout), "");
}

/// Updates the frozen project with its owner's changes to `newer`, resolves the conflicts and runs its tests.
fn survives_an_update(name: &'static str, newer: impl Fn(&Path) -> Templates, choices: &[&str]) {
    // On the disk where it will stay: its repository is moved there.
    let place = support::cache().join("frozen");
    std::fs::create_dir_all(&place).unwrap();
    let fresh = tempfile::tempdir_in(&place).unwrap();
    let root = frozen::unpack(fresh.path());
    frozen::owner_edits(&root);
    let newer = newer(&root);
    let (exit, printed) = grow::run(&newer, &root, &[&["update"], choices].concat());
    assert!(matches!(exit, Exit::Done | Exit::Conflicts), "{}", printed.stderr);
    for path in frozen::git(&root, &["diff", "--name-only", "--diff-filter=M"]).lines() {
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        std::fs::write(root.join(path), frozen::take_yours(&text)).unwrap();
    }
    let folder = place.join(name);
    support::replace(&root, &folder);
    let project = Project { name: "acme-ads", folder };
    must(&mut project.cargo(&["test", "--workspace", "--quiet"]));
}

#[test]
fn an_updated_project_builds_and_passes_its_tests_once_its_conflicts_are_resolved() {
    survives_an_update("newer", frozen::newer_templates, &[]);
}

#[test]
fn a_project_of_the_first_version_becomes_one_of_today() {
    // The kit has gone on where the owner patched it, and the patch is given up.
    survives_an_update("today", |_| Templates::embedded(), &["--theirs", "kit/core/src/limit/mod.rs"]);
}

/// The configuration is looked at by the server itself, whose words and remedy are passed on.
#[test]
fn doctor_asks_the_server_that_was_built() {
    let project = Project::of(preset("notion-http"));
    project.build();
    let folder = tempfile::tempdir().unwrap();
    let doctor = |kek: &Path| {
        let mut command = mcpkit();
        command.current_dir(&project.folder).arg("doctor").env("CARGO_TARGET_DIR", support::target());
        command.env("MCP__STORAGE__DATABASE_URL", format!("sqlite:{}", folder.path().join("store.db").display()));
        command.env("MCP__VAULT__KEK_FILE", kek);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let kek = folder.path().join("kek");
    let told = doctor(&kek);
    let finding = told.split_once("  ! config check         ").unwrap_or_else(|| panic!("{told}")).1;
    assert!(finding.starts_with("failed to ") && finding.contains("\n                         hint: "), "{told}");
    std::fs::write(&kek, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    std::fs::set_permissions(&kek, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let told = doctor(&kek);
    assert!(told.contains("  = config check         the configuration is good\n"), "{told}");
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
