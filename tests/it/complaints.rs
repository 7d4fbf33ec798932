//! What people complain of in other generators, row by row of a survey of their issues, and what
//! mcpkit does instead. Each test goes through the public behaviour, also where another one proves the same in detail.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Parser as _;
use mcpkit::cli::{self, Cli};
use mcpkit::prompt::Prompter;
use mcpkit::templates::Templates;
use mcpkit::{embed, ladder};

use crate::grown::Grown;
use crate::prompts_pty;
use crate::support::{mcpkit, must};
use crate::{disk, rendered};

/// The file at whose end 0.2.0 has something new.
const README: &str = "README.md";

/// An older project in which the owner changed the very lines that the update changes.
fn with_a_conflict() -> Grown {
    let grown = Grown::of_0_1_0();
    grown.append(README, "Ours.\n");
    grown.commit();
    grown
}

/// copier #613, #407, #916, #2386: `.rej` files are unreadable.
#[test]
fn a_conflict_is_left_in_the_file_with_all_three_versions_and_nothing_beside_it() {
    let grown = with_a_conflict();
    let before = grown.disk();
    assert_eq!(grown.run(&["update"]).status.code(), Some(4));
    let text = grown.read(README);
    let version = env!("CARGO_PKG_VERSION");
    let markers = ["<<<<<<< yours\n", "||||||| mcpkit 0.1.0\n", "=======\n", &format!(">>>>>>> mcpkit {version}\n")];
    let places: Vec<usize> = markers.iter().map(|marker| text.find(marker).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text[places[0]..places[1]].ends_with("Ours.\n"), "{text}");
    let beside = grown.changed_since(&before).into_iter().filter(|path| path.starts_with(README) && path != README);
    assert_eq!(beside.collect::<Vec<_>>(), [""; 0]);
}

