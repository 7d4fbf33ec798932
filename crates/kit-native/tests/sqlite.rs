//! The `Sql` port on SQLite: what a statement means, what each kind of trouble is called, and that neither neighbours,
//! other processes nor `kill -9` cost a write that was acknowledged.
//!
//! What needs another process starts this very test binary again: the ignored test `child` is its `main`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kit::ports::{Sql, SqlError, Statement, Val};
use kit::store::Store;
use kit::store::migrate::{MIGRATIONS, MigrateError};
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;
use rusqlite::Connection;

fn open(folder: &TempFolder) -> Sqlite {
    Sqlite::open(&folder.path().join("test.db")).unwrap()
}

async fn run(sql: &dyn Sql, statement: &str) {
    sql.query(statement, &[]).await.unwrap();
}

async fn numbers(sql: &dyn Sql, statement: &str) -> Vec<i64> {
    let rows = sql.query(statement, &[]).await.unwrap();
    let number = |row: &Vec<Val>| match row[..] {
        [Val::I64(number)] => number,
        _ => panic!("not one number: {row:?}"),
    };
    rows.iter().map(number).collect()
}

/// A database with an empty table `t (id, x)`.
async fn with_table() -> (TempFolder, Sqlite) {
    let folder = TempFolder::new();
    let sql = open(&folder);
    run(&sql, "CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT NOT NULL)").await;
    (folder, sql)
}

const INSERT: &str = "INSERT INTO t (id, x) VALUES ($1, $2)";

async fn insert(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    sql.query(INSERT, &[id.into(), "x".into()]).await.map(drop)
}

// Statements.

#[tokio::test]
async fn a_placeholder_takes_the_value_of_its_number_not_of_its_appearance() {
    let (_folder, sql) = with_table().await;
    let rows = sql.query("SELECT $2, $1, $2", &["one".into(), 2.into()]).await.unwrap();
    assert_eq!(rows, [[Val::I64(2), "one".into(), Val::I64(2)]]);
    let eleven: Vec<Val> = (1..=11_i64).map(Val::from).collect();
    assert_eq!(sql.query("SELECT $11, $1, $10", &eleven).await.unwrap(), [[11.into(), 1.into(), Val::I64(10)]]);
    run(&sql, "INSERT INTO t (id, x) VALUES (1, 'old')").await;
    sql.query("UPDATE t SET x = $2 WHERE id = $1", &[1.into(), "new".into()]).await.unwrap();
    assert_eq!(sql.query("SELECT x FROM t", &[]).await.unwrap(), [[Val::from("new")]]);
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let folder = TempFolder::new();
    let sql = open(&folder);
    run(&sql, "CREATE TABLE v (id BIGINT PRIMARY KEY, n BIGINT, t TEXT)").await;
    let (long, numbers) = ("x".repeat(1 << 20), [i64::MIN, -1, 0, i64::MAX]);
    let texts = ["", "'; DROP TABLE v; --", "$1 ?1", "ä 漢 🦀", "a\0b", &long];
    for (id, text) in texts.iter().enumerate() {
        let row = [Val::from(id as i64), numbers[id % 4].into(), (*text).into()];
        sql.query("INSERT INTO v (id, n, t) VALUES ($1, $2, $3)", &row).await.unwrap();
        assert_eq!(sql.query("SELECT id, n, t FROM v WHERE id = $1", &row[..1]).await.unwrap(), [row]);
    }
    let nothing = [99.into(), Val::Null, Val::Null];
    sql.query("INSERT INTO v (id, n, t) VALUES ($1, $2, $3)", &nothing).await.unwrap();
    assert_eq!(sql.query("SELECT id, n, t FROM v WHERE id = 99", &[]).await.unwrap(), [nothing]);
}

