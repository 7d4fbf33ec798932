// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Connections to one server: at most so many, each lent to one caller, none of whom waits for ever. A connection on
//! which anything unexpected happened is not lent again.
//!
//! A pool of its own, not deadpool: the bound on those who wait and "not lent again" would have to be built around it,
//! and are half of this file.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::ports::SqlError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::target::{Failure, Target};
use super::{Bounds, class};
use crate::failure::Hinted;

/// The server is told to give up first; this much later it is taken for one that hangs.
const GRACE: Duration = Duration::from_secs(1);
/// The kit has fewer statements; a batch that is made up as it goes does not fill the memory of both sides.
const MAX_STATEMENTS: usize = 256;

pub(super) struct Pool {
    pub(super) bounds: Bounds,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// Everybody who has a connection or waits for one.
    inside: Semaphore,
    slots: Semaphore,
    /// The one used last comes first: what is not needed grows old at the bottom.
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
}

/// A connection, lent. Dropped without [`keep`](Self::keep) it is closed.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    connection: Connection,
    _slot: SemaphorePermit<'a>,
    _inside: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) async fn open(target: &Target, bounds: Bounds) -> Result<Self, Hinted> {
        let pool = Self {
            bounds,
            config: target.config(),
            tls: target.tls()?,
            inside: Semaphore::new(bounds.connections + bounds.waiting),
            slots: Semaphore::new(bounds.connections),
            idle: Mutex::default(),
        };
        let first = pool.connect().await.map_err(|failure| target.refusal(&failure))?;
        pool.idle().push(first);
        Ok(pool)
    }

    /// A connection, from those there are or a new one.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, SqlError> {
        let inside = self.inside.try_acquire().map_err(|_| SqlError::Unavailable)?;
        let slot = timeout(self.bounds.acquire, self.slots.acquire()).await;
        let slot = slot.ok().and_then(Result::ok).ok_or(SqlError::Unavailable)?;
        let connection = match self.take() {
            Some(connection) => connection,
            None => self.connect().await.map_err(|failure| {
                tracing::warn!(cause = failure.cause(), "the database cannot be reached");
                SqlError::Unavailable
            })?,
        };
        Ok(Lease { pool: self, connection, _slot: slot, _inside: inside })
    }

    /// An idle connection. Those that the server has closed, all of them after its restart, are thrown away.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.client.is_closed())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let connecting = async {
            let client = match &self.tls {
                Some(tls) => {
                    let (client, connection) = self.config.connect(tls.clone()).await?;
                    tokio::spawn(connection);
                    client
                }
                None => {
                    let (client, connection) = self.config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client
                }
            };
            // Not as options of the log-in: poolers in between refuse those. The second one frees the locks of a
            // process that was stopped between two statements.
            let (statement, idle) = (self.bounds.statement.as_millis(), 2 * self.bounds.statement.as_millis());
            let session =
                format!("SET statement_timeout = {statement}; SET idle_in_transaction_session_timeout = {idle}");
            client.batch_execute(&session).await?;
            Ok(Connection { client, statements: HashMap::new() })
        };
        timeout(self.bounds.connect, connecting).await.unwrap_or(Err(Failure::Late(self.bounds.connect)))
    }
}

impl Lease<'_> {
    /// Gives the connection back.
    pub(super) fn keep(self) {
        self.pool.idle().push(self.connection);
    }

    /// `sql`, parsed by the server: once for each connection.
    pub(super) async fn prepare(&mut self, sql: &str, patience: Duration) -> Result<Statement, SqlError> {
        if let Some(statement) = self.connection.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.answer(self.connection.client.prepare(sql), patience).await?;
        if self.connection.statements.len() >= MAX_STATEMENTS {
            self.connection.statements.clear();
        }
        self.connection.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    pub(super) async fn query(
        &self,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
        patience: Duration,
    ) -> Result<Vec<Row>, SqlError> {
        self.answer(self.connection.client.query(statement, values), patience).await
    }

    /// Statements without values or rows.
    pub(super) async fn execute(&self, sql: &str, patience: Duration) -> Result<(), SqlError> {
        self.answer(self.connection.client.batch_execute(sql), patience).await
    }

    async fn answer<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
        patience: Duration,
    ) -> Result<T, SqlError> {
        let Ok(result) = timeout(patience + GRACE, work).await else {
            tracing::warn!("the database does not answer");
            // It hangs, or the way to it is cut: the other connections would each cost a caller the same wait.
            self.pool.idle().clear();
            return Err(SqlError::Unavailable);
        };
        result.map_err(|error| {
            let code = error.code().map(|code| code.code());
            let class = class(code);
            if class != SqlError::Constraint {
                // The number of the trouble, never its text: that can repeat values.
                tracing::warn!(sqlstate = code.unwrap_or("none"), "the database refused a statement");
            }
            class
        })
    }
}
