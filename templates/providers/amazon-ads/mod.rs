//! Amazon Ads: campaigns of sellers and vendors.
//!
//! Register an app at Login with Amazon, apply for access to the Amazon Ads API with it, and add this server's callback
//! address to its allowed return URLs. Until Amazon has approved the app, a consent ends with *An unknown scope was
//! requested*.
//!
//! A consent belongs to a region and reaches any number of profiles there; one of them is chosen for each connection. A
//! list of profiles that is empty means another region, or a person without rights.
//!
//! These files are yours: add tools, change descriptions, drop what you do not need. Amazon moves Sponsored Products from
//! version 3 to its unified version 1; there is a tool for each.

mod provider;
mod sandbox;
#[cfg(test)]
mod tests;
mod tools;
#[cfg(test)]
mod wire_tests;

use kit::prelude::*;

/// Amazon Ads as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::AmazonAdsSandbox::default)
}
