//! Key by key, in files that their owner writes in: what is new comes in, and all else stays as it is laid out.

use mcpkit::cargo_toml::merge;
use mcpkit::manifest;
use mcpkit::migrate::Migration;
use semver::Version;

/// The owner's file after the way from `base` to `target`, with nothing left to tell.
fn merged(base: &str, user: &str, target: &str) -> String {
    let edited = merge(base, user, target).unwrap();
    assert_eq!(edited.notes, [""; 0]);
    edited.text
}

/// What is told of a file that stays as it is.
fn left(base: &str, user: &str, target: &str) -> Vec<String> {
    let edited = merge(base, user, target).unwrap();
    assert_eq!(edited.text, user);
    edited.notes
}

#[test]
fn what_the_owner_wrote_stays_byte_for_byte_where_nothing_is_new() {
    let user = "#top\n\n[b]\nz=1   # odd\n  a   = [ 1,2,\n3 ]\n\n\n[a]\n'q' = \"x\" # end\n";
    assert_eq!(merged("[a]\nq = 'x'\n", user, "[a]\nq = 'x'\n"), user);
}

#[test]
fn a_new_key_goes_to_the_end_of_its_table_with_the_comment_above_it() {
    let base = "[dependencies]\nserde = \"1\"\n";
    let user = "[dependencies]\nserde   = \"1\" # mine\nanyhow=\"1\"\n\n[lints]\nworkspace = true\n";
    let target = "[dependencies]\n# Signs requests.\nhmac = \"0.12\"\nserde = \"1\"\n";
    let expected = "[dependencies]\nserde   = \"1\" # mine\nanyhow=\"1\"\n# Signs requests.\nhmac = \"0.12\"\n\n\
                    [lints]\nworkspace = true\n";
    assert_eq!(merged(base, user, target), expected);
}

