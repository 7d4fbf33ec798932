// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Usage as it is reported and given out to be billed. A batch is made once and given out until it is acknowledged; what an
//! hour grows by afterwards is in a later batch, under a revision of its own. All of it is the operator's, for all tenants.

use super::Store;
use super::row::Columns;
use crate::ports::{Row, SqlError, Statement, Val};
use crate::tenant::TenantId;

/// What one tenant used of one tool in one hour, with one outcome, beyond what was given out before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Billed {
    pub(crate) tenant: String,
    pub(crate) tool: String,
    /// Hours since the Unix epoch.
    pub(crate) hour: i64,
    pub(crate) outcome: String,
    /// 1 for what is given out first.
    pub(crate) revision: i64,
    pub(crate) calls: i64,
    pub(crate) units: i64,
}

/// A batch that waits to be acknowledged.
pub(crate) struct Pending {
    pub(crate) batch: i64,
    pub(crate) made_ms: i64,
}

/// Which hours and whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    /// The first hour.
    pub(crate) from: i64,
    /// The first hour behind it.
    pub(crate) to: i64,
    pub(crate) tenant: Option<&'a str>,
}

impl Span<'_> {
    /// Its values for `$1`, `$2` and `$3`: no name is empty.
    fn values(self) -> [Val; 3] {
        [self.from.into(), self.to.into(), self.tenant.unwrap_or_default().into()]
    }
}

const WITHIN: &str = "hour >= $1 AND hour < $2 AND ($3 = '' OR tenant_id = $3)";

fn texts_and_numbers(row: Row, texts: usize) -> Result<(Vec<String>, Vec<i64>), SqlError> {
    let count = row.len();
    let mut columns = Columns::of(row);
    let texts_read = (0..texts).map(|_| columns.text()).collect::<Result<_, _>>()?;
    let numbers = (texts..count).map(|_| columns.number()).collect::<Result<_, _>>()?;
    Ok((texts_read, numbers))
}

impl Store {
    /// Usage by `group`, one or two of its columns: their texts, then calls, units and calls that failed.
    pub(crate) async fn usage_by(
        &self,
        span: Span<'_>,
        group: &[&str],
    ) -> Result<Vec<(Vec<String>, Vec<i64>)>, SqlError> {
        let columns = group.join(", ");
        let sql = format!(
            "SELECT {columns}, CAST(SUM(calls) AS BIGINT), CAST(SUM(units) AS BIGINT), \
             CAST(SUM(CASE WHEN outcome = 'ok' THEN 0 ELSE calls END) AS BIGINT) \
             FROM usage_rollup WHERE {WITHIN} GROUP BY {columns} ORDER BY {columns}"
        );
        let rows = self.query(&sql, &span.values()).await?;
        rows.into_iter().map(|row| texts_and_numbers(row, group.len())).collect()
    }

    /// Usage by day: days since the Unix epoch, calls, units and calls that failed.
    pub(crate) async fn usage_by_day(&self, span: Span<'_>) -> Result<Vec<Vec<i64>>, SqlError> {
        let sql = format!(
            "SELECT hour / 24, CAST(SUM(calls) AS BIGINT), CAST(SUM(units) AS BIGINT), \
             CAST(SUM(CASE WHEN outcome = 'ok' THEN 0 ELSE calls END) AS BIGINT) \
             FROM usage_rollup WHERE {WITHIN} GROUP BY hour / 24 ORDER BY hour / 24"
        );
        let rows = self.query(&sql, &span.values()).await?;
        rows.into_iter().map(|row| texts_and_numbers(row, 0).map(|(_, numbers)| numbers)).collect()
    }

