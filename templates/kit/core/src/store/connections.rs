// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Connections: sealed credentials with their state. Every write of a credential is a compare-and-swap on its version, and
//! a refresh also on its lease: whoever lost either writes nothing.

use serde::Serialize;

use super::Store;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ports::{Row, SqlError, Val};
use crate::tenant::{Account, TenantId};

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
    /// Who is refreshing it.
    pub lease_owner: Option<String>,
    /// When that lease should end. Wall clocks differ: only a time long past means anything.
    pub lease_until_ms: Option<i64>,
    /// When the sweep should refresh it.
    pub refresh_at_ms: Option<i64>,
    /// Before this the provider is not asked again.
    pub retry_at_ms: Option<i64>,
    /// Refreshes that failed in a row.
    pub failures: i64,
    /// The day after which only a person can mend it.
    pub ends_ms: Option<i64>,
    /// The version with which this grant began: a refresh leaves it, a new connection does not.
    pub grant_version: Option<i64>,
}

/// Which row: one tenant's, by integration and account.
pub(crate) struct Key<'a> {
    pub(crate) ctx: &'a TenantCtx,
    pub(crate) integration: &'a str,
    pub(crate) account: &'a str,
}

impl Key<'_> {
    /// `$1`, `$2`, `$3` of the statements here.
    fn values(&self) -> [Val; 3] {
        [self.ctx.tenant().as_str().into(), self.integration.into(), self.account.into()]
    }
}

/// A connection that the sweep should look at.
pub(crate) struct Due {
    pub(crate) tenant: TenantId,
    pub(crate) integration: String,
    pub(crate) account: String,
    pub(crate) ends_ms: Option<i64>,
    pub(crate) version: i64,
}

const COLUMNS: &str = "SELECT integration, account, state, reason, sealed, version, changed_ms, lease_owner, \
                       lease_until_ms, refresh_at_ms, retry_at_ms, failures, ends_ms, grant_version \
                       FROM connections";
