//! The last look before anything is written: every rendered file must parse as what its name says. A failure here is a
//! bug of mcpkit, and nothing has been written when it shows.

use anyhow::{Context as _, Result, anyhow};

use crate::tree::{RelPath, Tree};

/// Parses the files of `tree` that were rendered. Files copied byte for byte were compiled and linted when mcpkit was.
pub fn validate(tree: &Tree) -> Result<()> {
    for (path, entry) in tree.iter().filter(|(path, _)| !path.as_str().starts_with("kit/")) {
        parse(path, &entry.text)
            .with_context(|| format!("failed to validate `{path}`: this is a bug of mcpkit, please report it"))?;
    }
    Ok(())
}

fn parse(path: &RelPath, text: &str) -> Result<()> {
    let extension = path.as_str().rsplit('.').next().unwrap_or_default();
    match extension {
        "rs" => {
            syn::parse_file(text).map_err(|error| anyhow!("{error}"))?;
        }
        "toml" | "lock" => {
            crate::manifest::parses(text)?;
        }
        "yml" | "yaml" => {
            serde_yaml::from_str::<serde_yaml::Value>(text)?;
        }
        "json" => {
            serde_json::from_str::<serde_json::Value>(text)?;
        }
        _ => {}
    }
    Ok(())
}
