//! Notion, with an internal integration token or by consent.
//!
//! For one workspace, its owner makes a token under Settings → Connections → Develop or manage integrations and shares the
//! pages that it may see; it is connected as it is and needs no app. For many, make a public integration there, store its
//! OAuth client id and secret with `app set`, and let people consent: they choose the pages on the way.
//!
//! These files are yours: add tools, change descriptions, drop what you do not need.

mod prompts;
mod provider;
mod resources;
mod sandbox;
#[cfg(test)]
mod tests;
mod tools;

use kit::prelude::*;

/// Notion as data, tools, prompts and resources.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER)
        .tools(tools::tools())
        .prompts(prompts::prompts())
        .resources(resources::resources())
        .sandbox(sandbox::NotionSandbox::default)
}
