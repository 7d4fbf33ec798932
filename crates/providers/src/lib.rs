//! The providers of the catalogue, from the very files that projects get.

#[path = "../../../templates/providers/amazon-ads/mod.rs"]
pub mod amazon_ads;

#[path = "../../../templates/providers/amazon-attribution/mod.rs"]
pub mod amazon_attribution;

#[path = "../../../templates/providers/linkedin/mod.rs"]
pub mod linkedin;

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

#[path = "../../../templates/providers/supermetrics/mod.rs"]
pub mod supermetrics;
