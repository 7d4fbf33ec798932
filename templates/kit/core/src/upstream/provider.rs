// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A provider as data: where it lives, what every request carries, how it authenticates, how it says no.

use super::Outcome;
use crate::ports::HttpResponse;
use crate::secret::Secret;
use crate::vault::Credential;

/// How a provider authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthShape {
    /// A key in a header: `<prefix><key>`.
    ApiKey {
        /// Name of the header.
        header: &'static str,
        /// What stands before the key, with its space (`"Bearer "`), or nothing.
        prefix: &'static str,
    },
}

/// How a provider says how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    /// It does not.
    Silent,
    /// `Retry-After` in whole seconds.
    RetryAfterSeconds,
}

/// One upstream API.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Name in the catalogue: `notion`.
    pub id: &'static str,
    /// Name for people: `Notion`.
    pub title: &'static str,
    /// Scheme and host of every request, with a path prefix if the provider has one.
    pub base_url: &'static str,
    /// How it authenticates.
    pub auth: AuthShape,
    /// Headers of every request.
    pub headers: &'static [(&'static str, &'static str)],
    /// How it says how long to wait.
    pub throttle: Throttle,
    /// What an answer means.
    pub classify: fn(&HttpResponse) -> Outcome,
}

impl Provider {
    /// What `response` means, with the wait that its headers ask for.
    pub(crate) fn outcome(&self, response: &HttpResponse) -> Outcome {
        match ((self.classify)(response), self.throttle) {
            (Outcome::Throttled { retry_after_ms: None }, Throttle::RetryAfterSeconds) => {
                let seconds = response.header("retry-after").and_then(|value| value.trim().parse::<i64>().ok());
                Outcome::Throttled { retry_after_ms: seconds.map(|seconds| seconds.clamp(0, 86_400) * 1_000) }
            }
            (outcome, _) => outcome,
        }
    }

    /// The header that authenticates a request. `None` if the secret does not fit into one.
    pub(crate) fn sign(&self, credential: &Credential) -> Option<(String, String)> {
        let AuthShape::ApiKey { header, prefix } = self.auth;
        let Credential::ApiKey { key, .. } = credential;
        Some((header.to_owned(), format!("{prefix}{}", checked(key)?)))
    }
}

/// A key may hold visible ASCII only: anything else would end the header or be refused by the client library with the
/// key in its error.
pub(crate) fn checked(key: &Secret) -> Option<&str> {
    key.expose_str().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
}
