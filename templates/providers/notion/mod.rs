//! Notion, with an internal integration token.
//!
//! The owner of the workspace makes one under Settings → Connections → Develop or manage integrations, and shares the
//! pages that it may see. These files are yours: add tools, change descriptions, drop what you do not need.

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
