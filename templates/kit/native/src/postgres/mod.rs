// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! PostgreSQL behind the [`Sql`] port, over tokio-postgres. A caller waits a bounded time whatever the server does, also
//! where it hangs instead of refusing; and what the server says never leaves this module: it can repeat values.
//!
//! Values are `TEXT` and `BIGINT`, and the type that the server inferred for a placeholder decides how a value goes out.
//! The server's own types show in one place: `SUM` of a `BIGINT` is a `NUMERIC` there and wants a `CAST`.

mod pool;
mod target;

use std::time::Duration;

use kit::ports::{BoxFuture, Engine, Row, Sql, SqlError, Statement, Val};
use tokio_postgres::types::{ToSql, Type};

use crate::failure::Hinted;
use pool::{Lease, Pool};
pub use target::Target;

/// How much of the server is taken, and for how long anything waits.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at most. A server grants 100 by default, to all replicas and the operator's commands together.
    pub connections: usize,
    /// Callers who may wait for a connection; one more is refused at once.
    pub waiting: usize,
    /// So long they wait.
    pub acquire: Duration,
    /// Name resolution, TLS and log-in, all together.
    pub connect: Duration,
    /// One statement.
    pub statement: Duration,
    /// One statement of a migration.
    pub migration: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 8,
            waiting: 64,
            acquire: Duration::from_secs(1),
            connect: Duration::from_secs(3),
            statement: Duration::from_secs(5),
            migration: Duration::from_secs(600),
        }
    }
}

/// A database on a server.
pub struct Postgres {
    pool: Pool,
}

impl Postgres {
    /// Connects once, so that whatever is wrong is told at the start and by its name.
    pub async fn open(target: &Target) -> Result<Self, Hinted> {
        Self::open_with(target, Bounds::default()).await
    }

    /// The same with given bounds.
    pub async fn open_with(target: &Target, bounds: Bounds) -> Result<Self, Hinted> {
        Ok(Self { pool: Pool::open(target, bounds).await? })
    }

    async fn one(&self, sql: &str, values: &[Val]) -> Result<Vec<Row>, SqlError> {
        let mut lease = self.pool.lease().await?;
        let result = run(&mut lease, sql, values, self.pool.bounds.statement).await;
        self.settle(lease, &result);
        result
    }

    async fn all(&self, statements: &[Statement<'_>]) -> Result<(), SqlError> {
        let mut lease = self.pool.lease().await?;
        let result = self.transact(&mut lease, statements).await;
        self.settle(lease, &result);
        result
    }

    async fn transact(&self, lease: &mut Lease<'_>, statements: &[Statement<'_>]) -> Result<(), SqlError> {
        let bounds = self.pool.bounds;
        // Statements of the kit have values, those of migrations have none: only these may take as long as an index over
        // a large table does. The row that a migration begins with waits for another process that migrates.
        let migrates = statements.iter().any(|(_, values)| values.is_empty());
        let patience = if migrates { bounds.migration } else { bounds.statement };
        let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", patience.as_millis());
        lease.execute(if migrates { &begin } else { "BEGIN" }, bounds.statement).await?;
        for (sql, values) in statements {
            let done = match values {
                [] => lease.execute(sql, patience).await,
                values => run(lease, sql, values, patience).await.map(drop),
            };
            if let Err(error) = done {
                // Anything else costs the connection, and the server rolls back what was open on it.
                if error == SqlError::Constraint {
                    lease.execute("ROLLBACK", bounds.statement).await?;
                }
                return Err(error);
            }
        }
        lease.execute("COMMIT", patience).await
    }

    /// Gives the connection back if nothing unexpected happened on it. A caller who was dropped in the middle comes not
    /// as far as this: a connection that still owes an answer is never lent again.
    fn settle<T>(&self, lease: Lease<'_>, result: &Result<T, SqlError>) {
        match result {
            Ok(_) | Err(SqlError::Constraint) => lease.keep(),
            Err(_) => drop(lease),
        }
    }
}

impl Sql for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>> {
        Box::pin(self.one(sql, values))
    }

    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>> {
        Box::pin(self.all(statements))
    }
}

