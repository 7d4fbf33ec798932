// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Wrapped server keys.

use super::Store;
use super::row::Columns;
use crate::ports::SqlError;

/// A server key as it is stored.
pub struct ServerKeyRow {
    /// The key that wrapped it.
    pub kek_id: String,
    /// The wrapped bytes.
    pub wrapped: String,
}

impl Store {
    /// The newest key for `purpose`.
    pub(crate) async fn server_key(&self, purpose: &str) -> Result<Option<ServerKeyRow>, SqlError> {
        let sql = "SELECT kek_id, wrapped FROM server_keys WHERE purpose = $1 ORDER BY version DESC LIMIT 1";
        let Some(row) = self.first(sql, &[purpose.into()]).await? else { return Ok(None) };
        let mut columns = Columns::of(row);
        Ok(Some(ServerKeyRow { kek_id: columns.text()?, wrapped: columns.text()? }))
    }

    /// Adds the first key for `purpose`; if another process was faster, that one's key stands.
    pub(crate) async fn add_server_key(&self, purpose: &str, row: &ServerKeyRow) -> Result<(), SqlError> {
        let sql = "INSERT INTO server_keys (purpose, version, kek_id, wrapped) VALUES ($1, 1, $2, $3) \
                   ON CONFLICT (purpose, version) DO NOTHING";
        let values = [purpose.into(), row.kek_id.as_str().into(), row.wrapped.as_str().into()];
        self.query(sql, &values).await.map(drop)
    }
}
