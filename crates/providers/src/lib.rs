//! The providers of the catalogue, from the very files that projects get.

#[path = "../../../templates/providers/notion/mod.rs"]
pub mod notion;

#[path = "../../../templates/providers/shopify/mod.rs"]
pub mod shopify;

#[path = "../../../templates/providers/slack/mod.rs"]
pub mod slack;

#[path = "../../../templates/providers/google-ads/mod.rs"]
pub mod google_ads;

#[path = "../../../templates/providers/meta/mod.rs"]
pub mod meta;
