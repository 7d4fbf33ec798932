//! Supermetrics: marketing data of a hundred sources behind one API, with an API key.
//!
//! The owner of the Supermetrics account makes a key for the API there; it begins with `api_`. The sources (Google
//! Analytics, ad platforms) are connected in Supermetrics itself. These files are yours: add tools, change descriptions,
//! drop what you do not need.

mod provider;
mod sandbox;
#[cfg(test)]
mod tests;
mod tools;

use kit::prelude::*;

/// Supermetrics as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::SupermetricsSandbox::default)
}
