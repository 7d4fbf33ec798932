//! The smallest project becomes the largest, one command at a time, and is at each step what it would be had it been made so.
//! What there is to add comes from the catalogue, so that later providers and targets are covered by being in it.

use std::path::{Path, PathBuf};

use mcpkit::catalog;
use mcpkit::templates::Templates;

use crate::disk;
use crate::support::grow::{must, new};

/// One `add` command.
type Step = Vec<&'static str>;

/// Everything that can be added to the smallest project.
fn steps() -> Vec<Step> {
    let providers = catalog::ids(catalog::PROVIDERS).filter(|id| *id != catalog::DEFAULT_PROVIDER);
    let mut steps: Vec<Step> = providers.map(|id| vec!["add-integration", id]).collect();
    steps.push(vec!["add-integration", "slack", "--name", "slack_eu"]);
    steps.push(vec!["add-integration", "shop", "--auth", "restli", "--set", "base_url=https://api.shop.example.com"]);
    steps.extend(catalog::ids(catalog::TARGETS).map(|id| vec!["add-deploy", id]));
    steps
}

/// The flags that make the same at once.
fn flags() -> Vec<String> {
    let mut flags: Vec<String> =
        catalog::ids(catalog::PROVIDERS).flat_map(|id| ["--integration".to_owned(), id.to_owned()]).collect();
    flags.extend(["--integration", "slack=slack_eu"].map(str::to_owned));
    let shop = ["--api", "shop", "--auth", "restli", "--set", "base_url=https://api.shop.example.com"];
    flags.extend(shop.map(str::to_owned));
    flags.extend(catalog::ids(catalog::TARGETS).flat_map(|id| ["--deploy".to_owned(), id.to_owned()]));
    flags
}

fn made(folder: &Path, flags: &[&str]) -> PathBuf {
    let root = folder.join("acme");
    new(&Templates::embedded(), &root, flags);
    root
}

fn grown(steps: &[Step]) -> disk::Disk {
    let templates = Templates::embedded();
    let folder = tempfile::tempdir().unwrap();
    let root = made(folder.path(), &[]);
    for step in steps {
        must(&templates, &root, step);
        let clean = must(&templates, &root, &["check"]);
        assert_eq!(clean.stdout, "", "{step:?}");
    }
    disk::read(&root)
}

#[test]
fn a_project_that_grew_is_the_one_that_was_made_so_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let flags = flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let whole = disk::read(&made(folder.path(), &flags));
    let mut steps = steps();
    assert_eq!(disk::differences(&grown(&steps), &whole), [""; 0]);
    steps.reverse();
    assert_eq!(disk::differences(&grown(&steps), &whole), [""; 0]);
}

#[test]
fn every_command_run_again_changes_nothing() {
    let templates = Templates::embedded();
    let folder = tempfile::tempdir().unwrap();
    let root = made(folder.path(), &[]);
    let nothing = |args: &[&str]| {
        let before = disk::read(&root);
        let printed = must(&templates, &root, args);
        assert!(printed.stderr.starts_with("nothing to do: "), "{args:?}: {}", printed.stderr);
        assert_eq!(disk::differences(&before, &disk::read(&root)), [""; 0], "{args:?}");
    };
    nothing(&["update"]);
    nothing(&["update"]);
    for step in [
        &["add-integration", "slack"][..],
        &["add-integration", "slack", "--name", "slack_eu"],
        &["add-integration", "shop", "--auth", "api-key", "--set", "header=X-Api-Key"],
        &["add-deploy", "compose"],
        &["keep", "kit/core/src/limit"],
    ] {
        must(&templates, &root, step);
        nothing(step);
        nothing(&["update"]);
    }
    // What was said once need not be said again.
    nothing(&["add-integration", "shop", "--auth", "api-key"]);
}
