//! Google Ads, with your own OAuth client.
//!
//! Make a Google Cloud project, enable the Google Ads API in it and create an OAuth client of the type "Web application".
//! Its id and secret are the app (`app set`). The access level (Test, Explorer, Basic, Standard) belongs to that project; a
//! developer token is no longer needed. Publish the consent screen: while it says *Testing*, refresh tokens end after seven
//! days. A connection is made from the refresh token of somebody who may see the accounts, and is for one customer: an
//! account, or a manager account whose clients the tools then reach by `customer_id`.
//!
//! These files are yours: add fields to the queries in `tools.rs`, change descriptions, drop what you do not need.

mod gaql;
mod provider;
mod rows;
mod sandbox;
mod sandbox_data;
mod sandbox_gaql;
mod sandbox_query;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_refusals;
mod tools;

use kit::prelude::*;

/// Google Ads as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::GoogleAdsSandbox::default)
}
