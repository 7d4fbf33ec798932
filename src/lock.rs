//! `.mcpkit/`: for the tool. The lock names each generated file with its class and the hash of its pristine text; the
//! base keeps that text itself, so that a later version can merge without rendering old templates again.

use std::collections::BTreeMap;

use semver::Version;

use crate::tree::{Class, Entry, RelPath, Tree};

/// Where the lock lives.
pub const PATH: &str = ".mcpkit/lock.toml";
const BASE: &str = ".mcpkit/base/";
/// Keeps cargo, editors and search tools from taking a pristine copy for the file itself.
const SUFFIX: &str = ".base";

/// Whether `path` is bookkeeping of this module.
pub fn is_bookkeeping(path: &RelPath) -> bool {
    path.as_str() == PATH || path.as_str().starts_with(BASE)
}

/// Where the pristine text of `path` lives.
pub fn base_of(path: &RelPath) -> Result<RelPath, crate::tree::PathError> {
    RelPath::parse(&format!("{BASE}{path}{SUFFIX}"))
}

/// The file whose pristine text lives at `path`.
pub fn pristine_of(path: &RelPath) -> Option<RelPath> {
    RelPath::parse(path.as_str().strip_prefix(BASE)?.strip_suffix(SUFFIX)?).ok()
}

/// What the lock says of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Who changes it.
    pub class: Class,
    /// SHA-256 of its pristine text, in hexadecimal.
    pub sha256: String,
}

/// What the lock `text` says of each file. Lines that are not understood are passed over: the lock is a second witness
/// beside the base, and a damaged one must not stand in the way.
pub fn read(text: &str) -> BTreeMap<RelPath, Recorded> {
    let value = |rest: &str, key: &str| Some(rest.split_once(&format!("{key} = \""))?.1.split('"').next()?.to_owned());
    let line = |line: &str| {
        let (path, rest) = line.strip_prefix('"')?.split_once("\" = ")?;
        let class = match value(rest, "class")?.as_str() {
            "managed" => Class::Managed,
            "structural" => Class::Structural,
            _ => Class::Seeded,
        };
        Some((RelPath::parse(path).ok()?, Recorded { class, sha256: value(rest, "sha256")? }))
    };
    text.lines().filter_map(line).collect()
}

/// `tree` with its lock and its base added, as mcpkit of `version` writes them.
pub fn with_bookkeeping(tree: &Tree, version: &Version) -> Result<Tree, crate::tree::PathError> {
    let mut whole = tree.clone();
    for (path, entry) in tree.iter() {
        whole.insert(base_of(path)?, Entry { class: Class::Managed, executable: false, text: entry.text.clone() })?;
    }
    let lock = Entry { class: Class::Managed, executable: false, text: write(tree, version) };
    whole.insert(RelPath::parse(PATH)?, lock)?;
    Ok(whole)
}

/// One line a file, sorted by path, so that git merges it well. No times, no users, no absolute paths.
fn write(tree: &Tree, version: &Version) -> String {
    let mut text = format!(
        "# Managed by mcpkit: what it generated, for `mcpkit check` and `mcpkit update`.\n\
         schema = 1\nversion = \"{version}\"\n\n[files]\n"
    );
    for (path, entry) in tree.iter() {
        let line = format!("\"{path}\" = {{ class = \"{}\", sha256 = \"{}\" }}\n", entry.class.as_str(), entry.hash());
        text.push_str(&line);
    }
    text
}
