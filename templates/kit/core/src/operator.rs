// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What the operator does: tenants, keys, connections. The command line, and later the admin API and the Worker, call
//! these functions; none of them has rules of its own.

mod app;
mod audit;
mod connection;
mod export;
mod live;
mod usage;
mod vault;

pub use audit::{AuditLine, CallShown, Export, Purged};
pub(crate) use connection::site;
pub use connection::{NewConnection, SecretForm};
pub use export::TenantExport;
pub use live::{BreakerList, OpenBreaker};
pub use usage::{By, ClientLine, DeprecatedLine, Difference, Period, UsageBatch, UsageLine};

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::breaker::Breakers;
use crate::inbound::{ApiKey, Authenticator, Environment, TenantCtx};
use crate::ledger::Ledger;
use crate::limit::plan::Plans;
use crate::limit::traffic::Traffic;
use crate::ports::{Clock, Rng, RngError, SqlError};
use crate::registry::{Mounted, Registry};
use crate::secret::Secret;
use crate::store::Store;
use crate::store::connections::{ConnectionState, Key};
use crate::store::keys::KeySummary;
use crate::store::tenants::{TenantState, TenantSummary};
use crate::tenant::{Account, TenantId};
use crate::upstream::executor::Executor;
use crate::vault::{Vault, VaultError};

const DAY_MS: i64 = 86_400_000;

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorError {
    /// The command cannot be carried out as given.
    Refused {
        /// What is wrong, lower case.
        message: String,
        /// The command that mends it.
        hint: String,
    },
    /// The store failed.
    Store(SqlError),
    /// The vault failed.
    Vault(VaultError),
    /// The operating system gave no randomness.
    NoRandomness,
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message, .. } => f.write_str(message),
            Self::Store(error) => error.fmt(f),
            Self::Vault(error) => error.fmt(f),
            Self::NoRandomness => RngError.fmt(f),
        }
    }
}

impl std::error::Error for OperatorError {}

impl OperatorError {
    fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: hint.into() }
    }

    /// The command that mends it, where there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } => Some(hint),
            _ => None,
        }
    }
}

impl From<SqlError> for OperatorError {
    fn from(error: SqlError) -> Self {
        Self::Store(error)
    }
}

impl From<VaultError> for OperatorError {
    fn from(error: VaultError) -> Self {
        Self::Vault(error)
    }
}

impl From<RngError> for OperatorError {
    fn from(_: RngError) -> Self {
        Self::NoRandomness
    }
}

/// A connection in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionSummary {
    /// Instance name of the integration.
    pub integration: String,
    /// Account.
    pub account: String,
    /// State.
    pub state: ConnectionState,
    /// Why it is in that state.
    pub reason: Option<String>,
    /// Region or host, where the provider has several.
    pub site: Option<String>,
    /// What its requests are for, where the provider asks for that.
    pub target: Option<String>,
    /// Scopes that were granted, as far as the provider said.
    pub scopes: Vec<String>,
    /// The day after which only a person can mend it, milliseconds since the epoch.
    pub ends_ms: Option<i64>,
    /// Days until then, a day that has begun included.
    pub days_left: Option<i64>,
    /// Last change, milliseconds since the epoch.
    pub changed_ms: i64,
}

/// A key that was just made. Its text is shown once.
pub struct NewKey {
    /// Public id.
    pub id: String,
    /// The whole key.
    pub key: Secret,
}

/// Carries out the operator's commands.
pub struct Operator {
    pub(crate) server: &'static str,
    pub(crate) environment: Environment,
    pub(crate) store: Arc<Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) pepper: Secret,
}

impl Operator {
    /// Adds a tenant with its own data key.
    pub async fn tenant_add(&self, tenant: &str) -> Result<(), OperatorError> {
        let tenant = self.parse_tenant(tenant)?;
        let dek = self.vault.new_dek(&tenant).await?;
        self.audit(Some(&tenant), "tenant add", json!({})).await?;
        match self.store.add_tenant(&tenant, &dek, self.clock.wall_ms()).await {
            Err(SqlError::Constraint) => Err(OperatorError::refused(
                format!("there is or was a tenant `{tenant}` already"),
                format!("choose another name, or see `{} tenant list`", self.server),
            )),
            result => Ok(result?),
        }
    }

    /// Puts a tenant on a plan of the configuration, or on none. Other processes follow within 15 s.
    pub async fn tenant_plan(&self, tenant: &str, plan: Option<&str>) -> Result<(), OperatorError> {
        let ctx = self.act_for(tenant).await?;
        if let Some(plan) = plan {
            self.known_plan(plan)?;
        }
        self.audit(Some(ctx.tenant()), "tenant plan", json!({"plan": plan})).await?;
        self.store.set_tenant_plan(&ctx, plan, self.clock.wall_ms()).await?;
        self.authenticator.forget(ctx.tenant());
        Ok(())
    }

