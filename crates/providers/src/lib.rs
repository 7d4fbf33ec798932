//! The providers of the catalogue, from the very files that projects get.

#[path = "../../../templates/providers/notion/mod.rs"]
pub mod notion;

#[path = "../../../templates/providers/google-ads/mod.rs"]
pub mod google_ads;

#[path = "../../../templates/providers/meta/mod.rs"]
pub mod meta;
