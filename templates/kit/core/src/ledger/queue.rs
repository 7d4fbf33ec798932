// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The queue before the committer. A call takes its room in it before it begins, so that what has run can always be written
//! down: a call that finds no room does not run.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::group::Capture;
use super::record::Entry;
use crate::ports::BoxFuture;

/// Entries that wait or will come, at most.
pub(crate) const ROOM: usize = 4_096;
/// Entries in one group at most: a bound on how long the first of them waits for the last.
pub(crate) const GROUP: usize = 256;

/// Why a call is not let in, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The audit cannot be written just now.
    Unavailable,
    /// There is no space to write it to.
    Full,
}

/// The queue of one process.
#[derive(Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    pending: VecDeque<Waiting>,
    /// Rooms that are taken: by calls under way, by what is pending and by what is being committed.
    taken: usize,
    committing: bool,
    /// Entries that are being committed.
    under_way: usize,
    trouble: Option<Refusal>,
    /// Who waits for room.
    callers: Vec<Waker>,
    /// The committer, while it waits for its next attempt.
    committer: Option<Waker>,
    /// Who waits until everything is committed.
    leaving: Vec<Waker>,
}

/// Room for entries that a call will bring. What it does not bring is given back.
pub(crate) struct Room {
    queue: Arc<Queue>,
    left: usize,
}

/// An entry in the queue, and who waits for it.
pub(crate) struct Waiting {
    pub(crate) entry: Entry,
    pub(crate) capture: Option<Capture>,
    receipt: Arc<Receipt>,
}

/// Tells how it went with one entry.
#[derive(Default)]
pub(crate) struct Receipt(Mutex<Answer>);

#[derive(Default)]
struct Answer {
    result: Option<Result<(), Refusal>>,
    waker: Option<Waker>,
}

impl Receipt {
    fn answer(&self, result: Result<(), Refusal>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.result.get_or_insert(result);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// How it went, as soon as that is known. `patience` ends first where it takes too long.
    pub(crate) async fn wait(&self, patience: impl FnOnce() -> BoxFuture<'static, ()>) -> Result<(), Refusal> {
        let mut timer = None;
        let mut patience = Some(patience);
        poll_fn(|cx| {
            {
                let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(result) = state.result {
                    return Poll::Ready(result);
                }
                state.waker = Some(cx.waker().clone());
            }
            if let Some(patience) = patience.take() {
                timer = Some(patience());
            }
            match &mut timer {
                Some(timer) => timer.as_mut().poll(cx).map(|()| Err(Refusal::Unavailable)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl Waiting {
    /// Tells whoever waits.
    pub(crate) fn answer(&self, result: Result<(), Refusal>) {
        self.receipt.answer(result);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Nobody waits for ever for a committer that was ended.
        self.answer(Err(Refusal::Unavailable));
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for `entries`, or why there is none after `patience`.
    pub(crate) async fn room(
        self: &Arc<Self>,
        entries: usize,
        patience: impl FnOnce() -> BoxFuture<'static, ()>,
    ) -> Result<Room, Refusal> {
        let (mut timer, mut patience) = (None, Some(patience));
        poll_fn(|cx| {
            let refusal = {
                let mut state = self.state();
                match state.trouble {
                    None if state.taken + entries <= ROOM => {
                        state.taken += entries;
                        return Poll::Ready(Ok(Room { queue: self.clone(), left: entries }));
                    }
                    trouble => {
                        state.callers.push(cx.waker().clone());
                        trouble.unwrap_or(Refusal::Unavailable)
                    }
                }
            };
            if let Some(patience) = patience.take() {
                timer = Some(patience());
            }
            match &mut timer {
                Some(timer) => timer.as_mut().poll(cx).map(|()| Err(refusal)),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// What is to be committed next. If that is nothing, nobody commits any more, unless they `stay`.
    pub(crate) fn take(&self, stay: bool) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        let some = state.pending.len().min(GROUP);
        if some == 0 {
            state.committing = stay;
            return None;
        }
        state.under_way = some;
        Some(state.pending.drain(..some).collect())
    }

    /// What was taken is committed, or given up.
    pub(crate) fn done(&self) {
        let mut state = self.state();
        state.taken -= state.under_way;
        state.under_way = 0;
        if state.pending.is_empty() {
            state.leaving.drain(..).for_each(Waker::wake);
        }
        state.callers.drain(..).for_each(Waker::wake);
    }

    /// A committer was ended. Whoever comes next begins another.
    pub(crate) fn abandoned(&self) {
        self.state().committing = false;
        self.done();
    }

    /// There is something to do without a new entry. Says whether somebody has to begin committing.
    pub(crate) fn call_committer(&self) -> bool {
        let mut state = self.state();
        if let Some(committer) = state.committer.take() {
            committer.wake();
        }
        !std::mem::replace(&mut state.committing, true)
    }

    /// Calls are refused for this reason, or for none any more.
    pub(crate) fn set_trouble(&self, trouble: Option<Refusal>) {
        let mut state = self.state();
        if state.trouble != trouble {
            state.trouble = trouble;
            state.callers.drain(..).for_each(Waker::wake);
        }
        // They would learn it when their patience ends; there is nothing to wait for.
        if trouble == Some(Refusal::Full) {
            state.pending.iter().for_each(|waiting| waiting.answer(Err(Refusal::Full)));
        }
    }

    /// Waits for something to be committed, or until `ready`, which [`call_committer`](Self::call_committer) has looked at.
    pub(crate) async fn work(&self, ready: impl Fn() -> bool) {
        poll_fn(|cx| {
            let mut state = self.state();
            if !state.pending.is_empty() || ready() {
                return Poll::Ready(());
            }
            state.committer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until everything is committed.
    pub(crate) async fn empty(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.under_way == 0 && state.pending.is_empty() {
                return Poll::Ready(());
            }
            state.leaving.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Entries that wait.
    pub(crate) fn len(&self) -> usize {
        self.state().pending.len()
    }
}

impl Room {
    /// Puts an entry into the queue. Says whether somebody has to begin committing.
    pub(crate) fn bring(&mut self, entry: Entry, capture: Option<Capture>) -> (Arc<Receipt>, bool) {
        self.left = self.left.saturating_sub(1);
        let receipt = Arc::new(Receipt::default());
        let mut state = self.queue.state();
        if state.trouble == Some(Refusal::Full) {
            receipt.answer(Err(Refusal::Full));
        }
        state.pending.push_back(Waiting { entry, capture, receipt: receipt.clone() });
        if let Some(committer) = state.committer.take() {
            committer.wake();
        }
        let begin = !std::mem::replace(&mut state.committing, true);
        (receipt, begin)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.left > 0 {
            let mut state = self.queue.state();
            state.taken -= self.left;
            state.callers.drain(..).for_each(Waker::wake);
        }
    }
}
