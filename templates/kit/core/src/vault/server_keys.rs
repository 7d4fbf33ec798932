// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Server keys: random, versioned, wrapped by the KEK in their own table. They are never derived from it, so rotating
//! the KEK breaks no API key. One of them, the sentinel, exists to tell a KEK that does not work at boot instead of per
//! request.

use std::fmt;

use super::sealed::length_prefixed;
use crate::ports::{KeyWrap, KeyWrapError, Rng, RngError, SqlError, Wrapped};
use crate::secret::Secret;
use crate::store::Store;
use crate::store::server_keys::ServerKeyRow;

/// What a server key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// API keys are hashed with it.
    ApiKeyPepper,
    /// The owner's apps are sealed under it.
    App,
    /// The rows of the audit are chained with it.
    Audit,
    /// What is left out of the audit and of traces is known by its hash under this key.
    Redaction,
    /// Opened at boot to see that the KEK is the right one.
    Sentinel,
}

impl Purpose {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeyPepper => "api-key-pepper",
            Self::App => "app",
            Self::Audit => "audit",
            Self::Redaction => "redaction",
            Self::Sentinel => "sentinel",
        }
    }
}

/// Why the server keys could not be read or made.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerKeyError {
    /// The key-encryption key is here, yet the key does not open.
    Rejected(&'static str),
    /// The key-encryption key cannot be used.
    Kek {
        /// Its id.
        id: String,
        /// Why.
        error: KeyWrapError,
    },
    /// The store does not answer.
    Unavailable,
    /// The operating system gave no randomness.
    NoRandomness,
}

impl fmt::Display for ServerKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(purpose) => write!(f, "the server key `{purpose}` was altered: it does not open"),
            Self::Kek { id, error } => write!(f, "`{id}`: {error}"),
            Self::Unavailable => f.write_str("the store does not answer"),
            Self::NoRandomness => f.write_str("the operating system gave no randomness"),
        }
    }
}

impl std::error::Error for ServerKeyError {}

impl From<SqlError> for ServerKeyError {
    fn from(_: SqlError) -> Self {
        Self::Unavailable
    }
}

impl From<RngError> for ServerKeyError {
    fn from(_: RngError) -> Self {
        Self::NoRandomness
    }
}

/// The key for `purpose`, made at the first use of a store. Two processes that start at the same moment agree: the
/// table takes one row, and both read it back.
pub async fn obtain(
    store: &Store,
    kek: &dyn KeyWrap,
    rng: &dyn Rng,
    purpose: Purpose,
) -> Result<Secret, ServerKeyError> {
    let name = purpose.as_str();
    if store.server_key(name).await?.is_none() {
        let mut bytes = vec![0_u8; 32];
        rng.fill(&mut bytes)?;
        let wrapped = kek.wrap(&aad(name, FIRST), &Secret::new(bytes)).await.map_err(|error| {
            let id = kek.ids().into_iter().next().unwrap_or_default();
            ServerKeyError::Kek { id, error }
        })?;
        store.add_server_key(&ServerKeyRow { purpose: name.to_owned(), version: FIRST, wrapped }).await?;
    }
    let row = store.server_key(name).await?.ok_or(ServerKeyError::Unavailable)?;
    let Wrapped { kek_id, text } = row.wrapped;
    kek.unwrap(&kek_id, &aad(name, row.version), &text).await.map_err(|error| match error {
        KeyWrapError::Rejected => ServerKeyError::Rejected(name),
        error => ServerKeyError::Kek { id: kek_id.clone(), error },
    })
}

/// Version of a key that was never replaced by another.
const FIRST: i64 = 1;

/// Binds a wrapped server key to its purpose and its version.
pub(super) fn aad(purpose: &str, version: i64) -> Vec<u8> {
    length_prefixed(&[b"mk-srv", purpose.as_bytes(), &version.to_be_bytes()])
}
