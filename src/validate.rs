//! The last look before anything is written: every rendered file must parse as what its name says. A failure here is a
//! bug of mcpkit, and nothing has been written when it shows.

use anyhow::{Context as _, Result, anyhow};

use crate::exit::Failure;
use crate::lock;
use crate::plan::{Action, Change, Plan};
use crate::tree::{RelPath, Tree};

/// Parses the files of `tree` that were rendered. Files copied byte for byte were compiled and linted when mcpkit was.
pub fn validate(tree: &Tree) -> Result<()> {
    for (path, entry) in tree.iter().filter(|(path, _)| !path.as_str().starts_with("kit/")) {
        parse(path, &entry.text)
            .with_context(|| format!("failed to validate `{path}`: this is a bug of mcpkit, please report it"))?;
    }
    Ok(())
}

/// Parses what `plan` writes, so that a merge of two good files that makes a bad one changes nothing. A file with conflict
/// markers cannot parse yet, and one that its owner is in the middle of changing did not parse before.
pub fn validate_plan(plan: &Plan) -> Result<()> {
    let written = plan.effective().filter(|change| change.action != Action::Conflict && !is_verbatim(change));
    for change in
        written.filter(|change| change.before.as_ref().is_none_or(|before| parse(&change.path, before).is_ok()))
    {
        let Some(after) = &change.after else { continue };
        parse(&change.path, after).map_err(|error| {
            let path = &change.path;
            let message = format!("failed to merge `{path}`: what came out is not valid: {error:#}");
            let hint = format!("keep yours with `--ours {path}`, or take mcpkit's with `--theirs {path}`");
            Failure::new(message, hint)
        })?;
    }
    Ok(())
}

/// Bookkeeping, and what comes as it is: a new file of the kit was compiled when mcpkit was.
fn is_verbatim(change: &Change) -> bool {
    lock::is_bookkeeping(&change.path) || change.path.as_str().starts_with("kit/") && change.before.is_none()
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
