// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Links that a person connects by. The table knows a link by its hash only. Every step is one statement that says whether
//! it was this caller who made it: of two browsers at once, one goes on.

use super::Store;
use super::row::Columns;
use crate::ports::{SqlError, Val};
use crate::tenant::TenantId;

/// Wrong codes that a link stands.
pub(crate) const MAX_TRIES: i64 = 5;

/// How far a link has led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no connection yet.
    Open,
    /// There is one, and it is not chosen yet what it is for.
    Choosing,
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Choosing => "choosing",
        }
    }
}

/// A link.
#[derive(Clone, Debug)]
pub(crate) struct LinkRow {
    pub(crate) tenant: TenantId,
    pub(crate) integration: String,
    pub(crate) account: String,
    pub(crate) stage: Stage,
    pub(crate) code: Option<String>,
    pub(crate) tries: i64,
    pub(crate) browser: Option<String>,
    pub(crate) expires_ms: i64,
}

impl Store {
    /// Adds a link, and forgets those that have run out.
    pub(crate) async fn add_link(&self, id: &str, link: &LinkRow, now: i64) -> Result<(), SqlError> {
        let values: [Val; 7] = [
            id.into(),
            link.tenant.as_str().into(),
            link.integration.as_str().into(),
            link.account.as_str().into(),
            link.stage.as_str().into(),
            link.code.as_deref().into(),
            link.expires_ms.into(),
        ];
        let insert = "INSERT INTO connect_links (id, tenant_id, integration, account, stage, code, tries, expires_ms) \
                      VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
        self.batch(&[("DELETE FROM connect_links WHERE expires_ms < $1", &[now.into()]), (insert, &values)]).await
    }

    /// The link `id`, if it has not run out.
    pub(crate) async fn link(&self, id: &str, now: i64) -> Result<Option<LinkRow>, SqlError> {
        let sql = "SELECT tenant_id, integration, account, stage, code, tries, browser, expires_ms FROM connect_links \
                   WHERE id = $1 AND expires_ms > $2";
        let row = self.first(sql, &[id.into(), now.into()]).await?;
        row.map(|row| {
            let mut columns = Columns::of(row);
            Ok(LinkRow {
                tenant: TenantId::parse(&columns.text()?).map_err(|_| SqlError::Statement)?,
                integration: columns.text()?,
                account: columns.text()?,
                stage: if columns.text()? == "open" { Stage::Open } else { Stage::Choosing },
                code: columns.optional_text()?,
                tries: columns.number()?,
                browser: columns.optional_text()?,
                expires_ms: columns.number()?,
            })
        })
        .transpose()
    }

    /// Takes one of the link's tries; says whether there was one left.
    pub(crate) async fn try_link(&self, id: &str) -> Result<bool, SqlError> {
        let sql = "UPDATE connect_links SET tries = tries + 1 WHERE id = $1 AND tries < $2 RETURNING tries";
        Ok(!self.query(sql, &[id.into(), MAX_TRIES.into()]).await?.is_empty())
    }

    /// Gives the link to `browser`; says whether it is nobody else's. A code that was right is not asked for again.
    pub(crate) async fn claim_link(&self, id: &str, browser: &str) -> Result<bool, SqlError> {
        let sql = "UPDATE connect_links SET browser = $2, code = NULL \
                   WHERE id = $1 AND (browser IS NULL OR browser = $2) RETURNING id";
        Ok(!self.query(sql, &[id.into(), browser.into()]).await?.is_empty())
    }

    /// Moves the link of `browser` from one stage to another; says whether it did.
    pub(crate) async fn move_link(&self, id: &str, browser: &str, from: Stage, to: Stage) -> Result<bool, SqlError> {
        let sql = "UPDATE connect_links SET stage = $4 WHERE id = $1 AND browser = $2 AND stage = $3 RETURNING id";
        let values = [id.into(), browser.into(), from.as_str().into(), to.as_str().into()];
        Ok(!self.query(sql, &values).await?.is_empty())
    }

    /// Ends a link.
    pub(crate) async fn end_link(&self, id: &str) -> Result<(), SqlError> {
        self.query("DELETE FROM connect_links WHERE id = $1", &[id.into()]).await.map(drop)
    }
}
