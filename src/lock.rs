//! `.mcpkit/`: for the tool. The lock names each generated file with its class and the hash of its pristine text; the
//! base keeps that text itself, so that a later version can merge without rendering old templates again.

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

/// `tree` with its lock and its base added.
pub fn with_bookkeeping(tree: &Tree) -> Result<Tree, crate::tree::PathError> {
    let mut whole = tree.clone();
    for (path, entry) in tree.iter() {
        let base = RelPath::parse(&format!("{BASE}{path}{SUFFIX}"))?;
        whole.insert(base, Entry { class: Class::Managed, executable: false, text: entry.text.clone() })?;
    }
    let lock = Entry { class: Class::Managed, executable: false, text: write(tree) };
    whole.insert(RelPath::parse(PATH)?, lock)?;
    Ok(whole)
}

/// One line a file, sorted by path, so that git merges it well. No times, no users, no absolute paths.
fn write(tree: &Tree) -> String {
    let mut text = format!(
        "# Managed by mcpkit: what it generated, for `mcpkit check` and `mcpkit update`.\n\
         schema = 1\nversion = \"{}\"\n\n[files]\n",
        env!("CARGO_PKG_VERSION")
    );
    for (path, entry) in tree.iter() {
        let line = format!("\"{path}\" = {{ class = \"{}\", sha256 = \"{}\" }}\n", entry.class.as_str(), entry.hash());
        text.push_str(&line);
    }
    text
}