const KEY: &str = "WHERE tenant_id = $1 AND integration = $2 AND account = $3";

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
            lease_owner: columns.optional_text()?,
            lease_until_ms: columns.optional_number()?,
            refresh_at_ms: columns.optional_number()?,
            retry_at_ms: columns.optional_number()?,
            failures: columns.number()?,
            ends_ms: columns.optional_number()?,
            grant_version: columns.optional_number()?,
        })
    }

    /// The row's key, as `ctx` sees it.
    pub(crate) fn key<'a>(&'a self, ctx: &'a TenantCtx) -> Key<'a> {
        Key { ctx, integration: &self.integration, account: &self.account }
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

    /// One connection.
    pub(crate) async fn connection(&self, key: &Key<'_>) -> Result<Option<ConnectionRow>, SqlError> {
        let row = self.first(&format!("{COLUMNS} {KEY}"), &key.values()).await?;
        row.map(ConnectionRow::of).transpose()
    }

    /// Writes a new credential if the connection still has version `old` (`None`: does not exist). Says whether it did.
    /// Whoever is refreshing the old one loses the lease with it.
    ///
    /// This and every other statement that writes a sealed record asks whether its data key is still there: a record
    /// sealed under a key that was destroyed meanwhile would be lost.
    pub(crate) async fn put_connection(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        old: Option<i64>,
        dek_id: &str,
    ) -> Result<bool, SqlError> {
        let mut values: Vec<Val> = row.key(ctx).values().into();
        values.extend(credential_values(row));
        values.extend([old.unwrap_or(-1).into(), dek_id.into()]);
        // Parameters of a bare SELECT are texts to PostgreSQL unless it is told.
        let sql = "INSERT INTO connections (tenant_id, integration, account, state, reason, sealed, version, changed_ms, \
                   refresh_at_ms, ends_ms, grant_version) SELECT $1, $2, $3, $4, $5, $6, CAST($7 AS BIGINT), CAST($8 AS BIGINT), \
                   CAST($9 AS BIGINT), CAST($10 AS BIGINT), CAST($7 AS BIGINT) WHERE EXISTS \
                   (SELECT 1 FROM tenant_deks WHERE tenant_id = $1 AND id = $12 AND wrapped IS NOT NULL) \
                   ON CONFLICT (tenant_id, integration, account) DO UPDATE SET \
                   state = excluded.state, reason = excluded.reason, sealed = excluded.sealed, \
                   version = excluded.version, changed_ms = excluded.changed_ms, \
                   refresh_at_ms = excluded.refresh_at_ms, ends_ms = excluded.ends_ms, \
                   grant_version = excluded.grant_version, lease_owner = NULL, \
                   lease_until_ms = NULL, retry_at_ms = NULL, failures = 0, warned_days = NULL \
                   WHERE connections.version = $11 RETURNING version";
        Ok(!self.query(sql, &values).await?.is_empty())
    }

    /// Writes another form of the same credential (another target, another data key) if the connection still has version
    /// `old`. A refresh under way keeps its lease and adds its tokens to this.
    pub(crate) async fn amend_connection(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        old: i64,
        dek_id: &str,
    ) -> Result<bool, SqlError> {
        let mut values: Vec<Val> = row.key(ctx).values().into();
        values.extend(credential_values(row));
        values.extend([old.into(), dek_id.into()]);
        let sql = format!(
            "UPDATE connections SET state = $4, reason = $5, sealed = $6, version = $7, changed_ms = $8, \
             refresh_at_ms = $9, ends_ms = $10 {KEY} AND version = $11 \
             AND EXISTS (SELECT 1 FROM tenant_deks WHERE tenant_id = $1 AND id = $12 AND wrapped IS NOT NULL) \
             RETURNING version"
        );
        Ok(!self.query(&sql, &values).await?.is_empty())
    }

    /// Takes the lease of `row` for `owner`, if its version and its holder are still those of `row`. Says whether it did.
    pub(crate) async fn take_lease(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        owner: &str,
        until: i64,
    ) -> Result<bool, SqlError> {
        let mut values: Vec<Val> = row.key(ctx).values().into();
        values.extend([row.version.into(), owner.into(), until.into()]);
        let free = match &row.lease_owner {
            None => "lease_owner IS NULL",
            Some(holder) => {
                values.extend([holder.as_str().into(), row.lease_until_ms.into()]);
                "lease_owner = $7 AND lease_until_ms = $8"
            }
        };
        let sql = format!(
            "UPDATE connections SET lease_owner = $5, lease_until_ms = $6 {KEY} AND version = $4 AND {free} \
             RETURNING version"
        );
        Ok(!self.query(&sql, &values).await?.is_empty())
    }

    /// Writes refreshed tokens and gives the lease back, in one statement, if version and lease are still ours.
    pub(crate) async fn commit_refresh(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        old: i64,
        owner: &str,
        dek_id: &str,
    ) -> Result<bool, SqlError> {
        let mut values: Vec<Val> = row.key(ctx).values().into();
        values.extend(credential_values(row));
        values.extend([old.into(), owner.into(), dek_id.into()]);
        let sql = format!(
            "UPDATE connections SET state = $4, reason = $5, sealed = $6, version = $7, changed_ms = $8, \
             refresh_at_ms = $9, ends_ms = $10, lease_owner = NULL, lease_until_ms = NULL, retry_at_ms = NULL, \
             failures = 0 {KEY} AND version = $11 AND lease_owner = $12 \
             AND EXISTS (SELECT 1 FROM tenant_deks WHERE tenant_id = $1 AND id = $13 AND wrapped IS NOT NULL) \
             RETURNING version"
        );
        Ok(!self.query(&sql, &values).await?.is_empty())
    }

    /// Gives the lease back without new tokens: the provider is to be asked again at `retry_at`.
    pub(crate) async fn release_lease(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        owner: &str,
        retry_at: Option<i64>,
    ) -> Result<(), SqlError> {
        let mut values: Vec<Val> = row.key(ctx).values().into();
        let failures = if retry_at.is_some() { row.failures + 1 } else { row.failures };
        values.extend([owner.into(), retry_at.into(), failures.into()]);
        let sql = format!(
            "UPDATE connections SET lease_owner = NULL, lease_until_ms = NULL, retry_at_ms = $5, failures = $6 \
             {KEY} AND lease_owner = $4"
        );
        self.query(&sql, &values).await.map(drop)
    }

    /// Asks for no refresh of the very credential that `row` holds before `retry_at`.
    pub(crate) async fn hold_off(&self, ctx: &TenantCtx, row: &ConnectionRow, retry_at: i64) -> Result<(), SqlError> {
        let mut values: Vec<Val> = row.key(ctx).values().into();
        values.extend([row.version.into(), retry_at.into(), (row.failures + 1).into()]);
        let sql = format!("UPDATE connections SET retry_at_ms = $5, failures = $6 {KEY} AND version = $4");
        self.query(&sql, &values).await.map(drop)
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

    /// Changes the state of the very credential that `row` holds; a newer one is left alone. Says whether it did. The
    /// lease goes with it. When to refresh stays: a connection that is put back to work is kept alive as before.
    pub(crate) async fn set_connection_state(
        &self,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        state: ConnectionState,
        reason: &str,
        now: i64,
    ) -> Result<bool, SqlError> {
        let mut values: Vec<Val> = row.key(ctx).values().into();
        values.extend([row.version.into(), state.as_str().into(), reason.into(), now.into()]);
        let sql = format!(
            "UPDATE connections SET state = $5, reason = $6, changed_ms = $7, lease_owner = NULL, \
             lease_until_ms = NULL {KEY} AND version = $4 RETURNING version"
        );
        Ok(!self.query(&sql, &values).await?.is_empty())
    }

    /// Puts the connections of `integration` that waited for a good app back to work: all tenants', or one's. Cool-downs end
    /// with it.
    pub(crate) async fn revive_misconfigured(
        &self,
        tenant: Option<&TenantId>,
        integration: &str,
        now: i64,
    ) -> Result<(), SqlError> {
        let mut values: Vec<Val> = vec![integration.into(), now.into()];
        let whose = tenant.map_or("", |tenant| {
            values.push(tenant.as_str().into());
            " AND tenant_id = $3"
        });
        let sql = format!(
            "UPDATE connections SET retry_at_ms = NULL, failures = 0, \
             reason = CASE state WHEN 'misconfigured' THEN NULL ELSE reason END, \
             changed_ms = CASE state WHEN 'misconfigured' THEN $2 ELSE changed_ms END, \
             state = CASE state WHEN 'misconfigured' THEN 'active' ELSE state END \
             WHERE integration = $1 AND (state = 'misconfigured' OR retry_at_ms IS NOT NULL){whose}"
        );
        self.query(&sql, &values).await.map(drop)
    }

    /// Removes a connection; says whether there was one.
    pub(crate) async fn remove_connection(
        &self,
        ctx: &TenantCtx,
        integration: &str,
        account: &Account,
    ) -> Result<bool, SqlError> {
        let key = Key { ctx, integration, account: account.as_str() };
        let sql = format!("DELETE FROM connections {KEY} RETURNING version");
        Ok(!self.query(&sql, &key.values()).await?.is_empty())
    }

    /// Connections of all tenants that are to be refreshed by `now` though nobody uses them, at most `limit`, the most
    /// urgent first. For the sweep, which then acts for each tenant by itself.
    pub(crate) async fn due_for_refresh(&self, now: i64, limit: i64) -> Result<Vec<Due>, SqlError> {
        let sql = "SELECT c.tenant_id, c.integration, c.account, c.ends_ms, c.version FROM connections c \
                   JOIN tenants t ON t.id = c.tenant_id \
                   WHERE c.refresh_at_ms <= $1 AND c.state IN ('active', 'needs_target') AND t.state = 'active' \
                   AND (c.retry_at_ms IS NULL OR c.retry_at_ms <= $1) ORDER BY c.refresh_at_ms LIMIT $2";
        self.due(sql, &[now.into(), limit.into()]).await
    }

    /// Leaves `due` to a later pass of the sweep. Calls are not held up by it.
    pub(crate) async fn postpone(&self, ctx: &TenantCtx, due: &Due, until: i64) -> Result<(), SqlError> {
        let key = Key { ctx, integration: &due.integration, account: &due.account };
        let mut values: Vec<Val> = key.values().into();
        values.extend([due.version.into(), until.into()]);
        let sql = format!("UPDATE connections SET refresh_at_ms = $5 {KEY} AND version = $4");
        self.query(&sql, &values).await.map(drop)
    }

    /// Connections of all tenants that end before `before` and whose owner was not yet warned of `days` or fewer.
    pub(crate) async fn ending(&self, before: i64, days: i64, limit: i64) -> Result<Vec<Due>, SqlError> {
        let sql = "SELECT tenant_id, integration, account, ends_ms, version FROM connections \
                   WHERE ends_ms <= $1 AND state = 'active' AND (warned_days IS NULL OR warned_days > $2) \
                   ORDER BY ends_ms LIMIT $3";
        self.due(sql, &[before.into(), days.into(), limit.into()]).await
    }

    /// Remembers that the owner was warned `days` before the end. Says whether this process was the first.
    pub(crate) async fn warned(&self, ctx: &TenantCtx, due: &Due, days: i64) -> Result<bool, SqlError> {
        let key = Key { ctx, integration: &due.integration, account: &due.account };
        let mut values: Vec<Val> = key.values().into();
        values.extend([due.version.into(), days.into()]);
        let sql = format!(
            "UPDATE connections SET warned_days = $5 {KEY} AND version = $4 \
             AND (warned_days IS NULL OR warned_days > $5) RETURNING version"
        );
        Ok(!self.query(&sql, &values).await?.is_empty())
    }

    async fn due(&self, sql: &str, values: &[Val]) -> Result<Vec<Due>, SqlError> {
        let rows = self.query(sql, values).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(Due {
                    tenant: TenantId::parse(&columns.text()?).map_err(|_| SqlError::Statement)?,
                    integration: columns.text()?,
                    account: columns.text()?,
                    ends_ms: columns.optional_number()?,
                    version: columns.number()?,
                })
            })
            .collect()
    }
}

/// `$4` to `$10` of the statements that write a credential.
fn credential_values(row: &ConnectionRow) -> [Val; 7] {
    [
        row.state.as_str().into(),
        row.reason.as_deref().into(),
        row.sealed.as_str().into(),
        row.version.into(),
        row.changed_ms.into(),
        row.refresh_at_ms.into(),
        row.ends_ms.into(),
    ]
}