#[test]
fn a_missing_table_is_added_as_a_table() {
    let (base, user) = ("[package]\nname = \"a\"\n", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n");
    let target = "[package]\nname = \"a\"\n\n[dependencies]\nx = { workspace = true }\n";
    let expected = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n\n[dependencies]\nx = { workspace = true }\n";
    assert_eq!(merged(base, user, target), expected);
}

#[test]
fn a_version_is_raised_only_where_the_old_one_stands() {
    let (base, target) = ("[dependencies]\na = \"1\"\n", "[dependencies]\na = \"2\"\n");
    assert_eq!(merged(base, "[dependencies]\na = '1'   # why\n", target), "[dependencies]\na = \"2\"   # why\n");
    assert_eq!(
        left(base, "[dependencies]\na = \"3\"\n", target),
        ["`dependencies.a` stays `\"3\"`; mcpkit's is `\"2\"`"]
    );
    assert_eq!(left(base, "[dependencies]\n", target), ["`dependencies.a` is gone; mcpkit's is now `\"2\"`"]);
}

/// The same dependency in each of the ways that cargo takes.
#[test]
fn a_version_is_raised_however_the_dependency_is_written() {
    let (base, target) = ("[dependencies]\na = \"1\"\n", "[dependencies]\na = \"2\"\n");
    let cases = [
        (
            "[dependencies]\na = { version = \"1\", optional = true }\n",
            "[dependencies]\na = { version = \"2\", optional = true }\n",
        ),
        (
            "[dependencies]\na.version = \"1\"\na.optional = true\n",
            "[dependencies]\na.version = \"2\"\na.optional = true\n",
        ),
        (
            "[dependencies.a] # mine\nversion = \"1\"\noptional = true\n",
            "[dependencies.a] # mine\nversion = \"2\"\noptional = true\n",
        ),
        ("[dependencies.a]\nversion = \"1\"\n", "[dependencies.a]\nversion = \"2\"\n"),
        ("dependencies = { a = \"1\" }\n", "dependencies = { a = \"2\" }\n"),
    ];
    for (user, expected) in cases {
        assert_eq!(merged(base, user, target), expected);
    }
}

#[test]
fn a_table_that_says_only_the_version_is_the_version() {
    assert_eq!(
        merged(
            "[dependencies]\na = \"1\"\n",
            "[dependencies]\na = { version = \"2\" }\n",
            "[dependencies]\na = \"2\"\n"
        ),
        "[dependencies]\na = { version = \"2\" }\n"
    );
}

#[test]
fn a_feature_joins_the_owners_longer_list() {
    let base = "[dependencies]\ntokio = { version = \"1\", features = [\"macros\"] }\n";
    let target = "[dependencies]\ntokio = { version = \"1\", features = [\"macros\", \"sync\"] }\n";
    let cases = [
        (
            "[dependencies]\ntokio = {version=\"1\",features=[\"fs\",\"macros\"]} # mine\n",
            "[dependencies]\ntokio = {version=\"1\",features=[\"fs\",\"macros\", \"sync\"]} # mine\n",
        ),
        (
            "[dependencies.tokio]\nversion = \"1\"\nfeatures = [\n    \"fs\", # disk\n    \"macros\", # tests\n]\n",
            "[dependencies.tokio]\nversion = \"1\"\nfeatures = [\n    \"fs\", # disk\n    \"macros\", # tests\n    \"sync\",\n]\n",
        ),
        (
            "[dependencies]\ntokio = { version = \"1\", features = [\"sync\"] }\n",
            "[dependencies]\ntokio = { version = \"1\", features = [\"sync\"] }\n",
        ),
    ];
    for (user, expected) in cases {
        assert_eq!(merged(base, user, target), expected);
    }
}

#[test]
fn features_come_to_a_dependency_that_is_only_its_version() {
    let (base, target) =
        ("[dependencies]\na = \"1\"\n", "[dependencies]\na = { version = \"1\", features = [\"f\"] }\n");
    let cases = [
        ("[dependencies]\na = \"1\" # why\n", "[dependencies]\na = { version = \"1\", features = [\"f\"] } # why\n"),
        (
            "[dependencies]\na = {version=\"1\",optional=true}\n",
            "[dependencies]\na = { version=\"1\", optional=true, features = [\"f\"] }\n",
        ),
        (
            "[dependencies]\na.version = \"1\"\na.optional = true\n",
            "[dependencies]\na.version = \"1\"\na.optional = true\na.features = [\"f\"]\n",
        ),
        ("[dependencies.a]\nversion = \"1\"\n", "[dependencies.a]\nversion = \"1\"\nfeatures = [\"f\"]\n"),
        ("[dependencies]\na = \"3\"\n", "[dependencies]\na = { version = \"3\", features = [\"f\"] }\n"),
    ];
    for (user, expected) in cases {
        assert_eq!(merged(base, user, target), expected);
    }
}

#[test]
fn a_dependency_that_its_owner_moved_to_the_workspace_stays_there_and_gets_its_features() {
    let base = "[dependencies]\na = \"1\"\n";
    for user in ["[dependencies]\na.workspace = true\n", "[dependencies]\na = { workspace = true }\n"] {
        let notes = left(base, user, "[dependencies]\na = \"2\"\n");
        assert_eq!(notes, ["`dependencies.a` comes from the workspace here; mcpkit's is `{ version = \"2\" }`"]);
    }
    let target = "[dependencies]\na = { version = \"1\", features = [\"f\"] }\n";
    assert_eq!(
        merged(base, "[dependencies]\na = { workspace = true }\n", target),
        "[dependencies]\na = { workspace = true, features = [\"f\"] }\n"
    );
    assert_eq!(
        merged(base, "[dependencies]\na.workspace = true\n", target),
        "[dependencies]\na.workspace = true\na.features = [\"f\"]\n"
    );
}

#[test]
fn a_new_dependency_that_the_owner_has_from_the_workspace_gets_no_second_version() {
    let notes = left("", "[dependencies]\na.workspace = true\n", "[dependencies]\na = \"2\"\n");
    assert_eq!(notes, ["`dependencies.a` comes from the workspace here; mcpkit's is `{ version = \"2\" }`"]);
}

#[test]
fn workspace_dependencies_are_edited_like_any_other() {
    let base = "[workspace.dependencies]\na = \"1\"\n";
    let user = "[workspace]\nmembers = [\"x\"]\n\n[workspace.dependencies]\na = { version = \"1\", default-features = false }\nmine = \"1\"\n";
    let target = "[workspace.dependencies]\na = \"2\"\nb = \"1\"\n";
    let expected = "[workspace]\nmembers = [\"x\"]\n\n[workspace.dependencies]\na = { version = \"2\", default-features = false }\nmine = \"1\"\nb = \"1\"\n";
    assert_eq!(merged(base, user, target), expected);
}

#[test]
fn dependencies_of_a_target_are_found_under_its_condition() {
    let head = "[target.'cfg(not(target_family = \"wasm\"))'.dependencies]\n";
    let base = format!("{head}native = {{ path = \"kit/native\", features = [\"stdio\"] }}\n");
    let user = base.replace("'cfg(not(target_family = \"wasm\"))'", "\"cfg(not(target_family = \\\"wasm\\\"))\"");
    let target = base.replace("[\"stdio\"]", "[\"http\", \"stdio\"]");
    assert_eq!(merged(&base, &user, &target), user.replace("[\"stdio\"]", "[\"stdio\", \"http\"]"));
}

#[test]
fn an_element_gets_a_line_of_its_own_where_the_others_have_one() {
    let (base, target) = ("x = [\"a\"]\n", "x = [\"a\", \"b\"]\n");
    let cases = [
        ("x = [\n    \"a\",\n]\n", "x = [\n    \"a\",\n    \"b\",\n]\n"),
        ("x = [\n  \"a\", # of a\n  # closing\n]\n", "x = [\n  \"a\", # of a\n  # closing\n  \"b\",\n]\n"),
        ("x = [\n    \"a\"\n]\n", "x = [\n    \"a\",\n    \"b\",\n]\n"),
        ("x = [\n    \"a\" # of a\n]\n", "x = [\n    \"a\", # of a\n    \"b\",\n]\n"),
        ("x = [\"m\",\n     \"a\"]\n", "x = [\"m\",\n     \"a\",\n     \"b\"]\n"),
        ("x = [\"a\",]\n", "x = [\"a\", \"b\",]\n"),
        ("x = [ \"a\" ]\n", "x = [ \"a\", \"b\" ]\n"),
        ("x = [\"a\", # of a\n]\n", "x = [\"a\", # of a\n    \"b\",\n]\n"),
        ("x = []\n", "x = [\"b\"]\n"),
        ("x = [ # none so far\n]\n", "x = [ # none so far\n    \"b\",\n]\n"),
    ];
    for (user, expected) in cases {
        assert_eq!(merged(base, user, target), expected, "{user}");
    }
}

#[test]
fn an_element_that_is_not_needed_any_more_goes_and_the_owners_stay() {
    let (base, target) = ("x = [\"a\", \"b\"]\n", "x = [\"b\"]\n");
    assert_eq!(merged(base, "x = [\"mine\", \"a\", \"b\"]\n", target), "x = [\"mine\", \"b\"]\n");
    assert_eq!(merged(base, "x = [\n    \"a\", # of a\n    \"b\",\n]\n", target), "x = [ # of a\n    \"b\",\n]\n");
}

#[test]
fn an_element_that_the_owner_took_out_stays_out() {
    assert_eq!(merged("x = [\"a\", \"b\"]\n", "x = [\"b\"]\n", "x = [\"a\", \"b\", \"c\"]\n"), "x = [\"b\", \"c\"]\n");
}

#[test]
fn a_key_that_is_not_needed_any_more_goes_unless_it_was_changed() {
    let (base, target) = ("[d]\na = \"1\"\nb = \"1\"\n", "[d]\nb = \"1\"\n");
    assert_eq!(merged(base, "[d]\nmine = \"1\"\na = \"1\"\nb = \"1\"\n", target), "[d]\nmine = \"1\"\nb = \"1\"\n");
    assert_eq!(
        left(base, "[d]\na = \"2\"\nb = \"1\"\n", target),
        ["`d.a` is not needed any more; it stays, since it was changed here"]
    );
    assert_eq!(merged(base, "[d]\nb = \"1\"\n", target), "[d]\nb = \"1\"\n");
}

#[test]
fn programs_are_told_apart_by_their_names() {
    let base = "[[bin]]\nname = \"a\"\npath = \"a.rs\"\n\n[[bin]]\nname = \"c\"\npath = \"c.rs\"\n";
    let user = "[[bin]]\nname = \"z\"\npath = \"z.rs\"\n\n# The third.\n[[bin]]\nname = \"c\"\npath = \"c.rs\"\ntest = false\n";
    let target = "[[bin]]\nname = \"b\"\npath = \"b.rs\"\n\n[[bin]]\nname = \"c\"\npath = \"src/c.rs\"\n";
    let expected = "[[bin]]\nname = \"b\"\npath = \"b.rs\"\n\n[[bin]]\nname = \"z\"\npath = \"z.rs\"\n\n# The third.\n\
                    [[bin]]\nname = \"c\"\npath = \"src/c.rs\"\ntest = false\n";
    assert_eq!(merged(base, user, target), expected);
}

#[test]
fn a_row_that_the_owner_removed_is_spoken_of_only_if_there_is_something_new() {
    let base = "[[bin]]\nname = \"a\"\npath = \"a.rs\"\n";
    assert_eq!(merged(base, "", &format!("{base}\n[[bin]]\nname = \"b\"\n")), "\n[[bin]]\nname = \"b\"\n");
    assert_eq!(
        left(base, "[[bin]]\nname = \"m\"\n", "[[bin]]\nname = \"a\"\npath = \"b.rs\"\n"),
        ["`bin.a` is gone and stays so, although mcpkit's is new"]
    );
    assert_eq!(left(base, "[[bin]]\nname = \"m\"\n", base), [""; 0]);
}

#[test]
fn what_is_no_toml_says_where_and_changes_nothing() {
    let told = |base, user| {
        let error = merge(base, user, "a = 1\n").unwrap_err();
        (error.to_string(), error.downcast_ref::<mcpkit::exit::Failure>().unwrap().hint().to_owned())
    };
    let place = "TOML parse error at line 1, column 2\n  |\n1 | a\n  |  ^\nkey with no value, expected `=`\n";
    assert_eq!(
        told("a = 0\n", "a\n"),
        (format!("it is not TOML: {place}"), "mend that line and run it again".to_owned())
    );
    assert_eq!(
        told("a\n", "a = 0\n"),
        (format!("its pristine text is not TOML: {place}"), "git checkout -- .mcpkit".to_owned())
    );
}

const RENAMED: &[Migration] = &[Migration {
    version: Version::new(0, 2, 0),
    answers: &[("answers.mode", "answers.transport"), ("integrations.id", "integrations.provider")],
    paths: &[],
}];

#[test]
fn a_new_integration_gets_its_row_where_its_name_belongs_and_the_version_is_what_was_done() {
    let row = |name: &str| format!("\n[[integrations]]\ninstance = \"{name}\"\nprovider = \"{name}\"\n");
    let head = |version: &str| format!("schema = 1\nversion = \"{version}\"\n\n[answers]\nname = \"acme\"\n");
    let base = format!("{}{}{}", head("0.1.0"), row("linear"), row("slack"));
    let user =
        format!("# Ours.\n{base}").replace("\n[[int", "\n# About it.\n[[int").replace("0.1.0\"", "0.1.0\" # now");
    let target = format!("{}{}{}{}", head("0.2.0"), row("linear"), row("notion"), row("slack"));
    let edited = manifest::merge(&base, &user, &target, &[]).unwrap();
    let expected = "# Ours.\nschema = 1\nversion = \"0.2.0\" # now\n\n[answers]\nname = \"acme\"\n\n# About it.\n\
                    [[integrations]]\ninstance = \"linear\"\nprovider = \"linear\"\n\n\
                    [[integrations]]\ninstance = \"notion\"\nprovider = \"notion\"\n\n# About it.\n\
                    [[integrations]]\ninstance = \"slack\"\nprovider = \"slack\"\n";
    assert_eq!((edited.text.as_str(), edited.notes), (expected, Vec::new()));
}

#[test]
fn a_renamed_answer_keeps_its_place_its_value_and_its_comments_in_every_row() {
    let base =
        "[answers]\nmode = \"both\"\nname = \"acme\"\n\n[[integrations]]\nid = \"slack\"\ninstance = \"slack\"\n";
    let user = "[answers]\n# How.\nmode = \"stdio\" # not http\nname = \"acme\"\n\n\
                [[integrations]]\nid = \"slack\" # the first\ninstance = \"slack\"\n\n\
                [[integrations]]\ninstance = \"other\"\nid = \"notion\"\n";
    let target = "[answers]\ntransport = \"stdio\"\nname = \"acme\"\n\n\
                  [[integrations]]\nprovider = \"notion\"\ninstance = \"other\"\n\n\
                  [[integrations]]\nprovider = \"slack\"\ninstance = \"slack\"\n";
    let edited = manifest::merge(base, user, target, RENAMED).unwrap();
    assert_eq!(edited.text, user.replace("mode", "transport").replace("id =", "provider ="));
    assert_eq!(edited.notes, [""; 0]);
}
