//! What changed its name between versions, as data. A renamed answer keeps its value and a moved file its owner's changes:
//! both are renamed in what the project recorded *before* anything is compared.

use semver::Version;

use crate::tree::RelPath;

/// The renames that came with one version.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The first version that has the new names.
    pub version: Version,
    /// Keys of `mcpkit.toml`, dotted: old and new, in one table.
    pub answers: &'static [(&'static str, &'static str)],
    /// Paths: old and new. One that ends in `/` stands for all below it.
    pub paths: &'static [(&'static str, &'static str)],
}

/// Every migration, oldest first. Nothing was renamed so far.
pub const MIGRATIONS: &[Migration] = &[];

/// Those that a project written by `from` has not seen when it comes to `to`.
pub fn between<'a>(
    migrations: &'a [Migration],
    from: &'a Version,
    to: &'a Version,
) -> impl Iterator<Item = &'a Migration> {
    migrations.iter().filter(move |migration| *from < migration.version && migration.version <= *to)
}

/// Where `path` lives after `migrations`.
pub fn moved<'a>(path: &RelPath, migrations: impl Iterator<Item = &'a Migration>) -> RelPath {
    let mut text = path.as_str().to_owned();
    for (old, new) in migrations.flat_map(|migration| migration.paths) {
        match text.strip_prefix(old) {
            Some("") => text = (*new).to_owned(),
            Some(rest) if old.ends_with('/') => text = format!("{new}{rest}"),
            _ => {}
        }
    }
    RelPath::parse(&text).unwrap_or_else(|_| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Migration] = &[
        Migration { version: Version::new(0, 2, 0), answers: &[], paths: &[("a", "b"), ("x/", "y/")] },
        Migration { version: Version::new(0, 3, 0), answers: &[], paths: &[("b", "c")] },
    ];

    fn path(from: (u64, u64), to: (u64, u64), path: &str) -> String {
        let (from, to) = (Version::new(from.0, from.1, 0), Version::new(to.0, to.1, 0));
        moved(&RelPath::parse(path).unwrap(), between(TABLE, &from, &to)).to_string()
    }

    #[test]
    fn a_path_takes_every_move_that_it_has_not_seen() {
        assert_eq!(path((0, 1), (0, 3), "a"), "c");
        assert_eq!(path((0, 1), (0, 2), "a"), "b");
        assert_eq!(path((0, 2), (0, 3), "a"), "a");
        assert_eq!(path((0, 2), (0, 3), "b"), "c");
    }

    #[test]
    fn a_folder_takes_what_is_in_it_along_and_nothing_else() {
        assert_eq!(path((0, 1), (0, 3), "x/deep/file"), "y/deep/file");
        assert_eq!(path((0, 1), (0, 3), "xx"), "xx");
        assert_eq!(path((0, 1), (0, 3), "ab"), "ab");
    }
}
