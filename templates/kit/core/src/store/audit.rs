// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The audit: rows that are only added to, what was checkpointed and purged, and calls that were captured. What is read here
//! is read by the operator, for all tenants at once; a call only ever writes.

use std::sync::LazyLock;

use super::Store;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ledger::group::{CAPTURE, CLIENT, Group, ROW, USAGE};
use crate::ports::{Row, SqlError, Statement, Val};
use crate::tenant::TenantId;

/// One row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditRow {
    pub(crate) stream: String,
    pub(crate) seq: i64,
    pub(crate) tenant: String,
    pub(crate) at_ms: i64,
    pub(crate) call: String,
    pub(crate) record: String,
    pub(crate) hash: String,
}

/// The last row of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) stream: String,
    pub(crate) seq: i64,
    pub(crate) hash: String,
}

/// A checkpoint or a tombstone as it is stored: what was signed, and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The stream of a tombstone; empty for a checkpoint.
    pub(crate) stream: String,
    /// The number of a checkpoint, the last row that a tombstone stands for.
    pub(crate) seq: i64,
    pub(crate) body: String,
    pub(crate) hash: String,
}

/// A captured call.
pub(crate) struct CaptureRow {
    pub(crate) call: String,
    pub(crate) at_ms: i64,
    pub(crate) sealed: String,
}

const COLUMNS: &str = "SELECT stream, seq, tenant_id, at_ms, call_id, record, hash FROM audit";
/// Rows of one answer at most.
pub(crate) const PAGE: usize = 500;

/// Rows in one statement; D1 binds a hundred values at most.
const SIZES: [usize; 3] = [14, 4, 1];

/// For each of [`SIZES`]. An engine parses each once.
static INSERTS: LazyLock<[String; 3]> = LazyLock::new(|| {
    SIZES.map(|size| {
        let row = |n: usize| {
            let values: Vec<String> = (1..=ROW).map(|value| format!("${}", n * ROW + value)).collect();
            format!("({})", values.join(", "))
        };
        let rows: Vec<String> = (0..size).map(row).collect();
        let rows = rows.join(", ");
        format!("INSERT INTO audit (stream, seq, tenant_id, at_ms, call_id, record, hash) VALUES {rows}")
    })
});

const ADD_USAGE: &str = "INSERT INTO usage_rollup (tenant_id, tool, hour, outcome, calls, units) \
                         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, tool, hour, outcome) DO UPDATE SET \
                         calls = usage_rollup.calls + excluded.calls, units = usage_rollup.units + excluded.units";
const ADD_CLIENT: &str = "INSERT INTO usage_clients \
                          (tenant_id, tool, hour, client, client_version, server_version, calls) \
                          VALUES ($1, $2, $3, $4, $5, $6, $7) \
                          ON CONFLICT (tenant_id, tool, hour, client, client_version, server_version) DO UPDATE SET \
                          calls = usage_clients.calls + excluded.calls";
/// Not behind the destruction of the key that it is sealed under: then nobody could open it, and it would stay for a while.
const ADD_CAPTURE: &str = "INSERT INTO captures (tenant_id, call_id, at_ms, expires_ms, sealed) \
                           SELECT $1, $2, CAST($3 AS BIGINT), CAST($4 AS BIGINT), $5 WHERE EXISTS \
                           (SELECT 1 FROM tenant_deks WHERE tenant_id = $1 AND id = $6 AND wrapped IS NOT NULL)";

impl AuditRow {
    fn of(row: Row) -> Result<Self, SqlError> {
        let mut columns = Columns::of(row);
        Ok(Self {
            stream: columns.text()?,
            seq: columns.number()?,
            tenant: columns.text()?,
            at_ms: columns.number()?,
            call: columns.text()?,
            record: columns.text()?,
            hash: columns.text()?,
        })
    }
}

