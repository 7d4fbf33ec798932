// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Upstreams: a provider is data, and one executor sends every request. No provider has a loop of its own.
//!
//! A call takes this way: [`executor`] chooses the connection → [`life`] says whether its credential can be used →
//! [`refresh`] renews it if not → [`sign`] puts it on the request → the [`breaker`](crate::breaker) lets it pass → send → what
//! does the answer mean → [`retry`] says whether once more.

pub mod callback_hmac;
mod exact;
pub mod executor;
pub(crate) mod lease;
pub(crate) mod life;
pub mod oauth;
pub mod provider;
pub mod refresh;
pub(crate) mod refusal;
pub mod request;
pub mod request_signature;
pub(crate) mod retry;
pub mod sandbox;
pub mod sign;
pub mod sweep;
pub mod throttle;
pub mod token;
pub mod token_server;

pub use crate::breaker::ThrottleScope;
use crate::ports::HttpResponse;

/// What an answer means, independent of how the provider says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It worked.
    Ok,
    /// The access token is not accepted; a fresh one may be.
    AuthExpired,
    /// The same, in the words that this provider also has for a token that it has only just issued.
    AuthUnsettled,
    /// The credential is dead; only a person can mend it.
    AuthDead,
    /// The credential is good, but may not do this.
    Forbidden,
    /// Not there, or not shared with this credential.
    NotFound,
    /// The request itself is wrong.
    Invalid,
    /// The provider has ended the version of its API that the tools speak. Nothing in the request or the connection is to
    /// blame; only the owner can mend it.
    VersionEnded,
    /// Too many requests.
    Throttled {
        /// Milliseconds to wait, if the provider says so.
        retry_after_ms: Option<i64>,
        /// Whose limit it is, if the provider says so.
        scope: ThrottleScope,
    },
    /// The provider's own trouble.
    Transient,
}

impl Outcome {
    /// Too many requests; nobody says whose limit it is.
    pub const fn throttled(retry_after_ms: Option<i64>) -> Self {
        Self::Throttled { retry_after_ms, scope: ThrottleScope::Unsaid }
    }
}

/// What the status code says by itself, for providers that use it as the standard has it.
pub fn classify_status(response: &HttpResponse) -> Outcome {
    match response.status {
        200..=299 => Outcome::Ok,
        401 => Outcome::AuthExpired,
        403 => Outcome::Forbidden,
        404 | 410 => Outcome::NotFound,
        429 => Outcome::throttled(None),
        500..=599 => Outcome::Transient,
        _ => Outcome::Invalid,
    }
}
