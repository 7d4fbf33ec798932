// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The ports: everything the kit asks of the world outside. An adapter crate implements them; tests implement them
//! with virtual time and scripted answers.
//!
//! All futures are `Send` on every target. A Worker wraps what JavaScript completes in `worker::send::SendFuture`;
//! a second, non-`Send` version of each trait was tried and made tools that compile on one target only.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::limit::{Charge, Decision};
use crate::observe::{AlarmEvent, CallEvent, RefreshEvent};
use crate::secret::Secret;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time. `wall_ms` is for what is stored and compared across processes, `monotonic_us` for what is measured in one.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> i64;
    /// Microseconds since an arbitrary point; never goes back.
    fn monotonic_us(&self) -> i64;
}

/// Waiting. Deadlines and back-off go through here.
pub trait Sleep: Send + Sync {
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Work that outlives the call which started it.
pub trait Spawn: Send + Sync {
    /// Runs `work` to its end, whatever becomes of the caller.
    fn spawn(&self, work: BoxFuture<'static, ()>);
}

/// Randomness fit for keys.
pub trait Rng: Send + Sync {
    /// Fills `buffer`, or says that the source failed: a key made of zeros must never happen in silence.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError>;
}

/// The operating system gave no randomness.
#[derive(Debug)]
pub struct RngError;

impl fmt::Display for RngError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gave no randomness")
    }
}

impl std::error::Error for RngError {}

/// A value in a statement or a row. The dialect that SQLite, Postgres and D1 share has no more types than these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Val {
    /// SQL `NULL`.
    Null,
    /// `BIGINT`: numbers, flags as 0 and 1, times as milliseconds since the epoch.
    I64(i64),
    /// `TEXT`: everything else; bytes as base64url.
    Text(String),
}

impl From<i64> for Val {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<&str> for Val {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Val {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Val>> From<Option<T>> for Val {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer, in the order of the selected columns.
pub type Row = Vec<Val>;

/// A statement with `$1…$n` placeholders and its values.
pub type Statement<'a> = (&'a str, &'a [Val]);

/// Why a statement failed. The text of the engine stays out: it can repeat the values it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlError {
    /// A uniqueness or other constraint said no.
    Constraint,
    /// The disk or the quota is full.
    Full,
    /// The engine cannot be reached or is too busy. Where it is behind a network, a write may have happened all the same.
    Unavailable,
    /// The user that the store is opened with lacks a right.
    Denied,
    /// The store's file is damaged or not a database.
    Corrupt,
    /// The statement itself is wrong: a bug in the kit or a schema that does not fit it.
    Statement,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constraint => "a constraint of the store was violated",
            Self::Full => "the store has no space left",
            Self::Unavailable => "the store cannot be reached",
            Self::Denied => "the user of the store lacks a right",
            Self::Corrupt => "the store's file is damaged or not a database",
            Self::Statement => "the store refused a statement",
        })
    }
}

impl std::error::Error for SqlError {}

/// Which engine is behind the port. Statements are the same for all; a migration may add what only one of them has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// All that the kit knows of a database. No transaction is ever held across an await: what must happen together is one
/// statement with a condition, or one `batch`.
pub trait Sql: Send + Sync {
    /// Which engine this is.
    fn engine(&self) -> Engine;
    /// Runs one statement and returns its rows (none for a plain write).
    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>>;
    /// Runs the statements in order, all or none.
    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>>;
}

/// A wrapped key, and which key-encryption key opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Id of the key-encryption key.
    pub kek_id: String,
    /// The wrapped bytes, as text.
    pub text: String,
}

/// Key-encryption keys, wherever they live: the primary, which wraps, and others, which still unwrap what they wrapped
/// before. `aad` is authenticated with the wrapped key and must be the same at unwrap.
pub trait KeyWrap: Send + Sync {
    /// Ids of the keys that are loaded, the primary first: `file:<fingerprint>`, `gcp:…`, `transit:…`, `dev`.
    fn ids(&self) -> Vec<String>;
    /// Wraps `key` with the primary.
    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<Wrapped, KeyWrapError>>;
    /// Unwraps what `wrap` gave when `kek_id` was the primary.
    fn unwrap<'a>(
        &'a self,
        kek_id: &'a str,
        aad: &'a [u8],
        wrapped: &'a str,
    ) -> BoxFuture<'a, Result<Secret, KeyWrapError>>;
}