impl Store {
    /// Writes a group: rows, usage and captures, all or none. Usage comes last: its rows are the ones that replicas contend
    /// for, and are locked until the end.
    pub(crate) async fn write_group(&self, group: &Group) -> Result<(), SqlError> {
        let mut statements: Vec<Statement<'_>> = Vec::with_capacity(8 + group.rows.len() / ROW / 4);
        let mut rows = &group.rows[..];
        while !rows.is_empty() {
            let left = rows.len() / ROW;
            // The last size is one row.
            let size = SIZES.iter().position(|size| *size <= left).unwrap_or(SIZES.len() - 1);
            let (now, rest) = rows.split_at(SIZES[size] * ROW);
            statements.push((&INSERTS[size], now));
            rows = rest;
        }
        statements.extend(group.captures.chunks(CAPTURE).map(|values| (ADD_CAPTURE, values)));
        statements.extend(group.clients.chunks(CLIENT).map(|values| (ADD_CLIENT, values)));
        statements.extend(group.usage.chunks(USAGE).map(|values| (ADD_USAGE, values)));
        self.batch(&statements).await
    }

    /// The hash of one row, if it is there.
    pub(crate) async fn audit_hash(&self, stream: &str, seq: i64) -> Result<Option<String>, SqlError> {
        let sql = "SELECT hash FROM audit WHERE stream = $1 AND seq = $2";
        self.first(sql, &[stream.into(), seq.into()]).await?.map(|row| Columns::of(row).text()).transpose()
    }

    /// Rows behind `seq` of `stream`, in the order of streams and in these of numbers.
    pub(crate) async fn audit_page(&self, stream: &str, seq: i64) -> Result<Vec<AuditRow>, SqlError> {
        let sql = format!("{COLUMNS} WHERE (stream, seq) > ($1, $2) ORDER BY stream, seq LIMIT {PAGE}");
        self.query(&sql, &[stream.into(), seq.into()]).await?.into_iter().map(AuditRow::of).collect()
    }

    /// The first row of `stream` that is not older than `at_ms`.
    pub(crate) async fn audit_since(&self, stream: &str, at_ms: i64) -> Result<Option<i64>, SqlError> {
        let sql = "SELECT MIN(seq) FROM audit WHERE stream = $1 AND at_ms >= $2";
        let row = self.first(sql, &[stream.into(), at_ms.into()]).await?;
        row.map_or(Ok(None), |row| Columns::of(row).optional_number())
    }

    /// How many rows stand before the call id `id`, which is a time.
    pub(crate) async fn audit_before(&self, id: &str) -> Result<i64, SqlError> {
        let row = self.first("SELECT COUNT(*) FROM audit WHERE call_id < $1", &[id.into()]).await?;
        row.map_or(Ok(0), |row| Columns::of(row).number())
    }

    /// Rows behind call, stream and number of `after`, of calls before the call id `end`, in the order of calls.
    pub(crate) async fn audit_between(
        &self,
        after: &(String, String, i64),
        end: &str,
    ) -> Result<Vec<AuditRow>, SqlError> {
        let sql = format!(
            "{COLUMNS} WHERE (call_id, stream, seq) > ($1, $2, $3) AND call_id < $4 ORDER BY call_id, stream, seq \
             LIMIT {PAGE}"
        );
        let (call, stream, seq) = after;
        let values = [call.as_str().into(), stream.as_str().into(), (*seq).into(), end.into()];
        self.query(&sql, &values).await?.into_iter().map(AuditRow::of).collect()
    }

    /// When the call of the oldest row began.
    pub(crate) async fn oldest_row_ms(&self) -> Result<Option<i64>, SqlError> {
        let row = self.first("SELECT MIN(at_ms) FROM audit", &[]).await?;
        row.map_or(Ok(None), |row| Columns::of(row).optional_number())
    }

