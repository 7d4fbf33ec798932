// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Group commit. Whoever brings an entry and finds nobody committing has a committer spawned, which no cancelled caller can
//! take along; it takes all that waits, commits it in one transaction, and goes on while there is more. A lone call waits for
//! nobody, many share one fsync.
//!
//! A group is formed once and written until it is known to be in the store, or in the spill while the database is away. The
//! same rows are plain INSERTs: where an earlier attempt was committed unheard, the next one meets a constraint and finds
//! its own hash. So nothing is lost and nothing is counted twice; a caller waits a bounded time for it, the entry for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::group::{Advanced, Capture, Chains, Group};
use super::queue::{Queue, Receipt, Refusal, Room, Waiting};
use super::record::{AuditKey, Entry};
use super::usage::Usage;
use crate::ports::{Clock, Rng, Sleep, Spawn, Spill, SpillError, SqlError};
use crate::store::Store;
use crate::token;

/// A call waits so long for room.
const ROOM_PATIENCE: Duration = Duration::from_millis(250);
/// And so long for its commit: with the wait for room less than a second.
const COMMIT_PATIENCE: Duration = Duration::from_millis(700);
/// The operator's commands wait longer: no client times out on them.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(10);
/// Between attempts to write, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Spilled groups that are written before it is looked what has come meanwhile.
const REPLAYED: usize = 16;
/// Tenants with a stream; beyond, streams begin anew.
const MAX_STREAMS: usize = 10_000;

/// Writes the ledger.
pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) store: Arc<Store>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sleep: Arc<dyn Sleep>,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) spill: Option<Arc<dyn Spill>>,
    pub(crate) key: AuditKey,
    pub(crate) server: &'static str,
    /// Only the committer takes it, and there is one.
    pub(crate) state: Mutex<State>,
    /// Whether the store has answered since something was spilled.
    pub(crate) reachable: AtomicBool,
}

/// What a committer leaves to the next one.
#[derive(Default)]
pub(crate) struct State {
    /// None until the first group, and behind one whose fate is not known.
    chains: Option<Chains>,
    /// How far what was spilled has been replayed; `None` if nothing was.
    backlog: Option<u64>,
}

/// A group on its way.
struct Attempt<'a> {
    waiting: &'a [Waiting],
    group: Group,
    advanced: Option<Advanced>,
}

impl Writer {
    /// Room for `entries` of one call.
    pub(crate) async fn room(&self, entries: usize) -> Result<Room, Refusal> {
        self.queue.room(entries, || self.sleep.sleep(ROOM_PATIENCE)).await
    }

    /// Queues an entry, for which there is room.
    pub(crate) fn post(self: &Arc<Self>, room: &mut Room, entry: Entry, capture: Option<Capture>) -> Arc<Receipt> {
        let (receipt, begin) = room.bring(entry, capture);
        if begin {
            self.begin();
        }
        receipt
    }