/// Why a key could not be wrapped or unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWrapError {
    /// The wrapped text was not made by this key, for this purpose, or was altered.
    Rejected,
    /// There is no such key-encryption key here.
    NotLoaded,
    /// The key's keeper says no: a right was taken away, or the key was disabled.
    Denied,
    /// The key's keeper cannot be reached.
    Unavailable,
}

impl fmt::Display for KeyWrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "the wrapped key does not open with this key-encryption key",
            Self::NotLoaded => "the key-encryption key is not loaded",
            Self::Denied => "the key-encryption key may not be used by this server",
            Self::Unavailable => "the key-encryption key cannot be reached",
        })
    }
}

impl std::error::Error for KeyWrapError {}

/// The HTTP methods that upstreams use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

impl Method {
    /// The method as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A signed request on its way out. Its headers hold a secret, so it prints only method and host.
pub struct HttpRequest {
    /// Instance name of the integration that sends it.
    pub integration: String,
    /// Method.
    pub method: Method,
    /// Absolute URL.
    pub url: url::Url,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// Body bytes; empty for none.
    pub body: Vec<u8>,
    /// The whole exchange must be over after this.
    pub timeout: Duration,
    /// A longer answer (after decompression) is an error.
    pub max_response_bytes: usize,
}

impl HttpRequest {
    /// The value of the header `name`, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The value of the query parameter `name`.
    pub fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({} {})", self.method.as_str(), self.url.host_str().unwrap_or("?"))
    }
}

/// What an upstream answered.
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// A JSON answer, as sandboxes give.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The value of the header `name`, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpResponse({}, {} bytes)", self.status, self.body.len())
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Nothing was sent: the host's address is not one that requests may go to.
    Refused,
    /// Nothing was sent: name resolution, connection or TLS failed.
    Connect,
    /// No complete answer within the request's time-out; the upstream may have acted.
    Timeout,
    /// The connection broke while the answer was read; the upstream may have acted.
    Broken,
    /// The answer was larger than the request allowed.
    TooLarge,
}

impl SendError {
    /// The name in traces and metrics.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
        }
    }
}

/// The way out. The only place from which a request leaves this process.
pub trait HttpSend: Send + Sync {
    /// Sends `request`; follows no redirect.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>>;
}

/// Where token buckets live: in this process, in Redis, or in a Durable Object.
pub trait LimitBackend: Send + Sync {
    /// Takes tokens for every charge, or none and says when to come back. `now_us` is the monotonic time of this process;
    /// a backend that several share has a clock of its own.
    fn take<'a>(&'a self, charges: &'a [Charge<'a>], now_us: i64) -> BoxFuture<'a, Decision>;
}

/// Why a spill did not take what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpillError {
    /// It holds as much as it may, or its disk is full.
    Full,
    /// It cannot be read or written.
    Broken,
}

/// A frame of a spill, and the position behind it.
pub type Frame = (Vec<u8>, u64);

/// Where what was to be committed stays while the database is away: on this machine, in the order it came.
pub trait Spill: Send + Sync {
    /// Adds a frame. Once this is done the frame survives the process and the machine.
    fn append<'a>(&'a self, frame: &'a [u8]) -> BoxFuture<'a, Result<(), SpillError>>;
    /// The frame at `position` and the position behind it; the first is at 0. A frame that was torn while it was written is
    /// not there.
    fn read(&self, position: u64) -> BoxFuture<'_, Result<Option<Frame>, SpillError>>;
    /// Forgets all frames.
    fn clear(&self) -> BoxFuture<'_, Result<(), SpillError>>;
}

/// Where finished calls are reported. Reports may be lost; nothing that is billed or audited rides on them.
pub trait Telemetry: Send + Sync {
    /// One call has been answered.
    fn call(&self, event: &CallEvent<'_>);
    /// A renewal of tokens has ended, of a call or in the background.
    fn refreshed(&self, event: &RefreshEvent<'_>);
    /// A person should look at something.
    fn alarm(&self, event: &AlarmEvent<'_>);
}
