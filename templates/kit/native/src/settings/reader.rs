// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Takes typed values out of the gathered ones and notes what is wrong on the way. Whatever nobody asked for at the end
//! is a misspelt key.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::Problem;
use super::source::{Sourced, Values};

pub(super) struct Reader<'a> {
    values: Values,
    known: Vec<String>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(values: Values, problems: &'a mut Vec<Problem>) -> Self {
        Self { values, known: Vec::new(), problems }
    }

    pub(super) fn problem(&mut self, path: &str, source: &str, what: &str, remedy: &str) {
        let [path, source, what, remedy] = [path, source, what, remedy].map(str::to_owned);
        self.problems.push(Problem { path, source, what, remedy });
    }

    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        self.sourced_text(path).map(|(text, _)| text)
    }

    /// A text with its source, for a check of the caller's own.
    pub(super) fn sourced_text(&mut self, path: &str) -> Option<(String, String)> {
        let Sourced { value, source } = self.take(path)?;
        match value {
            toml::Value::String(text) => Some((text, source)),
            _ => {
                self.problem(path, &source, "is not a text", "put it in quotation marks");
                None
            }
        }
    }

    pub(super) fn parsed<T: FromStr>(&mut self, path: &str, remedy: &str) -> Option<T> {
        let (text, source) = self.sourced_text(path)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problem(path, &source, "does not fit", remedy);
        }
        parsed
    }

    pub(super) fn one_of(&mut self, path: &str, choices: &[&'static str]) -> Option<&'static str> {
        let (text, source) = self.sourced_text(path)?;
        let chosen = choices.iter().copied().find(|choice| *choice == text);
        if chosen.is_none() {
            self.problem(path, &source, "does not fit", &format!("give one of: {}", choices.join(", ")));
        }
        chosen
    }

    pub(super) fn flag(&mut self, path: &str, default: bool) -> bool {
        let Some(Sourced { value, source }) = self.take(path) else { return default };
        match value {
            toml::Value::Boolean(flag) => flag,
            toml::Value::String(text) if text == "true" => true,
            toml::Value::String(text) if text == "false" => false,
            _ => {
                self.problem(path, &source, "is neither true nor false", "give true or false");
                default
            }
        }
    }

    pub(super) fn count<T>(&mut self, path: &str, range: RangeInclusive<i64>, default: T) -> T
    where
        T: TryFrom<i64>,
    {
        let Some(Sourced { value, source }) = self.take(path) else { return default };
        let number = match value {
            toml::Value::Integer(number) => Some(number),
            toml::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok()) {
            Some(number) => number,
            None => {
                let remedy = format!("give a whole number from {} to {}", range.start(), range.end());
                self.problem(path, &source, "does not fit", &remedy);
                default
            }
        }
    }

    /// The names directly under `prefix`, which the owner chooses: those of `plans.starter.daily` under `plans` are `starter`.
    pub(super) fn sections(&mut self, prefix: &str) -> Vec<String> {
        let inside = |path: &String| Some(path.strip_prefix(prefix)?.strip_prefix('.')?.split('.').next()?.to_owned());
        let mut names: Vec<String> = self.values.keys().filter_map(inside).collect();
        names.dedup();
        names
    }

    /// A list of texts; in the environment separated by commas.
    pub(super) fn list(&mut self, path: &str) -> Vec<String> {
        self.sourced_list(path, "[\"mcp.example.com\"]").0
    }

    /// The same with its source, for a check of the caller's own.
    pub(super) fn sourced_list(&mut self, path: &str, example: &str) -> (Vec<String>, String) {
        let Some(Sourced { value, source }) = self.take(path) else { return (Vec::new(), String::new()) };
        let items = match value {
            toml::Value::String(text) => Some(text.split(',').map(|item| item.trim().to_owned()).collect()),
            toml::Value::Array(items) => items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let items = items.unwrap_or_else(|| {
            self.problem(path, &source, "is not a list of texts", &format!("give for example {example}"));
            Vec::new()
        });
        (items, source)
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(mut self) {
        for (path, Sourced { source, .. }) in std::mem::take(&mut self.values) {
            let nearest = self
                .known
                .iter()
                .max_by(|a, b| strsim::jaro_winkler(a, &path).total_cmp(&strsim::jaro_winkler(b, &path)));
            let remedy = nearest.map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"));
            self.problem(&path, &source, "there is no such setting", &remedy);
        }
    }

    fn take(&mut self, path: &str) -> Option<Sourced> {
        self.known.push(path.to_owned());
        self.values.remove(path)
    }
}
