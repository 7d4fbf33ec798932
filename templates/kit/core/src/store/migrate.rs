// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Migrations: numbered files, applied once each, in order, never backwards. The checksum of each is stored, so that a
//! file edited after the fact is noticed; a database newer than this binary refuses.
//!
//! `NNNN_name.sql` makes the tables, in the dialect that all engines share. What only one engine has, guards and grants,
//! stands in `NNNN_name.<engine>.sql` and is applied behind it in the same batch.

use std::fmt;

use sha2::{Digest, Sha256};

use super::Store;
use super::row::Columns;
use crate::ports::{Engine, SqlError, Statement, Val};

/// One migration.
pub struct Migration {
    /// Its number.
    pub number: i64,
    /// Its name, without number and ending.
    pub name: &'static str,
    /// Its statements, for every engine.
    pub sql: &'static str,
    /// Further statements, each for one engine.
    pub extra: &'static [(Engine, &'static str)],
}

/// All migrations of this version, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "tenancy", sql: include_str!("migrations/0001_tenancy.sql"), extra: &[] },
    Migration {
        number: 2,
        name: "refresh",
        sql: include_str!("migrations/0002_refresh.sql"),
        extra: &[
            (Engine::Sqlite, include_str!("migrations/0002_refresh.sqlite.sql")),
            (Engine::Postgres, include_str!("migrations/0002_refresh.postgres.sql")),
        ],
    },
    Migration { number: 3, name: "connect", sql: include_str!("migrations/0003_connect.sql"), extra: &[] },
    Migration { number: 4, name: "limits", sql: include_str!("migrations/0004_limits.sql"), extra: &[] },
    Migration {
        number: 5,
        name: "audit",
        sql: include_str!("migrations/0005_audit.sql"),
        extra: &[
            (Engine::Sqlite, include_str!("migrations/0005_audit.sqlite.sql")),
            (Engine::Postgres, include_str!("migrations/0005_audit.postgres.sql")),
        ],
    },
    Migration { number: 6, name: "exports", sql: include_str!("migrations/0006_exports.sql"), extra: &[] },
];

impl Migration {
    /// The files that `engine` gets, in order.
    fn files(&self, engine: Engine) -> impl Iterator<Item = &'static str> {
        let extra = self.extra.iter().filter(move |(of, _)| *of == engine).map(|(_, sql)| *sql);
        std::iter::once(self.sql).chain(extra)
    }

    fn statements(&self, engine: Engine) -> impl Iterator<Item = &'static str> {
        self.files(engine).flat_map(statements)
    }

    /// Over what `engine` gets: an edit for another engine changes nothing here.
    fn checksum(&self, engine: Engine) -> String {
        let mut hash = Sha256::new();
        self.files(engine).for_each(|sql| hash.update(sql.as_bytes()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

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
        // On Postgres two that make one table at the same moment meet in the catalogue, whatever `IF NOT EXISTS` says:
        // one of them fails, and the table is there.
        if let Err(error) = self.query(table, &[]).await
            && let Err(MigrateError::Sql(_)) = self.pending().await
        {
            return Err(error.into());
        }
        let (engine, mut applied) = (self.engine(), Vec::new());
        for migration in self.pending().await? {
            let checksum = migration.checksum(engine);
            let row = [migration.number.into(), migration.name.into(), checksum.into(), Val::from(now)];
            let record = "INSERT INTO migrations (number, name, checksum, applied_ms) VALUES ($1, $2, $3, $4)";
            let mut batch: Vec<Statement<'_>> = vec![(record, &row)];
            batch.extend(migration.statements(engine).map(|sql| (sql, &[][..])));
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
            if known.checksum(self.engine()) != stored {
                return Err(MigrateError::Changed { number });
            }
            pending.retain(|migration| migration.number != number);
        }
        Ok(pending)
    }
}

/// The statements of a file: each ends with `;` at the end of a line. The body of a trigger or a function therefore
/// keeps its own statements, each with its `;`, on one line.
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
    fn the_body_of_a_trigger_stays_whole_on_one_line() {
        let sql =
            "CREATE TRIGGER t BEFORE DELETE ON a BEGIN\n  SELECT RAISE(ABORT, 'no'); SELECT 1; END;\nDROP TABLE b;\n";
        let found: Vec<&str> = statements(sql).collect();
        let trigger = "CREATE TRIGGER t BEFORE DELETE ON a BEGIN\n  SELECT RAISE(ABORT, 'no'); SELECT 1; END";
        assert_eq!(found, [trigger, "DROP TABLE b"]);
    }

    const MIXED: Migration = Migration {
        number: 1,
        name: "mixed",
        sql: "CREATE TABLE a (x TEXT);\n",
        extra: &[(Engine::Sqlite, "CREATE TRIGGER t;\n"), (Engine::Postgres, "CREATE FUNCTION f;\nGRANT g;\n")],
    };

    #[test]
    fn an_engine_gets_the_common_statements_and_then_its_own() {
        let of = |engine| MIXED.statements(engine).collect::<Vec<_>>();
        assert_eq!(of(Engine::Sqlite), ["CREATE TABLE a (x TEXT)", "CREATE TRIGGER t"]);
        assert_eq!(of(Engine::Postgres), ["CREATE TABLE a (x TEXT)", "CREATE FUNCTION f", "GRANT g"]);
    }

    #[test]
    fn what_an_engine_does_not_get_is_not_in_its_checksum() {
        let without = Migration { extra: &MIXED.extra[1..], ..MIXED };
        assert_ne!(without.checksum(Engine::Sqlite), MIXED.checksum(Engine::Sqlite));
        assert_eq!(without.checksum(Engine::Postgres), MIXED.checksum(Engine::Postgres));
    }

    /// Stores hold it: how it is made never changes.
    #[test]
    fn the_checksum_of_a_file_alone_is_that_of_its_bytes() {
        let alone = Migration { extra: &[], ..MIXED };
        let expected = "3eaa5a7ade98c594438fb255f569cba5789a88abb8254475346d3796c2605496";
        assert_eq!(alone.checksum(Engine::Sqlite), expected);
        assert_eq!(alone.checksum(Engine::Postgres), expected);
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        let numbers: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    }
}
