//! The templates of one version of mcpkit, and what moved on the way to it. The binary carries one set; tests bring
//! others, so that an update can be watched without a second binary.

use std::borrow::Cow;
use std::collections::BTreeMap;

use semver::Version;

use crate::embed;
use crate::migrate::{self, Migration};

/// All templates by path under `templates/`.
#[derive(Clone, Debug)]
pub struct Templates {
    /// The version of mcpkit that they belong to.
    pub version: Version,
    /// What was renamed and moved before it, oldest first.
    pub migrations: Cow<'static, [Migration]>,
    files: BTreeMap<Cow<'static, str>, Cow<'static, str>>,
}

impl Templates {
    /// The ones inside this binary.
    pub fn embedded() -> Self {
        let files = embed::all().into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { version: this_version(), migrations: Cow::Borrowed(migrate::MIGRATIONS), files }
    }

    /// No templates at all, to be filled with [`Templates::with`].
    pub fn empty(version: Version) -> Self {
        Self { version, migrations: Cow::Borrowed(&[]), files: BTreeMap::new() }
    }

    /// The same with `text` at `path`.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.insert(path.into().into(), text.into().into());
        self
    }

    /// The same without `path`.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.files.remove(path);
        self
    }

    /// The template at `path`.
    pub fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(AsRef::as_ref)
    }

    /// All templates under the folder `path`, in order.
    pub fn folder<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let inside = move |file: &&str| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.files.keys().map(AsRef::as_ref).filter(inside)
    }
}

/// The version of this binary.
pub fn this_version() -> Version {
    // Cargo refuses a package whose version is not one.
    Version::parse(env!("CARGO_PKG_VERSION")).unwrap_or_else(|_| Version::new(0, 0, 0))
}
