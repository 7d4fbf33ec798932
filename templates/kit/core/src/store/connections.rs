// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Connections: sealed credentials with their state.

use serde::Serialize;

use super::Store;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ports::{Row, SqlError, Val};
use crate::tenant::Account;

/// Whether a connection can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// Authorised, but nobody has chosen the account or profile yet.
    NeedsTarget,
    /// Ready.
    Active,
    /// The provider refuses the credential; a person has to connect again.
    NeedsReconnect,
    /// The owner's app is missing or wrong.
    Misconfigured,
}

impl ConnectionState {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeedsTarget => "needs_target",
            Self::Active => "active",
            Self::NeedsReconnect => "needs_reconnect",
            Self::Misconfigured => "misconfigured",
        }
    }

    fn parse(text: &str) -> Result<Self, SqlError> {
        [Self::NeedsTarget, Self::Active, Self::NeedsReconnect, Self::Misconfigured]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(SqlError::Statement)
    }
}

/// A connection as it is stored. The sealed text does not print.
#[derive(Clone)]
pub struct ConnectionRow {
    /// Instance name of the integration.
    pub integration: String,
    /// Account.
    pub account: String,
    /// State.
    pub state: ConnectionState,
    /// Why it is in that state.
    pub reason: Option<String>,
    /// The sealed credential.
    pub sealed: String,
    /// Grows with every new credential.
    pub version: i64,
    /// Last change.
    pub changed_ms: i64,
}

const COLUMNS: &str = "SELECT integration, account, state, reason, sealed, version, changed_ms FROM connections";

impl ConnectionRow {
    fn of(row: Row) -> Result<Self, SqlError> {
        let mut columns = Columns::of(row);
        Ok(Self {
            integration: columns.text()?,
            account: columns.text()?,
            state: ConnectionState::parse(&columns.text()?)?,
            reason: columns.optional_text()?,
            sealed: columns.text()?,
            version: columns.number()?,
            changed_ms: columns.number()?,
        })
    }
}

impl Store {
    /// The connections of a tenant for one integration, by account.
    pub(crate) async fn connections_of(
        &self,
        ctx: &TenantCtx,
        integration: &str,
    ) -> Result<Vec<ConnectionRow>, SqlError> {
        let sql = format!("{COLUMNS} WHERE tenant_id = $1 AND integration = $2 ORDER BY account");
        let rows = self.query(&sql, &[ctx.tenant().as_str().into(), integration.into()]).await?;
        rows.into_iter().map(ConnectionRow::of).collect()
    }

    /// All connections of a tenant.
    pub(crate) async fn connections(&self, ctx: &TenantCtx) -> Result<Vec<ConnectionRow>, SqlError> {
        let sql = format!("{COLUMNS} WHERE tenant_id = $1 ORDER BY integration, account");
        let rows = self.query(&sql, &[ctx.tenant().as_str().into()]).await?;
        rows.into_iter().map(ConnectionRow::of).collect()
    }

    /// The version of one connection, if there is one.
    pub(crate) async fn connection_version(
        &self,
        ctx: &TenantCtx,
        integration: &str,
        account: &Account,
    ) -> Result<Option<i64>, SqlError> {
        let sql = "SELECT version FROM connections WHERE tenant_id = $1 AND integration = $2 AND account = $3";
        let row = self.first(sql, &[ctx.tenant().as_str().into(), integration.into(), account.as_str().into()]).await?;
        row.map(|row| Columns::of(row).number()).transpose()
    }

    /// Writes `row` if the connection still has version `old` (`None`: does not exist), and if its data key `dek_id` is
    /// still there: a record sealed under a key that was dropped meanwhile would be lost. Says whether it did.
    pub(crate) async fn put_connection(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        old: Option<i64>,
        dek_id: &str,
    ) -> Result<bool, SqlError> {
        let values: [Val; 10] = [
            ctx.tenant().as_str().into(),
            row.integration.as_str().into(),
            row.account.as_str().into(),
            row.state.as_str().into(),
            row.reason.as_deref().into(),
            row.sealed.as_str().into(),
            row.version.into(),
            row.changed_ms.into(),
            old.unwrap_or(-1).into(),
            dek_id.into(),
        ];
        let sql = "INSERT INTO connections \
                   (tenant_id, integration, account, state, reason, sealed, version, changed_ms) \
                   SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE EXISTS \
                   (SELECT 1 FROM tenant_deks WHERE tenant_id = $1 AND id = $10 AND wrapped IS NOT NULL) \
                   ON CONFLICT (tenant_id, integration, account) DO UPDATE SET \
                   state = excluded.state, reason = excluded.reason, sealed = excluded.sealed, \
                   version = excluded.version, changed_ms = excluded.changed_ms \
                   WHERE connections.version = $9 RETURNING version";
        Ok(!self.query(sql, &values).await?.is_empty())
    }

    /// Gives the very credential that `row` holds another sealed text and version, if its data key `dek_id` is still
    /// there; a newer credential is left alone. Says whether it did.
    pub(crate) async fn reseal_connection(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        sealed: &str,
        version: i64,
        dek_id: &str,
        now: i64,
    ) -> Result<bool, SqlError> {
        let values: [Val; 8] = [
            ctx.tenant().as_str().into(),
            row.integration.as_str().into(),
            row.account.as_str().into(),
            row.version.into(),
            sealed.into(),
            version.into(),
            now.into(),
            dek_id.into(),
        ];
        let sql = "UPDATE connections SET sealed = $5, version = $6, changed_ms = $7 \
                   WHERE tenant_id = $1 AND integration = $2 AND account = $3 AND version = $4 AND EXISTS \
                   (SELECT 1 FROM tenant_deks WHERE tenant_id = $1 AND id = $8 AND wrapped IS NOT NULL) \
                   RETURNING version";
        Ok(!self.query(sql, &values).await?.is_empty())
    }

    /// Changes the state of the very credential that `row` holds; a newer one is left alone.
    pub(crate) async fn set_connection_state(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        state: ConnectionState,
        reason: &str,
        now: i64,
    ) -> Result<(), SqlError> {
        let values: [Val; 7] = [
            ctx.tenant().as_str().into(),
            row.integration.as_str().into(),
            row.account.as_str().into(),
            row.version.into(),
            state.as_str().into(),
            reason.into(),
            now.into(),
        ];
        let sql = "UPDATE connections SET state = $5, reason = $6, changed_ms = $7 \
                   WHERE tenant_id = $1 AND integration = $2 AND account = $3 AND version = $4";
        self.query(sql, &values).await.map(drop)
    }

    /// Removes a connection; says whether there was one.
    pub(crate) async fn remove_connection(
        &self,
        ctx: &TenantCtx,
        integration: &str,
        account: &Account,
    ) -> Result<bool, SqlError> {
        let sql =
            "DELETE FROM connections WHERE tenant_id = $1 AND integration = $2 AND account = $3 RETURNING version";
        let values = [ctx.tenant().as_str().into(), integration.into(), account.as_str().into()];
        Ok(!self.query(sql, &values).await?.is_empty())
    }
}
