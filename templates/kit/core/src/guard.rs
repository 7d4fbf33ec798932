// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Runs one future under guard: a panic is caught, a deadline ends it, the client's leaving ends it. Owner code runs
//! only in here, so the worst it can do is fail its own call.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::ports::BoxFuture;

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    Done(T),
    Panicked,
    TimedOut,
    Cancelled,
}

/// Runs `work` until it is done, panics, or one of the two others completes first. `work` is polled first: a tool that
/// answers at once never arms a timer.
pub(crate) async fn run<T>(
    work: impl Future<Output = T>,
    mut deadline: BoxFuture<'static, ()>,
    mut cancelled: BoxFuture<'static, ()>,
) -> Ended<T> {
    let mut work = pin!(work);
    poll_fn(move |cx| {
        // Unwind safety: after a panic nothing of `work` is looked at again.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Err(_) => return Poll::Ready(Ended::Panicked),
            Ok(Poll::Ready(done)) => return Poll::Ready(Ended::Done(done)),
            Ok(Poll::Pending) => {}
        }
        if cancelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ended::Cancelled);
        }
        deadline.as_mut().poll(cx).map(|()| Ended::TimedOut)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("still pending"),
        }
    }

    #[test]
    fn what_is_done_wins_over_a_deadline_that_has_passed() {
        assert_eq!(now(run(ready(1), Box::pin(ready(())), Box::pin(ready(())))), Ended::Done(1));
    }

    #[test]
    fn a_deadline_and_a_cancellation_end_what_never_returns() {
        assert_eq!(now(run(pending::<()>(), Box::pin(ready(())), Box::pin(pending()))), Ended::TimedOut);
        assert_eq!(now(run(pending::<()>(), Box::pin(pending()), Box::pin(ready(())))), Ended::Cancelled);
    }

    #[test]
    fn a_panic_is_caught() {
        let work = async { panic!("planted") };
        assert_eq!(now(run::<()>(work, Box::pin(pending()), Box::pin(pending()))), Ended::Panicked);
    }
}
