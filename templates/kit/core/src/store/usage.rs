// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Usage by tenant, tool, hour and outcome.

use super::Store;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ports::{SqlError, Statement, Val};
use crate::tenant::TenantId;

/// One row to be added to what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsageRow {
    pub(crate) tenant: TenantId,
    pub(crate) tool: String,
    /// Hours since the Unix epoch.
    pub(crate) hour: i64,
    pub(crate) outcome: &'static str,
    pub(crate) calls: i64,
    pub(crate) units: i64,
}

impl Store {
    /// Adds `rows` to what is there, all or none.
    pub(crate) async fn add_usage(&self, rows: &[UsageRow]) -> Result<(), SqlError> {
        const SQL: &str = "INSERT INTO usage_rollup (tenant_id, tool, hour, outcome, calls, units) \
                           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, tool, hour, outcome) DO UPDATE SET \
                           calls = usage_rollup.calls + excluded.calls, units = usage_rollup.units + excluded.units";
        let values: Vec<[Val; 6]> = rows
            .iter()
            .map(|row| {
                [
                    row.tenant.as_str().into(),
                    row.tool.as_str().into(),
                    row.hour.into(),
                    row.outcome.into(),
                    row.calls.into(),
                    row.units.into(),
                ]
            })
            .collect();
        let statements: Vec<Statement<'_>> = values.iter().map(|values| (SQL, values.as_slice())).collect();
        self.batch(&statements).await
    }

    /// Units that the tenant has used since the hour `day` and since the hour `month`.
    pub(crate) async fn units(&self, ctx: &TenantCtx, day: i64, month: i64) -> Result<(i64, i64), SqlError> {
        let sql = "SELECT SUM(CASE WHEN hour >= $2 THEN units ELSE 0 END), SUM(units) FROM usage_rollup \
                   WHERE tenant_id = $1 AND hour >= $3";
        // The month begins with or before the day.
        let values = [ctx.tenant().as_str().into(), day.into(), month.into()];
        let Some(row) = self.first(sql, &values).await? else { return Ok((0, 0)) };
        let mut columns = Columns::of(row);
        Ok((columns.optional_number()?.unwrap_or(0), columns.optional_number()?.unwrap_or(0)))
    }
}
