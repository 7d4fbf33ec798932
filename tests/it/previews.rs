//! What a command would do is what it does: `--dry-run`, `--diff` and `--json` show the very plan that is applied.

use std::fs;

use serde_json::Value;

use crate::disk::Disk;
use crate::grown::{Grown, is_recorded};

/// A command, and a project on which it has something to do.
struct Case {
    /// The name of its snapshot.
    name: &'static str,
    args: &'static [&'static str],
    project: fn() -> Grown,
}

fn fresh() -> Grown {
    Grown::new(&[])
}

/// An older project with changes of the owner's, one of them where the update has its own.
fn older() -> Grown {
    let grown = Grown::of_0_1_0();
    grown.append("README.md", "Ours.\n");
    grown.append("src/lib.rs", "\n// Ours.\n");
    grown.commit();
    grown
}

/// A project on which everything that an update can do is done: files come, change, go, stay and are brought back.
fn rearranged() -> Grown {
    let grown = Grown::new(&["--deploy", "compose", "--transport", "http"]);
    grown.edit("mcpkit.toml", "[deploy.compose]\n", "");
    grown.edit("mcpkit.toml", "transport = \"http\"", "transport = \"both\"");
    grown.remove("src/lib.rs");
    grown.append("kit/core/src/lib.rs", "// Ours.\n");
    grown.commit();
    grown
}

const CASES: [Case; 7] = [
    Case { name: "json_add_integration", args: &["add-integration", "slack"], project: fresh },
    Case { name: "json_add_integration_own", args: &["add-integration", "crm", "--auth", "api-key"], project: fresh },
    Case { name: "json_add_deploy", args: &["add-deploy", "compose"], project: fresh },
    Case { name: "json_keep", args: &["keep", "kit/core/src/lib.rs"], project: fresh },
    Case { name: "json_update", args: &["update"], project: older },
    Case {
        name: "json_update_chosen",
        args: &["update", "--theirs", "kit", "--theirs", "src/lib.rs"],
        project: rearranged,
    },
    Case { name: "json_nothing", args: &["add-integration", "notion"], project: fresh },
];

fn with(case: &Case, flags: &[&'static str]) -> Vec<&'static str> {
    [case.args, flags].concat()
}

fn stdout(grown: &Grown, args: &[&str]) -> String {
    String::from_utf8(grown.run(args).stdout).unwrap()
}

fn without_record(grown: &Grown) -> Disk {
    grown.disk().into_iter().filter(|(path, _)| !path.starts_with(".mcpkit")).collect()
}

/// Applies `patch` with git.
fn apply(grown: &Grown, patch: &str) {
    if !patch.is_empty() {
        let file = grown.parent().join("patch");
        fs::write(&file, patch).unwrap();
        grown.git(&["apply", "--whitespace=nowarn", file.to_str().unwrap()]);
    }
}

/// The patch of a dry run, applied by git, makes the project that the run makes; the run prints the same patch.
fn same_by_patch_and_by_run(case: &Case, one: &Grown, two: &Grown) {
    let before = one.disk();
    let patch = stdout(one, &with(case, &["--dry-run", "--diff"]));
    assert_eq!(one.disk(), before, "{}: a dry run writes nothing", case.name);
    apply(one, &patch);
    assert_eq!(stdout(two, &with(case, &["--diff"])), patch, "{}", case.name);
    assert_eq!(without_record(one), without_record(two), "{}", case.name);
}

#[test]
fn the_patch_of_a_dry_run_makes_the_same_project_as_the_run() {
    for case in CASES {
        same_by_patch_and_by_run(&case, &(case.project)(), &(case.project)());
    }
}

#[test]
fn the_patch_of_a_project_with_crlf_fits_too() {
    for case in CASES.iter().filter(|case| matches!(case.name, "json_add_integration" | "json_update")) {
        let [one, two] = [(case.project)(), (case.project)()];
        one.make_crlf();
        two.make_crlf();
        same_by_patch_and_by_run(case, &one, &two);
    }
}

#[test]
fn the_report_of_a_dry_run_is_that_of_the_run_but_for_what_comes_next() {
    for case in CASES {
        let grown = (case.project)();
        let before = grown.disk();
        let dry = stdout(&grown, &with(&case, &["--dry-run", "--json"]));
        let listed = grown.run(&with(&case, &["--dry-run"]));
        assert_eq!(grown.disk(), before, "{}: a dry run writes nothing", case.name);

        let wet = stdout(&grown, &with(&case, &["--json"]));
        let [mut dry, real]: [Value; 2] = [&dry, &wet].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(dry["next"], Value::Array(Vec::new()));
        dry["next"] = real["next"].clone();
        assert_eq!(dry, real, "{}", case.name);

        // The list for people has the same lines.
        let lines: Vec<String> = real["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| format!("{:9} {}", change["action"].as_str().unwrap(), change["path"].as_str().unwrap()))
            .collect();
        let listed = String::from_utf8(listed.stderr).unwrap();
        let listed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("  ")?.get(2..)).collect();
        assert_eq!(listed[..lines.len()], lines, "{}", case.name);

        let text =
            wet.replace(grown.parent().to_str().unwrap(), "<FOLDER>").replace(env!("CARGO_PKG_VERSION"), "<VERSION>");
        // A line for each field and each file, so that a difference can be read.
        let text = text.replace("],\"", "],\n\"").replace("{\"path\"", "\n  {\"path\"");
        // What an update of the frozen project brings grows with every change of a template; two rows stand for all.
        let stays = |line: &&str| {
            case.name != "json_update"
                || !line.starts_with("  {\"path\"")
                || ["\"README.md\"", "\"mcpkit.toml\""].iter().any(|path| line.contains(path))
        };
        is_recorded(case.name, &text.lines().filter(stays).map(|line| format!("{line}\n")).collect::<String>());
    }
}

#[test]
fn with_json_nothing_else_is_printed() {
    let grown = fresh();
    let output = grown.run(&["add-integration", "slack", "--json", "--diff", "--verbose"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
}

#[test]
fn quiet_says_nothing_and_verbose_names_every_file() {
    let grown = fresh();
    let output = grown.run(&["add-integration", "slack", "--quiet"]);
    assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()));
    let output = String::from_utf8(grown.run(&["add-deploy", "compose", "--verbose"]).stderr).unwrap();
    for line in
        ["  + create    deploy/compose/compose.yaml\n", "  = unchanged README.md\n", "  ~ change    mcpkit.toml\n"]
    {
        assert!(output.contains(line), "{line}{output}");
    }
}
