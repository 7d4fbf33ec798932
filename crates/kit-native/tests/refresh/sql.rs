//! The real SQLite adapter, with faults. Writes are waited for in place: virtual time must not move on while the disk works.

use std::sync::{Arc, Mutex};

use kit::ports::{BoxFuture, Engine, Row, Sql, SqlError, Statement, Val};
use kit_native::sqlite::Sqlite;
use tokio::sync::Semaphore;

use crate::in_place::wait;

/// What happens to a statement.
#[derive(Clone)]
pub enum Fault {
    /// It is not carried out.
    Lost,
    /// It is carried out, but the answer is lost.
    Unheard,
    /// It waits until the semaphore gives a permit, and is carried out then.
    Held(Arc<Semaphore>),
}

/// How often each statement with a text in it meets a fault.
type Plan = Vec<(&'static str, usize, Fault)>;

/// The adapter of one replica.
pub struct Tap {
    inner: Sqlite,
    plan: Mutex<Plan>,
}

impl Tap {
    pub fn new(inner: Sqlite) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// The next `times` statements that contain `text` meet `fault`.
    pub fn plan(&self, text: &'static str, times: usize, fault: Fault) {
        self.plan.lock().unwrap().push((text, times, fault));
    }

    /// No more faults.
    pub fn heal(&self) {
        self.plan.lock().unwrap().clear();
    }

    fn fault(&self, sql: &str) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        let (_, left, fault) = plan.iter_mut().find(|(text, left, _)| *left > 0 && sql.contains(text))?;
        *left -= 1;
        Some(fault.clone())
    }
}

impl Sql for Tap {
    fn engine(&self) -> Engine {
        self.inner.engine()
    }

    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>> {
        Box::pin(async move {
            // Everybody else may do something between two statements.
            tokio::task::yield_now().await;
            let fault = self.fault(sql);
            match &fault {
                Some(Fault::Lost) => return Err(SqlError::Unavailable),
                Some(Fault::Held(gate)) => gate.acquire().await.unwrap().forget(),
                Some(Fault::Unheard) | None => {}
            }
            let answer = wait(self.inner.query(sql, values));
            tokio::task::yield_now().await;
            if matches!(fault, Some(Fault::Unheard)) { Err(SqlError::Unavailable) } else { answer }
        })
    }

    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>> {
        Box::pin(async move { wait(self.inner.batch(statements)) })
    }
}
