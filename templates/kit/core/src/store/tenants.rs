// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Tenants.

use serde::Serialize;

use super::Store;
use super::deks::DekRow;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ports::{SqlError, Val, Wrapped};
use crate::tenant::TenantId;

/// Whether a tenant may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// It may.
    Active,
    /// It may not, until it is resumed.
    Suspended,
    /// Its keys are destroyed; only the name is left, so that it is not given to somebody else.
    Deleted,
}

impl TenantState {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, SqlError> {
        [Self::Active, Self::Suspended, Self::Deleted]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(SqlError::Statement)
    }
}

/// A tenant in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantSummary {
    /// Its name.
    pub id: String,
    /// Whether it may call.
    pub state: TenantState,
    /// The plan it is on.
    pub plan: Option<String>,
    /// When it was added, milliseconds since the epoch.
    pub created_ms: i64,
    /// Connections it has.
    pub connections: i64,
    /// API keys it can use.
    pub keys: i64,
}

impl Store {
    /// Adds a tenant with its first data key. `Constraint` if the name is taken.
    pub(crate) async fn add_tenant(&self, tenant: &TenantId, dek: &DekRow, now: i64) -> Result<(), SqlError> {
        let id = Val::from(tenant.as_str());
        let tenant_values = [id.clone(), TenantState::Active.as_str().into(), now.into()];
        let Wrapped { kek_id, text } = &dek.wrapped;
        let dek_values = [dek.id.as_str().into(), id, kek_id.as_str().into(), text.as_str().into(), now.into()];
        self.batch(&[
            ("INSERT INTO tenants (id, state, created_ms, changed_ms) VALUES ($1, $2, $3, $3)", &tenant_values),
            (
                "INSERT INTO tenant_deks (id, tenant_id, kek_id, wrapped, state, created_ms) \
                 VALUES ($1, $2, $3, $4, 'active', $5)",
                &dek_values,
            ),
        ])
        .await
    }

    /// Whether `tenant` may call; `None` if there is no such tenant.
    pub(crate) async fn tenant_state(&self, tenant: &TenantId) -> Result<Option<TenantState>, SqlError> {
        Ok(self.tenant(tenant).await?.map(|(state, _)| state))
    }

    /// The same with the plan that it is on.
    pub(crate) async fn tenant(&self, tenant: &TenantId) -> Result<Option<(TenantState, Option<String>)>, SqlError> {
        let row = self.first("SELECT state, plan FROM tenants WHERE id = $1", &[tenant.as_str().into()]).await?;
        row.map(|row| {
            let mut columns = Columns::of(row);
            Ok((TenantState::parse(&columns.text()?)?, columns.optional_text()?))
        })
        .transpose()
    }

    /// Puts a tenant on a plan, or on none.
    pub(crate) async fn set_tenant_plan(&self, ctx: &TenantCtx, plan: Option<&str>, now: i64) -> Result<(), SqlError> {
        let values = [ctx.tenant().as_str().into(), plan.into(), now.into()];
        self.query("UPDATE tenants SET plan = $2, changed_ms = $3 WHERE id = $1", &values).await.map(drop)
    }

    /// The plans that tenants are on, each once.
    pub(crate) async fn plans_in_use(&self) -> Result<Vec<String>, SqlError> {
        let sql = "SELECT DISTINCT plan FROM tenants WHERE plan IS NOT NULL AND state <> 'deleted' ORDER BY plan";
        self.query(sql, &[]).await?.into_iter().map(|row| Columns::of(row).text()).collect()
    }

    /// All tenants that were not deleted, by name.
    pub(crate) async fn tenants(&self) -> Result<Vec<TenantSummary>, SqlError> {
        let sql = "SELECT t.id, t.state, t.plan, t.created_ms, \
                   (SELECT COUNT(*) FROM connections c WHERE c.tenant_id = t.id), \
                   (SELECT COUNT(*) FROM api_keys k WHERE k.tenant_id = t.id AND k.revoked_ms IS NULL) \
                   FROM tenants t WHERE t.state <> 'deleted' ORDER BY t.id";
        let rows = self.query(sql, &[]).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(TenantSummary {
                    id: columns.text()?,
                    state: TenantState::parse(&columns.text()?)?,
                    plan: columns.optional_text()?,
                    created_ms: columns.number()?,
                    connections: columns.number()?,
                    keys: columns.number()?,
                })
            })
            .collect()
    }

    pub(crate) async fn set_tenant_state(&self, ctx: &TenantCtx, state: TenantState, now: i64) -> Result<(), SqlError> {
        let values = [ctx.tenant().as_str().into(), state.as_str().into(), now.into()];
        self.query("UPDATE tenants SET state = $2, changed_ms = $3 WHERE id = $1", &values).await.map(drop)
    }

    /// Destroys the tenant's data keys and removes what they sealed, all or nothing.
    pub(crate) async fn shred_tenant(&self, ctx: &TenantCtx, now: i64) -> Result<(), SqlError> {
        let id = [Val::from(ctx.tenant().as_str())];
        let timed = [id[0].clone(), now.into()];
        self.batch(&[
            ("UPDATE tenant_deks SET wrapped = NULL, state = 'shredded' WHERE tenant_id = $1", &id),
            ("DELETE FROM connections WHERE tenant_id = $1", &id),
            ("DELETE FROM apps WHERE tenant_id = $1", &id),
            ("DELETE FROM connect_links WHERE tenant_id = $1", &id),
            ("DELETE FROM connect_states WHERE tenant_id = $1", &id),
            ("DELETE FROM api_keys WHERE tenant_id = $1", &id),
            ("DELETE FROM captures WHERE tenant_id = $1", &id),
            ("DELETE FROM capture_rules WHERE tenant_id = $1", &id),
            ("UPDATE tenants SET state = 'deleted', changed_ms = $2 WHERE id = $1", &timed),
        ])
        .await
    }
}