    /// Who called with which program: client, its version, version of the server, then tenants, calls and the last hour.
    pub(crate) async fn usage_of_clients(&self, span: Span<'_>) -> Result<Vec<(Vec<String>, Vec<i64>)>, SqlError> {
        let sql = format!(
            "SELECT client, client_version, server_version, COUNT(DISTINCT tenant_id), CAST(SUM(calls) AS BIGINT), \
             MAX(hour) FROM usage_clients WHERE {WITHIN} GROUP BY client, client_version, server_version \
             ORDER BY 5 DESC, client, client_version, server_version"
        );
        let rows = self.query(&sql, &span.values()).await?;
        rows.into_iter().map(|row| texts_and_numbers(row, 3)).collect()
    }

    /// Who called `tool`: tenant, client, its version, then calls and the last hour.
    pub(crate) async fn usage_of_tool(
        &self,
        span: Span<'_>,
        tool: &str,
    ) -> Result<Vec<(Vec<String>, Vec<i64>)>, SqlError> {
        let sql = format!(
            "SELECT tenant_id, client, client_version, CAST(SUM(calls) AS BIGINT), MAX(hour) FROM usage_clients \
             WHERE {WITHIN} AND tool = $4 GROUP BY tenant_id, client, client_version \
             ORDER BY tenant_id, client, client_version"
        );
        let mut values = span.values().to_vec();
        values.push(tool.into());
        self.query(&sql, &values).await?.into_iter().map(|row| texts_and_numbers(row, 3)).collect()
    }

    /// Usage as it was written: tenant, tool and outcome, then hour, calls and units.
    pub(crate) async fn usage_rows(&self, span: Span<'_>) -> Result<Vec<(Vec<String>, Vec<i64>)>, SqlError> {
        let sql = format!("SELECT tenant_id, tool, outcome, hour, calls, units FROM usage_rollup WHERE {WITHIN}");
        self.query(&sql, &span.values()).await?.into_iter().map(|row| texts_and_numbers(row, 3)).collect()
    }

    /// The oldest batch of `destination` that was not acknowledged.
    pub(crate) async fn pending_batch(&self, destination: &str) -> Result<Option<Pending>, SqlError> {
        let sql = "SELECT batch, made_ms FROM usage_batches WHERE destination = $1 AND state = 'pending' \
                   ORDER BY batch LIMIT 1";
        let row = self.first(sql, &[destination.into()]).await?;
        row.map(|row| {
            let mut columns = Columns::of(row);
            Ok(Pending { batch: columns.number()?, made_ms: columns.number()? })
        })
        .transpose()
    }

    /// The rows of a batch.
    pub(crate) async fn batch_rows(&self, destination: &str, batch: i64) -> Result<Vec<Billed>, SqlError> {
        let sql = "SELECT tenant_id, tool, outcome, hour, revision, calls, units FROM usage_exports \
                   WHERE destination = $1 AND batch = $2 ORDER BY hour, tenant_id, tool, outcome";
        self.query(sql, &[destination.into(), batch.into()]).await?.into_iter().map(billed).collect()
    }

    /// What hours before `before` have grown by since they were last given out to `destination`, the oldest first.
    pub(crate) async fn unbilled(
        &self,
        destination: &str,
        before: i64,
        outcomes: &[String],
        limit: i64,
    ) -> Result<Vec<Billed>, SqlError> {
        let places: Vec<String> = (0..outcomes.len()).map(|n| format!("${}", n + 4)).collect();
        let sql = format!(
            "SELECT r.tenant_id, r.tool, r.outcome, r.hour, COALESCE(e.revision, 0) + 1, \
             r.calls - COALESCE(e.calls, 0), r.units - COALESCE(e.units, 0) \
             FROM usage_rollup r LEFT JOIN (\
             SELECT tenant_id, tool, hour, outcome, MAX(revision) AS revision, CAST(SUM(calls) AS BIGINT) AS calls, \
             CAST(SUM(units) AS BIGINT) AS units FROM usage_exports WHERE destination = $1 \
             GROUP BY tenant_id, tool, hour, outcome) e \
             ON e.tenant_id = r.tenant_id AND e.tool = r.tool AND e.hour = r.hour AND e.outcome = r.outcome \
             WHERE r.hour < $2 AND r.outcome IN ({}) \
             AND (r.calls > COALESCE(e.calls, 0) OR r.units > COALESCE(e.units, 0)) \
             ORDER BY r.hour, r.tenant_id, r.tool, r.outcome LIMIT $3",
            places.join(", ")
        );
        let mut values: Vec<Val> = vec![destination.into(), before.into(), limit.into()];
        values.extend(outcomes.iter().map(|outcome| outcome.as_str().into()));
        self.query(&sql, &values).await?.into_iter().map(billed).collect()
    }

