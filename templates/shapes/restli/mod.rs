//! An API that speaks Rest.li behind OAuth 2.
//!
//! `provider.rs` says where it lives and how tokens are had; `tools.rs` holds two tools to start from, `sandbox.rs`
//! the stand-in that `dev` and the tests talk to. These files are yours: shape them after the real API.

mod provider;
mod sandbox;
#[cfg(test)]
mod tests;
mod tools;

use kit::prelude::*;

/// The API as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::ApiSandbox::default)
}
