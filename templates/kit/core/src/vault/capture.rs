// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Captured calls: arguments and result in full, sealed under the tenant's data key and gone with it.

use zeroize::Zeroizing;

use super::sealed::{self, Context, OpenError};
use super::{Vault, VaultError};
use crate::inbound::TenantCtx;
use crate::store::audit::CaptureRow;
use crate::store::deks::DekRow;

impl Vault {
    /// Seals a call that began at `at_ms`; the sealed text and the data key that it is under.
    pub(crate) async fn seal_capture(
        &self,
        ctx: &TenantCtx,
        call: &str,
        at_ms: i64,
        plain: &[u8],
    ) -> Result<(String, String), VaultError> {
        let row = self.store.active_dek(ctx).await?.ok_or(VaultError::Shredded)?;
        let sealed = self.seal_under(ctx, &row, call, at_ms, plain).await?;
        Ok((sealed, row.id))
    }

    async fn seal_under(
        &self,
        ctx: &TenantCtx,
        row: &DekRow,
        call: &str,
        at_ms: i64,
        plain: &[u8],
    ) -> Result<String, VaultError> {
        let dek = self.unwrap_dek(ctx, row).await?;
        Ok(sealed::seal(&*self.rng, &dek, &context(ctx, call, at_ms, &row.id), plain)?)
    }

    /// Opens a captured call.
    pub(crate) async fn open_capture(
        &self,
        ctx: &TenantCtx,
        row: &CaptureRow,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let dek_id = sealed::dek_id(&row.sealed).ok_or(VaultError::Rejected)?;
        let dek = self.dek(ctx, dek_id).await?;
        let record = sealed::unlock(&dek, &context(ctx, &row.call, row.at_ms, dek_id), &row.sealed);
        record.and_then(|record| record.open()).map_err(|OpenError| VaultError::Rejected)
    }

    /// Seals anew what another data key than `dek` seals; how many calls that were. One that does not open is removed: nobody
    /// can read it, and it would keep its key from being destroyed.
    pub(super) async fn reseal_captures(&self, ctx: &TenantCtx, dek: &DekRow) -> Result<usize, VaultError> {
        let mut resealed = 0;
        loop {
            let rows = self.store.captures_not(ctx, &sealed::under(&dek.id)).await?;
            if rows.is_empty() {
                return Ok(resealed);
            }
            for row in rows {
                match self.open_capture(ctx, &row).await {
                    Ok(plain) => {
                        let sealed = self.seal_under(ctx, dek, &row.call, row.at_ms, &plain).await?;
                        self.store.reseal_capture(ctx, &row.call, &sealed).await?;
                    }
                    Err(VaultError::Rejected) => self.store.remove_capture(ctx, &row.call).await?,
                    Err(error) => return Err(error),
                }
                resealed += 1;
            }
        }
    }
}

/// No integration can be called that, so a captured call opens as nothing else.
fn context<'a>(ctx: &'a TenantCtx, call: &'a str, at_ms: i64, dek_id: &'a str) -> Context<'a> {
    Context { tenant: ctx.tenant().as_str(), integration: "\0capture", account: call, version: at_ms, dek_id }
}