    /// Refuses a plan that the configuration does not have.
    pub fn known_plan(&self, plan: &str) -> Result<(), OperatorError> {
        let plans = self.traffic.plans();
        if plans.iter().any(|known| known == plan) {
            return Ok(());
        }
        let hint = match plans.as_slice() {
            [] => "describe it under `[plans]` in config/server.toml".to_owned(),
            plans => format!("there are: {}; they are under `[plans]` in config/server.toml", plans.join(", ")),
        };
        Err(OperatorError::refused(format!("there is no plan `{plan}`"), hint))
    }

    /// Plans that tenants are on and `plans` does not have.
    pub async fn lost_plans(&self, plans: &Plans) -> Result<Vec<String>, OperatorError> {
        let in_use = self.store.plans_in_use().await?;
        Ok(in_use.into_iter().filter(|plan| !plans.by_name.contains_key(plan)).collect())
    }

    /// All tenants.
    pub async fn tenant_list(&self) -> Result<Vec<TenantSummary>, OperatorError> {
        Ok(self.store.tenants().await?)
    }

    /// Stops (`Suspended`) or resumes (`Active`) a tenant's calls. Other processes follow within 15 s.
    pub async fn tenant_state(&self, tenant: &str, state: TenantState) -> Result<(), OperatorError> {
        let ctx = self.act_for(tenant).await?;
        self.audit(Some(ctx.tenant()), "tenant state", json!({"state": state})).await?;
        self.store.set_tenant_state(&ctx, state, self.clock.wall_ms()).await?;
        self.authenticator.forget(ctx.tenant());
        Ok(())
    }

    /// Destroys a tenant's data keys, connections, API keys and captured calls, and puts a pseudonym in the place of its name
    /// in audit and usage. There is no way back.
    pub async fn tenant_delete(&self, tenant: &str) -> Result<(), OperatorError> {
        let ctx = self.act_for(tenant).await?;
        self.audit(Some(ctx.tenant()), "tenant delete", json!({})).await?;
        let deks = self.store.dek_ids(&ctx).await?;
        self.store.shred_tenant(&ctx, self.clock.wall_ms()).await?;
        self.vault.forget_keys(&ctx, &deks);
        self.authenticator.forget(ctx.tenant());
        self.ledger.forget_rule(ctx.tenant());
        let name = ctx.tenant().as_str();
        self.store.forget_name(name, &self.ledger.key.pseudonym(name)).await?;
        Ok(())
    }

    /// Makes an API key for all accounts of a tenant, good for ever or for `lifetime_ms`.
    pub async fn key_create(
        &self,
        tenant: &str,
        label: &str,
        lifetime_ms: Option<i64>,
    ) -> Result<NewKey, OperatorError> {
        self.key_create_for(tenant, None, label, lifetime_ms).await
    }

