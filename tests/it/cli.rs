//! The binary as a person or a script meets it: exit codes, exact words, and what is on disk afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory as _;
use mcpkit::catalog;
use mcpkit::cli::Cli;
use tempfile::TempDir;

use crate::support::presets::PRESETS;
use crate::support::{mcpkit, must};
use crate::{disk, rendered};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn run_in(folder: &Path, args: &[&str]) -> Output {
    mcpkit().current_dir(folder).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A command line and all that came of it, without what differs from run to run.
fn transcript(folder: &Path, args: &[&str]) -> String {
    shown(folder, args, &run_in(folder, args))
}

fn shown(folder: &Path, args: &[&str], output: &Output) -> String {
    let mut text = format!("$ {}\n", ["mcpkit"].iter().chain(args).copied().collect::<Vec<_>>().join(" "));
    for (name, stream) in [("stdout", stdout(output)), ("stderr", stderr(output))] {
        if !stream.is_empty() {
            text.push_str(&format!("--- {name}\n{}\n", stream.trim_end()));
        }
    }
    text.push_str(&format!("--- exit {}\n", output.status.code().unwrap()));
    text.replace(folder.to_str().unwrap(), "<FOLDER>").replace(env!("CARGO_PKG_VERSION"), "<VERSION>")
}

/// Compares with `snapshots/cli/<name>.snap`.
fn is_recorded(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/cli"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Each command line is refused as recorded and leaves the folder empty.
fn are_refused(name: &str, command_lines: &[&[&str]]) {
    let folder = folder();
    let transcripts: Vec<String> = command_lines.iter().map(|args| transcript(folder.path(), args)).collect();
    is_recorded(name, &transcripts.join("\n"));
    assert_eq!(disk::names(folder.path()), [""; 0]);
}

#[test]
fn no_snapshot_has_outlived_its_test() {
    let snapshots = disk::names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/cli"));
    for name in snapshots.iter().filter_map(|name| name.strip_suffix(".snap")) {
        assert!(include_str!("cli.rs").contains(&format!("\"{name}\"")), "no test compares snapshots/cli/{name}.snap");
    }
}

// Help and lists.

#[test]
fn help_is_data_and_says_what_there_is() {
    is_recorded("help", &transcript(folder().path(), &["--help"]));
}

#[test]
fn help_of_new_names_every_flag() {
    is_recorded("help_new", &transcript(folder().path(), &["new", "-h"]));
}

#[test]
fn without_a_command_there_is_help_and_a_usage_error() {
    is_recorded("help_missing_command", &transcript(folder().path(), &[]));
}

#[test]
fn list_shows_all_lists_or_one() {
    let folder = folder();
    let lists: [&[&str]; 5] =
        [&["list"], &["list", "providers"], &["list", "shapes"], &["list", "targets"], &["list", "transports"]];
    let transcripts: Vec<String> = lists.iter().map(|args| transcript(folder.path(), args)).collect();
    is_recorded("list", &transcripts.join("\n"));
}

#[test]
fn list_as_json_is_one_object() {
    let folder = folder();
    let transcripts =
        [transcript(folder.path(), &["list", "--json"]), transcript(folder.path(), &["list", "shapes", "--json"])];
    is_recorded("list_json", &transcripts.join("\n"));
}

// Bad input.

#[test]
fn an_unknown_answer_is_refused_with_the_nearest_one() {
    are_refused(
        "unknown_answer",
        &[
            &["new", "acme", "--integration", "notoin"],
            &["new", "acme", "--integration", "github"],
            &["new", "acme", "--transport", "htp"],
            &["new", "acme", "--transport", "carrier-pigeon"],
            &["new", "acme", "--deploy", "docker-compose"],
            &["new", "acme", "--deploy", "compse"],
            &["new", "acme", "--api", "crm", "--auth", "apikey"],
        ],
    );
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_one() {
    are_refused(
        "unknown_setting",
        &[
            &["new", "acme", "--api", "crm", "--auth", "api-key", "--set", "baseurl=https://api.acme.com"],
            &["new", "acme", "--api", "crm", "--auth", "api-key", "--set", "crm.heder=X-Key"],
            &["new", "acme", "--api", "crm", "--auth", "api-key", "--set", "zzz=1"],
            &["new", "acme", "--api", "crm", "--auth", "api-key", "--set", "shop.header=X-Key"],
            &["new", "acme", "--set", "header=X-Key"],
            &["new", "acme", "--set", "header"],
            &["new", "acme", "--set", "=x"],
        ],
    );
}

#[test]
fn a_setting_that_does_not_fit_is_refused_with_one_that_does() {
    let sets = [
        "base_url=http://api.acme.com",
        "base_url=https://localhost",
        "base_url=https://u:p@api.acme.com",
        "base_url=https://api.acme.com/?q",
        "header=X Key",
        "header=",
        "collection=items",
        "collection=/../items",
        "prefix=Schlüssel ",
    ];
    let lines: Vec<Vec<&str>> =
        sets.iter().map(|set| vec!["new", "acme", "--api", "crm", "--auth", "api-key", "--set", set]).collect();
    are_refused("unfit_setting", &lines.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn answers_that_contradict_each_other_are_refused() {
    are_refused(
        "contradiction",
        &[
            &["new", "acme", "--transport", "stdio", "--deploy", "compose"],
            &["new", "acme", "--integration", "notion", "--integration", "notion"],
            &["new", "acme", "--integration", "notion=wiki", "--integration", "notion=wiki"],
            &["new", "acme", "--integration", "notion=My Wiki"],
            &["new", "acme", "--integration", "notion", "--api", "notion", "--auth", "api-key"],
        ],
    );
}

#[test]
fn a_misused_flag_is_a_usage_error() {
    are_refused(
        "usage",
        &[
            &["new", "acme", "--api", "crm"],
            &["new", "acme", "--auth", "api-key"],
            &["new", "acme", "beta"],
            &["new", "acme", "--integrations", "notion"],
            &["new", "acme", "--quiet", "--verbose"],
            &["new", "acme", "--color", "sometimes"],
            &["list", "provider"],
            &["completions", "tcsh"],
            &["nwe"],
        ],
    );
}

#[test]
fn a_name_that_does_not_fit_is_refused_with_one_that_does() {
    let long = "a".repeat(65);
    are_refused(
        "unfit_name",
        &[
            &["new", "gen"],
            &["new", "con"],
            &["new", "std"],
            &["new", "test"],
            &["new", "rmcp"],
            &["new", "Acme Ads"],
            &["new", "日本"],
            &["new", &long],
            &["new", "acme", "--api", "Acme CRM", "--auth", "api-key"],
            &["new", "acme", "--api", "type", "--auth", "api-key"],
        ],
    );
}

#[test]
fn a_place_that_does_not_fit_is_refused() {
    are_refused(
        "unfit_place",
        &[
            &["new"],
            &["new", ""],
            &["new", "."],
            &["new", "../acme"],
            &["new", "a/../acme"],
            &["new", "clients/2026/acme"],
            &["new", "a/b", "--here"],
            &["-C", "nowhere", "new", "acme"],
        ],
    );
}

#[test]
fn a_place_that_is_taken_is_left_as_it_is() {
    let folder = folder();
    fs::create_dir(folder.path().join("acme")).unwrap();
    fs::write(folder.path().join("acme/own"), "own").unwrap();
    fs::write(folder.path().join("note"), "own").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    let before = disk::read(folder.path());
    let transcripts = ["acme", "note", "note/acme", "link"].map(|name| transcript(folder.path(), &["new", name]));
    is_recorded("taken_place", &transcripts.join("\n"));
    assert_eq!(disk::read(folder.path()), before);
}

#[test]
fn an_empty_folder_may_be_filled() {
    let folder = folder();
    fs::create_dir(folder.path().join("acme")).unwrap();
    must(mcpkit().current_dir(folder.path()).args(["new", "acme", "--yes", "--no-git"]));
    assert_eq!(disk::names(folder.path()), ["acme"]);
    assert!(folder.path().join("acme/Cargo.toml").is_file());
}

// What a run says and writes.

#[test]
fn new_says_what_it_made_how_to_repeat_it_and_what_comes_next() {
    let folder = folder();
    let args = ["new", "acme", "--api", "acme-crm", "--auth", "api-key", "--set", "prefix=Token token=", "--no-git"];
    is_recorded("new", &transcript(folder.path(), &args));
}

#[test]
fn new_writes_exactly_the_rendered_tree() {
    for preset in PRESETS {
        let folder = folder();
        must(mcpkit().current_dir(folder.path()).args(["new", preset.name, "--yes", "--no-git"]).args(preset.flags));
        let written: BTreeMap<String, String> = disk::read(&folder.path().join(preset.name))
            .into_iter()
            .filter(|(_, state)| !state.starts_with("folder"))
            .map(|(path, state)| (path, state.split_once('\n').map(|(_, text)| text.to_owned()).unwrap_or(state)))
            .collect();
        let rendered: BTreeMap<String, String> = rendered::whole(preset.name, preset.flags)
            .iter()
            .map(|(path, entry)| (path.to_string(), entry.text.clone()))
            .collect();
        assert_eq!(written, rendered, "{}", preset.name);
    }
}

#[test]
fn here_writes_into_the_current_folder_and_takes_its_name() {
    let parent = folder();
    let folder = parent.path().join("acme-ads");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("own.txt"), "own").unwrap();
    is_recorded("here", &transcript(&folder, &["new", "--here", "--no-git"]));
    assert_eq!(fs::read_to_string(folder.join("own.txt")).unwrap(), "own");
    assert!(disk::read(&folder)["Cargo.toml"].contains("name = \"acme-ads\""));
}

#[test]
fn here_takes_another_name_than_that_of_the_folder() {
    let folder = folder();
    must(mcpkit().current_dir(folder.path()).args(["new", "acme-ads", "--here", "--yes", "--no-git"]));
    assert!(disk::read(folder.path())["Cargo.toml"].contains("name = \"acme-ads\""));
}

#[test]
fn here_with_files_in_the_way_changes_nothing() {
    let folder = folder();
    fs::write(folder.path().join("README.md"), "own").unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), "own").unwrap();
    let before = disk::read(folder.path());
    is_recorded("here_in_the_way", &transcript(folder.path(), &["new", "acme", "--here"]));
    assert_eq!(disk::read(folder.path()), before);
    assert!(!folder.path().join(".git").exists());
}

#[test]
fn here_with_a_file_for_a_folder_or_a_folder_for_a_file_changes_nothing() {
    let (one, two) = (folder(), folder());
    fs::write(one.path().join("src"), "own").unwrap();
    fs::create_dir(two.path().join("README.md")).unwrap();
    let before = (disk::read(one.path()), disk::read(two.path()));
    let transcripts = [&one, &two].map(|folder| transcript(folder.path(), &["new", "acme", "--here"]));
    is_recorded("here_other_kind_in_the_way", &transcripts.join("\n"));
    assert_eq!((disk::read(one.path()), disk::read(two.path())), before);
}

#[test]
fn here_again_changes_nothing_and_succeeds() {
    let folder = folder();
    let args = ["new", "acme", "--here", "--yes", "--no-git"];
    must(mcpkit().current_dir(folder.path()).args(args));
    let before = disk::read(folder.path());
    must(mcpkit().current_dir(folder.path()).args(args));
    assert_eq!(disk::read(folder.path()), before);
}

#[test]
fn a_dry_run_lists_every_file_and_writes_nothing() {
    let folder = folder();
    let output = run_in(folder.path(), &["new", "acme", "--dry-run"]);
    let tree = rendered::tree("acme", &[]);
    let mut expected: String = tree.iter().map(|(path, _)| format!("  + create    {path}\n")).collect();
    expected.push_str(&format!(
        "would make `acme`: {} files, integrations: notion\n\n\
         the same again, without questions:\n  mcpkit new acme --integration notion --transport both --yes\n\n\
         next:\n  cd acme\n  cargo run -- dev\n  cargo test\n",
        tree.len()
    ));
    assert_eq!((output.status.code(), stdout(&output), stderr(&output)), (Some(0), String::new(), expected));
    assert_eq!(disk::names(folder.path()), [""; 0]);
}

/// A dry run and a real one share the plan, so what the real one refuses the dry one shows as a failure.
#[test]
fn a_dry_run_fails_where_the_run_would() {
    let folder = folder();
    fs::write(folder.path().join("README.md"), "own").unwrap();
    let output = run_in(folder.path(), &["new", "acme", "--here", "--dry-run"]);
    assert!(stderr(&output).contains("  ! blocked   README.md\n"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn diff_prints_a_patch_that_makes_the_same_files() {
    let folder = folder();
    let output = must(mcpkit().current_dir(folder.path()).args(["new", "acme", "--dry-run", "--diff"]));
    assert_eq!(disk::names(folder.path()), [""; 0]);
    fs::write(folder.path().join("patch"), &output.stdout).unwrap();
    must(Command::new("git").current_dir(folder.path()).args(["apply", "patch"]));
    for (path, entry) in rendered::tree("acme", &[]).iter() {
        assert_eq!(fs::read_to_string(path.under(folder.path())).unwrap(), entry.text, "{path}");
    }
}

#[test]
fn json_is_one_object_with_its_fields_in_order() {
    let folder = folder();
    let output = must(mcpkit().current_dir(folder.path()).args(["new", "acme", "--deploy", "compose", "--json"]));
    assert_eq!(stderr(&output), "");
    let text = stdout(&output);
    let (head, rest) = text.split_once("\"changes\":[").unwrap();
    let (changes, tail) = rest.split_once("],").unwrap();
    let expected: Vec<String> = rendered::tree("acme", &["--deploy", "compose"])
        .iter()
        .map(|(path, entry)| {
            format!("{{\"path\":\"{path}\",\"action\":\"create\",\"class\":\"{}\"}}", entry.class.as_str())
        })
        .collect();
    assert_eq!(changes, expected.join(","));
    let text = format!("{head}\"changes\":[…],{tail}").replace(folder.path().to_str().unwrap(), "<FOLDER>");
    is_recorded("json", &text.replace(env!("CARGO_PKG_VERSION"), "<VERSION>"));
}

#[test]
fn quiet_says_nothing_on_success_and_the_error_on_failure() {
    let folder = folder();
    let output = must(mcpkit().current_dir(folder.path()).args(["new", "acme", "--quiet"]));
    assert_eq!((stdout(&output), stderr(&output)), (String::new(), String::new()));
    let output = run_in(folder.path(), &["new", "acme", "--quiet"]);
    assert!(stderr(&output).starts_with("error: `acme` exists"), "{}", stderr(&output));
}

#[test]
fn verbose_lists_every_file() {
    let folder = folder();
    let output = must(mcpkit().current_dir(folder.path()).args(["new", "acme", "--verbose", "--no-git"]));
    let tree = rendered::tree("acme", &[]);
    let lines: String = tree.iter().map(|(path, _)| format!("  + create    {path}\n")).collect();
    assert!(stderr(&output).starts_with(&lines), "{}", stderr(&output));
}

#[test]
fn colour_comes_when_it_is_asked_for() {
    let folder = folder();
    for (color, start) in [("never", "error: "), ("auto", "error: "), ("always", "\u{1b}[1m\u{1b}[31merror\u{1b}[0m: ")]
    {
        let output = run_in(folder.path(), &["new", "gen", "--color", color]);
        assert!(stderr(&output).starts_with(start), "{color}: {:?}", stderr(&output));
    }
}

#[test]
fn another_folder_is_entered_first() {
    let folder = folder();
    fs::create_dir(folder.path().join("clients")).unwrap();
    must(mcpkit().current_dir(folder.path()).args(["-C", "clients", "new", "acme", "--yes", "--no-git"]));
    assert!(folder.path().join("clients/acme/Cargo.toml").is_file());
}

// The ladder.

/// The command that a run prints at its end.
fn reproduction(output: &Output) -> String {
    let text = stderr(output);
    let (_, rest) = text.split_once("the same again, without questions:\n  ").unwrap();
    rest.lines().next().unwrap().to_owned()
}

const ANSWERS: &str = "\
integrations: [notion]
api: acme-crm
auth: api-key
transport: http
deploy: [compose]
set:
  base_url: https://api.acme.com
";

#[test]
fn an_answers_file_answers_everything() {
    let folder = folder();
    fs::write(folder.path().join("answers.yaml"), ANSWERS).unwrap();
    let output = must(mcpkit().current_dir(folder.path()).args(["new", "acme", "-n", "--answers", "answers.yaml"]));
    assert_eq!(
        reproduction(&output),
        "mcpkit new acme --api acme_crm --auth api-key --set base_url=https://api.acme.com --integration notion \
         --transport http --deploy compose --yes"
    );
}

#[test]
fn an_answers_file_that_is_wrong_is_refused() {
    let folder = folder();
    let files = [
        ("key.yaml", "integration: [notion]\n"),
        ("far.yaml", "colour: blue\n"),
        ("text.yaml", "transport: [http]\n"),
        ("list.yaml", "integrations: notion\n"),
        ("items.yaml", "deploy: [1]\n"),
        ("map.yaml", "set: [a]\n"),
        ("value.yaml", "set: {limit: 1}\n"),
        ("value-unknown.yaml", "transport: http2\n"),
        ("syntax.yaml", "transport: [\n"),
        ("scalar.yaml", "just a text\n"),
    ];
    let mut transcripts = Vec::new();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
        transcripts.push(transcript(folder.path(), &["new", "acme", "--answers", name]));
    }
    transcripts.push(transcript(folder.path(), &["new", "acme", "--answers", "missing.yaml"]));
    is_recorded("answers_file", &transcripts.join("\n"));
    assert_eq!(disk::names(folder.path()).len(), files.len());
}

#[test]
fn an_answers_file_that_answers_twice_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("twice.yaml"), "transport: http\ntransport: stdio\n").unwrap();
    let output = run_in(folder.path(), &["new", "acme", "-nq", "--answers", "twice.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn an_empty_answers_file_answers_nothing() {
    let folder = folder();
    fs::write(folder.path().join("empty.yaml"), "# nothing yet\n").unwrap();
    let output = must(mcpkit().current_dir(folder.path()).args(["new", "acme", "-n", "--answers", "empty.yaml"]));
    assert_eq!(reproduction(&output), "mcpkit new acme --integration notion --transport both --yes");
}

#[test]
fn a_flag_goes_above_the_file_the_file_above_the_environment_and_that_above_the_default() {
    let folder = folder();
    fs::write(folder.path().join("answers.yaml"), "transport: http\n").unwrap();
    let transport = |flags: &[&str], environment: &[(&str, &str)]| {
        let mut command = mcpkit();
        command.current_dir(folder.path()).args(["new", "acme", "-n"]).args(flags).envs(environment.iter().copied());
        reproduction(&must(&mut command))
    };
    let said = |transport: &str| format!("mcpkit new acme --integration notion --transport {transport} --yes");
    let file = ["--answers", "answers.yaml"];
    let flag = ["--answers", "answers.yaml", "--transport", "both"];
    let environment = [("MCPKIT_TRANSPORT", "stdio")];
    assert_eq!(transport(&[], &[]), said("both"));
    assert_eq!(transport(&[], &environment), said("stdio"));
    assert_eq!(transport(&file, &environment), said("http"));
    assert_eq!(transport(&flag, &environment), said("both"));
}

#[test]
fn the_environment_answers_everything() {
    let folder = folder();
    let environment = [
        ("MCPKIT_INTEGRATIONS", "notion"),
        ("MCPKIT_API", "crm"),
        ("MCPKIT_AUTH", "api-key"),
        ("MCPKIT_TRANSPORT", "http"),
        ("MCPKIT_DEPLOY", "compose, compose"),
    ];
    let output = must(mcpkit().current_dir(folder.path()).args(["new", "acme", "-n"]).envs(environment));
    assert_eq!(
        reproduction(&output),
        "mcpkit new acme --api crm --auth api-key --integration notion --transport http --deploy compose --yes"
    );
}

#[test]
fn settings_of_the_file_and_of_flags_are_taken_together() {
    let folder = folder();
    let answers = "api: crm\nauth: api-key\nset: {header: X-File, collection: /v2/file}\n";
    fs::write(folder.path().join("answers.yaml"), answers).unwrap();
    let args = ["new", "acme", "-n", "--answers", "answers.yaml", "--set", "header=X-Flag"];
    let output = must(mcpkit().current_dir(folder.path()).args(args));
    assert_eq!(
        reproduction(&output),
        "mcpkit new acme --api crm --auth api-key --set collection=/v2/file --set header=X-Flag --transport both --yes"
    );
}

/// Runs `command`, then in `again` what it printed, as a shell takes it.
fn repeat(command: &mut Command, again: &Path) {
    let printed = reproduction(&must(command));
    let binary = Path::new(env!("CARGO_BIN_EXE_mcpkit")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    must(Command::new("sh").current_dir(again).env("PATH", path).args(["-c", &printed]));
}

/// Byte for byte and mode for mode, the repository apart: its commit has a time.
fn is_the_same(one: &Path, other: &Path) {
    let without_git = |folder: &Path| -> disk::Disk {
        disk::read(folder).into_iter().filter(|(path, _)| !format!("/{path}/").contains("/.git/")).collect()
    };
    let (one, other) = (without_git(one), without_git(other));
    assert_eq!(disk::differences(&one, &other), Vec::<&String>::new());
}

#[test]
fn the_printed_command_makes_the_same_project() {
    for preset in PRESETS {
        let (first, second) = (folder(), folder());
        let mut command = mcpkit();
        command.current_dir(first.path()).args(["new", preset.name]).args(preset.flags);
        repeat(&mut command, second.path());
        is_the_same(first.path(), second.path());
    }
}

#[test]
fn the_printed_command_is_quoted_for_a_shell() {
    let (first, second) = (folder(), folder());
    let mut command = mcpkit();
    let set = r#"prefix=it's "$HOME" `id` \ * "#;
    command.current_dir(first.path()).args(["new", "acme", "--api", "crm", "--auth", "api-key", "--set", set]);
    repeat(command.arg("--no-git"), second.path());
    is_the_same(first.path(), second.path());
}

#[test]
fn the_printed_command_works_in_the_folder_that_here_filled() {
    let (first, second) = (folder(), folder());
    let mut command = mcpkit();
    command.current_dir(first.path()).args(["new", "acme", "--here", "--no-git", "--transport", "stdio"]);
    repeat(&mut command, second.path());
    is_the_same(first.path(), second.path());
}

/// It is pasted where the first one was typed, so it must name the folder too.
#[test]
fn the_printed_command_makes_the_same_project_with_another_folder() {
    let (first, second) = (folder(), folder());
    for parent in [&first, &second] {
        fs::create_dir(parent.path().join("clients")).unwrap();
    }
    let mut command = mcpkit();
    command.current_dir(first.path()).args(["-C", "clients", "new", "acme", "--no-git"]);
    repeat(&mut command, second.path());
    is_the_same(first.path(), second.path());
}

#[test]
fn the_next_commands_start_where_the_run_was_started() {
    let folder = folder();
    fs::create_dir(folder.path().join("clients")).unwrap();
    let output = must(mcpkit().current_dir(folder.path()).args(["-C", "clients", "new", "acme", "--no-git"]));
    let text = stderr(&output);
    let cd = text.lines().find_map(|line| line.trim().strip_prefix("cd ")).unwrap();
    assert!(folder.path().join(cd).join("Cargo.toml").is_file(), "cd {cd}");
}

// The repository.

/// Git with exactly this configuration.
fn with_git(command: &mut Command, home: &Path, config: &str) {
    fs::write(home.join("gitconfig"), config).unwrap();
    command.env("HOME", home).env("GIT_CONFIG_GLOBAL", home.join("gitconfig")).env("GIT_CONFIG_NOSYSTEM", "1");
    let leaking = ["XDG_CONFIG_HOME", "EMAIL", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME"];
    for name in leaking.into_iter().chain(["GIT_COMMITTER_EMAIL", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"]) {
        command.env_remove(name);
    }
}

fn git(folder: &Path, args: &[&str]) -> String {
    stdout(&must(Command::new("git").current_dir(folder).args(args)))
}

const IDENTITY: &str = "[user]\nname = Ada\nemail = ada@example.com\n";

#[test]
fn a_project_is_born_with_one_commit_and_a_clean_tree() {
    let (folder, home) = (folder(), folder());
    let mut command = mcpkit();
    with_git(command.current_dir(folder.path()).args(["new", "acme", "--yes"]), home.path(), IDENTITY);
    must(&mut command);
    let project = folder.path().join("acme");
    let log = git(&project, &["log", "--format=%an <%ae> %cn <%ce> %D %s"]);
    let author = "Ada <ada@example.com>";
    assert_eq!(log, format!("{author} {author} HEAD -> main Generate the project with mcpkit\n"));
    assert_eq!(git(&project, &["status", "--porcelain", "--ignored"]), "");
}

#[test]
fn without_an_identity_the_commit_is_mcpkits() {
    let (folder, home) = (folder(), folder());
    let mut command = mcpkit();
    let config = "[user]\nuseConfigOnly = true\n";
    with_git(command.current_dir(folder.path()).args(["new", "acme", "--yes"]), home.path(), config);
    must(&mut command);
    let log = git(&folder.path().join("acme"), &["log", "--format=%an <%ae>"]);
    assert_eq!(log, "mcpkit <mcpkit@localhost>\n");
}

/// A person's hooks, signing key, templates and ignored names are for their own commits.
#[test]
fn the_users_own_configuration_of_git_does_not_change_the_commit() {
    let (folder, home) = (folder(), folder());
    let hooks = home.path().join("hooks");
    fs::create_dir(&hooks).unwrap();
    fs::write(hooks.join("pre-commit"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(hooks.join("pre-commit"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(home.path().join("ignore"), "Cargo.lock\n.mcpkit\n*.toml\n").unwrap();
    let home_folder = home.path().display();
    let config = format!(
        "{IDENTITY}[core]\nhooksPath = {home_folder}/hooks\nexcludesFile = {home_folder}/ignore\nautocrlf = true\n\
         [commit]\ngpgSign = true\n[init]\ndefaultBranch = trunk\n"
    );
    let mut command = mcpkit();
    with_git(command.current_dir(folder.path()).args(["new", "acme", "--yes"]), home.path(), &config);
    must(&mut command);
    assert_eq!(git(&folder.path().join("acme"), &["branch", "--show-current"]), "main\n");
    assert_eq!(left_out(&folder.path().join("acme"), &[]), [""; 0]);
}

/// The name of an integration must not meet a line of the project's own `.gitignore`.
#[test]
fn every_file_is_committed_whatever_the_integration_is_called() {
    for api in ["kek", "data", "target", "dev", "env"] {
        let folder = folder();
        let flags = ["--api", api, "--auth", "api-key"];
        must(mcpkit().current_dir(folder.path()).args(["new", "acme", "--yes"]).args(flags));
        assert_eq!(left_out(&folder.path().join("acme"), &flags), [""; 0], "{api}");
    }
}

/// The generated files that are not in the commit.
fn left_out(project: &Path, flags: &[&str]) -> Vec<String> {
    let committed = git(project, &["ls-tree", "-r", "--name-only", "HEAD"]);
    let committed: BTreeSet<&str> = committed.lines().collect();
    let generated = rendered::whole("acme", flags);
    generated.iter().map(|(path, _)| path.to_string()).filter(|path| !committed.contains(path.as_str())).collect()
}

#[test]
fn without_git_there_is_no_repository_if_that_is_wished() {
    let folder = folder();
    must(mcpkit().current_dir(folder.path()).args(["new", "acme", "--yes", "--no-git"]));
    assert!(!folder.path().join("acme/.git").exists());
}

#[test]
fn inside_a_repository_none_is_made_and_nothing_committed() {
    let folder = folder();
    git(folder.path(), &["init", "--quiet"]);
    is_recorded("inside_a_repository", &transcript(folder.path(), &["new", "acme"]));
    assert!(!folder.path().join("acme/.git").exists());
    assert_eq!(git(folder.path(), &["status", "--porcelain"]), "?? acme/\n");
}

#[test]
fn on_a_machine_without_git_there_is_a_note() {
    let (folder, nothing) = (folder(), folder());
    let args = ["new", "acme"];
    let output = mcpkit().current_dir(folder.path()).args(args).env("PATH", nothing.path()).output().unwrap();
    is_recorded("without_git", &shown(folder.path(), &args, &output));
    assert!(folder.path().join("acme/Cargo.toml").is_file());
}

/// A folder with a `git` in it that does what `script` says.
fn fake_git(script: &str) -> TempDir {
    let folder = folder();
    let path = folder.path().join("git");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

const FAILING_COMMIT: &str = r#"case "$*" in *" commit "*) echo "fatal: the sky is falling" >&2; exit 128;; esac"#;

#[test]
fn a_commit_that_fails_leaves_nothing() {
    let (folder, git) = (folder(), fake_git(FAILING_COMMIT));
    let args = ["new", "acme"];
    let output = mcpkit().current_dir(folder.path()).args(args).env("PATH", git.path()).output().unwrap();
    is_recorded("failing_commit", &shown(folder.path(), &args, &output));
    assert_eq!(disk::names(folder.path()), [""; 0]);
}

#[test]
fn a_commit_that_fails_leaves_the_folder_as_it_was() {
    let (folder, git) = (folder(), fake_git(FAILING_COMMIT));
    fs::write(folder.path().join("own"), "own").unwrap();
    let args = ["new", "acme", "--here"];
    let output = mcpkit().current_dir(folder.path()).args(args).env("PATH", git.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(disk::names(folder.path()), ["own"]);
}

/// The signal comes while the project is being made: git, called to make the repository, sends it.
#[test]
fn an_interrupted_run_rolls_back() {
    for signal in ["INT", "TERM"] {
        let (folder, git) = (folder(), fake_git(&format!(r#"case "$*" in *init*) kill -{signal} $PPID;; esac"#)));
        let output =
            mcpkit().current_dir(folder.path()).args(["new", "acme"]).env("PATH", git.path()).output().unwrap();
        assert_eq!(stderr(&output), "error: cancelled, nothing was written\n");
        assert_eq!(output.status.code(), Some(130));
        assert_eq!(disk::names(folder.path()), [""; 0]);
    }
}

// Disks that do not take it.

/// Runs `mcpkit new acme` in an empty file system mounted with `options`. Nothing where this machine lets nobody mount;
/// [`a_write_that_fails_half_way_leaves_nothing`] needs no such right.
fn on_a_mount(options: &str) -> Option<Output> {
    let folder = folder();
    let script = r#"mount -t tmpfs -o "$1" tmpfs "$2" && cd "$2" || exit 99
        echo mounted; "$3" new acme --yes --no-git; code=$?; ls -A; exit $code"#;
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh", options]);
    let output = command.arg(folder.path()).arg(env!("CARGO_BIN_EXE_mcpkit")).env("NO_COLOR", "1").output().ok()?;
    assert_eq!(stdout(&output).strip_prefix("mounted\n")?, "", "this is left behind");
    Some(output)
}

#[test]
fn a_full_disk_is_an_error_and_nothing_is_left() {
    let Some(output) = on_a_mount("size=64k") else { return };
    let text = "error: failed to write `.mcpkit/base/Cargo.lock.base`: No space left on device (os error 28)\n";
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), text));
}

/// The message names the folder that the person chose, not the one that mcpkit would have worked in.
#[test]
fn a_read_only_folder_is_an_error() {
    let Some(output) = on_a_mount("ro") else { return };
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.starts_with("error: failed to write in `.`: ") && !text.contains(".mcpkit-"), "{text}");
}

/// Runs mcpkit where no file may grow beyond 16 KiB.
fn limited(folder: &Path, args: &[&str]) -> Output {
    let script = r#"trap "" XFSZ; ulimit -f 32; exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_mcpkit")]).args(args);
    command.current_dir(folder).env("NO_COLOR", "1").output().unwrap()
}

#[test]
fn a_write_that_fails_half_way_leaves_nothing() {
    let folder = folder();
    let args = ["new", "acme", "--yes", "--no-git"];
    let output = limited(folder.path(), &args);
    is_recorded("failing_write", &shown(folder.path(), &args, &output));
    assert_eq!(disk::names(folder.path()), [""; 0]);
}

#[test]
fn a_write_that_fails_half_way_leaves_the_folder_as_it_was() {
    let folder = folder();
    fs::write(folder.path().join("own"), "own").unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    let before = disk::read(folder.path());
    let output = limited(folder.path(), &["new", "acme", "--here", "--yes", "--no-git"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(disk::read(folder.path()), before);
}

// Data on standard output.

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&must(mcpkit().args(["completions", shell])));
        for command in Cli::command().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
        }
    }
}

/// One catalogue drives prompts, flags, lists and completions alike.
#[test]
fn completions_offer_what_the_lists_show() {
    let lists = [catalog::PROVIDERS, catalog::SHAPES, catalog::TARGETS, catalog::TRANSPORTS];
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&must(mcpkit().args(["completions", shell])));
        let missing: Vec<&str> = lists.into_iter().flat_map(catalog::ids).filter(|id| !script.contains(id)).collect();
        assert_eq!(missing, [""; 0], "{shell}");
    }
}

#[test]
fn man_writes_a_page_for_each_command() {
    let folder = folder();
    must(mcpkit().current_dir(folder.path()).args(["man", "pages"]));
    let pages = disk::names(&folder.path().join("pages"));
    let mut expected: Vec<String> =
        Cli::command().get_subcommands().map(|command| format!("mcpkit-{}.1", command.get_name())).collect();
    expected.push("mcpkit.1".to_owned());
    expected.sort();
    assert_eq!(pages, expected);
    let page = fs::read_to_string(folder.path().join("pages/mcpkit-new.1")).unwrap();
    assert!(page.contains(r"\-\-integration"), "{page}");
}

#[test]
fn a_dry_run_of_man_writes_nothing() {
    let folder = folder();
    must(mcpkit().current_dir(folder.path()).args(["man", "pages", "--dry-run"]));
    assert_eq!(disk::names(folder.path()), [""; 0]);
}

#[test]
fn a_reader_that_has_left_is_no_failure() {
    for args in [&["list"] as &[&str], &["list", "--json"], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = mcpkit().args(args).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{args:?}");
    }
}

/// Half a list is worse than none: whoever redirects it must learn that it did not arrive.
#[test]
fn data_that_cannot_be_written_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = mcpkit().arg("list").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
