// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The vault: what a tenant's connections are signed with, sealed per record.
//!
//! ```text
//! KEK (outside the store) ── wraps ──▶ tenant DEK ── HKDF per record ──▶ record key ── AES-256-GCM ──▶ sealed text
//! ```
//!
//! A sealed record opens only for the tenant, integration, account and version it was sealed for: all four are
//! authenticated with it. Rows moved or swapped in the database do not open, nor does an older record put into a newer
//! row. A whole old row with its own version does: whoever can write the database can roll a connection back, not read
//! or move it. There is no fallback credential and no default tenant.
//!
//! There may be several KEKs, of which the primary wraps: replacing it re-wraps one small row a tenant ([`rewrap`]) and
//! touches no record. Replacing a data key re-seals the records of its tenant ([`reseal`]).

pub mod credential;
mod deks;
pub mod kek;
mod reseal;
pub(crate) mod rewrap;
pub mod sealed;
pub mod server_keys;

pub use credential::Credential;
pub use reseal::Resealed;
pub use rewrap::{KekStatus, Rewrapped};

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cache::Cache;
use crate::inbound::{MAX_STALENESS_US, TenantCtx};
use crate::ports::{Clock, KeyWrap, KeyWrapError, Rng, RngError, SqlError};
use crate::store::Store;
use crate::store::connections::{ConnectionRow, ConnectionState};
use crate::tenant::{Account, TenantId};
use deks::OpenDeks;
use sealed::{Context, OpenError, Record};

const MAX_CACHED_CONNECTIONS: usize = 10_000;

/// Why the vault did not open or seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultError {
    /// No connection of that name.
    NoConnection,
    /// The record does not open: altered, moved, or sealed under another key.
    Rejected,
    /// The tenant has no data key any more: it was deleted.
    Shredded,
    /// Somebody else changed the connection at the same moment.
    Conflict,
    /// A key is wrapped by a key-encryption key that is not loaded.
    NotLoaded,
    /// The keeper of the key-encryption key says no.
    Denied,
    /// The store or the key-encryption key does not answer.
    Unavailable,
    /// The operating system gave no randomness.
    NoRandomness,
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoConnection => "there is no such connection",
            Self::Rejected => "the sealed record does not open",
            Self::Shredded => "the tenant's keys were destroyed",
            Self::Conflict => "the connection was changed at the same moment",
            Self::NotLoaded => "a key is wrapped by a key-encryption key that is not loaded",
            Self::Denied => "the key-encryption key may not be used by this server",
            Self::Unavailable => "the store or the key-encryption key does not answer",
            Self::NoRandomness => "the operating system gave no randomness",
        })
    }
}

impl std::error::Error for VaultError {}

impl From<SqlError> for VaultError {
    fn from(_: SqlError) -> Self {
        Self::Unavailable
    }
}

impl From<RngError> for VaultError {
    fn from(_: RngError) -> Self {
        Self::NoRandomness
    }
}

impl From<KeyWrapError> for VaultError {
    fn from(error: KeyWrapError) -> Self {
        match error {
            KeyWrapError::Rejected => Self::Rejected,
            KeyWrapError::NotLoaded => Self::NotLoaded,
            KeyWrapError::Denied => Self::Denied,
            KeyWrapError::Unavailable => Self::Unavailable,
        }
    }
}

/// A connection in the cache of its tenant: the row, and the key of its record once that was needed. The credential
/// itself is opened anew for each call and dropped after it.
pub(crate) struct Held {
    pub(crate) row: ConnectionRow,
    record: OnceLock<Record>,
}

/// Seals and opens the credentials of all tenants, one tenant at a time.
pub struct Vault {
    store: Arc<Store>,
    kek: Arc<dyn KeyWrap>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    deks: OpenDeks,
    connections: Cache<(TenantId, String), Arc<Vec<Held>>>,
    opened: AtomicU64,
}

impl Vault {
    /// A vault over `store` whose data keys are wrapped by `kek`. While that cannot be reached, a data key that was opened
    /// is used for `grace`.
    pub fn new(
        store: Arc<Store>,
        kek: Arc<dyn KeyWrap>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        grace: Duration,
    ) -> Self {
        Self {
            store,
            kek,
            clock,
            rng,
            deks: OpenDeks::new(grace),
            connections: Cache::new(MAX_CACHED_CONNECTIONS, MAX_STALENESS_US),
            opened: AtomicU64::new(0),
        }
    }

