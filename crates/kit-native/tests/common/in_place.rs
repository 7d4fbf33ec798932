//! The real SQLite adapter for virtual time: what it does is waited for in place, since that time moves on when everything
//! waits, and must not while the disk works.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use kit::ports::{BoxFuture, Engine, Row, Sql, SqlError, Statement, Val};

/// An engine that is waited for in place.
pub struct InPlace<S>(pub S);

impl<S: Sql> Sql for InPlace<S> {
    fn engine(&self) -> Engine {
        self.0.engine()
    }

    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>> {
        Box::pin(async move { wait(self.0.query(sql, values)) })
    }

    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>> {
        Box::pin(async move { wait(self.0.batch(statements)) })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Holds this thread until `future` is done.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
