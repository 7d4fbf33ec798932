//! Patterns of paths in a project, as `[files] keep`, `--ours` and `--theirs` take them: `*` within a folder, `**` across
//! folders, and a folder's own name for all that is in it.

use glob::{MatchOptions, Pattern};

use crate::exit::Failure;
use crate::tree::RelPath;

/// Some patterns.
#[derive(Clone, Debug, Default)]
pub struct Globs(Vec<Pattern>);

impl Globs {
    /// Reads `patterns`.
    pub fn parse(patterns: &[String]) -> Result<Self, Failure> {
        let parse = |text: &String| {
            let plain = text.trim_start_matches("./").trim_end_matches('/');
            Pattern::new(plain).map_err(|error| {
                let hint = "write it as `kit/core/src/limit.rs` or `kit/**`";
                Failure::new(format!("`{text}` is not a pattern of paths: {error}"), hint)
            })
        };
        Ok(Self(patterns.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Whether one of them matches `path` or a folder that it is in.
    pub fn matches(&self, path: &RelPath) -> bool {
        const OPTIONS: MatchOptions =
            MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
        let path = path.as_str();
        let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        let mut all = std::iter::once(path).chain(folders);
        all.any(|path| self.0.iter().any(|pattern| pattern.matches_with(path, OPTIONS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Globs::parse(&[pattern.to_owned()]).unwrap().matches(&RelPath::parse(path).unwrap())
    }

    #[test]
    fn a_star_stays_in_its_folder_and_two_do_not() {
        assert!(matches("kit/*/Cargo.toml", "kit/core/Cargo.toml"));
        assert!(!matches("kit/*.rs", "kit/core/src/lib.rs"));
        assert!(matches("kit/**", "kit/core/src/lib.rs"));
        assert!(matches("**/lib.rs", "kit/core/src/lib.rs"));
        assert!(matches(".github/**", ".github/workflows/ci.yml"));
    }

    #[test]
    fn a_folder_stands_for_all_that_is_in_it() {
        assert!(matches("kit/core/", "kit/core/src/lib.rs"));
        assert!(matches("./kit", "kit/core/src/lib.rs"));
        assert!(!matches("kit/co", "kit/core/src/lib.rs"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let error = Globs::parse(&["kit/***".to_owned()]).unwrap_err();
        assert!(error.to_string().starts_with("`kit/***` is not a pattern of paths: "), "{error}");
    }
}