    /// Records opened since the start. The benchmark compares it with the number of calls.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// The connections of `ctx` for one integration, at most [`MAX_STALENESS_US`] old.
    pub(crate) async fn connections(&self, ctx: &TenantCtx, integration: &str) -> Result<Arc<Vec<Held>>, VaultError> {
        let now = self.clock.monotonic_us();
        let key = (ctx.tenant().clone(), integration.to_owned());
        if let Some(held) = self.connections.get(&key, now) {
            return Ok(held);
        }
        let rows = self.store.connections_of(ctx, integration).await?;
        let held: Arc<Vec<Held>> =
            Arc::new(rows.into_iter().map(|row| Held { row, record: OnceLock::new() }).collect());
        self.connections.put(key, held.clone(), now);
        Ok(held)
    }

    /// Opens `held` for `ctx`. What binds them is not this code but the record itself: the tenant that authenticated is
    /// part of what was sealed, so another tenant's row fails to open even when the database hands it out.
    pub(crate) async fn open(&self, ctx: &TenantCtx, held: &Held) -> Result<Credential, VaultError> {
        let record = match held.record.get() {
            Some(record) => record,
            None => {
                let record = self.unlock(ctx, &held.row).await?;
                held.record.get_or_init(|| record)
            }
        };
        let plain = record.open().map_err(|OpenError| VaultError::Rejected)?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Credential::from_bytes(&plain).ok_or(VaultError::Rejected)
    }

    async fn unlock(&self, ctx: &TenantCtx, row: &ConnectionRow) -> Result<Record, VaultError> {
        let dek_id = sealed::dek_id(&row.sealed).ok_or(VaultError::Rejected)?;
        let dek = self.dek(ctx, dek_id).await?;
        let context = Context {
            tenant: ctx.tenant().as_str(),
            integration: &row.integration,
            account: &row.account,
            version: row.version,
            dek_id,
        };
        sealed::unlock(&dek, &context, &row.sealed).map_err(|OpenError| VaultError::Rejected)
    }

    /// Seals `credential` as the connection (`ctx`, `integration`, `account`), replacing what was there.
    pub(crate) async fn put(
        &self,
        ctx: &TenantCtx,
        integration: &str,
        account: &Account,
        credential: &Credential,
    ) -> Result<(), VaultError> {
        let row = self.store.active_dek(ctx).await?.ok_or(VaultError::Shredded)?;
        let dek = self.unwrap_dek(ctx, &row).await?;
        let now = self.clock.wall_ms();
        let old = self.store.connection_version(ctx, integration, account).await?;
        // Versions follow the clock, so that a connection removed and set again never reuses one: an old sealed text
        // put back into the row then fails to open.
        let version = now.max(old.unwrap_or(0) + 1);
        let context =
            Context { tenant: ctx.tenant().as_str(), integration, account: account.as_str(), version, dek_id: &row.id };
        let sealed = sealed::seal(&*self.rng, &dek, &context, &credential.to_bytes())?;
        let new = ConnectionRow {
            integration: integration.to_owned(),
            account: account.as_str().to_owned(),
            state: ConnectionState::Active,
            reason: None,
            sealed,
            version,
            changed_ms: now,
        };
        let stored = self.store.put_connection(ctx, &new, old, &row.id).await?;
        self.forget(ctx);
        if stored { Ok(()) } else { Err(VaultError::Conflict) }
    }

    /// Writes down that the provider no longer accepts this connection. A connection replaced meanwhile is left alone.
    pub(crate) async fn mark_dead(&self, ctx: &TenantCtx, row: &ConnectionRow, reason: &str) -> Result<(), VaultError> {
        let now = self.clock.wall_ms();
        self.store.set_connection_state(ctx, row, ConnectionState::NeedsReconnect, reason, now).await?;
        self.forget(ctx);
        Ok(())
    }

    /// Forgets what is cached of this tenant.
    pub(crate) fn forget(&self, ctx: &TenantCtx) {
        self.connections.forget(|(tenant, _), _| tenant == ctx.tenant());
    }

    /// Forgets the tenant's connections and its data keys: it is being shredded.
    pub(crate) fn forget_keys(&self, ctx: &TenantCtx, dek_ids: &[String]) {
        self.forget(ctx);
        self.deks.forget(ctx.tenant(), dek_ids);
    }
}