#[tokio::test]
async fn a_write_that_returns_rows_gives_them() {
    let (_folder, sql) = with_table().await;
    let inserted = sql.query("INSERT INTO t (id, x) VALUES (7, 'x') RETURNING id, x", &[]).await.unwrap();
    assert_eq!(inserted, [[7.into(), Val::from("x")]]);
    assert_eq!(sql.query("DELETE FROM t WHERE id = 8 RETURNING id", &[]).await.unwrap(), [[Val::Null; 0]; 0]);
}

#[tokio::test]
async fn what_was_written_is_read_at_once() {
    let (_folder, sql) = with_table().await;
    for id in 0..200 {
        insert(&sql, id).await.unwrap();
        assert_eq!(numbers(&sql, "SELECT MAX(id) FROM t").await, [id]);
    }
}

#[tokio::test]
async fn the_statements_of_a_batch_run_in_order() {
    let (_folder, sql) = with_table().await;
    let batch: [Statement<'_>; 3] = [
        ("INSERT INTO t (id, x) VALUES (1, 'a')", &[]),
        ("UPDATE t SET x = x || 'b'", &[]),
        ("UPDATE t SET x = x || $1", &[Val::Null]),
    ];
    sql.batch(&batch[..2]).await.unwrap();
    assert_eq!(sql.query("SELECT x FROM t", &[]).await.unwrap(), [[Val::from("ab")]]);
    assert_eq!(sql.batch(&batch[2..]).await, Err(SqlError::Constraint));
}

#[tokio::test]
async fn a_batch_that_fails_at_its_end_leaves_nothing() {
    let (_folder, sql) = with_table().await;
    insert(&sql, 1).await.unwrap();
    let failing: [(&str, SqlError); 3] = [
        ("INSERT INTO t (id, x) VALUES (2, 'again')", SqlError::Constraint),
        ("INSERT INTO t (id, x) VALUES (3, NULL)", SqlError::Constraint),
        ("INSERT INTO missing VALUES (1)", SqlError::Statement),
    ];
    for (last, expected) in failing {
        let batch: [Statement<'_>; 4] = [
            ("INSERT INTO t (id, x) VALUES (2, 'x')", &[]),
            ("CREATE TABLE made (x TEXT)", &[]),
            ("DELETE FROM t WHERE id = 1", &[]),
            (last, &[]),
        ];
        assert_eq!(sql.batch(&batch).await, Err(expected));
        assert_eq!(numbers(&sql, "SELECT id FROM t").await, [1]);
        assert_eq!(sql.query("SELECT x FROM made", &[]).await, Err(SqlError::Statement), "{last}");
    }
}

#[tokio::test]
async fn reading_connections_do_not_write() {
    let (_folder, sql) = with_table().await;
    // It begins like a read, so it goes to a connection that can do nothing else.
    let sneaky = "SELECT 1; DELETE FROM t";
    insert(&sql, 1).await.unwrap();
    let _ = sql.query(sneaky, &[]).await;
    assert_eq!(numbers(&sql, "SELECT id FROM t").await, [1]);
}

// Trouble and its names.

#[tokio::test]
async fn a_violated_constraint_is_called_one() {
    let (_folder, sql) = with_table().await;
    insert(&sql, 1).await.unwrap();
    assert_eq!(insert(&sql, 1).await, Err(SqlError::Constraint));
}

#[tokio::test]
async fn a_statement_that_does_not_fit_is_called_wrong() {
    let (_folder, sql) = with_table().await;
    for statement in ["SELECT nothing FROM t", "SELECT x FROM nowhere", "UPDATE t SET", "NOT SQL", "SELECT $1"] {
        assert_eq!(sql.query(statement, &[]).await, Err(SqlError::Statement), "{statement}");
    }
}

