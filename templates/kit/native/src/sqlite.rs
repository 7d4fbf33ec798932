// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! SQLite behind the [`Sql`] port. Point reads run in place on read-only connections (6–12 µs; a hop to another thread
//! would cost five times that). All writes go to one thread, which takes what has queued up into one transaction: one
//! fsync for many callers, none of whom sees `SQLITE_BUSY`.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kit::ports::{BoxFuture, Engine, Row, Sql, SqlError, Statement, Val};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use tokio::sync::oneshot;

const READERS: usize = 4;
/// Jobs in one transaction at most: a bound on how long the first of them waits for the last.
const GROUP: usize = 256;
/// Another process (the operator's command line) may hold the file for this long before a statement fails.
const BUSY: Duration = Duration::from_secs(5);
/// Releases before this one can corrupt a WAL database that two connections check-point at once (SQLite 3.51.3).
const OLDEST_SAFE: i32 = 3_051_003;

struct Job {
    statements: Vec<(Arc<str>, Vec<Val>)>,
    reply: oneshot::Sender<Result<Vec<Row>, SqlError>>,
}

/// A database file.
pub struct Sqlite {
    readers: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    texts: Texts,
    writer: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// Why the file could not be opened.
#[derive(Debug)]
pub struct OpenError(String);

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

impl Sqlite {
    /// Opens the file, making it (and its folder) if need be, readable by this user only.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if rusqlite::version_number() < OLDEST_SAFE {
            return Err(OpenError(format!("SQLite {} can corrupt a database in WAL mode", rusqlite::version())));
        }
        let refuse = |error: &dyn fmt::Display| OpenError(format!("failed to open `{}`: {error}", path.display()));
        prepare(path).map_err(|error| refuse(&error))?;
        let writer = open_writer(path).map_err(|error| refuse(&error))?;
        let reader = || open_reader(path).map(Mutex::new).map_err(|error| refuse(&error));
        let readers = (0..READERS).map(|_| reader()).collect::<Result<Vec<_>, _>>()?;
        let (sender, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || write_all(writer, &jobs))
            .map_err(|error| refuse(&error))?;
        let texts = Texts::default();
        Ok(Self { readers, next: AtomicUsize::new(0), texts, writer: Some(sender), thread: Some(thread) })
    }

    fn read(&self, sql: &str, values: &[Val]) -> Result<Vec<Row>, SqlError> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let free = (0..READERS).find_map(|n| self.readers[(start + n) % READERS].try_lock().ok());
        let connection =
            free.unwrap_or_else(|| self.readers[start % READERS].lock().unwrap_or_else(PoisonError::into_inner));
        rows(&connection, &self.texts.of(sql), values).map_err(|error| class(&error))
    }

    async fn write(&self, statements: Vec<(Arc<str>, Vec<Val>)>) -> Result<Vec<Row>, SqlError> {
        let (reply, answer) = oneshot::channel();
        let writer = self.writer.as_ref().ok_or(SqlError::Unavailable)?;
        writer.send(Job { statements, reply }).map_err(|_| SqlError::Unavailable)?;
        answer.await.map_err(|_| SqlError::Unavailable)?
    }
}

