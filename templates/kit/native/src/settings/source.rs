// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Where values come from: a TOML file, then the environment above it.

use std::collections::BTreeMap;
use std::path::Path;

use super::Problem;

/// A value with its source.
#[derive(Clone, Debug)]
pub(super) struct Sourced {
    pub(super) value: toml::Value,
    pub(super) source: String,
}

/// All values by dotted path.
pub(super) type Values = BTreeMap<String, Sourced>;

const PREFIX: &str = "MCP__";
/// Settings that end in `_file` themselves: the variable names the file, and what is in it is read each time it is needed.
const FILES: &[&str] = &["AUDIT__SPILL", "VAULT__KEK", "VAULT__TRANSIT_TOKEN"];
/// Read elsewhere: not sections of the configuration.
const RESERVED: &[&str] = &["MCP__TENANT", "MCP__CONFIG"];

pub(super) fn gather(file: &Path, environment: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Values {
    let mut values = read_file(file, problems);
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if RESERVED.contains(&name.as_str()) {
            continue;
        }
        let (rest, value) = match rest.strip_suffix("_FILE").filter(|key| !FILES.contains(key)) {
            Some(rest) => match std::fs::read_to_string(value) {
                Ok(content) => (rest, content.strip_suffix('\n').map(str::to_owned).unwrap_or(content)),
                Err(error) => {
                    problems.push(Problem {
                        path: path_of(rest),
                        source: format!("environment {name}"),
                        what: format!("the file it names cannot be read: {error}"),
                        remedy: "give the path of a file that holds the value".into(),
                    });
                    continue;
                }
            },
            None => (rest, value.clone()),
        };
        let source = format!("environment {name}");
        values.insert(path_of(rest), Sourced { value: toml::Value::String(value), source });
    }
    values
}

/// `SERVER__PUBLIC_URL` is `server.public_url`.
fn path_of(name: &str) -> String {
    name.to_ascii_lowercase().replace("__", ".")
}

/// The values of one TOML file; none if it does not exist.
pub(super) fn read_file(file: &Path, problems: &mut Vec<Problem>) -> Values {
    let source = file.display().to_string();
    let mut problem = |what: String, remedy: &str| {
        let (path, source, remedy) = ("*".to_owned(), source.clone(), remedy.to_owned());
        problems.push(Problem { path, source, what, remedy });
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Values::new(),
        Err(error) => {
            problem(format!("cannot be read: {error}"), "check its owner and mode");
            return Values::new();
        }
    };
    let mut values = Values::new();
    match text.parse::<toml::Table>() {
        Ok(table) => flatten(&mut values, "", table, &source),
        Err(error) => problem(format!("is not TOML: {}", error.message()), "see https://toml.io for the syntax"),
    }
    values
}

fn flatten(values: &mut Values, prefix: &str, table: toml::Table, source: &str) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(values, &path, inner, source),
            value => {
                values.insert(path, Sourced { value, source: source.to_owned() });
            }
        }
    }
}
