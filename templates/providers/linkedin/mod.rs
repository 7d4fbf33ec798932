//! LinkedIn Marketing: ad accounts and what their campaigns achieve.
//!
//! Make an app in the LinkedIn developer portal, ask there for the Advertising API, and add this server's callback address
//! to the app's redirect URLs. LinkedIn gives refresh tokens only to apps that it has approved for them; without one a
//! connection ends after 60 days. With one it ends 365 days after the consent, whatever is done: the operator is warned
//! before, and a person consents again.
//!
//! These files are yours: add tools, change descriptions, drop what you do not need. Changing the scopes makes every
//! tenant consent again.

mod provider;
mod sandbox;
mod sandbox_reports;
#[cfg(test)]
mod tests;
mod tools;
#[cfg(test)]
mod wire_tests;

use kit::prelude::*;

/// LinkedIn as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::LinkedInSandbox::default)
}
