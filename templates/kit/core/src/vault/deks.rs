// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Opened data keys. They are kept for a while, so that an ordinary call asks no keeper of a KEK, and for a longer while
//! when that keeper cannot be reached: an outage of a KMS is not an outage of this server until the grace is over.

use std::time::Duration;

use super::{Vault, VaultError, sealed};
use crate::cache::Cache;
use crate::inbound::TenantCtx;
use crate::secret::Secret;
use crate::store::deks::DekRow;
use crate::tenant::TenantId;

/// After this an opened key is asked for again. Longer asks less often, shorter leaves less in memory and follows a key
/// that was disabled at its keeper sooner.
const ASK_AGAIN_US: i64 = 600_000_000;
/// An aged key is asked for this often while its keeper cannot be reached.
const RETRY_US: i64 = 1_000_000;
const MAX_OPEN: usize = 4_096;

#[derive(Clone)]
struct OpenDek {
    dek: Secret,
    opened_us: i64,
    /// From then on one call asks, and the others go on with what is here.
    ask_us: i64,
}

/// The data keys that are open in this process, at most [`MAX_OPEN`].
pub(super) struct OpenDeks {
    open: Cache<(TenantId, String), OpenDek>,
    keep_us: i64,
}

/// What is known of a data key without asking.
enum Known {
    Fresh(Secret),
    /// Opened long ago: to be asked for, and good enough if there is no answer.
    Aged(Secret),
    Nothing,
}

impl OpenDeks {
    pub(super) fn new(grace: Duration) -> Self {
        let keep_us = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX).max(ASK_AGAIN_US);
        Self { open: Cache::new(MAX_OPEN, keep_us), keep_us }
    }

    fn look(&self, key: &(TenantId, String), now: i64) -> Known {
        match self.open.get(key, now).filter(|open| now.saturating_sub(open.opened_us) < self.keep_us) {
            Some(open) if now < open.ask_us => Known::Fresh(open.dek),
            Some(open) => {
                let dek = open.dek.clone();
                let later = OpenDek { ask_us: now.saturating_add(RETRY_US), ..open };
                self.open.put(key.clone(), later, now, self.open.ticket());
                Known::Aged(dek)
            }
            None => Known::Nothing,
        }
    }

    fn put(&self, key: (TenantId, String), dek: Secret, now: i64, ticket: u64) {
        self.open.put(key, OpenDek { dek, opened_us: now, ask_us: now.saturating_add(ASK_AGAIN_US) }, now, ticket);
    }

    pub(super) fn forget(&self, of: &TenantId, ids: &[String]) {
        self.open.forget(|(tenant, id), _| tenant == of && ids.contains(id));
    }
}

impl Vault {
    /// The data key `id` of this tenant.
    pub(super) async fn dek(&self, ctx: &TenantCtx, id: &str) -> Result<Secret, VaultError> {
        let key = (ctx.tenant().clone(), id.to_owned());
        let known = self.deks.look(&key, self.clock.monotonic_us());
        if let Known::Fresh(dek) = known {
            return Ok(dek);
        }
        let Some(row) = self.store.dek(ctx, id).await? else {
            self.deks.forget(&key.0, &[key.1]);
            return Err(VaultError::Rejected);
        };
        self.ask(&row, key, known).await
    }

    /// The data key of a row that was just read.
    pub(super) async fn unwrap_dek(&self, ctx: &TenantCtx, row: &DekRow) -> Result<Secret, VaultError> {
        let key = (ctx.tenant().clone(), row.id.clone());
        match self.deks.look(&key, self.clock.monotonic_us()) {
            Known::Fresh(dek) => Ok(dek),
            known => self.ask(row, key, known).await,
        }
    }

    async fn ask(&self, row: &DekRow, key: (TenantId, String), known: Known) -> Result<Secret, VaultError> {
        let (aad, ticket) = (dek_aad(&key.0, &row.id), self.deks.open.ticket());
        match (self.kek.unwrap(&row.wrapped.kek_id, &aad, &row.wrapped.text).await.map_err(VaultError::from), known) {
            (Ok(dek), _) => {
                self.deks.put(key, dek.clone(), self.clock.monotonic_us(), ticket);
                Ok(dek)
            }
            // It is the same key, whoever wraps it by now.
            (Err(VaultError::Unavailable | VaultError::NotLoaded), Known::Aged(dek)) => Ok(dek),
            // A keeper that says no is obeyed at once: that is how an owner cuts a server off.
            (Err(error), _) => {
                self.deks.forget(&key.0, &[key.1]);
                Err(error)
            }
        }
    }

    /// A new wrapped data key for a tenant.
    pub(crate) async fn new_dek(&self, tenant: &TenantId) -> Result<DekRow, VaultError> {
        let id = format!("dek{}", crate::token::random(&*self.rng, 16)?);
        let mut bytes = vec![0_u8; 32];
        self.rng.fill(&mut bytes)?;
        let wrapped = self.kek.wrap(&dek_aad(tenant, &id), &Secret::new(bytes)).await?;
        Ok(DekRow { id, wrapped })
    }
}

/// Binds a wrapped data key to its tenant and its id.
pub(super) fn dek_aad(tenant: &TenantId, dek_id: &str) -> Vec<u8> {
    sealed::length_prefixed(&[b"mk-dek", tenant.as_str().as_bytes(), dek_id.as_bytes()])
}