/// copier #1833: a conflict vanishes in the merge tool, since the stages in git's index were identical.
#[test]
fn a_conflict_is_a_change_like_any_other_to_git_and_is_listed_by_mcpkit() {
    let grown = with_a_conflict();
    let output = grown.run(&["update"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("to be resolved: README.md\n"));
    assert_eq!(grown.git(&["ls-files", "--unmerged"]), "");
    assert_eq!(grown.git(&["diff", "--cached", "--name-only"]), "");
    assert!(grown.git(&["diff", "--name-only"]).lines().any(|path| path == README));
    assert!(grown.says(&["check"]).contains("conflict markers are left in: README.md\n"));
}

/// epics-containers #232: a file that has once diverged is never healed by what applies deltas, and nobody is told.
#[test]
fn a_file_that_has_diverged_is_named_by_every_check_until_it_is_healed() {
    let grown = Grown::new(&[]);
    grown.append("kit/core/src/lib.rs", "// Ours.\n");
    grown.commit();
    for _ in 0..2 {
        let said = grown.says(&["check"]);
        assert!(said.contains("generates it: kit/core/src/lib.rs\n") && said.ends_with("--- exit 3\n"), "{said}");
        grown.must(&["update"]);
    }
    grown.must(&["update", "--theirs", "kit/core/src/lib.rs"]);
    grown.must(&["check"]);
    assert_eq!(grown.git(&["diff", "HEAD^", "--", "kit"]), "");
}

/// copier #348, #428: the new engine cannot render the old template.
#[test]
fn what_was_generated_is_kept_as_text_and_no_old_template_is_rendered_again() {
    let grown = Grown::of_0_1_0();
    // No engine of today takes this for a template, and none has to.
    for path in [README, ".mcpkit/base/README.md.base"] {
        grown.write(path, format!("{{{{% from another engine %}}}}\n{}", grown.read(path)));
    }
    grown.commit();
    grown.must(&["update"]);
    assert!(!grown.read(README).contains("another engine"), "untouched by its owner, it is what it is now");
    assert!(grown.read(README).starts_with("# acme-ads\n"), "{}", grown.read(README));
}

/// kubebuilder #6049: update checks out branches in the user's repository and fails half-way with files deleted.
#[test]
fn an_update_leaves_git_alone_and_changes_nothing_if_it_cannot_do_all() {
    let grown = Grown::of_0_1_0();
    grown.git(&["checkout", "--quiet", "-b", "feature"]);
    grown.remove(README);
    grown.write("README.md/own", "own\n");
    grown.commit();
    grown.write("notes.txt", "not committed\n");
    let git = || {
        let head = fs::read_to_string(grown.path(".git/HEAD")).unwrap();
        let asked: [&[&str]; 4] = [&["rev-parse", "HEAD"], &["branch", "--all"], &["stash", "list"], &["reflog"]];
        format!("{head}{}", asked.map(|args| grown.git(args)).concat())
    };
    let before = (grown.disk(), git());
    assert_eq!(grown.run(&["update"]).status.code(), Some(1));
    assert_eq!((grown.disk(), git()), before);
    grown.remove(README);
    grown.must(&["update"]);
    assert_eq!(git(), before.1);
    assert_eq!(grown.read("notes.txt"), "not committed\n");
}

/// kubebuilder #4989: steps that follow run on a tree full of conflict markers.
#[test]
fn nothing_runs_on_a_tree_with_conflicts_and_nothing_else_is_proposed() {
    let grown = with_a_conflict();
    let tools = tempfile::tempdir().unwrap();
    for tool in ["cargo", "rustfmt", "rustc"] {
        let path = tools.path().join(tool);
        fs::write(&path, format!("#!/bin/sh\ntouch {}/ran\n", tools.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let output = mcpkit().current_dir(grown.path(".")).arg("update").env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(!tools.path().join("ran").exists());
    assert!(!String::from_utf8(output.stderr).unwrap().contains("next:"));
}

/// kubebuilder #1719, #1724: adding fails since `main.go` was moved, and half of the files are written.
#[test]
fn adding_needs_no_main_and_writes_all_or_nothing() {
    let grown = Grown::new(&[]);
    grown.rename("src/main.rs", "src/bin/acme.rs");
    grown.write("src/integrations/slack/tools.rs", "own\n");
    grown.commit();
    let before = grown.disk();
    assert_eq!(grown.run(&["add-integration", "slack"]).status.code(), Some(1));
    assert_eq!(grown.disk(), before);
    grown.remove("src/integrations/slack");
    grown.must(&["add-integration", "slack"]);
    assert_eq!(grown.read("src/bin/acme.rs"), before["src/bin/acme.rs"].split_once('\n').unwrap().1);
    assert!(!grown.path("src/main.rs").exists());
}

/// kubebuilder #1487, PR #5840: markers that nobody documented are deleted, and adding fails.
#[test]
fn registration_lives_in_one_generated_file_and_needs_no_markers_in_the_owners() {
    let grown = Grown::new(&[]);
    let before = grown.disk();
    grown.must(&["add-integration", "slack"]);
    let theirs = grown.changed_since(&before).into_iter().filter(|path| !path.contains("slack"));
    assert_eq!(theirs.collect::<Vec<_>>(), ["mcpkit.toml", "src/integrations/mod.rs"]);
    // And where it is gone, the lines are printed instead.
    grown.remove("src/integrations/mod.rs");
    let said = grown.says(&["add-integration", "meta"]);
    assert!(said.contains("    pub mod meta;\n    app = app.integration(\"meta\", meta::integration());\n"), "{said}");
    assert!(said.ends_with("--- exit 0\n"), "{said}");
}

/// shadcn #878, #2029, #2375, #5814, #7672: `add` overwrites what was customised, whatever its flags say.
#[test]
fn adding_never_overwrites_what_the_owner_wrote() {
    let grown = Grown::new(&[]);
    for path in ["src/integrations/notion/tools.rs", "config/server.toml", "src/lib.rs", "Cargo.toml"] {
        grown.append(path, if path.ends_with(".rs") { "// Ours.\n" } else { "# Ours.\n" });
    }
    grown.write("src/integrations/slack/tools.rs", "own\n");
    let before = grown.disk();
    for flags in [&[][..], &["--yes"], &["--allow-dirty"]] {
        assert_eq!(grown.run(&[&["add-integration", "slack"], flags].concat()).status.code(), Some(1));
        grown.must(&[&["add-integration", "notion"], flags].concat());
    }
    assert_eq!(grown.changed_since(&before), [""; 0]);
    grown.remove("src/integrations/slack");
    grown.must(&["add-integration", "slack"]);
    let changed = grown.changed_since(&before).into_iter().filter(|path| !path.contains("slack"));
    assert_eq!(changed.collect::<Vec<_>>(), ["mcpkit.toml", "src/integrations/mod.rs"]);
}

/// shadcn #2121, #2619: a two-way diff cannot tell my edits from theirs.
#[test]
fn diff_shows_what_the_owner_changed_and_nothing_that_mcpkit_did() {
    let grown = Grown::of_0_1_0();
    grown.append(README, "Ours.\n");
    let patch = grown.must(&["diff"]);
    let changed: Vec<&str> = patch.lines().filter(|line| line.starts_with(['+', '-'])).collect();
    assert_eq!(changed, ["--- a/README.md", "+++ b/README.md", "+Ours."]);
}

/// cargo-dist #400 and others: the check for drift fights Dependabot over generated workflows.
#[test]
fn check_leaves_workflows_and_dependencies_to_their_owner_and_the_rest_on_request() {
    let grown = Grown::new(&[]);
    let workflow = ".github/workflows/ci.yml";
    grown.write(workflow, grown.read(workflow).replace("actions/checkout@", "actions/checkout@9"));
    grown.append("Cargo.toml", "\n[profile.release]\nlto = true\n");
    grown.append("Cargo.lock", "\n");
    grown.must(&["check"]);
    grown.append("kit/core/src/lib.rs", "// Ours.\n");
    assert_eq!(grown.run(&["check"]).status.code(), Some(3));
    grown.must(&["keep", "kit/core/src/lib.rs"]);
    grown.must(&["check"]);
}

/// tauri #15997, spin #2643, create-node-app #159: prompts break on build servers, and a folder with files is written into.
#[test]
fn without_a_terminal_nothing_is_asked_and_a_folder_with_files_is_refused() {
    let grown = Grown::new(&[]);
    let before = grown.disk();
    for line in [&["add-integration"][..], &["add-deploy"], &["-C", "..", "new", "acme"]] {
        let said = grown.says(line);
        assert!(said.contains("hint: ") && said.ends_with("--- exit 1\n"), "{said}");
    }
    assert_eq!(grown.disk(), before);
}

/// cargo-generate #1168, #599, #1397, cargo #3860: blank lines where an `if` stood, and mangled `${{ }}`.
#[test]
fn templates_leave_no_blank_lines_behind_and_take_nothing_of_a_workflow() {
    for flags in [&["--transport", "stdio"][..], &["--deploy", "compose", "--api", "crm", "--auth", "api-key"]] {
        for (path, entry) in rendered::tree("acme", flags).iter() {
            let text = &entry.text;
            assert!(!text.contains("\n\n\n") && !text.starts_with('\n') && !text.ends_with("\n\n"), "{path}");
            assert!(!text.contains("{{%") && !text.contains("%}}"), "{path}");
        }
        let tree = rendered::tree("acme", flags);
        let workflows: String = tree
            .iter()
            .filter(|(path, _)| path.as_str().ends_with(".yml"))
            .map(|(_, entry)| entry.text.as_str())
            .collect();
        assert!(workflows.contains("${{ "), "{workflows}");
    }
}

/// cargo-generate #40, #599: a template full of placeholders cannot be compiled and tested where it is written.
#[test]
fn the_kit_is_copied_byte_for_byte_from_the_crates_that_are_tested_here() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tree = rendered::tree("acme", &[]);
    let sources: Vec<_> =
        tree.iter().filter(|(path, _)| path.as_str().starts_with("kit/") && path.as_str().ends_with(".rs")).collect();
    assert!(sources.len() > 50);
    for (path, entry) in sources {
        assert_eq!(fs::read_to_string(here.join("templates").join(path.as_str())).unwrap(), entry.text, "{path}");
    }
    for (krate, folder) in [("kit", "core"), ("kit-native", "native")] {
        let manifest = fs::read_to_string(here.join("crates").join(krate).join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("path = \"../../templates/kit/{folder}/src/lib.rs\"")), "{manifest}");
    }
}

/// Somebody who is there and must not be bothered.
struct Busy;

impl Prompter for Busy {
    fn can_ask(&self) -> bool {
        true
    }

    fn select(&mut self, question: &str, _: &[String]) -> Result<usize> {
        bail!(question.to_owned())
    }

    fn multi_select(&mut self, question: &str, _: &[String], _: &[usize]) -> Result<Vec<usize>> {
        bail!(question.to_owned())
    }

    fn input(&mut self, question: &str, _: &str, _: &dyn Fn(&str) -> Result<(), String>) -> Result<String> {
        bail!(question.to_owned())
    }
}

/// cargo-dist #1332: prompts for what was said already or has a good default.
#[test]
fn what_was_said_is_not_asked() {
    let flags = ["acme", "--integration", "notion", "--transport", "http", "--deploy", "compose"];
    ladder::climb(&rendered::new(&flags), &BTreeMap::new(), &mut Busy).unwrap();
    let recorded = rendered::answers("acme", &[]);
    let parse = |args: &[&str]| Cli::try_parse_from([&["mcpkit"], args].concat()).unwrap().command;
    for line in [&["add-integration", "slack"][..], &["add-integration", "crm", "--auth", "api-key"]] {
        let cli::Command::AddIntegration(add) = parse(line) else { panic!("{line:?}") };
        ladder::integration(&add, &BTreeMap::new(), &mut Busy, &recorded).unwrap();
    }
    let cli::Command::AddDeploy(add) = parse(&["add-deploy", "compose"]) else { panic!() };
    ladder::targets(&add, &mut Busy, &recorded).unwrap();
}

/// cargo-dist #161: "already initialised", with no way forward.
#[test]
fn every_verb_can_be_run_again_and_a_refusal_names_the_flag() {
    let grown = Grown::new(&[]);
    let lines = [
        &["new", "acme", "--here", "--yes"][..],
        &["add-integration", "slack"],
        &["add-deploy", "compose"],
        &["keep", "kit"],
        &["update"],
    ];
    for line in lines {
        grown.must(line);
        let once = grown.disk();
        grown.must(line);
        assert_eq!(grown.disk(), once, "{line:?}");
    }
    assert!(
        grown.says(&["-C", "..", "new", "acme"]).contains("hint: choose another name, or use `--here` inside it\n")
    );
    grown.append("src/integrations/mod.rs", "// Ours.\n");
    assert!(grown.says(&["add-integration", "meta"]).contains("or go on with `--allow-dirty`\n"));
}

/// dialoguer #77, #92, #188, wasmer #4837, sampo #326: the cursor stays hidden after Ctrl-C.
#[test]
fn ctrl_c_at_a_question_shows_the_cursor_again() {
    let grown = Grown::new(&[]);
    let mut command = mcpkit();
    command.current_dir(grown.path(".")).arg("add-integration");
    prompts_pty::is_cancelled_with_the_cursor_shown(command, "an API of my own");
}

/// cargo #8597, #9643, #16059, #4660, psibase #1981, stylance #37: the templates' own `Cargo.toml` is missing from the
/// published crate.
#[test]
fn every_template_is_part_of_the_published_crate() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["package", "--list", "--allow-dirty", "--offline"]);
    let listed = String::from_utf8(must(cargo.args(["--package", "mcpkit-cli"])).stdout).unwrap();
    for (path, _) in embed::all() {
        assert!(listed.lines().any(|line| line == format!("templates/{path}")), "{path} is not published");
    }
    let on_disk = disk::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"));
    let files = on_disk.values().filter(|state| state.starts_with("file"));
    assert_eq!(files.count(), embed::all().len(), "a template is not in the binary");
    assert!(Templates::embedded().file("kit/core/Cargo.toml.j2").is_some());
}
