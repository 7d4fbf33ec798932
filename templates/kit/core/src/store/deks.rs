// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Wrapped data keys.

use super::Store;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ports::{Row, SqlError};

/// A tenant's data key as it is stored.
#[derive(Clone, Debug)]
pub struct DekRow {
    /// Its id.
    pub id: String,
    /// The key that wrapped it.
    pub kek_id: String,
    /// The wrapped bytes.
    pub wrapped: String,
}

impl DekRow {
    fn of(row: Row) -> Result<Self, SqlError> {
        let mut columns = Columns::of(row);
        Ok(Self { id: columns.text()?, kek_id: columns.text()?, wrapped: columns.text()? })
    }
}

impl Store {
    /// The data key that new records of this tenant are sealed under.
    pub(crate) async fn active_dek(&self, ctx: &TenantCtx) -> Result<Option<DekRow>, SqlError> {
        let sql = "SELECT id, kek_id, wrapped FROM tenant_deks \
                   WHERE tenant_id = $1 AND state = 'active' AND wrapped IS NOT NULL";
        self.first(sql, &[ctx.tenant().as_str().into()]).await?.map(DekRow::of).transpose()
    }

    /// One data key of this tenant.
    pub(crate) async fn dek(&self, ctx: &TenantCtx, id: &str) -> Result<Option<DekRow>, SqlError> {
        let sql = "SELECT id, kek_id, wrapped FROM tenant_deks \
                   WHERE tenant_id = $1 AND id = $2 AND wrapped IS NOT NULL";
        self.first(sql, &[ctx.tenant().as_str().into(), id.into()]).await?.map(DekRow::of).transpose()
    }

    /// Ids of all data keys of this tenant.
    pub(crate) async fn dek_ids(&self, ctx: &TenantCtx) -> Result<Vec<String>, SqlError> {
        let rows =
            self.query("SELECT id FROM tenant_deks WHERE tenant_id = $1", &[ctx.tenant().as_str().into()]).await?;
        rows.into_iter().map(|row| Columns::of(row).text()).collect()
    }
}
