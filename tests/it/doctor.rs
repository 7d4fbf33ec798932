//! `mcpkit doctor` on machines that lack something. `tests/matrix.rs` has it ask a server that was built.

use std::path::Path;
use std::process::Output;

use mcpkit::templates::Templates;

use crate::disk;
use crate::support::frozen::edit;
use crate::support::{grow, mcpkit};

fn project(folder: &Path) -> std::path::PathBuf {
    let root = folder.join("acme");
    grow::new(&Templates::embedded(), &root, &["--deploy", "compose"]);
    root
}

fn doctor(root: &Path, args: &[&str], path: &str) -> (Output, String) {
    let mut command = mcpkit();
    // Nothing was built into this one.
    command.current_dir(root).arg("doctor").args(args).env("PATH", path).env("CARGO_TARGET_DIR", root.join("target"));
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    (output, stderr)
}

#[test]
fn a_machine_without_anything_is_told_how_to_get_each_thing() {
    let folder = tempfile::tempdir().unwrap();
    let root = project(folder.path());
    let before = disk::read(&root);
    let (output, stderr) = doctor(&root, &[], "/nowhere");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr,
        "  ! rustc                is not there
                         hint: install Rust: https://rustup.rs
  ! cargo                is not there
                         hint: install Rust: https://rustup.rs
  ! rustfmt              is not there
                         hint: rustup component add rustfmt
  ! clippy               is not there
                         hint: rustup component add clippy
  ! a C compiler         is not there
                         hint: SQLite and TLS are built with it: `apt-get install gcc`, on a Mac `xcode-select --install`
  ! git                  is not there
                         hint: install git: https://git-scm.com
  ! docker               is not there
                         hint: install Docker: https://docs.docker.com/engine/install
  ! docker compose       is not there
                         hint: install its compose plugin: https://docs.docker.com/compose/install
  ! config check         the server is not built yet
                         hint: cargo build, then run this again

9 things to mend
"
    );
    assert_eq!(disk::differences(&before, &disk::read(&root)), [""; 0]);
}

#[test]
fn a_compiler_that_is_too_old_is_named_with_what_the_project_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let root = project(folder.path());
    let path = std::env::var("PATH").unwrap();
    let (_, stderr) = doctor(&root, &[], &path);
    assert!(stderr.starts_with("  = rustc                rustc 1."), "{stderr}");
    edit(&root, "Cargo.toml", "rust-version = \"1.95\"", "rust-version = \"7.5\"");
    let (output, stderr) = doctor(&root, &[], &path);
    assert_eq!(output.status.code(), Some(1));
    let first = stderr.lines().next().unwrap();
    assert!(first.starts_with("  ! rustc                rustc 1.") && first.ends_with(", and Cargo.toml asks for 7.5"));
    assert_eq!(stderr.lines().nth(1).unwrap().trim(), "hint: rustup update stable");
}

#[test]
fn for_programs_the_findings_are_notes_and_the_remedies_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let root = project(folder.path());
    let (output, stderr) = doctor(&root, &["--json"], "/nowhere");
    assert_eq!(stderr, "");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["command"], "doctor");
    assert_eq!(report["notes"][1], "cargo: is not there");
    assert_eq!(report["next"][1], "install Rust: https://rustup.rs");
}
