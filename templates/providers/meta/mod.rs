//! Meta (Facebook and Instagram ads), with the token of a system user.
//!
//! Make an app of the type "Business" and add the Marketing API to it. Its id and secret are the app (`app set`): every
//! request carries a proof made with the secret, so turn on "Require app secret" in the app's advanced settings. The
//! administrator of the business makes a system user under Business settings → Users → System users, assigns the ad
//! accounts to it and generates a token for your app with the permission `ads_read`. A token that never expires is stored
//! as it is; one of 60 days as `{"access_token": "…", "expires_in": 5184000}`, and it is exchanged for the next in time.
//!
//! These files are yours: add fields in `tools.rs`, change descriptions, drop what you do not need.

mod arguments;
mod insights;
mod provider;
mod sandbox;
mod sandbox_data;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_refusals;
mod tools;

use kit::prelude::*;

/// Meta as data and tools.
pub fn integration() -> Integration {
    Integration::new(provider::PROVIDER).tools(tools::tools()).sandbox(sandbox::MetaSandbox::default)
}
