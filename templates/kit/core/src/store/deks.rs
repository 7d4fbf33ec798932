// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Wrapped data keys. One of a tenant's is active, older ones are retired until no record names them, and all of them
//! are shredded when the tenant is deleted: the row stays, the key is gone.

use super::Store;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ports::{Row, SqlError, Val, Wrapped};
use crate::tenant::TenantId;

/// A tenant's data key as it is stored.
#[derive(Clone, Debug)]
pub struct DekRow {
    /// Its id.
    pub id: String,
    /// The wrapped bytes.
    pub wrapped: Wrapped,
}

const COLUMNS: &str = "SELECT id, kek_id, wrapped FROM tenant_deks WHERE tenant_id = $1 AND wrapped IS NOT NULL";

impl DekRow {
    fn of(row: Row) -> Result<Self, SqlError> {
        let mut columns = Columns::of(row);
        Ok(Self { id: columns.text()?, wrapped: Wrapped { kek_id: columns.text()?, text: columns.text()? } })
    }
}

impl Store {
    /// The data key that new records of this tenant are sealed under.
    pub(crate) async fn active_dek(&self, ctx: &TenantCtx) -> Result<Option<DekRow>, SqlError> {
        let sql = format!("{COLUMNS} AND state = 'active'");
        self.first(&sql, &[ctx.tenant().as_str().into()]).await?.map(DekRow::of).transpose()
    }

    /// One data key of this tenant.
    pub(crate) async fn dek(&self, ctx: &TenantCtx, id: &str) -> Result<Option<DekRow>, SqlError> {
        let sql = format!("{COLUMNS} AND id = $2");
        self.first(&sql, &[ctx.tenant().as_str().into(), id.into()]).await?.map(DekRow::of).transpose()
    }

    /// Ids of all data keys of this tenant.
    pub(crate) async fn dek_ids(&self, ctx: &TenantCtx) -> Result<Vec<String>, SqlError> {
        let rows =
            self.query("SELECT id FROM tenant_deks WHERE tenant_id = $1", &[ctx.tenant().as_str().into()]).await?;
        rows.into_iter().map(|row| Columns::of(row).text()).collect()
    }

    /// The tenants with a data key that another key-encryption key than `kek_id` wrapped; all that have a data key for an
    /// empty one. Names only: whoever wants a key needs a `TenantCtx`.
    pub(crate) async fn tenants_not_under(&self, kek_id: &str) -> Result<Vec<TenantId>, SqlError> {
        let sql = "SELECT DISTINCT tenant_id FROM tenant_deks \
                   WHERE wrapped IS NOT NULL AND kek_id <> $1 ORDER BY tenant_id";
        let rows = self.query(sql, &[kek_id.into()]).await?;
        let name = |row| TenantId::parse(&Columns::of(row).text()?).map_err(|_| SqlError::Statement);
        rows.into_iter().map(name).collect()
    }

    /// The data keys of this tenant that another key-encryption key than `kek_id` wrapped; all of them for an empty one.
    pub(crate) async fn deks_not_under(&self, ctx: &TenantCtx, kek_id: &str) -> Result<Vec<DekRow>, SqlError> {
        let sql = format!("{COLUMNS} AND kek_id <> $2 ORDER BY id");
        let rows = self.query(&sql, &[ctx.tenant().as_str().into(), kek_id.into()]).await?;
        rows.into_iter().map(DekRow::of).collect()
    }

    /// Replaces the wrapping of `old`, the same key, if nobody else did meanwhile and it was not shredded. Says whether
    /// it did.
    pub(crate) async fn rewrap_dek(&self, ctx: &TenantCtx, old: &DekRow, new: &Wrapped) -> Result<bool, SqlError> {
        let sql = "UPDATE tenant_deks SET kek_id = $5, wrapped = $6 \
                   WHERE tenant_id = $1 AND id = $2 AND kek_id = $3 AND wrapped = $4 RETURNING id";
        let values = [
            ctx.tenant().as_str().into(),
            old.id.as_str().into(),
            old.wrapped.kek_id.as_str().into(),
            old.wrapped.text.as_str().into(),
            new.kek_id.as_str().into(),
            new.text.as_str().into(),
        ];
        Ok(!self.query(sql, &values).await?.is_empty())
    }

    /// Retires the data key `old` and makes `new` the active one. Of several processes that do so at once one wins; a
    /// tenant that is being deleted gets none.
    pub(crate) async fn replace_dek(&self, ctx: &TenantCtx, old: &str, new: &DekRow, now: i64) -> Result<(), SqlError> {
        let retired = [ctx.tenant().as_str().into(), Val::from(old)];
        let added = [
            Val::from(new.id.as_str()),
            ctx.tenant().as_str().into(),
            new.wrapped.kek_id.as_str().into(),
            new.wrapped.text.as_str().into(),
            now.into(),
        ];
        self.batch(&[
            (
                "UPDATE tenant_deks SET state = 'retired' WHERE tenant_id = $1 AND id = $2 AND state = 'active'",
                &retired,
            ),
            (
                "INSERT INTO tenant_deks (id, tenant_id, kek_id, wrapped, state, created_ms) \
                 SELECT $1, $2, $3, $4, 'active', CAST($5 AS BIGINT) \
                 WHERE NOT EXISTS (SELECT 1 FROM tenant_deks WHERE tenant_id = $2 AND state = 'active') \
                 AND EXISTS (SELECT 1 FROM tenants WHERE id = $2 AND state <> 'deleted')",
                &added,
            ),
        ])
        .await
    }

    /// Ids of the data keys of this tenant that were replaced and are still there.
    pub(crate) async fn retired_deks(&self, ctx: &TenantCtx) -> Result<Vec<String>, SqlError> {
        let sql = "SELECT id FROM tenant_deks WHERE tenant_id = $1 AND state = 'retired' ORDER BY id";
        let rows = self.query(sql, &[ctx.tenant().as_str().into()]).await?;
        rows.into_iter().map(|row| Columns::of(row).text()).collect()
    }

    /// Deletes a retired data key if no record names it; says whether it did. **A table that holds records of tenants
    /// belongs into this condition.**
    pub(crate) async fn drop_dek(&self, ctx: &TenantCtx, id: &str, records: &str) -> Result<bool, SqlError> {
        let sql = "DELETE FROM tenant_deks WHERE tenant_id = $1 AND id = $2 AND state = 'retired' \
                   AND NOT EXISTS (SELECT 1 FROM connections WHERE tenant_id = $1 AND sealed LIKE $3) \
                   AND NOT EXISTS (SELECT 1 FROM apps WHERE tenant_id = $1 AND sealed LIKE $3) \
                   AND NOT EXISTS (SELECT 1 FROM connect_states WHERE tenant_id = $1 AND sealed LIKE $3) \
                   AND NOT EXISTS (SELECT 1 FROM captures WHERE tenant_id = $1 AND sealed LIKE $3) RETURNING id";
        let values = [ctx.tenant().as_str().into(), id.into(), records.into()];
        Ok(!self.query(sql, &values).await?.is_empty())
    }
}
