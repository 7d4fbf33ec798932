// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The owner's apps at providers, sealed like credentials. The client id is not a secret: it stands in every consent page's
//! address.

use serde::Serialize;

use super::Store;
use super::row::Columns;
use crate::ports::{SqlError, Val};
use crate::tenant::TenantId;

/// An app as it is stored.
#[derive(Clone)]
pub(crate) struct AppRow {
    pub(crate) client_id: String,
    pub(crate) sealed: String,
    pub(crate) version: i64,
    pub(crate) changed_ms: i64,
}

/// An app in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppSummary {
    /// Instance name of the integration.
    pub integration: String,
    /// The tenant whose override it is; none for the owner's own.
    pub tenant: Option<String>,
    /// The client id.
    pub client_id: String,
    /// Last change, milliseconds since the epoch.
    pub changed_ms: i64,
}

/// Whose app: a tenant's override, or the owner's own.
fn whose(tenant: Option<&TenantId>) -> Val {
    tenant.map_or("", TenantId::as_str).into()
}

impl Store {
    /// The app that `tenant` (`None`: the owner) has for `integration`.
    pub(crate) async fn app(&self, tenant: Option<&TenantId>, integration: &str) -> Result<Option<AppRow>, SqlError> {
        let sql = "SELECT client_id, sealed, version, changed_ms FROM apps WHERE tenant_id = $1 AND integration = $2";
        let row = self.first(sql, &[whose(tenant), integration.into()]).await?;
        row.map(|row| {
            let mut columns = Columns::of(row);
            Ok(AppRow {
                client_id: columns.text()?,
                sealed: columns.text()?,
                version: columns.number()?,
                changed_ms: columns.number()?,
            })
        })
        .transpose()
    }

    /// Writes an app if it still has version `old` (`None`: does not exist). Says whether it did. An override is not written
    /// when the data key `dek_id` it was sealed under is gone: it would be lost.
    pub(crate) async fn put_app(
        &self,
        tenant: Option<&TenantId>,
        integration: &str,
        row: &AppRow,
        old: Option<i64>,
        dek_id: &str,
    ) -> Result<bool, SqlError> {
        let values: [Val; 8] = [
            whose(tenant),
            integration.into(),
            row.client_id.as_str().into(),
            row.sealed.as_str().into(),
            row.version.into(),
            row.changed_ms.into(),
            old.unwrap_or(-1).into(),
            dek_id.into(),
        ];
        let sql = "INSERT INTO apps (tenant_id, integration, client_id, sealed, version, changed_ms) \
                   SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT) WHERE $1 = '' OR EXISTS \
                   (SELECT 1 FROM tenant_deks WHERE tenant_id = $1 AND id = $8 AND wrapped IS NOT NULL) ON CONFLICT (tenant_id, integration) DO UPDATE SET \
                   client_id = excluded.client_id, sealed = excluded.sealed, version = excluded.version, \
                   changed_ms = excluded.changed_ms WHERE apps.version = $7 RETURNING version";
        Ok(!self.query(sql, &values).await?.is_empty())
    }

    /// Removes an app; says whether there was one.
    pub(crate) async fn remove_app(&self, tenant: Option<&TenantId>, integration: &str) -> Result<bool, SqlError> {
        let sql = "DELETE FROM apps WHERE tenant_id = $1 AND integration = $2 RETURNING version";
        Ok(!self.query(sql, &[whose(tenant), integration.into()]).await?.is_empty())
    }

    /// Instance names for which `tenant` has an app of its own.
    pub(crate) async fn app_overrides(&self, tenant: &TenantId) -> Result<Vec<String>, SqlError> {
        let sql = "SELECT integration FROM apps WHERE tenant_id = $1 ORDER BY integration";
        let rows = self.query(sql, &[whose(Some(tenant))]).await?;
        rows.into_iter().map(|row| Columns::of(row).text()).collect()
    }

    /// All apps: the owner's own first, then overrides by tenant.
    pub(crate) async fn apps(&self) -> Result<Vec<AppSummary>, SqlError> {
        let sql = "SELECT integration, tenant_id, client_id, changed_ms FROM apps ORDER BY integration, tenant_id";
        let rows = self.query(sql, &[]).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(AppSummary {
                    integration: columns.text()?,
                    tenant: Some(columns.text()?).filter(|tenant| !tenant.is_empty()),
                    client_id: columns.text()?,
                    changed_ms: columns.number()?,
                })
            })
            .collect()
    }
}