#[tokio::test]
async fn a_full_store_refuses_writes_by_that_name_and_goes_on_reading() {
    let (_folder, sql) = with_table().await;
    insert(&sql, 0).await.unwrap();
    run(&sql, "PRAGMA max_page_count = 16").await;
    let big = Val::Text("x".repeat(4_096));
    let mut stored = 1;
    let refused = loop {
        match sql.query(INSERT, &[stored.into(), big.clone()]).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "it never filled up");
    };
    assert_eq!(refused, SqlError::Full);
    assert_eq!(sql.batch(&[(INSERT, &[1_000.into(), big.clone()])]).await, Err(SqlError::Full));
    assert_eq!(numbers(&sql, "SELECT COUNT(*) FROM t").await, [stored], "no half of a record");
    run(&sql, "PRAGMA max_page_count = 1000").await;
    sql.query(INSERT, &[1_001.into(), big]).await.unwrap();
    assert_eq!(numbers(&sql, "SELECT COUNT(*) FROM t").await, [stored + 1], "space came back, and so do writes");
}

/// SQLite answers a full disk by rolling back the whole transaction, and with it the neighbours in the group.
#[tokio::test]
async fn a_write_refused_for_lack_of_space_leaves_the_store_as_every_caller_was_told() {
    let (_folder, sql) = with_table().await;
    let sql = Arc::new(sql);
    run(&*sql, "PRAGMA max_page_count = 24").await;
    for round in 0..20_i64 {
        let writes = (0..30_i64).map(|n| {
            let (sql, id) = (sql.clone(), round * 100 + n);
            let text = if n % 3 == 0 { "x".repeat(20_000) } else { "small".to_owned() };
            tokio::spawn(async move { (id, sql.query(INSERT, &[id.into(), text.into()]).await.is_ok()) })
        });
        for write in writes.collect::<Vec<_>>() {
            let (id, acknowledged) = write.await.unwrap();
            let found = sql.query("SELECT id FROM t WHERE id = $1", &[id.into()]).await.unwrap();
            assert_eq!(found.len(), usize::from(acknowledged), "row {id} of round {round}, told {acknowledged}");
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_called_damaged() {
    let (folder, sql) = with_table().await;
    for id in 0..500 {
        sql.query(INSERT, &[id.into(), Val::Text("x".repeat(200))]).await.unwrap();
    }
    drop(sql);
    let path = folder.path().join("test.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4_096;
    assert!(pages > 10, "{pages} pages");
    bytes[4_096..].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let sql = open(&folder);
    assert_eq!(sql.query("SELECT COUNT(x) FROM t", &[]).await, Err(SqlError::Corrupt));
    assert_eq!(sql.query(INSERT, &[9_999.into(), "x".into()]).await, Err(SqlError::Corrupt));
}

#[test]
fn a_file_that_is_no_database_does_not_open() {
    let folder = TempFolder::new();
    let path = folder.path().join("test.db");
    std::fs::write(&path, "# not a database, whatever its name says\n".repeat(200)).unwrap();
    let error = Sqlite::open(&path).err().unwrap().to_string();
    assert_eq!(error, format!("failed to open `{}`: file is not a database", path.display()));
}

#[test]
fn a_folder_in_place_of_the_file_does_not_open() {
    let folder = TempFolder::new();
    let error = Sqlite::open(folder.path()).err().unwrap().to_string();
    assert!(error.starts_with(&format!("failed to open `{}`: Is a directory", folder.path().display())), "{error}");
}

#[cfg(unix)]
#[test]
fn the_files_of_a_store_are_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempFolder::new();
    let path = folder.path().join("made/on/the/way/test.db");
    let sql = Sqlite::open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(run(&sql, "CREATE TABLE t (id BIGINT PRIMARY KEY)"));
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

/// What is copied as "one file" must hold everything: a store that was closed leaves no write-ahead log behind.
#[tokio::test]
async fn a_closed_store_is_one_file_with_everything_in_it() {
    let (folder, sql) = with_table().await;
    for id in 0..10 {
        insert(&sql, id).await.unwrap();
    }
    assert_eq!(numbers(&sql, "SELECT COUNT(*) FROM t").await, [10]);
    drop(sql);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["test.db"]);
    let copy = folder.path().join("copy.db");
    std::fs::copy(folder.path().join("test.db"), &copy).unwrap();
    let count: i64 = Connection::open(copy).unwrap().query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 10);
}

// Company.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_writers_at_once_never_meet_a_busy_store() {
    let (_folder, sql) = with_table().await;
    let sql = Arc::new(sql);
    let writer = |n: i64| {
        let sql = sql.clone();
        tokio::spawn(async move {
            for id in n * 1_000..n * 1_000 + 40 {
                insert(&*sql, id).await.unwrap();
                assert_eq!(sql.query("SELECT id FROM t WHERE id = $1", &[id.into()]).await.unwrap().len(), 1);
            }
        })
    };
    for writer in (0..50).map(writer).collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(numbers(&*sql, "SELECT COUNT(*) FROM t").await, [2_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_that_fails_takes_no_neighbour_with_it() {
    let (_folder, sql) = with_table().await;
    let sql = Arc::new(sql);
    insert(&*sql, 0).await.unwrap();
    let writer = |n: i64| {
        let sql = sql.clone();
        // Every other write repeats the row 0.
        tokio::spawn(async move { (n, insert(&*sql, if n % 2 == 0 { 0 } else { n }).await) })
    };
    for writer in (1..=200).map(writer).collect::<Vec<_>>() {
        let (n, result) = writer.await.unwrap();
        assert_eq!(result, if n % 2 == 0 { Err(SqlError::Constraint) } else { Ok(()) }, "{n}");
    }
    assert_eq!(numbers(&*sql, "SELECT COUNT(*) FROM t").await, [101]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_process_writes_beside_a_server() {
    let (folder, sql) = with_table().await;
    let mut operator = Children::start(folder.path(), "write", 1_000_000);
    // Both write until each has done enough: how fast the machine is decides nothing.
    let counting = std::thread::spawn(move || {
        let done = operator.acknowledged().take(20).count();
        (operator, done)
    });
    let mut mine = 0;
    while mine < 100 || !counting.is_finished() {
        insert(&sql, mine).await.unwrap();
        mine += 1;
    }
    let (operator, done) = counting.join().unwrap();
    assert_eq!(done, 20, "the operator ended early");
    let theirs = operator.kill();
    assert_eq!(numbers(&sql, "SELECT COUNT(*) FROM t WHERE id < 1000000").await, [mine]);
    let seen = numbers(&sql, "SELECT id FROM t WHERE id >= 1000000 ORDER BY id").await;
    assert!(theirs.iter().all(|id| seen.contains(id)), "the server reads what the operator wrote");
}

/// Operator commands are such processes: each opens the store, does one thing and closes it.
#[tokio::test]
async fn processes_that_come_and_go_do_not_meet_a_locked_store() {
    let (folder, sql) = with_table().await;
    drop(sql);
    let mut coming_and_going = [1_000_000, 2_000_000].map(|first| Children::start(folder.path(), "reopen", first));
    for child in &mut coming_and_going {
        assert!(child.acknowledged().next().is_some(), "it did not start");
    }
    for id in 0..50 {
        insert(&open(&folder), id).await.unwrap();
    }
    for child in coming_and_going {
        let done = child.finish();
        assert_eq!(done.len(), 50, "it ended early");
    }
    assert_eq!(numbers(&open(&folder), "SELECT COUNT(*) FROM t").await, [150]);
}

// Migrations.

fn store(folder: &TempFolder) -> Store {
    Store::new(Arc::new(open(folder)))
}

fn schema(folder: &TempFolder) -> Vec<(String, Option<String>)> {
    let database = Connection::open(folder.path().join("test.db")).unwrap();
    let mut rows = database.prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn migrating_twice_does_nothing_the_second_time() {
    let folder = TempFolder::new();
    let store = store(&folder);
    let all: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.name).collect();
    assert_eq!(store.migrate(1).await.unwrap(), all);
    let first = schema(&folder);
    assert_eq!(store.migrate(2).await.unwrap(), [""; 0]);
    assert_eq!(schema(&folder), first);
    store.check_migrations().await.unwrap();
}

#[tokio::test]
async fn a_store_that_lacks_migrations_is_refused_where_none_may_be_applied() {
    let folder = TempFolder::new();
    let store = store(&folder);
    let lacking = MigrateError::Pending { count: MIGRATIONS.len() };
    assert_eq!(store.check_migrations().await, Err(lacking));
    assert_eq!(schema(&folder), [], "asking changed nothing");
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let folder = TempFolder::new();
    store(&folder).migrate(1).await.unwrap();
    let database = Connection::open(folder.path().join("test.db")).unwrap();
    database.execute("INSERT INTO migrations VALUES (9999, 'later', 'abc', 1)", []).unwrap();
    let store = store(&folder);
    assert_eq!(store.migrate(2).await, Err(MigrateError::Newer { number: 9_999 }));
    let error = store.check_migrations().await.unwrap_err();
    assert_eq!(error.to_string(), "the store is newer than this binary: it has migration 9999");
}

#[tokio::test]
async fn a_migration_changed_after_it_was_applied_is_refused() {
    let folder = TempFolder::new();
    store(&folder).migrate(1).await.unwrap();
    let database = Connection::open(folder.path().join("test.db")).unwrap();
    database.execute("UPDATE migrations SET checksum = 'of an edited file' WHERE number = 1", []).unwrap();
    let store = store(&folder);
    assert_eq!(store.check_migrations().await, Err(MigrateError::Changed { number: 1 }));
    let error = store.migrate(2).await.unwrap_err();
    assert_eq!(error.to_string(), "migration 0001 differs from the one this store was made with");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_no_part_of_itself() {
    let folder = TempFolder::new();
    let database = Connection::open(folder.path().join("test.db")).unwrap();
    // The last table of the first migration is there already.
    database.execute_batch("CREATE TABLE server_keys (x TEXT)").unwrap();
    let store = store(&folder);
    assert_eq!(store.migrate(1).await, Err(MigrateError::Sql(SqlError::Statement)));
    let names: Vec<String> = schema(&folder).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["migrations", "server_keys"]);
}

/// A fresh file is where two processes meet hardest: both make it, both turn it to WAL, both migrate.
#[tokio::test]
async fn two_processes_that_start_at_once_agree() {
    for round in 0..40 {
        let folder = TempFolder::new();
        let mut both = [0, 1].map(|_| Children::start(folder.path(), "migrate", 0));
        for child in &mut both {
            assert_eq!(child.acknowledged().next(), Some(0), "round {round}");
        }
        let store = store(&folder);
        store.check_migrations().await.unwrap();
        both.into_iter().for_each(|child| drop(child.kill()));
    }
}

#[tokio::test]
async fn a_second_process_waits_for_the_first_to_migrate() {
    let folder = TempFolder::new();
    let database = Connection::open(folder.path().join("test.db")).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE").unwrap();
    let held = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        database.execute_batch("COMMIT").unwrap();
    });
    assert_eq!(store(&folder).migrate(1).await.unwrap().len(), MIGRATIONS.len());
    held.join().unwrap();
}

// Sudden death.

/// Every row that was acknowledged is there, and the file is whole.
async fn nothing_is_lost(folder: &TempFolder, acknowledged: &[i64], round: u32) {
    let sql = open(folder);
    let rows = numbers(&sql, "SELECT id FROM t ORDER BY id").await;
    let lost: Vec<&i64> = acknowledged.iter().filter(|id| rows.binary_search(id).is_err()).collect();
    assert_eq!(lost, [&0; 0], "round {round}");
    assert_eq!(sql.query("PRAGMA integrity_check", &[]).await.unwrap(), [[Val::from("ok")]], "round {round}");
}

/// Microseconds of the clock: enough to spread twenty kills.
fn some_time_up_to(limit: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    limit * (now.subsec_nanos() / 7 % 1_000) / 1_000
}

#[tokio::test]
async fn a_writer_killed_at_any_moment_loses_nothing_it_acknowledged() {
    let (folder, sql) = with_table().await;
    drop(sql);
    let mut acknowledged = Vec::new();
    for round in 0..20 {
        let mut writer = Children::start(folder.path(), "write", i64::from(round) * 1_000_000);
        // The kill falls somewhere in the writes that follow, after one more in each round: how fast the machine is
        // decides where, not whether there is anything to lose.
        let wanted = 1 + 2 * usize::try_from(round).unwrap();
        assert_eq!(writer.acknowledged().take(wanted).count(), wanted, "the writer of round {round} ended early");
        acknowledged.extend(writer.kill());
        nothing_is_lost(&folder, &acknowledged, round).await;
    }
    assert!(acknowledged.len() > 200, "only {} rows: the test shows little", acknowledged.len());
}

#[tokio::test]
async fn a_process_killed_while_it_makes_the_store_leaves_one_that_opens() {
    for round in 0..20_u32 {
        let folder = TempFolder::new();
        let child = Children::start(folder.path(), "migrate", 0);
        std::thread::sleep(some_time_up_to(Duration::from_millis(40)));
        child.kill();
        let store = store(&folder);
        store.migrate(1).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        store.check_migrations().await.unwrap();
    }
}

/// This test binary as another process, which prints `ack <number>` for each thing it has done.
struct Children {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    acknowledged: Vec<i64>,
}

impl Children {
    fn start(folder: &Path, role: &str, first: i64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture", "--quiet", "--test-threads", "1"])
            .env("SQLITE_TEST_FOLDER", folder)
            .env("SQLITE_TEST_ROLE", role)
            .env("SQLITE_TEST_FIRST", first.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, acknowledged: Vec::new() }
    }

    /// What it does, as it does it.
    fn acknowledged(&mut self) -> impl Iterator<Item = i64> + '_ {
        let lines = (&mut self.output).lines().map_while(Result::ok);
        let numbers = lines.filter_map(|line| line.split_once("ack ").and_then(|(_, number)| number.parse().ok()));
        numbers.inspect(|number| self.acknowledged.push(*number))
    }

    /// Waits for its own end and returns everything it acknowledged in its life.
    fn finish(mut self) -> Vec<i64> {
        self.acknowledged().for_each(drop);
        std::mem::take(&mut self.acknowledged)
    }

    /// Kills it with SIGKILL and returns everything it acknowledged in its life.
    fn kill(mut self) -> Vec<i64> {
        self.child.kill().unwrap();
        self.acknowledged().for_each(drop);
        self.child.wait().unwrap();
        std::mem::take(&mut self.acknowledged)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn acknowledge(number: i64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nack {number}").unwrap();
    out.flush().unwrap();
}

#[test]
#[ignore = "not a test: the other process of the tests here"]
fn child() {
    let folder = std::env::var("SQLITE_TEST_FOLDER").unwrap();
    let first: i64 = std::env::var("SQLITE_TEST_FIRST").unwrap().parse().unwrap();
    let path = Path::new(&folder).join("test.db");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let role = std::env::var("SQLITE_TEST_ROLE").unwrap();
    runtime.block_on(async {
        if role == "reopen" {
            for id in first..first + 50 {
                insert(&Sqlite::open(&path).unwrap(), id).await.unwrap();
                acknowledge(id);
            }
            return;
        }
        let sql = Arc::new(Sqlite::open(&path).unwrap());
        if role == "migrate" {
            Store::new(sql).migrate(1).await.unwrap();
            acknowledge(0);
            std::future::pending::<()>().await;
            return;
        }
        // Four at once, so that groups have more than one job in them.
        let writers: Vec<_> = (0..4)
            .map(|lane| {
                let sql = sql.clone();
                tokio::spawn(async move {
                    for id in (first + lane..).step_by(4) {
                        insert(&*sql, id).await.unwrap();
                        acknowledge(id);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}
