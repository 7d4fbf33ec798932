// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What is stored of a tenant, for the tenant: a client may ask for its data, and takes it along when it leaves. Secrets are
//! not in it: API keys are known by their hashes only, and a credential belongs to the connection, not into a file.

use serde::Serialize;

use super::{ConnectionSummary, Operator, OperatorError};
use crate::store::apps::AppSummary;
use crate::store::keys::KeySummary;
use crate::store::tenants::TenantState;

/// A tenant's data.
#[derive(Clone, Debug, Serialize)]
pub struct TenantExport {
    /// Form of this document.
    pub version: u32,
    /// When it was made, milliseconds since the epoch.
    pub exported_ms: i64,
    /// The tenant.
    pub tenant: String,
    /// Whether it may call.
    pub state: TenantState,
    /// When it was added, milliseconds since the epoch.
    pub created_ms: i64,
    /// Its API keys.
    pub keys: Vec<KeySummary>,
    /// Its connections.
    pub connections: Vec<ConnectionSummary>,
    /// Its own apps at providers, by client id.
    pub apps: Vec<AppSummary>,
}

impl Operator {
    /// Everything that is stored of `tenant`, without secrets.
    pub async fn tenant_export(&self, tenant: &str) -> Result<TenantExport, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let found = self.store.tenants().await?.into_iter().find(|one| one.id == ctx.tenant().as_str());
        let summary = found.ok_or(crate::ports::SqlError::Statement)?;
        let apps = self.store.apps().await?;
        Ok(TenantExport {
            version: 1,
            exported_ms: self.clock.wall_ms(),
            tenant: summary.id.clone(),
            state: summary.state,
            created_ms: summary.created_ms,
            keys: self.store.keys(&ctx).await?,
            connections: self.connection_list(tenant).await?,
            apps: apps.into_iter().filter(|app| app.tenant.as_deref() == Some(&summary.id)).collect(),
        })
    }
}
