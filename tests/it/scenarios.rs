//! A project of an older version, with its owner's changes, through the updates that come to it. `tests/matrix.rs` builds what
//! is left at the end and runs its tests.

use std::fs;
use std::path::{Path, PathBuf};

use mcpkit::exit::Exit;
use mcpkit::templates::Templates;
use tempfile::TempDir;

use crate::disk;
use crate::support::frozen::{self, commit, edit, git, owner_edits, take_yours};
use crate::support::grow::{self, must, run};

struct Frozen {
    _folder: TempDir,
    root: PathBuf,
}

/// The frozen project, changed by its owner.
fn owned() -> Frozen {
    let frozen = pristine();
    owner_edits(&frozen.root);
    frozen
}

/// The frozen project as it was written.
fn pristine() -> Frozen {
    let folder = tempfile::tempdir().unwrap();
    let root = frozen::unpack(folder.path());
    Frozen { _folder: folder, root }
}

fn is_recorded(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/scenarios"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A command, and what it printed.
fn transcript(templates: &Templates, root: &Path, args: &[&str]) -> String {
    let (exit, printed) = run(templates, root, args);
    let mut text = format!("$ mcpkit {}\n", args.join(" "));
    for (name, stream) in [("stdout", printed.stdout), ("stderr", printed.stderr)] {
        if !stream.is_empty() {
            text.push_str(&format!("--- {name}\n{}\n", stream.trim_end()));
        }
    }
    text.push_str(&format!("--- exit {}\n", exit.code()));
    text.replace(root.to_str().unwrap(), "<ROOT>")
}

/// What changed since the last commit, without mcpkit's own record.
fn changes(root: &Path) -> String {
    git(root, &["add", "--all", "--intent-to-add"]);
    git(root, &["diff", "--no-renames", "--no-ext-diff", "--", ".", ":!.mcpkit"])
        .lines()
        .filter(|line| !line.starts_with("index "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn an_update_brings_the_new_and_keeps_what_the_owner_made() {
    let Frozen { root, .. } = &owned();
    let newer = frozen::newer_templates(root);
    let mut text = transcript(&newer, root, &["update"]);
    text.push_str(&transcript(&newer, root, &["check"]));
    is_recorded("update_report", &text);
    is_recorded("update_diff", &changes(root));
}

#[test]
fn after_the_conflicts_are_resolved_nothing_is_left_to_do() {
    let Frozen { root, .. } = &owned();
    let newer = frozen::newer_templates(root);
    assert_eq!(run(&newer, root, &["update"]).0, Exit::Conflicts);
    for path in ["README.md", "src/integrations/notion/tools.rs"] {
        let text = fs::read_to_string(root.join(path)).unwrap();
        assert!(text.contains("\n<<<<<<< yours\n") || text.starts_with("<<<<<<< yours\n"), "{path}");
        fs::write(root.join(path), take_yours(&text)).unwrap();
    }
    let (exit, printed) = run(&newer, root, &["check"]);
    assert_eq!(
        (exit, printed.stdout.matches("burst.clamp(1, 10_000)").count()),
        (Exit::Drift, 1),
        "{}",
        printed.stdout
    );
    must(&newer, root, &["keep", "kit/core/src/limit/mod.rs"]);
    must(&newer, root, &["check"]);
    commit(root, "Update");
    let before = disk::read(root);
    let printed = must(&newer, root, &["update"]);
    assert_eq!(printed.stderr, "nothing to do: the project is up to date with mcpkit 0.9.0\n");
    assert_eq!(disk::differences(&before, &disk::read(root)), [""; 0]);
}

#[test]
fn a_project_that_nobody_touched_becomes_what_the_new_version_writes() {
    let Frozen { root, .. } = &pristine();
    let newer = frozen::newer_templates(root);
    must(&newer, root, &["update"]);
    must(&newer, root, &["check"]);
    let fresh = tempfile::tempdir().unwrap();
    let place = fresh.path().join("acme-ads");
    let flags = "--integration notion --api shop --auth api-key --transport both --deploy compose";
    grow::new(&newer, &place, &flags.split(' ').collect::<Vec<_>>());
    assert_eq!(disk::differences(&disk::read(root), &disk::read(&place)), [""; 0]);
}

#[test]
fn a_project_of_an_older_version_is_checked_against_what_that_one_recorded() {
    let Frozen { root, .. } = &pristine();
    let today = Templates::embedded();
    let printed = must(&today, root, &["check"]);
    assert!(printed.stderr.ends_with("managed files are as mcpkit 0.1.0 generated them\n"), "{}", printed.stderr);
    edit(root, "kit/core/src/limit/mod.rs", "burst: burst.max(1) }", "burst: burst.max(2) }");
    let (exit, printed) = run(&today, root, &["check"]);
    assert_eq!(exit, Exit::Drift);
    assert!(printed.stdout.contains("+        Self { interval_us"), "{}", printed.stdout);
}

#[test]
fn nothing_is_added_to_a_project_before_it_is_up_to_date() {
    let Frozen { root, .. } = &pristine();
    let before = disk::read(root);
    let today = Templates::embedded();
    for args in [&["add-integration", "slack"][..], &["add-deploy", "compose"], &["keep", "kit"]] {
        let (exit, printed) = run(&today, root, args);
        assert_eq!(exit, Exit::Failed);
        let expected = format!(
            "error: the project was written by mcpkit 0.1.0, and this is {}\n\nhint: bring it up to date first: \
             `mcpkit update`\n",
            today.version
        );
        assert_eq!(printed.stderr, expected);
    }
    assert_eq!(disk::differences(&before, &disk::read(root)), [""; 0]);
}

#[test]
fn theirs_and_ours_settle_conflicts_in_advance() {
    let Frozen { root, .. } = &owned();
    let newer = frozen::newer_templates(root);
    let args = ["update", "--theirs", "README.md", "--ours", "src/integrations/*/tools.rs", "--theirs", "RUNBOOK.md"];
    must(&newer, root, &args);
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert!(text("README.md").contains("A multi-tenant MCP server."));
    assert!(text("RUNBOOK.md").contains("## Is it all right?"), "theirs brings back what was deleted");
    assert!(text("src/integrations/notion/tools.rs").contains("Long pages come in parts.\""));
    assert!(text("src/integrations/notion/tools.rs").contains("async fn titles"));
}

/// The lock of an owner who has added dependencies is theirs; cargo brings it up to date.
#[test]
fn a_changed_cargo_lock_is_kept_and_said_so() {
    let Frozen { root, .. } = &owned();
    edit(root, "Cargo.lock", "version = 4\n", "version = 4\n# touched\n");
    commit(root, "Add a dependency");
    let mut newer = frozen::newer_templates(root);
    let lock = newer.file("project/Cargo.lock").unwrap().replace("name = \"aes\"", "name = \"aes-next\"");
    newer = newer.with("project/Cargo.lock", lock);
    let (_, printed) = run(&newer, root, &["update"]);
    let note = "note: `Cargo.lock` was changed here and stays; cargo brings it up to date at the next build\n";
    assert!(printed.stderr.contains(note), "{}", printed.stderr);
    assert!(fs::read_to_string(root.join("Cargo.lock")).unwrap().contains("name = \"aes\""));
}

/// Without a base there is nothing to merge with. What nobody touched is known by its hash; the rest is left and shown.
#[test]
fn a_base_that_is_lost_costs_the_merge_and_nothing_else() {
    let Frozen { root, .. } = &owned();
    let newer = frozen::newer_templates(root);
    fs::remove_dir_all(root.join(".mcpkit/base")).unwrap();
    commit(root, "Lose the base");
    let text = transcript(&newer, root, &["update"]);
    is_recorded("update_without_base", &text);
    assert!(fs::read_to_string(root.join("kit/native/src/lib.rs")).is_ok());
    assert!(fs::read_to_string(root.join("README.md")).unwrap().contains("The MCP server of Acme's clients."));
}

#[test]
fn a_failed_update_leaves_branch_index_and_tree_as_they_were() {
    let Frozen { root, .. } = &owned();
    let newer = frozen::newer_templates(root);
    fs::write(root.join("src/integrations/notion/prompt_texts.rs"), "// mine\n").unwrap();
    commit(root, "A file in the way");
    let before =
        (disk::read(root), git(root, &["status", "--porcelain", "--branch"]), git(root, &["rev-parse", "HEAD"]));
    let (exit, printed) = run(&newer, root, &["update"]);
    assert_eq!(exit, Exit::Failed, "{}", printed.stderr);
    let after =
        (disk::read(root), git(root, &["status", "--porcelain", "--branch"]), git(root, &["rev-parse", "HEAD"]));
    assert_eq!(disk::differences(&before.0, &after.0), [""; 0]);
    assert_eq!((before.1, before.2), (after.1, after.2));
}