    /// The latest rows, of one tenant or of all, the latest first.
    pub(crate) async fn audit_tail(&self, tenant: Option<&str>, limit: i64) -> Result<Vec<AuditRow>, SqlError> {
        let (sql, values) = match tenant {
            Some(tenant) => (
                format!("{COLUMNS} WHERE tenant_id = $1 ORDER BY at_ms DESC, seq DESC LIMIT $2"),
                vec![tenant.into(), limit.into()],
            ),
            None => (format!("{COLUMNS} ORDER BY call_id DESC, seq DESC LIMIT $1"), vec![limit.into()]),
        };
        self.query(&sql, &values).await?.into_iter().map(AuditRow::of).collect()
    }

    /// The rows of one call.
    pub(crate) async fn audit_call(&self, call: &str) -> Result<Vec<AuditRow>, SqlError> {
        let sql = format!("{COLUMNS} WHERE call_id = $1 ORDER BY seq LIMIT {PAGE}");
        self.query(&sql, &[call.into()]).await?.into_iter().map(AuditRow::of).collect()
    }

    /// The heads of streams behind the stream `after`. It jumps from stream to stream and does not read their rows.
    pub(crate) async fn audit_heads(&self, after: &str) -> Result<Vec<Head>, SqlError> {
        let sql = format!(
            "SELECT h.stream, h.seq, h.hash FROM (WITH RECURSIVE s(stream, n) AS (\
             SELECT MIN(stream), 1 FROM audit WHERE stream > $1 \
             UNION ALL SELECT (SELECT MIN(a.stream) FROM audit a WHERE a.stream > s.stream), s.n + 1 FROM s \
             WHERE s.stream IS NOT NULL AND s.n < {PAGE}) SELECT stream FROM s WHERE stream IS NOT NULL) f \
             JOIN audit h ON h.stream = f.stream AND h.seq = (SELECT MAX(b.seq) FROM audit b WHERE b.stream = f.stream) \
             ORDER BY h.stream"
        );
        let rows = self.query(&sql, &[after.into()]).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(Head { stream: columns.text()?, seq: columns.number()?, hash: columns.text()? })
            })
            .collect()
    }

    /// Checkpoints behind the number `after`.
    pub(crate) async fn checkpoints(&self, after: i64) -> Result<Vec<Signed>, SqlError> {
        let sql = "SELECT '', seq, body, hash FROM audit_checkpoints WHERE seq > $1 ORDER BY seq LIMIT 100";
        self.query(sql, &[after.into()]).await?.into_iter().map(signed).collect()
    }

    /// When the latest checkpoint was made.
    pub(crate) async fn last_checkpoint_ms(&self) -> Result<Option<i64>, SqlError> {
        let sql = "SELECT at_ms FROM audit_checkpoints ORDER BY seq DESC LIMIT 1";
        self.first(sql, &[]).await?.map(|row| Columns::of(row).number()).transpose()
    }

    /// Adds a checkpoint. `Constraint` if there is one of that number.
    pub(crate) async fn add_checkpoint(&self, checkpoint: &Signed, at_ms: i64) -> Result<(), SqlError> {
        let sql = "INSERT INTO audit_checkpoints (seq, at_ms, body, hash) VALUES ($1, $2, $3, $4)";
        let (body, hash) = (checkpoint.body.as_str(), checkpoint.hash.as_str());
        self.query(sql, &[checkpoint.seq.into(), at_ms.into(), body.into(), hash.into()]).await.map(drop)
    }

    /// All tombstones, each stream's last one last.
    pub(crate) async fn tombstones(&self) -> Result<Vec<Signed>, SqlError> {
        let sql = "SELECT stream, through, body, hash FROM audit_tombstones ORDER BY stream, through";
        self.query(sql, &[]).await?.into_iter().map(signed).collect()
    }

    /// Puts `tombstone` in the place of the rows that it stands for.
    pub(crate) async fn purge(&self, tombstone: &Signed) -> Result<(), SqlError> {
        let place = [tombstone.stream.as_str().into(), Val::from(tombstone.seq)];
        let [stream, through] = place.clone();
        let values = [stream, through, tombstone.body.as_str().into(), tombstone.hash.as_str().into()];
        self.batch(&[
            ("INSERT INTO audit_tombstones (stream, through, body, hash) VALUES ($1, $2, $3, $4)", &values),
            ("DELETE FROM audit WHERE stream = $1 AND seq <= $2", &place),
        ])
        .await
    }

    /// How far streams were exported.
    pub(crate) async fn exports(&self) -> Result<Vec<(String, i64)>, SqlError> {
        let rows = self.query("SELECT stream, through FROM audit_exports ORDER BY stream", &[]).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok((columns.text()?, columns.number()?))
            })
            .collect()
    }

    /// Notes that `stream` was exported as far as `through`.
    pub(crate) async fn mark_exported(&self, stream: &str, through: i64) -> Result<(), SqlError> {
        let sql = "INSERT INTO audit_exports (stream, through) VALUES ($1, $2) ON CONFLICT (stream) DO UPDATE SET \
                   through = excluded.through WHERE audit_exports.through < excluded.through";
        self.query(sql, &[stream.into(), through.into()]).await.map(drop)
    }

    /// Deleted tenants whose name is still in the audit or in usage: calls that were under way when they were deleted.
    pub(crate) async fn names_to_forget(&self) -> Result<Vec<String>, SqlError> {
        let sql = "SELECT t.id FROM tenants t WHERE t.state = 'deleted' AND (\
                   EXISTS (SELECT 1 FROM audit a WHERE a.tenant_id = t.id) \
                   OR EXISTS (SELECT 1 FROM usage_rollup u WHERE u.tenant_id = t.id) \
                   OR EXISTS (SELECT 1 FROM usage_clients c WHERE c.tenant_id = t.id))";
        self.query(sql, &[]).await?.into_iter().map(|row| Columns::of(row).text()).collect()
    }

    /// Puts `pseudonym` in the place of a deleted tenant's name.
    pub(crate) async fn forget_name(&self, tenant: &str, pseudonym: &str) -> Result<(), SqlError> {
        let both = [Val::from(tenant), pseudonym.into()];
        let name = &both[..1];
        // Some at a time: a statement has to be done within seconds, and a tenant can have millions of rows.
        let some = format!(
            "UPDATE audit SET tenant_id = $2 WHERE (stream, seq) IN \
             (SELECT stream, seq FROM audit WHERE tenant_id = $1 LIMIT {PAGE}) RETURNING seq"
        );
        while self.query(&some, &both).await?.len() == PAGE {}
        self.batch(&[
            (
                "INSERT INTO usage_rollup (tenant_id, tool, hour, outcome, calls, units) \
                 SELECT CAST($2 AS TEXT), tool, hour, outcome, calls, units FROM usage_rollup WHERE tenant_id = $1 \
                 ON CONFLICT (tenant_id, tool, hour, outcome) DO UPDATE SET \
                 calls = usage_rollup.calls + excluded.calls, units = usage_rollup.units + excluded.units",
                &both,
            ),
            ("DELETE FROM usage_rollup WHERE tenant_id = $1", name),
            (
                "INSERT INTO usage_clients (tenant_id, tool, hour, client, client_version, server_version, calls) \
                 SELECT CAST($2 AS TEXT), tool, hour, client, client_version, server_version, calls \
                 FROM usage_clients WHERE tenant_id = $1 \
                 ON CONFLICT (tenant_id, tool, hour, client, client_version, server_version) DO UPDATE SET \
                 calls = usage_clients.calls + excluded.calls",
                &both,
            ),
            ("DELETE FROM usage_clients WHERE tenant_id = $1", name),
            // Without these, what was billed under the name would be billed once more under the pseudonym.
            (
                "INSERT INTO usage_exports (destination, tenant_id, tool, hour, outcome, revision, batch, calls, units) \
                 SELECT destination, CAST($2 AS TEXT), tool, hour, outcome, revision, batch, calls, units \
                 FROM usage_exports WHERE tenant_id = $1 \
                 ON CONFLICT (destination, tenant_id, tool, hour, outcome, revision) DO UPDATE SET \
                 calls = usage_exports.calls + excluded.calls, units = usage_exports.units + excluded.units",
                &both,
            ),
            ("DELETE FROM usage_exports WHERE tenant_id = $1", name),
        ])
        .await
    }

    /// Until when the calls of `tenant` are captured.
    pub(crate) async fn capture_until(&self, tenant: &TenantId) -> Result<Option<i64>, SqlError> {
        let sql = "SELECT until_ms FROM capture_rules WHERE tenant_id = $1";
        self.first(sql, &[tenant.as_str().into()]).await?.map(|row| Columns::of(row).number()).transpose()
    }

    /// Captures the calls of a tenant until then; not any more for `None`.
    pub(crate) async fn set_capture(&self, ctx: &TenantCtx, until_ms: Option<i64>) -> Result<(), SqlError> {
        let tenant = Val::from(ctx.tenant().as_str());
        let Some(until_ms) = until_ms else {
            return self.query("DELETE FROM capture_rules WHERE tenant_id = $1", &[tenant]).await.map(drop);
        };
        let sql = "INSERT INTO capture_rules (tenant_id, until_ms) VALUES ($1, $2) \
                   ON CONFLICT (tenant_id) DO UPDATE SET until_ms = excluded.until_ms";
        self.query(sql, &[tenant, until_ms.into()]).await.map(drop)
    }

    /// A captured call that has not expired.
    pub(crate) async fn capture(&self, ctx: &TenantCtx, call: &str, now: i64) -> Result<Option<CaptureRow>, SqlError> {
        let sql =
            "SELECT call_id, at_ms, sealed FROM captures WHERE tenant_id = $1 AND call_id = $2 AND expires_ms > $3";
        let values = [ctx.tenant().as_str().into(), call.into(), now.into()];
        self.first(sql, &values).await?.map(capture).transpose()
    }

    /// Captured calls of a tenant that another data key than `dek_id` seals, by the pattern `under` of those that it does.
    pub(crate) async fn captures_not(&self, ctx: &TenantCtx, under: &str) -> Result<Vec<CaptureRow>, SqlError> {
        let sql = "SELECT call_id, at_ms, sealed FROM captures WHERE tenant_id = $1 AND sealed NOT LIKE $2 LIMIT 100";
        let rows = self.query(sql, &[ctx.tenant().as_str().into(), under.into()]).await?;
        rows.into_iter().map(capture).collect()
    }

    /// Replaces the sealed text of a captured call.
    pub(crate) async fn reseal_capture(&self, ctx: &TenantCtx, call: &str, sealed: &str) -> Result<(), SqlError> {
        let sql = "UPDATE captures SET sealed = $3 WHERE tenant_id = $1 AND call_id = $2";
        self.query(sql, &[ctx.tenant().as_str().into(), call.into(), sealed.into()]).await.map(drop)
    }

    /// Removes a captured call.
    pub(crate) async fn remove_capture(&self, ctx: &TenantCtx, call: &str) -> Result<(), SqlError> {
        let sql = "DELETE FROM captures WHERE tenant_id = $1 AND call_id = $2";
        self.query(sql, &[ctx.tenant().as_str().into(), call.into()]).await.map(drop)
    }

    /// Removes captured calls and rules that have expired.
    pub(crate) async fn expire_captures(&self, now: i64) -> Result<(), SqlError> {
        let now = [now.into()];
        self.batch(&[
            ("DELETE FROM captures WHERE expires_ms <= $1", &now),
            ("DELETE FROM capture_rules WHERE until_ms <= $1", &now),
        ])
        .await
    }
}

fn signed(row: Row) -> Result<Signed, SqlError> {
    let mut columns = Columns::of(row);
    Ok(Signed { stream: columns.text()?, seq: columns.number()?, body: columns.text()?, hash: columns.text()? })
}

fn capture(row: Row) -> Result<CaptureRow, SqlError> {
    let mut columns = Columns::of(row);
    Ok(CaptureRow { call: columns.text()?, at_ms: columns.number()?, sealed: columns.text()? })
}
