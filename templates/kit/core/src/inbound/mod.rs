// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Who is calling. This module is the only one that can make a [`TenantCtx`]: from an API key it verified, or from the
//! local command line that holds the store and the key-encryption key anyway.

mod api_key;
mod ctx;

pub use api_key::{ApiKey, Environment, KeyError};
pub use ctx::{Principal, TenantCtx};

use std::fmt;
use std::sync::Arc;

use crate::cache::Cache;
use crate::ports::Clock;
use crate::secret::Secret;
use crate::store::Store;
use crate::store::keys::KeyRow;
use crate::store::tenants::TenantState;
use crate::tenant::TenantId;

/// How long a verified key or a tenant's state is believed without asking the store again. With the time a request
/// takes, it keeps the promise that a revoked key is refused within 15 s everywhere.
pub const MAX_STALENESS_US: i64 = 10_000_000;

/// Verified keys held at most.
const MAX_CACHED: usize = 10_000;

/// Why a caller was turned away. The outside learns only that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No credential was sent.
    Missing,
    /// Not a key of this server, or a wrong one.
    Unknown,
    /// The key was revoked or has expired.
    Expired,
    /// The tenant is suspended or deleted.
    Suspended,
    /// There is no tenant of that name.
    NoTenant,
    /// A key of the other kind: a `dev` key on a real server or the reverse.
    WrongEnvironment,
    /// The store did not answer.
    Unavailable,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no API key was sent",
            Self::Unknown => "the API key is not known",
            Self::Expired => "the API key was revoked or has expired",
            Self::Suspended => "the tenant is suspended",
            Self::NoTenant => "there is no such tenant",
            Self::WrongEnvironment => "the API key belongs to another kind of server",
            Self::Unavailable => "the store does not answer",
        })
    }
}

impl std::error::Error for AuthError {}

/// Turns what a caller presents into a [`TenantCtx`], or turns the caller away.
pub struct Authenticator {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    environment: Environment,
    pepper: Secret,
    nobody: TenantId,
    keys: Cache<String, Arc<KeyRow>>,
    tenants: Cache<TenantId, (TenantState, Option<String>)>,
}

impl Authenticator {
    /// `pepper` is the server key that API keys are hashed with.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, environment: Environment, pepper: Secret) -> Self {
        Self {
            store,
            clock,
            environment,
            pepper,
            nobody: TenantId::nobody(),
            keys: Cache::new(MAX_CACHED, MAX_STALENESS_US),
            tenants: Cache::new(MAX_CACHED, MAX_STALENESS_US),
        }
    }

    /// Verifies an API key.
    pub async fn api_key(&self, presented: &str) -> Result<TenantCtx, AuthError> {
        let key = ApiKey::parse(presented).map_err(|_| AuthError::Unknown)?;
        if key.environment != self.environment {
            return Err(AuthError::WrongEnvironment);
        }
        let Some(row) = self.key_row(key.id).await? else {
            // An unknown id takes as long as a wrong secret.
            key.hash(&self.pepper, &self.nobody, None);
            return Err(AuthError::Unknown);
        };
        if !api_key::same(&key.hash(&self.pepper, &row.tenant, row.account.as_ref()), &row.hash) {
            return Err(AuthError::Unknown);
        }
        let now = self.clock.wall_ms();
        if row.revoked_ms.is_some() || row.expires_ms.is_some_and(|expires| expires <= now) {
            return Err(AuthError::Expired);
        }
        match row.tenant_state {
            TenantState::Active => {
                let ctx = TenantCtx::new(row.tenant.clone(), Principal::ApiKey(row.id.clone()));
                let ctx = ctx.on_plan(row.tenant_plan.clone());
                Ok(row.account.iter().fold(ctx, |ctx, account| ctx.bound_to(account.clone())))
            }
            TenantState::Suspended | TenantState::Deleted => Err(AuthError::Suspended),
        }
    }

    /// A tenant named by whoever started this process (`stdio --tenant`). That person can open the store and the
    /// vault without us, so the name is enough; a request never comes this way.
    pub async fn local(&self, tenant: &TenantId) -> Result<TenantCtx, AuthError> {
        match self.tenant_state(tenant).await? {
            Some((TenantState::Active, plan)) => Ok(TenantCtx::new(tenant.clone(), Principal::Local).on_plan(plan)),
            Some((TenantState::Suspended | TenantState::Deleted, _)) => Err(AuthError::Suspended),
            None => Err(AuthError::NoTenant),
        }
    }

    /// Asks again whether the tenant of a long-lived `ctx` may still call. A stdio process lives for days.
    pub async fn still_active(&self, ctx: &TenantCtx) -> Result<(), AuthError> {
        self.local(ctx.tenant()).await.map(drop)
    }

    /// Forgets what is known of `tenant`: the operator has just changed it in this very process.
    pub fn forget(&self, tenant: &TenantId) {
        self.keys.forget(|_, row| row.tenant == *tenant);
        self.tenants.forget(|id, _| id == tenant);
    }

    async fn key_row(&self, id: &str) -> Result<Option<Arc<KeyRow>>, AuthError> {
        let now = self.clock.monotonic_us();
        if let Some(row) = self.keys.get(id, now) {
            return Ok(Some(row));
        }
        let ticket = self.keys.ticket();
        let row = self.store.key(id).await.map_err(|_| AuthError::Unavailable)?.map(Arc::new);
        if let Some(row) = &row {
            self.keys.put(id.to_owned(), row.clone(), now, ticket);
        }
        Ok(row)
    }

    async fn tenant_state(&self, tenant: &TenantId) -> Result<Option<(TenantState, Option<String>)>, AuthError> {
        let now = self.clock.monotonic_us();
        if let Some(state) = self.tenants.get(tenant, now) {
            return Ok(Some(state));
        }
        let ticket = self.tenants.ticket();
        let state = self.store.tenant(tenant).await.map_err(|_| AuthError::Unavailable)?;
        if let Some(state) = &state {
            self.tenants.put(tenant.clone(), state.clone(), now, ticket);
        }
        Ok(state)
    }
}
