// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The way to the server, and a gate in front of it. A server that is gone costs the calls that are with it their deadline,
//! once; after that nobody waits for it. A task of its own connects again, no more often than once in a bound, and asks
//! what a call asks before it lets calls in.
//!
//! One connection, on which answers come in the order of the questions. Not the `ConnectionManager` of the crate: on a
//! connection that is cut without a word it would wait for as long as TCP does, and its back-off is not ours to bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::ports::Clock;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, Script};
use tokio::time::timeout;

use super::script;

/// For how long anything waits.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A whole pass, from the question to the answer.
    pub answer: Duration,
    /// Name resolution, TLS and log-in, all together.
    pub connect: Duration,
    /// From one attempt to connect to the next.
    pub again: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { answer: Duration::from_millis(50), connect: Duration::from_millis(500), again: Duration::from_secs(1) }
    }
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Passes that the server was asked for.
    pub asked: u64,
    /// Those of them that it did not answer, or not in time.
    pub failed: u64,
    /// Attempts to connect.
    pub attempts: u64,
    /// Those of them that came to a connection.
    pub connected: u64,
}

pub(super) struct Gate {
    client: Client,
    script: Script,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    name: String,
    state: Mutex<State>,
    asked: AtomicU64,
    failed: AtomicU64,
    attempts: AtomicU64,
    connected: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The connection, with a number that tells it from those before it.
    open: Option<(u64, MultiplexedConnection)>,
    last: u64,
    attempt_us: Option<i64>,
    /// Whether it was reported that the server is gone.
    reported: bool,
}

/// Why there was no answer, in words that are not the server's: those can repeat what it was sent.
pub(super) enum Failure {
    Late(Duration),
    Driver(RedisError),
    Odd,
}

impl Failure {
    /// Whether the user is what is wrong.
    pub(super) fn is_refusal(&self) -> bool {
        let Self::Driver(error) = self else { return false };
        error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"))
    }

    pub(super) fn cause(&self) -> String {
        match self {
            Self::Late(patience) => format!("no answer within {} ms", patience.as_millis()),
            Self::Odd => "it answers something else".to_owned(),
            Self::Driver(error) if error.is_connection_refusal() => "nobody listens there".to_owned(),
            Self::Driver(_) if self.is_refusal() => "it refuses the user or the password".to_owned(),
            Self::Driver(error) => match error.code() {
                Some(code) => format!("it answers with {code}"),
                None => error.category().to_owned(),
            },
        }
    }
}

impl Gate {
    pub(super) fn new(client: Client, name: String, bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        let zero = || AtomicU64::new(0);
        let (asked, failed, attempts, connected) = (zero(), zero(), zero(), zero());
        let script = Script::new(script::TAKE);
        Self { client, script, bounds, clock, name, state: Mutex::default(), asked, failed, attempts, connected }
    }

    pub(super) fn traffic(&self) -> Traffic {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (asked, failed) = (read(&self.asked), read(&self.failed));
        Traffic { asked, failed, attempts: read(&self.attempts), connected: read(&self.connected) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Runs the script, unless the server is known to be gone. `None` at once then, or when the answer does not come in time.
    pub(super) async fn run(self: &Arc<Self>, keys: &[String], arguments: &[String]) -> Option<Vec<i64>> {
        let Some((number, connection)) = self.state().open.clone() else {
            self.reconnect();
            return None;
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.question(connection, keys, arguments).await {
            Ok(levels) => Some(levels),
            Err(failure) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.close(number, &failure);
                None
            }
        }
    }

    /// Connects, and lets calls in if the server answers what a call asks. The first question also brings it the script.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        self.state().attempt_us = Some(self.clock.monotonic_us());
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let result = match self.open().await {
            Ok(connection) => self.question(connection.clone(), &[], &[]).await.map(|_| connection),
            Err(failure) => Err(failure),
        };
        let mut state = self.state();
        match result {
            Ok(connection) => {
                self.connected.fetch_add(1, Ordering::Relaxed);
                state.last += 1;
                state.open = Some((state.last, connection));
                if std::mem::take(&mut state.reported) {
                    tracing::info!(server = self.name, "limits are shared again");
                }
                Ok(())
            }
            Err(failure) => {
                self.report(&mut state, &failure);
                Err(failure)
            }
        }
    }

    async fn open(&self) -> Result<MultiplexedConnection, Failure> {
        // The bounds here are our own, around everything.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(self.bounds.connect, connecting).await;
        connection.map_err(|_| Failure::Late(self.bounds.connect))?.map_err(Failure::Driver)
    }

    async fn question(
        &self,
        mut connection: MultiplexedConnection,
        keys: &[String],
        arguments: &[String],
    ) -> Result<Vec<i64>, Failure> {
        let mut question = self.script.prepare_invoke();
        question.key(keys).arg(arguments);
        let answer = timeout(self.bounds.answer, question.invoke_async::<Vec<i64>>(&mut connection)).await;
        let levels = answer.map_err(|_| Failure::Late(self.bounds.answer))?.map_err(Failure::Driver)?;
        if levels.len() == keys.len() { Ok(levels) } else { Err(Failure::Odd) }
    }

    /// Lets nobody go there on the connection `number`, if that is still the one.
    fn close(self: &Arc<Self>, number: u64, failure: &Failure) {
        let mut state = self.state();
        if state.open.as_ref().is_some_and(|(open, _)| *open == number) {
            state.open = None;
            self.report(&mut state, failure);
            drop(state);
            self.reconnect();
        }
    }

    /// Connects in a task of its own, unless that was tried a moment ago.
    fn reconnect(self: &Arc<Self>) {
        let now = self.clock.monotonic_us();
        let again = i64::try_from(self.bounds.again.as_micros()).unwrap_or(i64::MAX);
        let mut state = self.state();
        if state.open.is_some() || state.attempt_us.is_some_and(|last| now.saturating_sub(last) < again) {
            return;
        }
        state.attempt_us = Some(now);
        drop(state);
        let gate = self.clone();
        tokio::spawn(async move { gate.connect().await.unwrap_or_default() });
    }

    fn report(&self, state: &mut State, failure: &Failure) {
        if !std::mem::replace(&mut state.reported, true) {
            tracing::warn!(server = self.name, cause = failure.cause(), "limits are not shared: the server is gone");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
