// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The owner's app at a provider: client id and secret, sealed. A tenant's override is sealed under that tenant's data key,
//! the owner's own under a server key; neither opens in the other's place.

use std::sync::{Arc, OnceLock};

use super::sealed::{self, Context, OpenError, Record};
use super::{Vault, VaultError};
use crate::inbound::{MAX_STALENESS_US, TenantCtx};
use crate::secret::Secret;
use crate::store::apps::AppRow;
use crate::tenant::TenantId;

/// What stands for the account in the context of an app's record. No account can be called that.
const ACCOUNT: &str = "\0app";
/// What stands for the data key of the owner's own apps.
const OWNER_KEY: &str = "server-key-app";

/// How long an app is believed without asking the store again.
pub(super) const MAX_AGE_US: i64 = MAX_STALENESS_US;

/// The owner's client at a provider.
#[derive(Clone, Debug)]
pub struct App {
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: Secret,
    /// Grows with every change.
    pub version: i64,
}

/// An app in the cache; its record is opened anew for each use, like a connection's.
pub(crate) struct HeldApp {
    row: AppRow,
    owner: bool,
    record: OnceLock<Record>,
}

impl Vault {
    /// The app that requests of `ctx` to `integration` use: the tenant's override, else the owner's own.
    pub(crate) async fn app(&self, ctx: &TenantCtx, integration: &str) -> Result<Option<App>, VaultError> {
        let now = self.clock.monotonic_us();
        let key = (ctx.tenant().clone(), integration.to_owned());
        let held = match self.apps.get(&key, now) {
            Some(held) => held,
            None => {
                let ticket = self.apps.ticket();
                let own = self.store.app(Some(ctx.tenant()), integration).await?;
                let (row, owner) = match own {
                    Some(row) => (Some(row), false),
                    None => (self.store.app(None, integration).await?, true),
                };
                let Some(row) = row else { return Ok(None) };
                let held = Arc::new(HeldApp { row, owner, record: OnceLock::new() });
                self.apps.put(key, held.clone(), now, ticket);
                held
            }
        };
        let record = match held.record.get() {
            Some(record) => record,
            None => {
                let record = self.unlock_app(ctx, integration, &held).await?;
                held.record.get_or_init(|| record)
            }
        };
        let plain = record.open().map_err(|OpenError| VaultError::Rejected)?;
        let (client_id, version) = (held.row.client_id.clone(), held.row.version);
        Ok(Some(App { client_id, client_secret: Secret::new(plain.to_vec()), version }))
    }

    /// Whether requests of `ctx` to `integration` use an app of the tenant's own. It opens nothing.
    pub(crate) async fn has_own_app(&self, ctx: &TenantCtx, integration: &str) -> Result<bool, VaultError> {
        let key = (ctx.tenant().clone(), integration.to_owned());
        match self.apps.get(&key, self.clock.monotonic_us()) {
            Some(held) => Ok(!held.owner),
            None => Ok(self.store.app(Some(ctx.tenant()), integration).await?.is_some()),
        }
    }

    async fn unlock_app(&self, ctx: &TenantCtx, integration: &str, held: &HeldApp) -> Result<Record, VaultError> {
        let dek_id = sealed::dek_id(&held.row.sealed).ok_or(VaultError::Rejected)?;
        let (tenant, dek) =
            if held.owner { ("", self.app_key.clone()) } else { (ctx.tenant().as_str(), self.dek(ctx, dek_id).await?) };
        let context = Context { tenant, integration, account: ACCOUNT, version: held.row.version, dek_id };
        sealed::unlock(&dek, &context, &held.row.sealed).map_err(|OpenError| VaultError::Rejected)
    }

    /// Seals an app: the owner's own, or the override of `ctx`.
    pub(crate) async fn put_app(
        &self,
        ctx: Option<&TenantCtx>,
        integration: &str,
        client_id: &str,
        client_secret: &Secret,
    ) -> Result<(), VaultError> {
        let (tenant, dek_id, dek) = match ctx {
            None => (None, OWNER_KEY.to_owned(), self.app_key.clone()),
            Some(ctx) => {
                let row = self.store.active_dek(ctx).await?.ok_or(VaultError::Shredded)?;
                let dek = self.unwrap_dek(ctx, &row).await?;
                (Some(ctx.tenant()), row.id, dek)
            }
        };
        let now = self.clock.wall_ms();
        let old = self.store.app(tenant, integration).await?.map(|row| row.version);
        let version = now.max(old.unwrap_or(0) + 1);
        let context = Context {
            tenant: tenant.map_or("", TenantId::as_str),
            integration,
            account: ACCOUNT,
            version,
            dek_id: &dek_id,
        };
        let sealed = sealed::seal(&*self.rng, &dek, &context, client_secret.expose())?;
        let row = AppRow { client_id: client_id.to_owned(), sealed, version, changed_ms: now };
        let stored = self.store.put_app(tenant, integration, &row, old, &dek_id).await?;
        self.forget_apps(integration);
        if stored { Ok(()) } else { Err(VaultError::Conflict) }
    }

    /// Seals the overrides of `ctx` anew that are not under its data key `dek_id`; how many they were.
    pub(super) async fn reseal_apps(&self, ctx: &TenantCtx, dek_id: &str) -> Result<usize, VaultError> {
        let mut resealed = 0;
        for integration in self.store.app_overrides(ctx.tenant()).await? {
            let Some(row) = self.store.app(Some(ctx.tenant()), &integration).await? else { continue };
            if sealed::dek_id(&row.sealed) == Some(dek_id) {
                continue;
            }
            let client_id = row.client_id.clone();
            let held = HeldApp { row, owner: false, record: OnceLock::new() };
            let record = self.unlock_app(ctx, &integration, &held).await?;
            let plain = record.open().map_err(|OpenError| VaultError::Rejected)?;
            self.put_app(Some(ctx), &integration, &client_id, &Secret::new(plain.to_vec())).await?;
            resealed += 1;
        }
        Ok(resealed)
    }

    /// Forgets what is cached of the apps of `integration`.
    pub(crate) fn forget_apps(&self, integration: &str) {
        self.apps.forget(|(_, name), _| name == integration);
    }
}
