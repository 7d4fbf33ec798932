// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Consents under way. The table knows a state by its hash only, and a row can be taken once.

use super::Store;
use super::row::Columns;
use crate::ports::{SqlError, Val};
use crate::tenant::TenantId;

/// A consent that was begun.
pub(crate) struct ConnectStateRow {
    pub(crate) tenant: TenantId,
    pub(crate) sealed: String,
    pub(crate) version: i64,
    pub(crate) expires_ms: i64,
}

impl Store {
    /// Remembers a consent under `id`, and forgets those that have run out.
    pub(crate) async fn add_connect_state(&self, id: &str, row: &ConnectStateRow, now: i64) -> Result<(), SqlError> {
        let values: [Val; 5] = [
            id.into(),
            row.tenant.as_str().into(),
            row.sealed.as_str().into(),
            row.version.into(),
            row.expires_ms.into(),
        ];
        let insert =
            "INSERT INTO connect_states (id, tenant_id, sealed, version, expires_ms) VALUES ($1, $2, $3, $4, $5)";
        self.batch(&[("DELETE FROM connect_states WHERE expires_ms < $1", &[now.into()]), (insert, &values)]).await
    }

    /// Takes a consent out: whoever comes second finds nothing.
    pub(crate) async fn take_connect_state(&self, id: &str) -> Result<Option<ConnectStateRow>, SqlError> {
        let sql = "DELETE FROM connect_states WHERE id = $1 RETURNING tenant_id, sealed, version, expires_ms";
        let row = self.first(sql, &[id.into()]).await?;
        row.map(|row| {
            let mut columns = Columns::of(row);
            Ok(ConnectStateRow {
                tenant: TenantId::parse(&columns.text()?).map_err(|_| SqlError::Statement)?,
                sealed: columns.text()?,
                version: columns.number()?,
                expires_ms: columns.number()?,
            })
        })
        .transpose()
    }
}
