//! Shopify, through an app of yours.
//!
//! Make the app in the Dev Dashboard, allow the redirect address of this server there, and store its client id and secret
//! with `app set`. Each tenant's shop is a place of its own: connections are made with `--site their-shop.myshopify.com`.
//! Access tokens live for an hour and refresh tokens for 90 days, anew with each use; connections that nobody uses are
//! kept alive. The permanent token of an app that a merchant made in their own shop is connected as the secret
//! `{"access_token": "shpat_…"}`.
//!
//! Orders older than 60 days need the scope `read_all_orders`, which Shopify grants on request. These files are yours: add
//! tools, change descriptions, drop what you do not need.

mod graphql;
mod provider;
mod sandbox;
#[cfg(test)]
mod tests;
mod tools;

use kit::prelude::*;

/// Shopify as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::ShopifySandbox::default)
}
