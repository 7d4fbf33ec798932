// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The store: every statement of the kit, written once over the [`Sql`] port. What concerns a tenant takes a
//! `&TenantCtx`, and its tenant is in the statement's condition; there is no method that lists another's rows.

pub mod apps;
pub(crate) mod audit;
pub(crate) mod connect_links;
pub(crate) mod connect_states;
pub mod connections;
pub mod deks;
pub(crate) mod exports;
pub mod keks;
pub mod keys;
pub mod meta;
pub mod migrate;
pub mod row;
pub mod server_keys;
pub mod tenants;
pub(crate) mod usage;

use std::sync::Arc;

use crate::ports::{Engine, Row, Sql, SqlError, Statement, Val};

/// The store over one database.
pub struct Store {
    sql: Arc<dyn Sql>,
}

impl Store {
    /// A store over `sql`; see [`migrate`](Self::migrate) for its tables.
    pub fn new(sql: Arc<dyn Sql>) -> Self {
        Self { sql }
    }

    fn engine(&self) -> Engine {
        self.sql.engine()
    }

    async fn query(&self, sql: &str, values: &[Val]) -> Result<Vec<Row>, SqlError> {
        self.sql.query(sql, values).await
    }

    async fn first(&self, sql: &str, values: &[Val]) -> Result<Option<Row>, SqlError> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    async fn batch(&self, statements: &[Statement<'_>]) -> Result<(), SqlError> {
        self.sql.batch(statements).await
    }
}
