// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Wrapped server keys.

use super::Store;
use super::row::Columns;
use crate::ports::{Row, SqlError, Wrapped};

/// A server key as it is stored.
pub struct ServerKeyRow {
    /// What it is for.
    pub purpose: String,
    /// Which key for that purpose it is.
    pub version: i64,
    /// The wrapped bytes.
    pub wrapped: Wrapped,
}

const COLUMNS: &str = "SELECT purpose, version, kek_id, wrapped FROM server_keys";

impl ServerKeyRow {
    fn of(row: Row) -> Result<Self, SqlError> {
        let mut columns = Columns::of(row);
        let (purpose, version) = (columns.text()?, columns.number()?);
        Ok(Self { purpose, version, wrapped: Wrapped { kek_id: columns.text()?, text: columns.text()? } })
    }
}

impl Store {
    /// The newest key for `purpose`.
    pub(crate) async fn server_key(&self, purpose: &str) -> Result<Option<ServerKeyRow>, SqlError> {
        let sql = format!("{COLUMNS} WHERE purpose = $1 ORDER BY version DESC LIMIT 1");
        self.first(&sql, &[purpose.into()]).await?.map(ServerKeyRow::of).transpose()
    }

    /// Adds a key; if another process was faster, that one's key stands.
    pub(crate) async fn add_server_key(&self, row: &ServerKeyRow) -> Result<(), SqlError> {
        let sql = "INSERT INTO server_keys (purpose, version, kek_id, wrapped) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (purpose, version) DO NOTHING";
        let Wrapped { kek_id, text } = &row.wrapped;
        let values = [row.purpose.as_str().into(), row.version.into(), kek_id.as_str().into(), text.as_str().into()];
        self.query(sql, &values).await.map(drop)
    }

    /// The keys that another key-encryption key than `kek_id` wrapped; all of them for an empty one.
    pub(crate) async fn server_keys_not_under(&self, kek_id: &str) -> Result<Vec<ServerKeyRow>, SqlError> {
        let sql = format!("{COLUMNS} WHERE kek_id <> $1 ORDER BY purpose, version");
        self.query(&sql, &[kek_id.into()]).await?.into_iter().map(ServerKeyRow::of).collect()
    }

    /// Replaces the wrapping of `old`, the same key, if nobody else did meanwhile. Says whether it did.
    pub(crate) async fn rewrap_server_key(&self, old: &ServerKeyRow, new: &Wrapped) -> Result<bool, SqlError> {
        let sql = "UPDATE server_keys SET kek_id = $5, wrapped = $6 \
                   WHERE purpose = $1 AND version = $2 AND kek_id = $3 AND wrapped = $4 RETURNING version";
        let values = [
            old.purpose.as_str().into(),
            old.version.into(),
            old.wrapped.kek_id.as_str().into(),
            old.wrapped.text.as_str().into(),
            new.kek_id.as_str().into(),
            new.text.as_str().into(),
        ];
        Ok(!self.query(sql, &values).await?.is_empty())
    }
}
