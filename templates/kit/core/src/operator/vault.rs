// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What the operator does to the keys of the vault. A key-encryption key is removed only when nothing needs it; a data key
//! is destroyed only when no record names it.

use serde_json::json;

use super::{Operator, OperatorError};
use crate::ports::KeyWrapError;
use crate::vault::rewrap::RewrapError;
use crate::vault::{KekStatus, Resealed, Rewrapped, VaultError};

impl Operator {
    /// Every key-encryption key that is loaded or in use, the primary first.
    pub async fn vault_status(&self) -> Result<Vec<KekStatus>, OperatorError> {
        Ok(self.vault.kek_status().await?)
    }

    /// Wraps every data key and server key with the primary key-encryption key; with `all`, also those that it wrapped
    /// already, for a keeper that makes new versions of one key.
    pub async fn vault_rewrap(&self, all: bool) -> Result<Rewrapped, OperatorError> {
        self.audit(None, "vault rewrap", json!({"all": all})).await?;
        self.vault.rewrap(all).await.map_err(|error| match error {
            RewrapError::Vault(error) => error.into(),
            RewrapError::Kek { id, error } => OperatorError::refused(
                format!("stopped at the key-encryption key `{id}`: {error}"),
                match error {
                    KeyWrapError::NotLoaded => "add it to `vault.previous_keks`, then run the command again".to_owned(),
                    _ => format!("what is done is done; run `{} vault rewrap` again for the rest", self.server),
                },
            ),
        })
    }

    /// Passes if the key-encryption key `id` is here and nothing needs it any more.
    pub async fn vault_removable(&self, id: &str) -> Result<(), OperatorError> {
        let status = self.vault.kek_status().await?;
        let Some(kek) = status.iter().find(|kek| kek.kek_id == id && kek.loaded) else {
            let hint = format!("see `{} vault status`", self.server);
            return Err(OperatorError::refused(format!("there is no key-encryption key `{id}` here"), hint));
        };
        if kek.primary {
            let message = format!("`{id}` is the primary key-encryption key: it wraps new keys");
            let hint = format!("put another in its place first: `{} vault rotate-kek`", self.server);
            return Err(OperatorError::refused(message, hint));
        }
        let deks = kek.deks_active + kek.deks_retired;
        if deks + kek.server_keys > 0 {
            let message = format!("`{id}` still wraps {deks} data key(s) and {} server key(s)", kek.server_keys);
            let hint = format!("wrap them with the primary first: `{} vault rewrap`", self.server);
            return Err(OperatorError::refused(message, hint));
        }
        Ok(())
    }

    /// Gives a tenant a new data key and seals its records under it. The old one is destroyed by
    /// [`vault_destroy_retired`](Self::vault_destroy_retired), 15 s later at the earliest: by then no process holds a row
    /// any more that names it.
    pub async fn vault_rotate_dek(&self, tenant: &str) -> Result<Resealed, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        self.audit(Some(ctx.tenant()), "vault rotate-dek", json!({})).await?;
        self.vault.rotate_dek(&ctx).await.map_err(|error| self.reseal_error(tenant, error))
    }

    /// Destroys the data keys of a tenant that were replaced and that no record names any more.
    pub async fn vault_destroy_retired(&self, tenant: &str) -> Result<Resealed, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        self.audit(Some(ctx.tenant()), "vault destroy-retired", json!({})).await?;
        self.vault.destroy_retired(&ctx).await.map_err(|error| self.reseal_error(tenant, error))
    }

    fn reseal_error(&self, tenant: &str, error: VaultError) -> OperatorError {
        match error {
            VaultError::Conflict => OperatorError::refused(
                format!("a connection of tenant `{tenant}` changes again and again, some are still under an older key"),
                format!("run `{} vault rotate-dek --tenant {tenant}` again", self.server),
            ),
            error => error.into(),
        }
    }
}
