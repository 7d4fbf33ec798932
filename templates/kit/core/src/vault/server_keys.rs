// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Server keys: random, versioned, wrapped by the KEK in their own table. They are never derived from it, so rotating
//! the KEK breaks no API key. One of them, the sentinel, exists to tell a wrong KEK at boot instead of per request.

use std::fmt;

use super::sealed::length_prefixed;
use crate::ports::{KeyWrap, KeyWrapError, Rng, RngError, SqlError};
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
    /// Opened at boot to see that the KEK is the right one.
    Sentinel,
}

impl Purpose {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeyPepper => "api-key-pepper",
            Self::App => "app",
            Self::Sentinel => "sentinel",
        }
    }
}

/// Why the server keys could not be read or made.
#[derive(Debug, PartialEq, Eq)]
pub enum ServerKeyError {
    /// The store was sealed under another KEK.
    WrongKek {
        /// Id of the KEK the store knows.
        expected: String,
        /// Id of the KEK this process has.
        found: String,
    },
    /// The KEK has the right id, yet the key does not open.
    Rejected(&'static str),
    /// The store or the KEK does not answer.
    Unavailable,
    /// The operating system gave no randomness.
    NoRandomness,
}

impl fmt::Display for ServerKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongKek { expected, found } => {
                write!(f, "the store was sealed under the key-encryption key `{expected}`, this one is `{found}`")
            }
            Self::Rejected(purpose) => write!(f, "the server key `{purpose}` was altered: it does not open"),
            Self::Unavailable => f.write_str("the store or the key-encryption key does not answer"),
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
        let wrapped = kek.wrap(&aad(name), &Secret::new(bytes)).await.map_err(|_| ServerKeyError::Unavailable)?;
        store.add_server_key(name, &ServerKeyRow { kek_id: kek.id().to_owned(), wrapped }).await?;
    }
    let row = store.server_key(name).await?.ok_or(ServerKeyError::Unavailable)?;
    if row.kek_id != kek.id() {
        return Err(ServerKeyError::WrongKek { expected: row.kek_id, found: kek.id().to_owned() });
    }
    kek.unwrap(&aad(name), &row.wrapped).await.map_err(|error| match error {
        KeyWrapError::Rejected => ServerKeyError::Rejected(name),
        KeyWrapError::Unavailable => ServerKeyError::Unavailable,
    })
}

fn aad(name: &str) -> Vec<u8> {
    length_prefixed(&[b"mk-srv", name.as_bytes(), &1_i64.to_be_bytes()])
}
