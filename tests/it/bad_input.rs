//! Projects that are not as mcpkit left them. Each command finishes safely or changes nothing, and says exactly what to do.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::disk;
use crate::grown::{CONFLICT, Grown, is_recorded};

const REGISTRY: &str = "src/integrations/mod.rs";

/// What `add-integration slack` writes of its own.
const SLACK: [&str; 7] = [
    "config/integrations/slack.toml",
    "src/integrations/slack",
    "src/integrations/slack/mod.rs",
    "src/integrations/slack/provider.rs",
    "src/integrations/slack/sandbox.rs",
    "src/integrations/slack/tests.rs",
    "src/integrations/slack/tools.rs",
];

/// Those, and what else changes with them, sorted.
fn slack_and(others: &[&str]) -> Vec<String> {
    let mut paths: Vec<String> = SLACK.iter().chain(others).map(|path| (*path).to_owned()).collect();
    paths.sort();
    paths
}

fn joined(transcripts: &[String]) -> String {
    transcripts.join("\n")
}

// The registry.

#[test]
fn a_registry_that_was_renamed_gets_its_lines_printed_and_the_rest_done() {
    let grown = Grown::new(&[]);
    grown.rename(REGISTRY, "src/integrations.rs");
    grown.commit();
    let before = grown.disk();
    let transcripts = [grown.says(&["add-integration", "slack"]), grown.says(&["check"])];
    assert_eq!(grown.changed_since(&before), slack_and(&["mcpkit.toml"]));
    is_recorded("registry_renamed", &joined(&transcripts));
}

#[test]
fn a_registry_that_was_deleted_gets_its_lines_printed_and_the_rest_done() {
    let grown = Grown::new(&[]);
    grown.remove(REGISTRY);
    grown.commit();
    let before = grown.disk();
    is_recorded("registry_deleted", &grown.says(&["add-integration", "slack"]));
    assert_eq!(grown.changed_since(&before), slack_and(&["mcpkit.toml"]));
    grown.must(&["update", "--theirs", REGISTRY]);
    assert!(grown.read(REGISTRY).contains("pub mod slack;"), "{}", grown.read(REGISTRY));
}

/// The owner's lines stand where the new ones belong. Between markers nothing would compile.
#[test]
fn a_registry_with_lines_of_the_owners_where_the_new_ones_belong_stays_and_they_are_printed() {
    let grown = Grown::new(&[]);
    grown.edit(REGISTRY, "pub mod notion;\n", "pub mod notion;\npub mod own;\n");
    grown.commit();
    let before = grown.disk();
    let line: &[&str] = &["add-integration", "slack"];
    let transcripts = [grown.says(line), grown.says(&["check"]), grown.says(line)];
    assert_eq!(grown.changed_since(&before), slack_and(&["mcpkit.toml"]));
    is_recorded("registry_edited", &joined(&transcripts));
    grown.edit(REGISTRY, "pub mod own;\n", "pub mod own;\npub mod slack;\n");
    grown.edit(REGISTRY, "    app\n}", "    app = app.integration(\"slack\", slack::integration());\n    app\n}");
    assert!(!grown.says(line).contains("note"), "{}", grown.says(line));
}

