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

pub mod app;
mod capture;
pub mod credential;
mod deks;
pub mod kek;
mod reseal;
pub(crate) mod rewrap;
pub mod sealed;
pub mod server_keys;

pub use app::App;
pub use credential::Credential;
pub use reseal::Resealed;
pub use rewrap::{KekStatus, Rewrapped};

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::cache::Cache;
use crate::flight::Flights;
use crate::inbound::{MAX_STALENESS_US, TenantCtx};
use crate::ports::{BoxFuture, Clock, KeyWrap, KeyWrapError, Rng, RngError, SqlError};
use crate::secret::Secret;
use crate::store::Store;
use crate::store::connections::{ConnectionRow, ConnectionState, Key};
use crate::tenant::{Account, TenantId};
use app::HeldApp;
use deks::OpenDeks;
use sealed::{Context, OpenError, Record};

const MAX_CACHED_CONNECTIONS: usize = 10_000;

/// Why the vault did not open or seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultError {
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

/// What a new credential means for its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) state: ConnectionState,
    pub(crate) refresh_at_ms: Option<i64>,
    pub(crate) ends_ms: Option<i64>,
}

/// A connection in the cache of its tenant: the row, and the key of its record once that was needed. The credential
/// itself is opened anew for each call and dropped after it.
pub(crate) struct Held {
    pub(crate) row: ConnectionRow,
    record: OnceLock<Record>,
}

/// Tenant and integration.
type ConnectionsKey = (TenantId, String);
type Loaded = Result<Arc<Vec<Held>>, VaultError>;

/// Seals and opens the credentials of all tenants, one tenant at a time.
pub struct Vault {
    store: Arc<Store>,
    kek: Arc<dyn KeyWrap>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    deks: OpenDeks,
    connections: Cache<ConnectionsKey, Arc<Vec<Held>>>,
    loads: Arc<Flights<(u64, ConnectionsKey), Loaded>>,
    apps: Cache<(TenantId, String), Arc<HeldApp>>,
    app_key: Secret,
    opened: AtomicU64,
}

