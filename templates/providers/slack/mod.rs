//! Slack, with the token of a bot.
//!
//! Make an app at <https://api.slack.com/apps> and give its bot the scopes in `provider.rs`. For one workspace, install
//! it there and connect the `xoxb-` token that Slack shows. For many, let their people consent: store the app's client id
//! and secret with `app set` and allow the redirect address of this server. With token rotation switched on, access tokens
//! live for twelve hours and are renewed here; switching it on cannot be undone.
//!
//! Reading messages is left out on purpose: Slack lets apps that are sold outside its marketplace read one page of fifteen
//! messages a minute. These files are yours: add tools, change descriptions, drop what you do not need.

mod provider;
mod sandbox;
#[cfg(test)]
mod tests;
mod tools;

use kit::prelude::*;

/// Slack as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::SlackSandbox::default)
}
