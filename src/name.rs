//! Names that can only be made by `parse`: of projects and of integration instances. Everything derived from a name is
//! derived here, once.

use std::fmt;

/// A name of a project: a cargo package, a folder, a binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectName(String);

/// Why a name does not fit, and one that would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    reason: String,
    suggestion: Option<String>,
}

impl NameError {
    /// A name that would fit.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for NameError {}

const MAX: usize = 64;
/// The full tool name `<instance>_<tool>` has 64 characters at most; this leaves half of them to the tool.
const MAX_INSTANCE: usize = 32;

/// Keywords of edition 2024, strict and reserved.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Folders and targets that cargo gives a meaning, and the crates that every program has.
const CARGO: &[&str] =
    &["alloc", "benches", "build", "core", "deps", "examples", "proc-macro", "std", "target", "test"];

/// Device names that Windows does not let a folder have.
const DEVICES: &[&str] = &[
    "aux", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con", "lpt1", "lpt2", "lpt3",
    "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];

/// Modules of the generated tests beside which the project's own crate is imported by name.
const MODULES: &[&str] = &["isolation"];

impl ProjectName {
    /// Accepts `[a-z][a-z0-9]*(-[a-z0-9]+)*`, at most 64 characters, that neither Rust nor cargo nor an operating system
    /// has another use for and that no crate of the generated project is called.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !is_kebab(text) || text.len() > MAX {
            let reason = format!(
                "`{}` is not a project name: lower-case letters, digits and single hyphens, a letter first, at most {MAX}",
                shown(text)
            );
            let fits = |name: String| if Self::parse(&name).is_ok() { name } else { format!("{name}-mcp") };
            return Err(NameError { reason, suggestion: suggest(text, MAX).map(fits) });
        }
        let taken = match text {
            _ if KEYWORDS.contains(&text) => "a keyword of Rust",
            _ if CARGO.contains(&text) => "a name that cargo has another use for",
            _ if DEVICES.contains(&text) => "a device on Windows",
            _ if crate::cargo_lock::has_package(text) => "a crate that the project depends on",
            _ if MODULES.contains(&text) => "a module of the project's own",
            _ => return Ok(Self(text.to_owned())),
        };
        let reason = format!("`{text}` cannot be the name of a project: it is {taken}");
        Err(NameError { reason, suggestion: Some(format!("{text}-mcp")) })
    }

    /// `acme-ads`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `acme_ads`, the crate.
    pub fn krate(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an integration in one project: a Rust module, a file of settings, the prefix of its tools.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceName(String);

impl InstanceName {
    /// Accepts `acme-crm` and `acme_crm` alike.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let kebab = text.replace('_', "-");
        if !is_kebab(&kebab) || kebab.len() > MAX_INSTANCE {
            let reason = format!(
                "`{}` is not a name for an integration: lower-case letters, digits and single hyphens, a letter first, at most {MAX_INSTANCE}",
                shown(text)
            );
            let fits = |name: String| if Self::parse(&name).is_ok() { name } else { format!("{name}-api") };
            return Err(NameError { reason, suggestion: suggest(text, MAX_INSTANCE).map(fits) });
        }
        let snake = kebab.replace('-', "_");
        let taken = match snake.as_str() {
            name if KEYWORDS.contains(&name) => "a keyword of Rust",
            name if DEVICES.contains(&name) => "a device on Windows",
            "kit" => "the library that the project is built on",
            _ => return Ok(Self(snake)),
        };
        let reason = format!("`{text}` cannot be the name of an integration: it is {taken}");
        Err(NameError { reason, suggestion: Some(format!("{kebab}-api")) })
    }

    /// `acme_crm`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `Acme crm`, for people.
    pub fn title(&self) -> String {
        let mut letters = self.0.replace('_', " ");
        if let Some(first) = letters.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        letters
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_kebab(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('-').all(part)
}

/// What was typed, short and without control characters.
fn shown(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    let short: String = plain.chars().take(40).collect();
    if short.len() < plain.len() { format!("{short}…") } else { short }
}

/// The nearest name that fits, if anything is left of the text.
fn suggest(text: &str, max: usize) -> Option<String> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let joined = words.join("-");
    let mut name = joined.trim_start_matches(|c: char| !c.is_ascii_lowercase()).to_owned();
    name.truncate(max);
    let name = name.trim_end_matches('-').to_owned();
    is_kebab(&name).then_some(name)
}

/// The candidate nearest to `text`, if one is near enough to have been meant.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            // `docker-compose` means `compose`, however far apart they look.
            let inside = candidate.len() > 2 && text.contains(candidate);
            (if inside { 0.99 } else { strsim::jaro_winkler(text, candidate) }, candidate)
        })
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
