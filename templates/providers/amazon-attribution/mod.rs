//! Amazon Attribution: what advertising outside of Amazon sells on Amazon.
//!
//! It takes the same app and the same consent as Amazon Ads, but a profile of its own kind: choose the one that
//! `connection targets` shows as made for attribution. A list of profiles that is empty means another region, or a person
//! without rights.
//!
//! Register the app at Login with Amazon, apply for access to the Amazon Ads API with it, and add this server's callback
//! address to its allowed return URLs. These files are yours: add tools, change descriptions, drop what you do not need.

mod provider;
mod sandbox;
#[cfg(test)]
mod tests;
mod tools;
#[cfg(test)]
mod wire_tests;

use kit::prelude::*;

/// Amazon Attribution as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::AttributionSandbox::default)
}
