// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Replacing a tenant's data key: a new one becomes active, the records of the tenant are sealed anew under it, one at a
//! time, by compare-and-swap, while calls go on, and the old one is destroyed when no record names it any more.

use super::{Vault, VaultError, sealed};
use crate::inbound::TenantCtx;
use crate::store::connections::ConnectionRow;
use crate::store::deks::DekRow;
use crate::store::tenants::TenantState;
use sealed::{Context, OpenError};

/// A record that changes under our hands this often is written by something that does not stop.
const ROUNDS: usize = 16;

/// What sealing anew has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Records sealed under the active data key.
    pub records: usize,
    /// Data keys that were destroyed, because no record named them any more.
    pub destroyed: usize,
    /// Connections that do not open, as `integration/account`: they were altered, and keep their old key from being
    /// destroyed.
    pub altered: Vec<String>,
}

impl Vault {
    /// Gives the tenant a new data key and seals its records under it. The old key stays, retired: other processes may
    /// still hold rows that name it.
    pub(crate) async fn rotate_dek(&self, ctx: &TenantCtx) -> Result<Resealed, VaultError> {
        let old = self.store.active_dek(ctx).await?.ok_or(VaultError::Shredded)?;
        let new = self.new_dek(ctx.tenant()).await?;
        let now = self.clock.wall_ms();
        self.store.replace_dek(ctx, &old.id, &new, now).await?;
        // Deleted at this very moment: whatever of the new key came after the shredding is shredded too.
        if self.store.tenant_state(ctx.tenant()).await? == Some(TenantState::Deleted) {
            self.store.shred_tenant(ctx, now).await?;
            return Err(VaultError::Shredded);
        }
        self.reseal_all(ctx).await
    }

    /// Seals anew what was sealed under a retired data key meanwhile, and destroys the retired keys that nothing names.
    /// To be called when every process has let go of the rows it had read before the rotation.
    pub(crate) async fn destroy_retired(&self, ctx: &TenantCtx) -> Result<Resealed, VaultError> {
        let mut done = self.reseal_all(ctx).await?;
        for id in self.store.retired_deks(ctx).await? {
            if self.store.drop_dek(ctx, &id, &sealed::under(&id)).await? {
                done.destroyed += 1;
                self.deks.forget(ctx.tenant(), &[id]);
            }
        }
        Ok(done)
    }

    async fn reseal_all(&self, ctx: &TenantCtx) -> Result<Resealed, VaultError> {
        let mut done = Resealed::default();
        for _ in 0..ROUNDS {
            let dek = self.store.active_dek(ctx).await?.ok_or(VaultError::Shredded)?;
            let mut rows = self.store.connections(ctx).await?;
            rows.retain(|row| sealed::dek_id(&row.sealed) != Some(&dek.id));
            done.altered.clear();
            let mut changed = false;
            for row in rows {
                match self.reseal(ctx, &row, &dek).await {
                    Ok(()) => done.records += 1,
                    Err(VaultError::Rejected) => done.altered.push(format!("{}/{}", row.integration, row.account)),
                    Err(VaultError::Conflict) => changed = true,
                    Err(error) => return Err(error),
                }
            }
            done.records += self.reseal_apps(ctx, &dek.id).await?;
            done.records += self.reseal_captures(ctx, &dek).await?;
            if !changed {
                return Ok(done);
            }
        }
        Err(VaultError::Conflict)
    }

    /// Seals one connection under the data key `dek`. Nothing but the sealed text, its version and the time of the change
    /// is touched; `Conflict` if the connection changed meanwhile.
    pub(crate) async fn reseal(&self, ctx: &TenantCtx, row: &ConnectionRow, dek: &DekRow) -> Result<(), VaultError> {
        let plain = self.unlock(ctx, row).await?.open().map_err(|OpenError| VaultError::Rejected)?;
        let key = self.unwrap_dek(ctx, dek).await?;
        let now = self.clock.wall_ms();
        // The rule of `put`: it grows, and follows the clock.
        let version = now.max(row.version + 1);
        let context = Context {
            tenant: ctx.tenant().as_str(),
            integration: &row.integration,
            account: &row.account,
            version,
            dek_id: &dek.id,
        };
        let text = sealed::seal(&*self.rng, &key, &context, &plain)?;
        let stored = self.store.reseal_connection(ctx, row, &text, version, &dek.id, now).await?;
        self.forget(ctx);
        if stored { Ok(()) } else { Err(VaultError::Conflict) }
    }
}
