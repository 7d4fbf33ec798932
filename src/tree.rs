//! A tree of files in memory: what is planned, compared and written. Pure; no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A path inside a project: relative, `/`-separated, without `..`, safe on every operating system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelPath(String);

/// The text is not such a path.
#[derive(Debug, PartialEq, Eq)]
pub struct PathError(String);

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a path inside a project", self.0)
    }
}

impl std::error::Error for PathError {}

impl RelPath {
    /// Accepts a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let part = |part: &str| {
            !matches!(part, "" | "." | "..")
                && !part.ends_with(['.', ' '])
                && !part.contains(['\\', ':', '*', '?', '"', '<', '>', '|'])
                && !part.chars().any(char::is_control)
        };
        if text.split('/').all(part) { Ok(Self(text.to_owned())) } else { Err(PathError(text.to_owned())) }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path under `root`.
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who changes a file after it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// mcpkit; `check` guards it.
    Managed,
    /// The owner; `update` merges into it.
    Seeded,
    /// Both, key by key.
    Structural,
}

impl Class {
    /// The word in the lock and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Seeded => "seeded",
            Self::Structural => "structural",
        }
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who changes it.
    pub class: Class,
    /// Whether it can be run.
    pub executable: bool,
    /// Its text, with LF line ends.
    pub text: String,
}

impl Entry {
    /// SHA-256 of the text, in hexadecimal.
    pub fn hash(&self) -> String {
        hash(&self.text)
    }
}

/// SHA-256 of `text`, in hexadecimal.
pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Files by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    files: BTreeMap<RelPath, Entry>,
    /// Every path in lower case.
    folded: BTreeSet<String>,
}

impl Tree {
    /// Adds a file. Two files whose paths differ only in case cannot live in one folder everywhere, so that is an error.
    pub fn insert(&mut self, path: RelPath, entry: Entry) -> Result<(), PathError> {
        if !self.folded.insert(path.0.to_ascii_lowercase()) {
            return Err(PathError(path.0));
        }
        self.files.insert(path, entry);
        Ok(())
    }

    /// The file at `path`.
    pub fn get(&self, path: &RelPath) -> Option<&Entry> {
        self.files.get(path)
    }

    /// The text at `path`.
    pub fn text(&self, path: &RelPath) -> Option<&str> {
        self.files.get(path).map(|entry| entry.text.as_str())
    }

    /// All files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&RelPath, &Entry)> {
        self.files.iter()
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}
