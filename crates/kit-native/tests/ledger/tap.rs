//! A real engine with faults.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kit::ports::{BoxFuture, Engine, Row, Sql, SqlError, Statement, Val};
use tokio::sync::Semaphore;

use crate::in_place::wait;

/// What happens to a group.
#[derive(Clone)]
pub enum Fault {
    /// It is not carried out.
    Lost,
    /// It is carried out, but the answer is lost.
    Unheard,
    /// It waits until the semaphore gives a permit, and is carried out then.
    Held(Arc<Semaphore>),
}

/// The engine of one process.
pub struct Tap {
    inner: Arc<dyn Sql>,
    plan: Mutex<VecDeque<Fault>>,
    /// While this is set nothing is answered.
    pub down: AtomicBool,
    /// While this is set nothing is written.
    pub full: AtomicBool,
    /// Groups that were begun.
    pub begun: AtomicUsize,
    /// Groups that were written.
    pub groups: AtomicUsize,
    /// Whether this thread waits for the engine, so that virtual time does not move on meanwhile.
    in_place: bool,
}

impl Tap {
    pub fn new(inner: Arc<dyn Sql>, in_place: bool) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan: Mutex::default(),
            down: AtomicBool::new(false),
            full: AtomicBool::new(false),
            begun: AtomicUsize::new(0),
            groups: AtomicUsize::new(0),
            in_place,
        })
    }

    /// The next group meets `fault`; said again, the one after it.
    pub fn plan(&self, fault: Fault) {
        self.plan.lock().unwrap().push_back(fault);
    }

    /// Holds the next group, and returns what lets it go on.
    pub fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.plan(Fault::Held(gate.clone()));
        self.begun.store(0, Ordering::SeqCst);
        gate
    }

    /// Waits until a group is held.
    pub async fn held(&self) {
        while self.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Groups that were written since the last time.
    pub fn groups(&self) -> usize {
        self.groups.swap(0, Ordering::SeqCst)
    }
}

impl Sql for Tap {
    fn engine(&self) -> Engine {
        self.inner.engine()
    }

    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>> {
        Box::pin(async move {
            if self.down.load(Ordering::SeqCst) {
                return Err(SqlError::Unavailable);
            }
            if self.in_place { wait(self.inner.query(sql, values)) } else { self.inner.query(sql, values).await }
        })
    }

    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>> {
        Box::pin(async move {
            let group = statements.first().is_some_and(|(sql, _)| sql.starts_with("INSERT INTO audit ("));
            self.begun.fetch_add(usize::from(group), Ordering::SeqCst);
            let fault = if group { self.plan.lock().unwrap().pop_front() } else { None };
            match &fault {
                _ if self.down.load(Ordering::SeqCst) => return Err(SqlError::Unavailable),
                _ if self.full.load(Ordering::SeqCst) => return Err(SqlError::Full),
                Some(Fault::Lost) => return Err(SqlError::Unavailable),
                Some(Fault::Held(gate)) => gate.acquire().await.unwrap().forget(),
                Some(Fault::Unheard) | None => {}
            }
            let work = self.inner.batch(statements);
            let answer = if self.in_place { wait(work) } else { work.await };
            if group && answer.is_ok() {
                self.groups.fetch_add(1, Ordering::SeqCst);
            }
            if matches!(fault, Some(Fault::Unheard)) { Err(SqlError::Unavailable) } else { answer }
        })
    }
}