impl Sql for Sqlite {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>> {
        if sql.starts_with("SELECT") {
            let answer = self.read(sql, values);
            return Box::pin(std::future::ready(answer));
        }
        Box::pin(self.write(vec![(self.texts.of(sql), values.to_vec())]))
    }

    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>> {
        let owned = statements.iter().map(|(sql, values)| (self.texts.of(sql), values.to_vec())).collect();
        Box::pin(async move { self.write(owned).await.map(drop) })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The last connection to close writes the WAL back into the file, and only one that may write can do that: the
        // readers go first. Closing the queue then ends the thread after what is queued.
        self.readers.clear();
        self.writer.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(BUSY)?;
    // The change to WAL does not wait for another process that makes it at the same moment, so it is tried again here.
    let patience = Instant::now() + BUSY;
    while let Err(error) = connection.execute_batch("PRAGMA journal_mode = WAL") {
        if class(&error) != SqlError::Unavailable || Instant::now() > patience {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // FULL: a committed write survives a power cut. A rotated token that is lost cannot be had again.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn write_all(connection: Connection, jobs: &mpsc::Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let group: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(GROUP - 1)).collect();
        let (statements, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.statements, job.reply)).unzip();
        let results = commit(&connection, &statements);
        // Nobody hears of success before the commit.
        for (result, reply) in results.into_iter().zip(replies) {
            let _ = reply.send(result);
        }
    }
}

/// Commits a group of jobs; each succeeds or fails by itself.
fn commit(connection: &Connection, group: &[Vec<(Arc<str>, Vec<Val>)>]) -> Vec<Result<Vec<Row>, SqlError>> {
    let fail = |error| group.iter().map(|_| Err(error)).collect();
    if let Err(error) = run(connection, "BEGIN IMMEDIATE") {
        return fail(class(&error));
    }
    let mut results = Vec::with_capacity(group.len());
    for job in group {
        let result = one(connection, job);
        // A full disk or a broken file makes SQLite roll the whole transaction back: what the group had done is gone,
        // and nothing of it may be told as done.
        if connection.is_autocommit() {
            return fail(result.err().unwrap_or(SqlError::Unavailable));
        }
        results.push(result);
    }
    match run(connection, "COMMIT") {
        Ok(()) => results,
        Err(error) => {
            let _ = connection.execute_batch("ROLLBACK");
            fail(class(&error))
        }
    }
}

/// One job inside the group's transaction; its failure undoes itself and nothing else.
fn one(connection: &Connection, statements: &[(Arc<str>, Vec<Val>)]) -> Result<Vec<Row>, SqlError> {
    let work = || -> rusqlite::Result<Vec<Row>> {
        run(connection, "SAVEPOINT job")?;
        let mut last = Vec::new();
        for (sql, values) in statements {
            last = rows(connection, sql, values)?;
        }
        run(connection, "RELEASE job")?;
        Ok(last)
    };
    work().map_err(|error| {
        let error = class(&error);
        // Fails where the transaction is gone already; the caller looks at that.
        let _ = connection.execute_batch("ROLLBACK TO job; RELEASE job");
        error
    })
}

/// A statement without values and rows, parsed once.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn rows(connection: &Connection, sql: &str, values: &[Val]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut found = statement.query(rusqlite::params_from_iter(values.iter().map(Param)))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        rows.push((0..columns).map(|n| row.get_ref(n).map(value)).collect::<rusqlite::Result<Row>>()?);
    }
    Ok(rows)
}

/// Statements in SQLite's own form, by the form that the kit has them in: it numbers `$1` by first appearance, and `?1` is the
/// number it says. There are as many as the store has, and a few that are put together.
#[derive(Default)]
struct Texts(Mutex<HashMap<Box<str>, Arc<str>>>);

/// Further ones are translated each time.
const MAX_TEXTS: usize = 512;

impl Texts {
    fn of(&self, sql: &str) -> Arc<str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = known.get(sql) {
            return text.clone();
        }
        let text: Arc<str> = sql.replace('$', "?").into();
        if known.len() < MAX_TEXTS {
            known.insert(sql.into(), text.clone());
        }
        text
    }
}

struct Param<'a>(&'a Val);

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Val::Null => ToSqlOutput::Owned(Value::Null),
            Val::I64(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Val::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

fn value(value: ValueRef<'_>) -> Val {
    match value {
        ValueRef::Integer(number) => Val::I64(number),
        ValueRef::Text(text) => Val::Text(String::from_utf8_lossy(text).into_owned()),
        // The schema has no other types.
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Val::Null,
    }
}

fn class(error: &rusqlite::Error) -> SqlError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => SqlError::Constraint,
        Some(ErrorCode::DiskFull) => SqlError::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => SqlError::Corrupt,
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly,
        ) => SqlError::Unavailable,
        _ => SqlError::Statement,
    }
}
