// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Facts about the store itself: above all, whether it is a development store.

use super::Store;
use super::row::Columns;
use crate::inbound::Environment;
use crate::ports::{SqlError, Val};

impl Store {
    /// Marks a fresh store with its kind, and returns the kind it has: the first mark stays for ever.
    pub async fn claim(&self, environment: Environment) -> Result<Environment, SqlError> {
        let mark = [Val::from("environment"), Val::from(environment.as_str())];
        self.query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", &mark).await?;
        let row = self.first("SELECT value FROM meta WHERE name = $1", &mark[..1]).await?.ok_or(SqlError::Statement)?;
        match Columns::of(row).text()?.as_str() {
            "dev" => Ok(Environment::Dev),
            "live" => Ok(Environment::Live),
            _ => Err(SqlError::Statement),
        }
    }

    /// Answers if the database does.
    pub async fn ping(&self) -> Result<(), SqlError> {
        self.query("SELECT COUNT(*) FROM meta", &[]).await.map(drop)
    }
}
