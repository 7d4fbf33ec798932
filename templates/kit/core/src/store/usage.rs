// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Usage by tenant, tool, hour and outcome. It is written with the rows of the audit, in [`audit`](super::audit).

use super::Store;
use super::row::Columns;
use crate::inbound::TenantCtx;
use crate::ports::SqlError;

impl Store {
    /// Units that the tenant has used since the hour `day` and since the hour `month`.
    pub(crate) async fn units(&self, ctx: &TenantCtx, day: i64, month: i64) -> Result<(i64, i64), SqlError> {
        let sql = "SELECT CAST(SUM(CASE WHEN hour >= $2 THEN units ELSE 0 END) AS BIGINT), CAST(SUM(units) AS BIGINT) \
                   FROM usage_rollup WHERE tenant_id = $1 AND hour >= $3";
        // The month begins with or before the day.
        let values = [ctx.tenant().as_str().into(), day.into(), month.into()];
        let Some(row) = self.first(sql, &values).await? else { return Ok((0, 0)) };
        let mut columns = Columns::of(row);
        Ok((columns.optional_number()?.unwrap_or(0), columns.optional_number()?.unwrap_or(0)))
    }
}
