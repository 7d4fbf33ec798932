// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Migrations: numbered files, applied once each, in order, never backwards. The checksum of each is stored, so that a
//! file edited after the fact is noticed; a database newer than this binary refuses.

use std::fmt;

use sha2::{Digest, Sha256};

use super::Store;
use super::row::Columns;
use crate::ports::{SqlError, Statement, Val};

/// One migration file.
pub struct Migration {
    /// Its number.
    pub number: i64,
    /// Its name, without number and ending.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

/// All migrations of this version, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "tenancy", sql: include_str!("migrations/0001_tenancy.sql") },
    Migration { number: 2, name: "refresh", sql: include_str!("migrations/0002_refresh.sql") },
];

/// Why the database does not fit.
#[derive(Debug, PartialEq, Eq)]
pub enum MigrateError {
    /// The database holds a migration that this binary does not know.
    Newer {
        /// Its number.
        number: i64,
    },
    /// A migration was changed after it had been applied.
    Changed {
        /// Its number.
        number: i64,
    },
    /// There are migrations to apply, and this process may not.
    Pending {
        /// How many.
        count: usize,
    },
    /// A statement failed.
    Sql(SqlError),
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { number } => write!(f, "the store is newer than this binary: it has migration {number:04}"),
            Self::Changed { number } => {
                write!(f, "migration {number:04} differs from the one this store was made with")
            }
            Self::Pending { count } => write!(f, "the store lacks {count} migration(s)"),
            Self::Sql(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MigrateError {}

impl From<SqlError> for MigrateError {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl Store {
    /// Applies what is missing; returns the names of what it applied. Processes that start together do not get in each
    /// other's way: each migration is one batch that inserts its own row first, so the slower process fails as a whole
    /// and finds the work done.
    pub async fn migrate(&self, now: i64) -> Result<Vec<&'static str>, MigrateError> {
        let table = "CREATE TABLE IF NOT EXISTS migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, \
                     checksum TEXT NOT NULL, applied_ms BIGINT NOT NULL)";
        self.query(table, &[]).await?;
        let mut applied = Vec::new();
        for migration in self.pending().await? {
            let row = [migration.number.into(), migration.name.into(), checksum(migration.sql).into(), Val::from(now)];
            let record = "INSERT INTO migrations (number, name, checksum, applied_ms) VALUES ($1, $2, $3, $4)";
            let mut batch: Vec<Statement<'_>> = vec![(record, &row)];
            batch.extend(statements(migration.sql).map(|sql| (sql, &[][..])));
            match self.batch(&batch).await {
                Ok(()) => applied.push(migration.name),
                Err(error) if self.pending().await?.iter().any(|m| m.number == migration.number) => {
                    return Err(error.into());
                }
                Err(_) => {}
            }
        }
        Ok(applied)
    }

    /// Passes if there is nothing to apply.
    pub async fn check_migrations(&self) -> Result<(), MigrateError> {
        match self.pending().await {
            Ok(pending) if pending.is_empty() => Ok(()),
            Ok(pending) => Err(MigrateError::Pending { count: pending.len() }),
            // No table of migrations yet: an empty database.
            Err(MigrateError::Sql(SqlError::Statement)) => Err(MigrateError::Pending { count: MIGRATIONS.len() }),
            Err(error) => Err(error),
        }
    }

    async fn pending(&self) -> Result<Vec<&'static Migration>, MigrateError> {
        let rows = self.query("SELECT number, checksum FROM migrations ORDER BY number", &[]).await?;
        let mut pending: Vec<&Migration> = MIGRATIONS.iter().collect();
        for row in rows {
            let mut columns = Columns::of(row);
            let (number, stored) = (columns.number()?, columns.text()?);
            let Some(known) = MIGRATIONS.iter().find(|migration| migration.number == number) else {
                return Err(MigrateError::Newer { number });
            };
            if checksum(known.sql) != stored {
                return Err(MigrateError::Changed { number });
            }
            pending.retain(|migration| migration.number != number);
        }
        Ok(pending)
    }
}

fn checksum(sql: &str) -> String {
    Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The statements of a file: each ends with `;` at the end of a line.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    let has_code =
        |part: &&str| part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"));
    sql.split(";\n").map(str::trim).filter(has_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_into_its_statements() {
        let sql = "-- why; and how\nCREATE TABLE a (x TEXT);\n\n-- more\nCREATE TABLE b (\n  y TEXT\n);\n-- end\n";
        let found: Vec<&str> = statements(sql).collect();
        assert_eq!(found, ["-- why; and how\nCREATE TABLE a (x TEXT)", "-- more\nCREATE TABLE b (\n  y TEXT\n)"]);
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        let numbers: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    }
}
