//! What every preset looks like, file by file. A change of a template shows here as a diff that a person can read.
//!
//! The kit is copied byte for byte and is its own source, so it has a row in `_tree.snap` and no snapshot; the same holds
//! for `Cargo.lock` and for the bookkeeping in `.mcpkit/`, which follows from the rows. After a deliberate change:
//! `INSTA_UPDATE=always cargo test -p mcpkit-cli --test it golden`, then read `git diff snapshots`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mcpkit::lock;
use mcpkit::templates::this_version;
use mcpkit::tree::{RelPath, Tree};

use crate::disk;
use crate::rendered;
use crate::support::presets::{PRESETS, preset};

fn has_snapshot(path: &RelPath) -> bool {
    let path = path.as_str();
    let verbatim = path.starts_with("kit/") && !path.ends_with("/Cargo.toml");
    !verbatim && path != "Cargo.lock"
}

fn snapshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots")
}

/// One line a file: path, class, mode and hash. The hash pins the bytes that insta does not compare, such as the number of
/// newlines at the end.
fn listing(tree: &Tree) -> String {
    let line = |(path, entry): (&RelPath, &mcpkit::tree::Entry)| {
        let mode = if entry.executable { "755" } else { "644" };
        format!("{path} {} {mode} {}\n", entry.class.as_str(), entry.hash())
    };
    tree.iter().map(line).collect()
}

fn check(name: &str) {
    let flags = preset(name).flags;
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(snapshots().join(name));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (path, entry) in rendered::tree(name, flags).iter().filter(|(path, _)| has_snapshot(path)) {
            insta::assert_snapshot!(path.as_str(), entry.text);
        }
        insta::assert_snapshot!("_tree", listing(&rendered::whole(name, flags)));
    });
}

#[test]
fn the_default_project_is_as_recorded() {
    check("demo-default");
}

#[test]
fn an_http_project_is_as_recorded() {
    check("notion-http");
}

#[test]
fn a_stdio_project_is_as_recorded() {
    check("notion-stdio");
}

#[test]
fn a_custom_api_is_as_recorded() {
    check("custom-api");
}

#[test]
fn a_custom_api_behind_oauth_is_as_recorded() {
    check("custom-oauth");
}

#[test]
fn a_custom_api_with_a_system_users_token_is_as_recorded() {
    check("custom-system-user");
}

#[test]
fn a_custom_api_whose_tokens_are_exchanged_is_as_recorded() {
    check("custom-graph");
}

#[test]
fn a_custom_api_with_profiles_is_as_recorded() {
    check("custom-lwa");
}

#[test]
fn a_custom_api_that_speaks_restli_is_as_recorded() {
    check("custom-restli");
}

#[test]
fn a_project_with_every_provider_is_as_recorded() {
    check("agency");
}

#[test]
fn a_project_with_everything_is_as_recorded() {
    check("zz-everything");
}

#[test]
fn every_preset_is_recorded() {
    assert_eq!(PRESETS.len(), 11, "add a test for the new preset above");
}

#[test]
fn no_snapshot_has_outlived_its_file() {
    let mut known = BTreeSet::new();
    for preset in PRESETS {
        known.insert(format!("{}/_tree.snap", preset.name));
        for (path, _) in rendered::tree(preset.name, preset.flags).iter().filter(|(path, _)| has_snapshot(path)) {
            known.insert(format!("{}/{}.snap", preset.name, path.as_str().replace('/', "__")));
        }
    }
    let mut found = BTreeSet::new();
    // Of other suites.
    let others = ["cli", "grow", "scenarios", "telemetry"];
    for folder in disk::names(&snapshots()).into_iter().filter(|name| !others.contains(&name.as_str())) {
        let names = disk::names(&snapshots().join(&folder)).into_iter().filter(|name| !name.ends_with(".snap.new"));
        found.extend(names.map(|name| format!("{folder}/{name}")));
    }
    let outlived: Vec<&String> = found.difference(&known).collect();
    assert!(outlived.is_empty(), "no file is behind these in snapshots/, remove them: {outlived:#?}");
}

#[test]
fn the_lock_names_every_file_with_its_class_and_hash() {
    let tree = rendered::tree("acme-ads", &[]);
    let whole = lock::with_bookkeeping(&tree, &this_version()).unwrap();
    let mut expected = format!(
        "# Managed by mcpkit: what it generated, for `mcpkit check` and `mcpkit update`.\n\
         schema = 1\nversion = \"{}\"\n\n[files]\n",
        env!("CARGO_PKG_VERSION")
    );
    for (path, entry) in tree.iter() {
        let (class, hash) = (entry.class.as_str(), entry.hash());
        expected.push_str(&format!("\"{path}\" = {{ class = \"{class}\", sha256 = \"{hash}\" }}\n"));
    }
    assert_eq!(whole.get(&RelPath::parse(lock::PATH).unwrap()).unwrap().text, expected);
}

#[test]
fn the_base_holds_the_pristine_text_of_every_file() {
    let tree = rendered::tree("acme-ads", &[]);
    let whole = lock::with_bookkeeping(&tree, &this_version()).unwrap();
    for (path, entry) in tree.iter() {
        let base = RelPath::parse(&format!(".mcpkit/base/{path}.base")).unwrap();
        assert_eq!(whole.get(&base).unwrap().text, entry.text, "{path}");
    }
    assert_eq!(whole.len(), 2 * tree.len() + 1, "each file, its base, and the lock");
}

/// Nothing is ever inserted into a file that the owner edits, so what is common to all projects of a name and a transport
/// must not depend on the integrations and targets that were chosen.
#[test]
fn common_seeded_files_depend_on_name_and_transport_alone() {
    const CUSTOM: &[&str] = &["--api", "shop", "--auth", "api-key"];
    const OTHER: &[&str] = &["--api", "acme-crm", "--auth", "api-key", "--set", "header=X-Key"];
    const NOTION: &[&str] = &["--integration", "notion"];
    const COMPOSE: &[&str] = &["--deploy", "compose"];
    for transport in ["both", "http", "stdio"] {
        let common = |choices: &[&[&str]]| -> Vec<(RelPath, String)> {
            let flags: Vec<&str> =
                choices.iter().flat_map(|flags| flags.iter().copied()).chain(["--transport", transport]).collect();
            let tree = rendered::tree("acme-ads", &flags);
            let seeded = tree.iter().filter(|(path, entry)| entry.class.as_str() == "seeded" && is_common(path));
            seeded.map(|(path, entry)| (path.clone(), entry.text.clone())).collect()
        };
        let first = common(&[NOTION]);
        assert!(first.iter().any(|(path, _)| path.as_str() == "README.md"));
        let mut others: Vec<&[&[&str]]> = vec![&[CUSTOM], &[OTHER], &[NOTION, CUSTOM]];
        if transport != "stdio" {
            others.extend([&[NOTION, COMPOSE] as &[&[&str]], &[NOTION, OTHER, COMPOSE]]);
        }
        for choices in others {
            assert_eq!(first, common(choices), "{transport} {choices:?}");
        }
    }
}

/// Outside the own folders of integrations and targets.
fn is_common(path: &RelPath) -> bool {
    let own = ["src/integrations/", "config/integrations/", "deploy/", ".github/workflows/deploy-"];
    !own.iter().any(|own| path.as_str().starts_with(own))
}