    /// Queues an entry and waits until it is committed.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        room: &mut Room,
        entry: Entry,
        capture: Option<Capture>,
    ) -> Result<(), Refusal> {
        let receipt = self.post(room, entry, capture);
        self.wait(&receipt).await
    }

    /// Queues an entry of the operator's and waits until it is committed.
    pub(crate) async fn commit_patiently(self: &Arc<Self>, entry: Entry) -> Result<(), Refusal> {
        let mut room = self.queue.room(1, || self.sleep.sleep(OPERATOR_PATIENCE)).await?;
        let receipt = self.post(&mut room, entry, None);
        receipt.wait(|| self.sleep.sleep(OPERATOR_PATIENCE)).await
    }

    /// Waits until an entry is committed.
    pub(crate) async fn wait(&self, receipt: &Receipt) -> Result<(), Refusal> {
        receipt.wait(|| self.sleep.sleep(COMMIT_PATIENCE)).await
    }

    fn begin(self: &Arc<Self>) {
        let writer = self.clone();
        self.spawn.spawn(Box::pin(async move { writer.run().await }));
    }

    /// Commits until there is nothing left to do.
    async fn run(self: Arc<Self>) {
        let mut under_way = UnderWay { writer: &self, ended: false };
        loop {
            let spilled = self.spilled();
            match self.queue.take(spilled) {
                Some(waiting) => {
                    self.write(&waiting).await;
                    waiting.iter().for_each(|waiting| waiting.answer(Ok(())));
                    self.queue.done();
                }
                None if spilled => self.queue.work(|| self.reachable.load(Ordering::SeqCst)).await,
                None => break,
            }
            self.catch_up().await;
        }
        under_way.ended = true;
    }

    /// Takes up what an earlier process spilled.
    pub(crate) async fn recover(self: &Arc<Self>) {
        if self.spill.is_none() {
            return;
        }
        self.state().backlog = Some(0);
        loop {
            match self.replay().await {
                Replayed::All => return,
                Replayed::Some => {}
                Replayed::Stuck => return self.watch(),
            }
        }
    }

    /// Writes some of what was spilled, once the store has answered again.
    async fn catch_up(self: &Arc<Self>) {
        if self.spilled() && self.reachable.load(Ordering::SeqCst) && self.replay().await == Replayed::Stuck {
            self.watch();
        }
    }

    /// Whether something waits in the spill.
    fn spilled(&self) -> bool {
        self.state().backlog.is_some()
    }

    /// Asks the store now and then whether it is back. Not the committer does that: an attempt can take seconds, and meanwhile
    /// what comes must go to the spill.
    fn watch(self: &Arc<Self>) {
        self.reachable.store(false, Ordering::SeqCst);
        let writer = self.clone();
        self.spawn.spawn(Box::pin(async move {
            let mut pause = PAUSES.0;
            loop {
                writer.sleep.sleep(pause).await;
                if writer.store.ping().await.is_ok() {
                    break;
                }
                pause = (pause * 2).min(PAUSES.1);
            }
            writer.reachable.store(true, Ordering::SeqCst);
            if writer.queue.call_committer() {
                writer.begin();
            }
        }));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a group until it is in the store, or in the spill.
    async fn write(self: &Arc<Self>, waiting: &[Waiting]) {
        let mut attempt = self.form(waiting);
        let mut pause = PAUSES.0;
        while let Err(refusal) = self.attempt(&mut attempt).await {
            self.queue.set_trouble(Some(refusal));
            if refusal == Refusal::Full {
                waiting.iter().for_each(|waiting| waiting.answer(Err(Refusal::Full)));
            }
            self.sleep.sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            // A spill that is full gets room by this alone.
            self.catch_up().await;
        }
        self.queue.set_trouble(None);
        let mut state = self.state();
        if let (Some(chains), Some(advanced)) = (&mut state.chains, attempt.advanced) {
            chains.advance(advanced);
        }
    }

    async fn attempt(self: &Arc<Self>, attempt: &mut Attempt<'_>) -> Result<(), Refusal> {
        if attempt.advanced.is_none() {
            *attempt = self.form(attempt.waiting);
            if attempt.advanced.is_none() {
                // Without randomness there is no name for a stream.
                return Err(Refusal::Unavailable);
            }
        }
        // Behind what was spilled: rows of one stream keep their order.
        if self.spilled() {
            return self.put_aside(&attempt.group).await;
        }
        match self.put(&attempt.group).await {
            Ok(()) => {
                self.usage.committed(&attempt.group.usage);
                Ok(())
            }
            Err(SqlError::Constraint) => {
                // Another process has our streams: this one is a copy of it, made with its machine. From here on it is not.
                self.state().chains = None;
                attempt.advanced = None;
                Err(Refusal::Unavailable)
            }
            Err(SqlError::Unavailable) if self.spill.is_some() => self.put_aside(&attempt.group).await,
            Err(SqlError::Full) => Err(Refusal::Full),
            Err(_) => Err(Refusal::Unavailable),
        }
    }

    fn form<'a>(&self, waiting: &'a [Waiting]) -> Attempt<'a> {
        let mut state = self.state();
        if state.chains.as_ref().is_none_or(|chains| chains.len() >= MAX_STREAMS) {
            state.chains = token::random(&*self.rng, 12).ok().map(Chains::new);
        }
        let Some(chains) = &state.chains else {
            return Attempt { waiting, group: Group::default(), advanced: None };
        };
        let entries = waiting.iter().map(|waiting| (&waiting.entry, waiting.capture.as_ref()));
        let (group, advanced) = chains.form(&self.key, self.server, entries);
        Attempt { waiting, group, advanced: Some(advanced) }
    }

    /// Writes a group; passes if an earlier attempt had written it. `Constraint` if its place is taken by another.
    async fn put(&self, group: &Group) -> Result<(), SqlError> {
        match self.store.write_group(group).await {
            Err(SqlError::Constraint) => {
                let Some((stream, seq, hash)) = group.first() else { return Ok(()) };
                let found = self.store.audit_hash(stream, seq).await?;
                if found.as_deref() == Some(hash) { Ok(()) } else { Err(SqlError::Constraint) }
            }
            result => result,
        }
    }

    async fn put_aside(self: &Arc<Self>, group: &Group) -> Result<(), Refusal> {
        let Some(spill) = &self.spill else { return Err(Refusal::Unavailable) };
        spill.append(&group.to_bytes()).await.map_err(|error| match error {
            SpillError::Full => Refusal::Full,
            SpillError::Broken => Refusal::Unavailable,
        })?;
        let first = {
            let mut state = self.state();
            let first = state.backlog.is_none();
            state.backlog.get_or_insert(0);
            first
        };
        if first {
            self.watch();
        }
        Ok(())
    }

    /// Writes some of what was spilled. What stands in the way of one frame stands in the way of those behind it.
    async fn replay(&self) -> Replayed {
        let (Some(spill), Some(mut position)) = (&self.spill, self.position()) else { return Replayed::All };
        for _ in 0..REPLAYED {
            let (frame, next) = match spill.read(position).await {
                Ok(Some(found)) => found,
                Ok(None) if spill.clear().await.is_ok() => {
                    self.state().backlog = None;
                    return Replayed::All;
                }
                Ok(None) | Err(_) => return Replayed::Stuck,
            };
            let Some(group) = Group::from_bytes(&frame) else { return Replayed::Stuck };
            if self.put(&group).await.is_err() {
                return Replayed::Stuck;
            }
            self.usage.committed(&group.usage);
            position = next;
            self.state().backlog = Some(position);
        }
        Replayed::Some
    }

    fn position(&self) -> Option<u64> {
        self.state().backlog
    }
}

/// How a replay went.
#[derive(PartialEq, Eq)]
enum Replayed {
    All,
    Some,
    Stuck,
}

/// Lets go of what a committer had, should it be ended in the middle.
struct UnderWay<'a> {
    writer: &'a Writer,
    ended: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Whether its group was committed nobody knows any more.
            self.writer.state().chains = None;
            self.writer.queue.abandoned();
        }
    }
}
