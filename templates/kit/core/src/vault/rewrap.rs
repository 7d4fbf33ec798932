// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Re-wrapping: every data key and server key gets the primary KEK's wrapping, one row at a time, by compare-and-swap,
//! while servers serve. The keys themselves stay, so nothing that was sealed changes. Stopped in the middle it has done
//! what it has done; started again it does the rest, and two at once do each row once.

use serde::Serialize;

use super::deks::dek_aad;
use super::{Vault, VaultError, server_keys};
use crate::inbound::TenantCtx;
use crate::ports::{KeyWrapError, SqlError, Wrapped};

/// How much one key-encryption key has wrapped, and whether it is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KekStatus {
    /// Its id.
    pub kek_id: String,
    /// Whether it wraps new keys.
    pub primary: bool,
    /// Whether this process can unwrap with it.
    pub loaded: bool,
    /// Data keys that tenants seal with.
    pub deks_active: i64,
    /// Data keys that were replaced and not destroyed yet.
    pub deks_retired: i64,
    /// Server keys.
    pub server_keys: i64,
}

/// What a re-wrap has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rewrapped {
    /// Data keys.
    pub deks: usize,
    /// Server keys.
    pub server_keys: usize,
    /// What did not open, in words: it was altered. It is left as it is.
    pub altered: Vec<String>,
}

/// Why a re-wrap stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RewrapError {
    /// A key-encryption key cannot be used.
    Kek { id: String, error: KeyWrapError },
    /// The store failed.
    Vault(VaultError),
}

impl From<SqlError> for RewrapError {
    fn from(error: SqlError) -> Self {
        Self::Vault(error.into())
    }
}

impl Vault {
    /// Every key-encryption key that is loaded or in use, the primary first.
    pub(crate) async fn kek_status(&self) -> Result<Vec<KekStatus>, VaultError> {
        let mut uses = self.store.kek_use().await?;
        let loaded = self.kek.ids();
        let row = |kek_id: String, loaded: bool, primary: bool, of_kek: crate::store::keks::KekUse| KekStatus {
            kek_id,
            primary,
            loaded,
            deks_active: of_kek.deks_active,
            deks_retired: of_kek.deks_retired,
            server_keys: of_kek.server_keys,
        };
        let mut rows: Vec<KekStatus> = Vec::new();
        for (place, id) in loaded.into_iter().enumerate() {
            let of_kek = uses.remove(&id).unwrap_or_default();
            rows.push(row(id, true, place == 0, of_kek));
        }
        rows.extend(uses.into_iter().map(|(id, of_kek)| row(id, false, false, of_kek)));
        Ok(rows)
    }

    /// Passes while the store answers and every key-encryption key that it needs is loaded. A process that lacks one
    /// still serves what it has opened, but should get no new callers.
    pub async fn ready(&self) -> Result<(), VaultError> {
        if self.missing_keks().await?.is_empty() { Ok(()) } else { Err(VaultError::NotLoaded) }
    }

    /// The key-encryption keys that the store needs and this process does not have.
    pub(crate) async fn missing_keks(&self) -> Result<Vec<String>, VaultError> {
        let mut missing = self.store.keks_in_use().await?;
        let loaded = self.kek.ids();
        missing.retain(|id| !loaded.contains(id));
        Ok(missing)
    }

    /// Wraps with the primary what something else has wrapped; with `all`, also what the primary has wrapped already,
    /// for a keeper that makes new versions of one key.
    pub(crate) async fn rewrap(&self, all: bool) -> Result<Rewrapped, RewrapError> {
        let primary = if all { String::new() } else { self.kek.ids().into_iter().next().unwrap_or_default() };
        let mut done = Rewrapped::default();
        for row in self.store.server_keys_not_under(&primary).await? {
            let aad = server_keys::aad(&row.purpose, row.version);
            match self.wrapped_anew(&aad, &row.wrapped).await? {
                Some(wrapped) => done.server_keys += usize::from(self.store.rewrap_server_key(&row, &wrapped).await?),
                None => done.altered.push(format!("the server key `{}`", row.purpose)),
            }
        }
        for tenant in self.store.tenants_not_under(&primary).await? {
            let ctx = TenantCtx::for_operator(tenant);
            for row in self.store.deks_not_under(&ctx, &primary).await? {
                match self.wrapped_anew(&dek_aad(ctx.tenant(), &row.id), &row.wrapped).await? {
                    Some(wrapped) => done.deks += usize::from(self.store.rewrap_dek(&ctx, &row, &wrapped).await?),
                    None => done.altered.push(format!("a data key of tenant `{}`", ctx.tenant())),
                }
            }
        }
        Ok(done)
    }

    /// The same key under the primary; `None` if it does not open.
    async fn wrapped_anew(&self, aad: &[u8], old: &Wrapped) -> Result<Option<Wrapped>, RewrapError> {
        let key = match self.kek.unwrap(&old.kek_id, aad, &old.text).await {
            Ok(key) => key,
            Err(KeyWrapError::Rejected) => return Ok(None),
            Err(error) => return Err(RewrapError::Kek { id: old.kek_id.clone(), error }),
        };
        let failed = |error| RewrapError::Kek { id: self.kek.ids().into_iter().next().unwrap_or_default(), error };
        self.kek.wrap(aad, &key).await.map(Some).map_err(failed)
    }
}