    /// The same for one `account`: whatever integration a call is for, it goes to the connection of that name.
    pub async fn key_create_for(
        &self,
        tenant: &str,
        account: Option<&str>,
        label: &str,
        lifetime_ms: Option<i64>,
    ) -> Result<NewKey, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let account = account.map(|account| self.parse_account(account)).transpose()?;
        let (id, key) = ApiKey::generate(&*self.rng, self.environment)?;
        let hash = key
            .expose_str()
            .and_then(|text| ApiKey::parse(text).ok())
            .map(|parsed| parsed.hash(&self.pepper, ctx.tenant(), account.as_ref()))
            .ok_or(OperatorError::NoRandomness)?;
        let now = self.clock.wall_ms();
        let expires_ms = lifetime_ms.map(|lifetime| now.saturating_add(lifetime));
        let summary = KeySummary {
            id: id.clone(),
            label: label.to_owned(),
            account: account.map(|account| account.as_str().to_owned()),
            created_ms: now,
            expires_ms,
            revoked_ms: None,
        };
        let details = json!({"account": summary.account, "id": id, "label": label});
        self.audit(Some(ctx.tenant()), "key create", details).await?;
        self.store.add_key(&ctx, &summary, &hash).await?;
        Ok(NewKey { id, key })
    }

    /// A tenant's API keys.
    pub async fn key_list(&self, tenant: &str) -> Result<Vec<KeySummary>, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        Ok(self.store.keys(&ctx).await?)
    }

    /// Revokes an API key. Other processes follow within 15 s.
    pub async fn key_revoke(&self, tenant: &str, id: &str) -> Result<(), OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let unknown = || {
            OperatorError::refused(
                format!("tenant `{tenant}` has no such key"),
                format!("see `{} key list --tenant {tenant}`; the id is the third part of a key", self.server),
            )
        };
        // Whoever gives the whole key instead of its id must not find it in the audit.
        if !self.store.keys(&ctx).await?.iter().any(|key| key.id == id) {
            return Err(unknown());
        }
        self.audit(Some(ctx.tenant()), "key revoke", json!({"id": id})).await?;
        if !self.store.revoke_key(&ctx, id, self.clock.wall_ms()).await? {
            return Err(unknown());
        }
        self.authenticator.forget(ctx.tenant());
        Ok(())
    }

    /// A tenant's connections, without their secrets.
    pub async fn connection_list(&self, tenant: &str) -> Result<Vec<ConnectionSummary>, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let now = self.clock.wall_ms();
        let mut list = Vec::new();
        for row in self.store.connections(&ctx).await? {
            // One that does not open is listed all the same: this is where its owner looks.
            let held = self.vault.open_row(&ctx, &row).await.ok();
            let scopes = held.as_ref().and_then(|held| held.tokens()).map(|tokens| tokens.scopes.clone());
            let (site, target) = held.map(|held| (held.site, held.target)).unwrap_or_default();
            list.push(ConnectionSummary {
                integration: row.integration,
                account: row.account,
                state: row.state,
                reason: row.reason,
                site,
                target,
                scopes: scopes.unwrap_or_default(),
                ends_ms: row.ends_ms,
                days_left: row.ends_ms.map(|ends| ((ends - now).max(0) + DAY_MS - 1) / DAY_MS),
                changed_ms: row.changed_ms,
            });
        }
        Ok(list)
    }

    /// Removes a connection.
    pub async fn connection_remove(&self, tenant: &str, integration: &str, account: &str) -> Result<(), OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let account = self.parse_account(account)?;
        let unknown = || {
            OperatorError::refused(
                format!("tenant `{tenant}` has no such connection"),
                format!("see `{} connection list --tenant {tenant}`", self.server),
            )
        };
        // What was typed is written down only where it names something.
        let key = Key { ctx: &ctx, integration, account: account.as_str() };
        if self.store.connection(&key).await?.is_none() {
            return Err(unknown());
        }
        let details = json!({"account": account.as_str(), "integration": integration});
        self.audit(Some(ctx.tenant()), "connection remove", details).await?;
        if !self.store.remove_connection(&ctx, integration, &account).await? {
            return Err(unknown());
        }
        self.vault.forget(&ctx);
        Ok(())
    }

    /// Writes a command down before it is carried out: one that cannot be audited changes nothing. `details` are told in full,
    /// so no secret belongs into them.
    pub(crate) async fn audit(
        &self,
        tenant: Option<&TenantId>,
        command: &str,
        details: Value,
    ) -> Result<(), OperatorError> {
        Ok(self.ledger.operator(tenant, command, &details).await?)
    }

    /// The operator acting on a tenant that exists.
    pub(crate) async fn act_for(&self, tenant: &str) -> Result<TenantCtx, OperatorError> {
        let tenant = self.parse_tenant(tenant)?;
        match self.store.tenant(&tenant).await? {
            Some((TenantState::Active | TenantState::Suspended, plan)) => {
                Ok(TenantCtx::for_operator(tenant).on_plan(plan))
            }
            Some((TenantState::Deleted, _)) | None => Err(OperatorError::refused(
                format!("there is no tenant `{tenant}`"),
                format!("add it with `{} tenant add {tenant}`", self.server),
            )),
        }
    }

    fn parse_tenant(&self, text: &str) -> Result<TenantId, OperatorError> {
        let hint = format!("for example `{} tenant add acme-eu`", self.server);
        TenantId::parse(text).map_err(|error| OperatorError::refused(error.to_string(), hint))
    }

    pub(crate) fn parse_account(&self, text: &str) -> Result<Account, OperatorError> {
        Account::parse(text)
            .map_err(|error| OperatorError::refused(error.to_string(), "leave `--account` out for a single one"))
    }

    pub(crate) fn integration(&self, instance: &str) -> Result<&Arc<Mounted>, OperatorError> {
        self.registry.integrations.get(instance).ok_or_else(|| {
            let known: Vec<&str> = self.registry.integrations.keys().map(String::as_str).collect();
            OperatorError::refused(
                format!("there is no integration `{instance}`"),
                format!("this server has: {}", known.join(", ")),
            )
        })
    }
}