async fn run(lease: &mut Lease<'_>, sql: &str, values: &[Val], patience: Duration) -> Result<Vec<Row>, SqlError> {
    let statement = lease.prepare(sql, patience).await?;
    let types = statement.params();
    if types.len() != values.len() {
        return Err(SqlError::Statement);
    }
    let values = values.iter().zip(types).map(|(value, of)| parameter(value, of)).collect::<Result<Vec<_>, _>>()?;
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let rows = lease.query(&statement, &values, patience).await?;
    rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect()
}

/// `value` in the type `of` that the server expects there. A number for a text, or the reverse, is a wrong statement.
fn parameter<'a>(value: &'a Val, of: &Type) -> Result<Box<dyn ToSql + Sync + Send + 'a>, SqlError> {
    let number = match value {
        Val::I64(number) => Some(*number),
        Val::Null => None,
        Val::Text(text) if is_text(of) => return Ok(Box::new(text.as_str())),
        Val::Text(_) => return Err(SqlError::Statement),
    };
    Ok(match *of {
        Type::INT8 => Box::new(number),
        // What stands beside a literal, as in `$1 + 1`, has the literal's type.
        Type::INT4 => Box::new(number.map(i32::try_from).transpose().map_err(|_| SqlError::Statement)?),
        _ if number.is_none() && is_text(of) => Box::new(None::<&str>),
        _ => return Err(SqlError::Statement),
    })
}

fn is_text(of: &Type) -> bool {
    matches!(*of, Type::TEXT | Type::VARCHAR)
}

fn value(row: &tokio_postgres::Row, column: usize) -> Result<Val, SqlError> {
    let read = match *row.columns()[column].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(column).map(Val::from),
        Type::INT4 => row.try_get::<_, Option<i32>>(column).map(|number| number.map(i64::from).into()),
        // `EXISTS` and comparisons; SQLite says 0 or 1.
        Type::BOOL => row.try_get::<_, Option<bool>>(column).map(|flag| flag.map(i64::from).into()),
        Type::TEXT | Type::VARCHAR => row.try_get::<_, Option<&str>>(column).map(Val::from),
        // The schema has no other types.
        _ => return Err(SqlError::Statement),
    };
    read.map_err(|_| SqlError::Statement)
}

/// The class of an error by its SQLSTATE; without one the connection broke.
fn class(code: Option<&str>) -> SqlError {
    let Some(code) = code else { return SqlError::Unavailable };
    match (code, code.get(..2).unwrap_or_default()) {
        (_, "23") => SqlError::Constraint,
        ("53100", _) => SqlError::Full,
        ("42501", _) => SqlError::Denied,
        ("XX001" | "XX002", _) => SqlError::Corrupt,
        // Connections, what the server lacks, the operator or a time-out stepping in, its disk; and what another
        // transaction was faster at. `25006`: a server that stands by, or is read-only because it is full.
        ("25006" | "55P03" | "58030", _) | (_, "08" | "40" | "53" | "57") => SqlError::Unavailable,
        _ => SqlError::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlstate_has_a_class() {
        let expected = [
            (Some("23505"), SqlError::Constraint),
            (Some("23514"), SqlError::Constraint),
            (Some("53100"), SqlError::Full),
            (Some("53300"), SqlError::Unavailable),
            (Some("08006"), SqlError::Unavailable),
            (Some("57014"), SqlError::Unavailable),
            (Some("57P01"), SqlError::Unavailable),
            (Some("57P03"), SqlError::Unavailable),
            (Some("40P01"), SqlError::Unavailable),
            (Some("25006"), SqlError::Unavailable),
            (Some("42501"), SqlError::Denied),
            (Some("XX001"), SqlError::Corrupt),
            (Some("XX002"), SqlError::Corrupt),
            (Some("XX000"), SqlError::Statement),
            (Some("42P01"), SqlError::Statement),
            (Some("22021"), SqlError::Statement),
            (Some(""), SqlError::Statement),
            (None, SqlError::Unavailable),
        ];
        for (code, class_of) in expected {
            assert_eq!(class(code), class_of, "{code:?}");
        }
    }
}
