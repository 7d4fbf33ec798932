// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! API keys.

use serde::Serialize;

use super::Store;
use super::row::Columns;
use super::tenants::TenantState;
use crate::inbound::TenantCtx;
use crate::ports::{SqlError, Val};
use crate::tenant::{Account, TenantId};

/// A key with the state of its tenant: one read answers whether a caller may come in.
pub struct KeyRow {
    /// Public id.
    pub id: String,
    /// Tenant.
    pub tenant: TenantId,
    /// State of the tenant.
    pub tenant_state: TenantState,
    /// The plan that the tenant is on.
    pub tenant_plan: Option<String>,
    /// `HMAC-SHA256(pepper, secret)`.
    pub hash: String,
    /// When it ends.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// The account that its calls are for.
    pub account: Option<Account>,
}

/// A key in a list. The secret is not known to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeySummary {
    /// Public id.
    pub id: String,
    /// What the operator called it.
    pub label: String,
    /// The account that its calls are for, if it is bound to one.
    pub account: Option<String>,
    /// When it was made.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

impl Store {
    /// The key with the public id `id`. The one tenant-related read without a `TenantCtx`: it is what one is made from.
    pub(crate) async fn key(&self, id: &str) -> Result<Option<KeyRow>, SqlError> {
        let sql = "SELECT k.id, k.tenant_id, t.state, t.plan, k.hash, k.expires_ms, k.revoked_ms, k.account \
                   FROM api_keys k JOIN tenants t ON t.id = k.tenant_id WHERE k.id = $1";
        let Some(row) = self.first(sql, &[id.into()]).await? else { return Ok(None) };
        let mut columns = Columns::of(row);
        Ok(Some(KeyRow {
            id: columns.text()?,
            tenant: TenantId::parse(&columns.text()?).map_err(|_| SqlError::Statement)?,
            tenant_state: TenantState::parse(&columns.text()?)?,
            tenant_plan: columns.optional_text()?,
            hash: columns.text()?,
            expires_ms: columns.optional_number()?,
            revoked_ms: columns.optional_number()?,
            account: columns
                .optional_text()?
                .map(|text| Account::parse(&text))
                .transpose()
                .map_err(|_| SqlError::Statement)?,
        }))
    }

    /// Adds a key.
    pub(crate) async fn add_key(&self, ctx: &TenantCtx, key: &KeySummary, hash: &str) -> Result<(), SqlError> {
        let values: [Val; 7] = [
            key.id.as_str().into(),
            ctx.tenant().as_str().into(),
            key.label.as_str().into(),
            hash.into(),
            key.created_ms.into(),
            key.expires_ms.into(),
            key.account.as_deref().into(),
        ];
        let sql = "INSERT INTO api_keys (id, tenant_id, label, hash, created_ms, expires_ms, account) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.query(sql, &values).await.map(drop)
    }

    /// The keys of a tenant, oldest first.
    pub(crate) async fn keys(&self, ctx: &TenantCtx) -> Result<Vec<KeySummary>, SqlError> {
        let sql = "SELECT id, label, account, created_ms, expires_ms, revoked_ms FROM api_keys \
                   WHERE tenant_id = $1 ORDER BY created_ms, id";
        let rows = self.query(sql, &[ctx.tenant().as_str().into()]).await?;
        rows.into_iter()
            .map(|row| {
                let mut columns = Columns::of(row);
                Ok(KeySummary {
                    id: columns.text()?,
                    label: columns.text()?,
                    account: columns.optional_text()?,
                    created_ms: columns.number()?,
                    expires_ms: columns.optional_number()?,
                    revoked_ms: columns.optional_number()?,
                })
            })
            .collect()
    }

    /// Revokes a key of this tenant; says whether it has such a key.
    pub(crate) async fn revoke_key(&self, ctx: &TenantCtx, id: &str, now: i64) -> Result<bool, SqlError> {
        let sql = "UPDATE api_keys SET revoked_ms = COALESCE(revoked_ms, $3) \
                   WHERE tenant_id = $1 AND id = $2 RETURNING id";
        let values = [ctx.tenant().as_str().into(), id.into(), now.into()];
        Ok(!self.query(sql, &values).await?.is_empty())
    }
}