    /// Makes a batch of `rows`. `Constraint` if somebody else has made one meanwhile.
    pub(crate) async fn add_batch(
        &self,
        destination: &str,
        batch: i64,
        rows: &[Billed],
        now: i64,
    ) -> Result<(), SqlError> {
        const SQL: &str = "INSERT INTO usage_exports \
                           (destination, tenant_id, tool, hour, outcome, revision, batch, calls, units) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let head = [destination.into(), batch.into(), now.into()];
        let values: Vec<[Val; 9]> = rows
            .iter()
            .map(|row| {
                [
                    destination.into(),
                    row.tenant.as_str().into(),
                    row.tool.as_str().into(),
                    row.hour.into(),
                    row.outcome.as_str().into(),
                    row.revision.into(),
                    batch.into(),
                    row.calls.into(),
                    row.units.into(),
                ]
            })
            .collect();
        let mut statements: Vec<Statement<'_>> = vec![(
            "INSERT INTO usage_batches (destination, batch, state, made_ms) VALUES ($1, $2, 'pending', $3)",
            &head,
        )];
        statements.extend(values.iter().map(|values| (SQL, values.as_slice())));
        self.batch(&statements).await
    }

    /// The number of the last batch of `destination`; 0 if there is none.
    pub(crate) async fn last_batch(&self, destination: &str) -> Result<i64, SqlError> {
        let sql = "SELECT COALESCE(MAX(batch), 0) FROM usage_batches WHERE destination = $1";
        let row = self.first(sql, &[destination.into()]).await?;
        row.map_or(Ok(0), |row| Columns::of(row).number())
    }

    /// Acknowledges a batch; `false` if there is none of that number that waits for it.
    pub(crate) async fn ack_batch(&self, destination: &str, batch: i64) -> Result<bool, SqlError> {
        let sql = "UPDATE usage_batches SET state = 'acked' WHERE destination = $1 AND batch = $2 \
                   AND state = 'pending' RETURNING batch";
        Ok(self.first(sql, &[destination.into(), batch.into()]).await?.is_some())
    }

    /// What the billing system calls the tenants, by their names.
    pub(crate) async fn billing_ids(&self) -> Result<Vec<(String, String)>, SqlError> {
        let sql = "SELECT id, billing_id FROM tenants WHERE billing_id IS NOT NULL";
        let rows = self.query(sql, &[]).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok((columns.text()?, columns.text()?))
            })
            .collect()
    }

    /// Sets what the billing system calls a tenant.
    pub(crate) async fn set_billing_id(&self, tenant: &TenantId, id: Option<&str>, now: i64) -> Result<(), SqlError> {
        let values = [tenant.as_str().into(), id.into(), now.into()];
        self.query("UPDATE tenants SET billing_id = $2, changed_ms = $3 WHERE id = $1", &values).await.map(drop)
    }
}

fn billed(row: Row) -> Result<Billed, SqlError> {
    let mut columns = Columns::of(row);
    Ok(Billed {
        tenant: columns.text()?,
        tool: columns.text()?,
        outcome: columns.text()?,
        hour: columns.number()?,
        revision: columns.number()?,
        calls: columns.number()?,
        units: columns.number()?,
    })
}