#[test]
fn a_registry_with_lines_of_the_owners_elsewhere_takes_the_new_ones_in() {
    let grown = Grown::new(&[]);
    grown.append(REGISTRY, "\n/// Ours.\npub const OWN: u8 = 1;\n");
    grown.commit();
    let before = grown.disk();
    grown.must(&["add-integration", "slack"]);
    assert_eq!(grown.changed_since(&before), slack_and(&["mcpkit.toml", REGISTRY]));
    let text = grown.read(REGISTRY);
    for line in
        ["pub mod slack;", "    app = app.integration(\"slack\", slack::integration());", "pub const OWN: u8 = 1;"]
    {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
}

#[test]
fn a_main_that_was_moved_is_no_matter() {
    let grown = Grown::new(&[]);
    grown.rename("src/main.rs", "src/bin/acme.rs");
    grown.commit();
    let before = grown.disk();
    let transcripts = [grown.says(&["add-integration", "slack"]), grown.says(&["update"]), grown.says(&["check"])];
    assert_eq!(grown.changed_since(&before), slack_and(&["mcpkit.toml", REGISTRY]));
    is_recorded("main_moved", &joined(&transcripts));
}

// The record.

#[test]
fn a_record_that_was_deleted_is_made_again_by_the_version_that_wrote_it() {
    let grown = Grown::new(&[]);
    let whole = grown.disk();
    grown.remove(".mcpkit");
    grown.commit();
    let transcripts = [grown.says(&["check"]), grown.says(&["update", "--dry-run"]), grown.says(&["update"])];
    is_recorded("record_deleted", &joined(&transcripts));
    assert_eq!(grown.disk(), whole);
}

#[test]
fn an_integration_is_added_where_the_record_was_deleted() {
    let (grown, other) = (Grown::new(&[]), Grown::new(&[]));
    grown.remove(".mcpkit");
    grown.commit();
    for project in [&grown, &other] {
        project.must(&["add-integration", "slack"]);
    }
    assert_eq!(grown.disk(), other.disk());
}

#[test]
fn an_older_project_whose_record_was_deleted_is_left_alone_and_told_the_way_out() {
    let grown = Grown::of_0_1_0();
    grown.remove(".mcpkit");
    grown.commit();
    let lines: [&[&str]; 6] = [
        &["update"],
        &["check"],
        &["diff"],
        &["add-integration", "slack"],
        &["add-deploy", "compose"],
        &["keep", "kit"],
    ];
    is_recorded("record_deleted_old", &grown.says_and_changes_nothing(&lines));
}

#[test]
fn a_lock_that_was_deleted_is_made_again() {
    let grown = Grown::new(&[]);
    let whole = grown.disk();
    grown.remove(".mcpkit/lock.toml");
    grown.commit();
    is_recorded("lock_deleted", &joined(&[grown.says(&["check"]), grown.says(&["update"])]));
    assert_eq!(grown.disk(), whole);
}

#[test]
fn pristine_texts_that_were_deleted_are_made_again_and_the_owners_changes_stay() {
    let grown = Grown::new(&[]);
    grown.append("kit/core/src/lib.rs", "// Ours.\n");
    let whole = grown.disk();
    grown.remove(".mcpkit/base/kit/core/src");
    grown.commit();
    is_recorded("base_deleted", &joined(&[grown.says(&["diff"]), grown.says(&["update"])]));
    assert_eq!(grown.disk(), whole);
}

/// Neither the pristine text nor the templates that made it are there: what nobody touched is known by its hash.
#[test]
fn an_older_project_without_pristine_texts_is_updated_where_nobody_touched_it() {
    let grown = Grown::of_0_1_0();
    grown.append("kit/core/src/lib.rs", "// Ours.\n");
    grown.remove(".mcpkit/base");
    grown.commit();
    let before = grown.read("kit/core/src/lib.rs");
    let transcript = grown.says(&["update"]);
    assert!(transcript.ends_with("--- exit 0\n") || transcript.ends_with("--- exit 4\n"), "{transcript}");
    assert_eq!(grown.read("kit/core/src/lib.rs"), before);
    assert!(grown.read("mcpkit.toml").contains(&format!("version = \"{}\"", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_record_that_is_a_file_or_a_link_is_not_written_through() {
    let (one, two) = (Grown::new(&[]), Grown::new(&[]));
    one.remove(".mcpkit");
    one.write(".mcpkit", "own\n");
    two.rename(".mcpkit", "record");
    symlink("record", two.path(".mcpkit")).unwrap();
    let lines: [&[&str]; 3] = [&["check"], &["update"], &["add-integration", "slack"]];
    let transcripts = [&one, &two].map(|grown| {
        grown.commit();
        grown.says_and_changes_nothing(&lines)
    });
    is_recorded("record_other_kind", &joined(&transcripts));
}

// The manifest.

#[test]
fn a_manifest_of_a_newer_mcpkit_is_left_alone() {
    let transcripts =
        [("schema = 1", "schema = 2"), ("version = \"0.2.0\"", "version = \"9.1.0\"")].map(|(from, to)| {
            let grown = Grown::new(&[]);
            grown.edit("mcpkit.toml", from, to);
            grown.commit();
            grown.says_and_changes_nothing(&[&["update"], &["check"], &["add-integration", "slack"]])
        });
    is_recorded("manifest_newer", &joined(&transcripts));
}

#[test]
fn a_manifest_that_does_not_fit_is_refused_with_what_would() {
    let grown = Grown::new(&[]);
    let good = grown.read("mcpkit.toml");
    let edits: [(&str, &str); 18] = [
        ("schema = 1", "schema = "),
        ("schema = 1", ""),
        ("version = \"0.2.0\"", "version = 2"),
        ("[answers]", "[answer]"),
        ("[answers]", "[answers]\ncolour = \"blue\""),
        ("name = \"acme\"", "nam = \"acme\""),
        ("name = \"acme\"", "name = \"gen\""),
        ("transport = \"both\"", ""),
        ("transport = \"both\"", "transport = \"htp\""),
        ("provider = \"notion\"", "provider = \"notoin\""),
        ("provider = \"notion\"", "shape = \"api-key\"\ncolour = \"blue\""),
        ("provider = \"notion\"", ""),
        ("instance = \"notion\"", "instance = \"My Wiki\""),
        ("[[integrations]]\ninstance = \"notion\"\nprovider = \"notion\"\n", ""),
        ("[[integrations]]", "[[integrations]]\ninstance = \"notion\"\nprovider = \"slack\"\n\n[[integrations]]"),
        ("[[integrations]]", "[deploy.compse]\n\n[[integrations]]"),
        ("[[integrations]]", "[deploy.compose]\nregion = \"eu\"\n\n[[integrations]]"),
        ("[[integrations]]", "[files]\nkeep = [\"kit/***\"]\n\n[[integrations]]"),
    ];
    let transcripts = edits.map(|(from, to)| {
        grown.write("mcpkit.toml", &good);
        grown.edit("mcpkit.toml", from, to);
        format!(
            "# `{}` for `{}`\n{}",
            to.replace('\n', "\\n"),
            from.replace('\n', "\\n"),
            grown.says_and_changes_nothing(&[&["check"]])
        )
    });
    is_recorded("manifest_unfit", &joined(&transcripts));
}

#[test]
fn a_manifest_that_deploys_what_speaks_only_stdio_is_refused() {
    let grown = Grown::new(&["--transport", "stdio"]);
    grown.append("mcpkit.toml", "\n[deploy.compose]\n");
    is_recorded("manifest_stdio_deployed", &grown.says_and_changes_nothing(&[&["update"]]));
}

#[test]
fn a_manifest_that_is_no_text_is_refused() {
    let grown = Grown::new(&[]);
    grown.write("mcpkit.toml", b"\xff\xfe");
    is_recorded("manifest_no_text", &grown.says_and_changes_nothing(&[&["check"], &["update"]]));
}

#[test]
fn a_manifest_with_crlf_says_the_same_and_keeps_its_line_ends() {
    let grown = Grown::new(&[]);
    grown.write("mcpkit.toml", grown.read("mcpkit.toml").replace('\n', "\r\n"));
    let before = grown.disk();
    grown.must(&["update"]);
    assert_eq!(grown.changed_since(&before), [""; 0]);
    grown.must(&["add-deploy", "compose"]);
    let text = grown.read("mcpkit.toml");
    assert!(text.contains("[deploy.compose]\r\n"), "{text:?}");
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
}

// Conflicts.

#[test]
fn a_conflict_that_is_not_resolved_stops_whatever_writes() {
    let grown = Grown::new(&[]);
    grown.append("README.md", CONFLICT);
    grown.append("src/lib.rs", CONFLICT);
    grown.commit();
    let lines: [&[&str]; 5] =
        [&["update"], &["add-integration", "slack"], &["add-deploy", "compose"], &["keep", "kit"], &["check"]];
    is_recorded("conflict", &grown.says_and_changes_nothing(&lines));
    // A file that is made anew needs no resolving.
    grown.must(&["update", "--theirs", "README.md", "--theirs", "src/lib.rs"]);
    grown.must(&["check"]);
}

/// One marker was overlooked. Git would not see a conflict in it either, but the line is mcpkit's beyond doubt.
#[test]
fn a_conflict_that_is_half_resolved_stops_whatever_writes() {
    let grown = Grown::new(&[]);
    grown.append("Cargo.toml", ">>>>>>> mcpkit 0.2.0\n");
    grown.append("src/lib.rs", "<<<<<<< yours\n");
    grown.commit();
    is_recorded(
        "conflict_half",
        &grown.says_and_changes_nothing(&[&["update"], &["add-integration", "slack"], &["check"]]),
    );
}

#[test]
fn a_conflict_in_the_manifest_stops_everything() {
    let grown = Grown::new(&[]);
    grown.append("mcpkit.toml", CONFLICT);
    grown.commit();
    let lines: [&[&str]; 4] = [&["update"], &["add-integration", "slack"], &["check"], &["diff"]];
    is_recorded("conflict_manifest", &grown.says_and_changes_nothing(&lines));
}

// What is asked for.

#[test]
fn an_integration_that_is_there_is_not_added_again_and_its_name_is_not_given_away() {
    let grown = Grown::new(&["--integration", "notion", "--api", "crm", "--auth", "api-key"]);
    let lines: [&[&str]; 8] = [
        &["add-integration", "notion"],
        &["add-integration", "crm", "--auth", "api-key"],
        &["add-integration", "slack", "--name", "notion"],
        &["add-integration", "slack=notion"],
        &["add-integration", "notion", "--auth", "api-key"],
        &["add-integration", "crm", "--auth", "restli"],
        &["add-integration", "crm", "--auth", "api-key", "--set", "header=X-Own"],
        &["add-integration", "slack", "--name", "crm"],
    ];
    is_recorded("integration_there", &grown.says_and_changes_nothing(&lines));
}

#[test]
fn an_integration_that_does_not_fit_is_refused_with_one_that_does() {
    let grown = Grown::new(&[]);
    let lines: [&[&str]; 12] = [
        &["add-integration"],
        &["add-integration", ""],
        &["add-integration", "slak"],
        &["add-integration", "zzz"],
        &["add-integration", "zzz", "--name", "own"],
        &["add-integration", "My CRM"],
        &["add-integration", "My CRM", "--auth", "api-key"],
        &["add-integration", "type", "--auth", "api-key"],
        &["add-integration", "crm", "--auth", "apikey"],
        &["add-integration", "slack", "--name", "My Slack"],
        &["add-integration", "slack", "--set", "base_url=https://slack.com"],
        &["add-integration", "crm", "--auth", "api-key", "--set", "baseurl=https://api.acme.com"],
    ];
    is_recorded("integration_unfit", &grown.says_and_changes_nothing(&lines));
}

#[test]
fn a_target_that_does_not_fit_is_refused_with_one_that_does() {
    let grown = Grown::new(&["--deploy", "compose"]);
    let lines: [&[&str]; 4] =
        [&["add-deploy"], &["add-deploy", "compse"], &["add-deploy", "zzz"], &["add-deploy", "compose", "compose"]];
    is_recorded("target_unfit", &grown.says_and_changes_nothing(&lines));
}

/// What the refusal says is the way indeed.
#[test]
fn a_project_that_speaks_only_stdio_is_deployed_after_it_has_learnt_http() {
    let grown = Grown::new(&["--transport", "stdio"]);
    is_recorded("target_stdio", &grown.says_and_changes_nothing(&[&["add-deploy", "compose"], &["add-deploy"]]));
    grown.edit("mcpkit.toml", "transport = \"stdio\"", "transport = \"both\"");
    grown.must(&["update"]);
    grown.must(&["add-deploy", "compose"]);
    grown.must(&["check"]);
    assert!(grown.path("deploy/compose/compose.yaml").is_file());
}

#[test]
fn a_path_that_was_never_generated_is_refused() {
    let grown = Grown::new(&[]);
    let lines: [&[&str]; 6] = [
        &["keep", "src/own.rs"],
        &["keep", "README.md"],
        &["keep", "kit/***"],
        &["update", "--theirs", "kti"],
        &["update", "--ours", "kti/**"],
        &["diff", "kti"],
    ];
    is_recorded("path_unknown", &grown.says_and_changes_nothing(&lines));
}

// The place.

#[test]
fn outside_a_project_there_is_nothing_to_do_and_it_says_where_to_go() {
    let grown = Grown::new(&[]);
    let lines: [&[&str]; 5] = [
        &["-C", "..", "check"],
        &["-C", "..", "add-integration", "slack"],
        &["-C", "..", "update"],
        &["-C", "nowhere", "check"],
        &["-C", "Cargo.toml", "check"],
    ];
    is_recorded("place_outside", &grown.says_and_changes_nothing(&lines));
}

#[test]
fn a_subfolder_of_the_project_is_as_good_as_its_top() {
    let grown = Grown::new(&[]);
    let before = grown.disk();
    let transcripts = [
        grown.says_in("src/integrations", &["add-integration", "slack"]),
        grown.says_in("kit/core", &["keep", "kit/core/src/lib.rs"]),
        grown.says_in("kit/core", &["check"]),
    ];
    assert_eq!(grown.changed_since(&before), slack_and(&["mcpkit.toml", REGISTRY]));
    is_recorded("place_subfolder", &joined(&transcripts));
}

#[test]
fn a_project_in_a_subfolder_of_a_repository_is_judged_by_its_own_files() {
    let grown = Grown::in_a_larger_repository("services");
    fs::write(grown.parent().join("README.md"), "changed\n").unwrap();
    fs::write(grown.parent().join("mcpkit.toml"), "# Of somebody else.\n").unwrap();
    let before = disk::read(grown.parent());
    grown.must(&["add-integration", "slack"]);
    let after = disk::read(grown.parent());
    let changed = disk::differences(&before, &after);
    assert!(changed.iter().all(|path| path.starts_with("services/acme/")), "{changed:?}");
    grown.append(REGISTRY, "// Ours.\n");
    is_recorded("place_monorepo", &grown.says_and_changes_nothing(&[&["add-integration", "meta"]]));
}

#[test]
fn without_a_repository_it_is_done_and_a_note_says_that_git_cannot_undo_it() {
    let grown = Grown::without_git();
    is_recorded(
        "place_without_git",
        &joined(&[grown.says(&["add-integration", "slack"]), grown.says(&["add-integration", "slack"])]),
    );
}

/// A repository of another user's, a broken one, no git on the machine: nobody can tell what is committed.
#[test]
fn a_repository_that_git_cannot_read_counts_as_uncommitted_where_the_owner_changed_something() {
    let grown = Grown::without_git();
    grown.write(".git", "gitdir: nowhere\n");
    grown.append(REGISTRY, "// Ours.\n");
    is_recorded("place_broken_git", &grown.says_and_changes_nothing(&[&["add-integration", "slack"]]));
    // Nothing of the owner's is in the way of this one.
    grown.must(&["add-deploy", "compose"]);
    grown.must(&["add-integration", "slack", "--allow-dirty"]);
}

// What stands in the place of a file.

#[test]
fn a_link_in_the_place_of_a_file_is_neither_written_through_nor_replaced() {
    let grown = Grown::new(&[]);
    grown.rename(REGISTRY, "registry.rs");
    symlink("../../registry.rs", grown.path(REGISTRY)).unwrap();
    grown.commit();
    let lines: [&[&str]; 4] = [&["add-integration", "slack"], &["check"], &["update", "--theirs", REGISTRY], &["diff"]];
    is_recorded("link_file", &grown.says_and_changes_nothing(&lines));
}

#[test]
fn a_link_in_the_place_of_a_folder_is_not_written_through() {
    let grown = Grown::new(&[]);
    fs::create_dir(grown.parent().join("elsewhere")).unwrap();
    symlink("../../../elsewhere", grown.path("src/integrations/slack")).unwrap();
    grown.commit();
    is_recorded("link_folder", &grown.says_and_changes_nothing(&[&["add-integration", "slack"]]));
    assert_eq!(disk::names(&grown.parent().join("elsewhere")), [""; 0]);
}

#[test]
fn a_manifest_behind_a_link_is_read_and_not_written() {
    let grown = Grown::new(&[]);
    grown.rename("mcpkit.toml", "answers.toml");
    symlink("answers.toml", grown.path("mcpkit.toml")).unwrap();
    grown.commit();
    is_recorded("link_manifest", &grown.says_and_changes_nothing(&[&["check"], &["add-deploy", "compose"]]));
}

#[test]
fn a_file_that_is_no_text_is_left_alone() {
    let grown = Grown::new(&[]);
    grown.write(REGISTRY, b"\xff\xfe");
    grown.commit();
    let lines: [&[&str]; 4] = [&["add-integration", "slack"], &["check"], &["update", "--theirs", REGISTRY], &["diff"]];
    is_recorded("no_text", &grown.says_and_changes_nothing(&lines));
}

#[test]
fn files_that_are_in_the_way_of_an_integration_stop_it() {
    let grown = Grown::new(&[]);
    grown.write("src/integrations/slack/mod.rs", "own\n");
    grown.write("src/integrations/slack/tools.rs", "own\n");
    let line: &[&str] = &["add-integration", "slack"];
    let one = grown.says_and_changes_nothing(&[line, &["add-integration", "slack", "--dry-run"]]);
    grown.remove("src/integrations/slack/mod.rs");
    is_recorded("in_the_way", &joined(&[one, grown.says_and_changes_nothing(&[line])]));
}

#[test]
fn a_file_for_a_folder_or_a_folder_for_a_file_stops_it() {
    let (one, two) = (Grown::new(&[]), Grown::new(&[]));
    one.write("src/integrations/slack", "own\n");
    two.write("src/integrations/slack/tools.rs/own", "own\n");
    let transcripts = [&one, &two].map(|grown| grown.says_and_changes_nothing(&[&["add-integration", "slack"]]));
    is_recorded("in_the_way_other_kind", &joined(&transcripts));
}

/// Where modes mean nothing to the user of this machine, there is nothing to see.
#[test]
fn a_folder_that_cannot_be_written_in_takes_everything_back() {
    let grown = Grown::new(&[]);
    let folder = grown.path("config/integrations");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.join("probe"), "").is_err() {
        is_recorded("read_only", &grown.says_and_changes_nothing(&[&["add-integration", "slack"]]));
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

// Uncommitted changes.

#[test]
fn uncommitted_changes_in_what_is_written_are_refused_until_they_are_allowed() {
    let grown = Grown::new(&[]);
    grown.append(REGISTRY, "// Ours.\n");
    grown.append("mcpkit.toml", "# Ours.\n");
    let line = ["add-integration", "slack"];
    let refused = grown.says_and_changes_nothing(&[&line, &[&line[..], &["--dry-run"]].concat()]);
    let allowed = grown.says(&[&line[..], &["--allow-dirty"]].concat());
    is_recorded("uncommitted", &joined(&[refused, allowed]));
    for path in [REGISTRY, "mcpkit.toml"] {
        let text = grown.read(path);
        assert!(text.contains(" Ours.\n") && text.contains("slack"), "{text}");
    }
}

#[test]
fn uncommitted_changes_elsewhere_are_no_reason() {
    let grown = Grown::new(&[]);
    grown.append("README.md", "Ours.\n");
    grown.append("src/lib.rs", "// Ours.\n");
    grown.write("notes.txt", "own\n");
    let before = grown.disk();
    grown.must(&["add-integration", "slack"]);
    assert_eq!(grown.changed_since(&before), slack_and(&["mcpkit.toml", REGISTRY]));
}

#[test]
fn what_mcpkit_has_just_written_is_no_reason() {
    let grown = Grown::new(&[]);
    for line in [["add-integration", "slack"], ["add-integration", "meta"], ["add-deploy", "compose"]] {
        grown.must(&line);
    }
    grown.must(&["keep", "kit/core/src/lib.rs"]);
    grown.must(&["update"]);
    grown.must(&["check"]);
}

// What stays.

/// Every file that is text, each line of which must end in CRLF.
fn without_crlf(grown: &Grown) -> Vec<String> {
    let wrong = |state: &str| {
        state.split_once('\n').is_some_and(|(_, text)| text.matches('\n').count() != text.matches("\r\n").count())
    };
    grown.disk().into_iter().filter(|(_, state)| wrong(state)).map(|(path, _)| path).collect()
}

#[test]
fn a_project_with_crlf_stays_so_through_additions() {
    let grown = Grown::new(&[]);
    grown.make_crlf();
    let before = grown.disk();
    grown.must(&["update"]);
    assert_eq!(grown.disk(), before, "there was nothing to do");
    grown.must(&["add-integration", "slack"]);
    grown.must(&["add-deploy", "compose"]);
    assert_eq!(without_crlf(&grown), [""; 0]);
    grown.must(&["check"]);
    assert_eq!(grown.git(&["diff", "--stat", "--", "Cargo.toml", "kit"]), "");
}

#[test]
fn a_project_with_crlf_stays_so_through_an_update_and_a_conflict() {
    let grown = Grown::of_0_1_0();
    let old = grown.read("mcpkit.toml");
    grown.append("README.md", "Ours.\n");
    grown.make_crlf();
    assert_eq!(grown.run(&["update"]).status.code(), Some(4));
    assert_eq!(without_crlf(&grown), [""; 0]);
    assert!(grown.read("README.md").contains("\r\n<<<<<<< yours\r\n"), "{}", grown.read("README.md"));
    grown.must(&["update", "--theirs", "README.md", "--allow-dirty"]);
    assert_eq!(without_crlf(&grown), [""; 0]);
    assert_ne!(grown.read("mcpkit.toml"), old.replace('\n', "\r\n"), "the version has changed");
    grown.must(&["check"]);
}

#[test]
fn modes_of_files_stay() {
    let grown = Grown::new(&[]);
    let mode = |path: &str| fs::metadata(grown.path(path)).unwrap().permissions().mode() & 0o777;
    for (path, mode) in [(REGISTRY, 0o600), ("mcpkit.toml", 0o664), (".mcpkit/lock.toml", 0o640)] {
        fs::set_permissions(grown.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    grown.must(&["add-integration", "slack"]);
    assert_eq!([mode(REGISTRY), mode("mcpkit.toml"), mode(".mcpkit/lock.toml")], [0o600, 0o664, 0o640]);
    assert_eq!(mode("src/integrations/slack/mod.rs"), mode("src/integrations/notion/mod.rs"));
}

/// A workspace of the owner's making: shared dependencies, an order and a layout of their own.
#[test]
fn a_cargo_toml_in_a_form_of_its_own_is_not_touched_by_what_needs_nothing_of_it() {
    let grown = Grown::new(&[]);
    let text = grown.read("Cargo.toml");
    let own = "# Ours.\n[workspace.dependencies]\nregex   =   { version='1' ,  features=[ 'std', ] } # odd\n\n";
    grown.write("Cargo.toml", format!("{own}{text}"));
    grown.commit();
    let before = grown.read("Cargo.toml");
    grown.must(&["add-integration", "slack"]);
    grown.must(&["add-deploy", "compose"]);
    grown.must(&["update"]);
    grown.must(&["check"]);
    assert_eq!(grown.read("Cargo.toml"), before);
}

#[test]
fn no_temporary_file_is_left_by_any_of_it() {
    let grown = Grown::new(&[]);
    grown.write("src/integrations/slack/tools.rs", "own\n");
    grown.run(&["add-integration", "slack"]);
    grown.must(&["add-integration", "meta"]);
    let left: Vec<String> = disk::read(grown.parent())
        .into_keys()
        .filter(|path| Path::new(path).file_name().unwrap().to_str().unwrap().starts_with(".mcpkit-"))
        .collect();
    assert_eq!(left, [""; 0]);
}