impl Vault {
    /// A vault over `store` whose data keys are wrapped by `kek`. `app_key` is the server key of the owner's apps. While
    /// the KEK cannot be reached, a data key that was opened is used for `grace`.
    pub fn new(
        store: Arc<Store>,
        kek: Arc<dyn KeyWrap>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        app_key: Secret,
        grace: Duration,
    ) -> Self {
        Self {
            store,
            kek,
            clock,
            rng,
            deks: OpenDeks::new(grace),
            connections: Cache::new(MAX_CACHED_CONNECTIONS, MAX_STALENESS_US),
            loads: Arc::new(Flights::new()),
            apps: Cache::new(MAX_CACHED_CONNECTIONS, app::MAX_AGE_US),
            app_key,
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
        // A hundred calls that find nothing here read once. Those who come after a change do not join a reading that began
        // before it.
        let ticket = self.connections.ticket();
        let load = || -> BoxFuture<'static, _> {
            let (store, ctx, integration) = (self.store.clone(), ctx.clone(), integration.to_owned());
            Box::pin(async move {
                let rows = store.connections_of(&ctx, &integration).await?;
                Ok(Arc::new(rows.into_iter().map(|row| Held { row, record: OnceLock::new() }).collect::<Vec<_>>()))
            })
        };
        let held = self.loads.join((ticket, key.clone()), load).await?;
        self.connections.put(key, held.clone(), now, ticket);
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

    /// Opens a row that was just read, past the cache.
    pub(crate) async fn open_row(&self, ctx: &TenantCtx, row: &ConnectionRow) -> Result<Credential, VaultError> {
        let plain = self.unlock(ctx, row).await?.open().map_err(|OpenError| VaultError::Rejected)?;
        Credential::from_bytes(&plain).ok_or(VaultError::Rejected)
    }

    /// `row` with `credential` sealed into it under the tenant's active data key, its version grown, and that key's id. Not
    /// stored yet.
    pub(crate) async fn seal_into(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        credential: &Credential,
    ) -> Result<(ConnectionRow, String), VaultError> {
        let dek_row = self.store.active_dek(ctx).await?.ok_or(VaultError::Shredded)?;
        let dek = self.unwrap_dek(ctx, &dek_row).await?;
        let now = self.clock.wall_ms();
        // Versions follow the clock, so that a connection removed and set again never reuses one: an old sealed text
        // put back into the row then fails to open.
        let version = now.max(row.version + 1);
        let context = Context {
            tenant: ctx.tenant().as_str(),
            integration: &row.integration,
            account: &row.account,
            version,
            dek_id: &dek_row.id,
        };
        let sealed = sealed::seal(&*self.rng, &dek, &context, &credential.to_bytes())?;
        Ok((ConnectionRow { sealed, version, changed_ms: now, ..row.clone() }, dek_row.id))
    }

    /// Seals `credential` as the connection (`ctx`, `integration`, `account`), replacing what was there, a refresh that
    /// commits between our read and our write too.
    pub(crate) async fn put(
        &self,
        ctx: &TenantCtx,
        integration: &str,
        account: &Account,
        credential: &Credential,
        life: Life,
    ) -> Result<(), VaultError> {
        let key = Key { ctx, integration, account: account.as_str() };
        for _ in 0..5 {
            let old = self.store.connection(&key).await?.map(|row| row.version);
            let row = ConnectionRow {
                integration: integration.to_owned(),
                account: account.as_str().to_owned(),
                state: life.state,
                reason: None,
                sealed: String::new(),
                version: old.unwrap_or(0),
                changed_ms: 0,
                lease_owner: None,
                lease_until_ms: None,
                refresh_at_ms: life.refresh_at_ms,
                retry_at_ms: None,
                failures: 0,
                ends_ms: life.ends_ms,
                grant_version: None,
            };
            let (new, dek_id) = self.seal_into(ctx, &row, credential).await?;
            let stored = self.store.put_connection(ctx, &new, old, &dek_id).await?;
            self.forget(ctx);
            if stored {
                return Ok(());
            }
        }
        Err(VaultError::Conflict)
    }

    /// Seals a short-lived note of `ctx` that is kept under `id`: what a consent under way must not forget.
    pub(crate) async fn seal_note(&self, ctx: &TenantCtx, id: &str, plain: &[u8]) -> Result<(String, i64), VaultError> {
        let row = self.store.active_dek(ctx).await?.ok_or(VaultError::Shredded)?;
        let dek = self.unwrap_dek(ctx, &row).await?;
        let version = self.clock.wall_ms();
        let context = note_context(ctx, id, version, &row.id);
        Ok((sealed::seal(&*self.rng, &dek, &context, plain)?, version))
    }

    /// Opens what `seal_note` made for the same `id`.
    pub(crate) async fn open_note(
        &self,
        ctx: &TenantCtx,
        id: &str,
        version: i64,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let dek_id = sealed::dek_id(sealed).ok_or(VaultError::Rejected)?;
        let dek = self.dek(ctx, dek_id).await?;
        let record = sealed::unlock(&dek, &note_context(ctx, id, version, dek_id), sealed);
        record.and_then(|record| record.open()).map_err(|OpenError| VaultError::Rejected)
    }

    /// Writes down that the provider no longer accepts this connection. A connection replaced meanwhile is left alone;
    /// says whether this was the one to do it.
    pub(crate) async fn mark(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        state: ConnectionState,
        reason: &str,
    ) -> Result<bool, VaultError> {
        let now = self.clock.wall_ms();
        let marked = self.store.set_connection_state(ctx, row, state, reason, now).await?;
        self.forget(ctx);
        Ok(marked)
    }

    /// Forgets what is cached of this tenant.
    pub(crate) fn forget(&self, ctx: &TenantCtx) {
        self.connections.forget(|(tenant, _), _| tenant == ctx.tenant());
    }

    /// Forgets what is cached of all tenants' connections.
    pub(crate) fn forget_all(&self) {
        self.connections.forget(|_, _| true);
    }

    /// Forgets the tenant's connections and its data keys: it is being shredded.
    pub(crate) fn forget_keys(&self, ctx: &TenantCtx, dek_ids: &[String]) {
        self.forget(ctx);
        self.apps.forget(|(tenant, _), _| tenant == ctx.tenant());
        self.deks.forget(ctx.tenant(), dek_ids);
    }
}

/// No integration and no account can be called that, so a note opens as nothing else.
fn note_context<'a>(ctx: &'a TenantCtx, id: &'a str, version: i64, dek_id: &'a str) -> Context<'a> {
    Context { tenant: ctx.tenant().as_str(), integration: "\0note", account: id, version, dek_id }
}
