//! The `Sql` port on a real PostgreSQL: what a statement means, what each kind of trouble is called, that a caller waits
//! a bounded time whatever the server does, and what a stranger reads who sets it up wrong.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::postgres::{ENCODED, PASSWORD, Server, shared, target};
use common::{Spy, app, certificates, settings};
use kit::ports::{Engine, Sql, SqlError, Statement, Val};
use kit::store::Store;
use kit::store::migrate::{MIGRATIONS, MigrateError};
use kit_native::failure::Hinted;
use kit_native::host;
use kit_native::kek_file::write_private;
use kit_native::postgres::{Bounds, Postgres, Target};
use kit_native::settings::{Database, Settings};
use kit_native::testing::TempFolder;
use tokio_postgres::Client;

/// Bounds that no test meets by accident, however slow the machine is.
const PATIENT: Bounds = Bounds {
    connections: 8,
    waiting: 64,
    acquire: Duration::from_secs(3_600),
    connect: Duration::from_secs(3_600),
    statement: Duration::from_secs(1_200),
    migration: Duration::from_secs(1_200),
};

async fn open_with(target: &Target, bounds: Bounds) -> Postgres {
    Postgres::open_with(target, bounds).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn open(target: &Target) -> Postgres {
    open_with(target, PATIENT).await
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

/// A database with an empty table `t (id, x)`, and a connection around what is tested.
async fn with_table(bounds: Bounds) -> (Postgres, Client) {
    let name = shared().database().await;
    let sql = open_with(&target(&shared().url(&name)), bounds).await;
    run(&sql, "CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT NOT NULL)").await;
    (sql, shared().admin(&name).await)
}

const INSERT: &str = "INSERT INTO t (id, x) VALUES ($1, $2)";

async fn insert(sql: &dyn Sql, id: i64) -> Result<(), SqlError> {
    sql.query(INSERT, &[id.into(), "x".into()]).await.map(drop)
}

// Statements.

#[tokio::test]
async fn a_placeholder_takes_the_value_of_its_number_not_of_its_appearance() {
    let (sql, _) = with_table(PATIENT).await;
    let rows = sql.query("SELECT $2, $1, $2", &["one".into(), "two".into()]).await.unwrap();
    assert_eq!(rows, [["two", "one", "two"].map(Val::from)]);
    let eleven: Vec<Val> = (1..=11).map(|n| Val::from(n.to_string())).collect();
    let texts = "SELECT $11 || '', $1 || '', $10 || $2 || $3 || $4 || $5 || $6 || $7 || $8 || $9";
    assert_eq!(sql.query(texts, &eleven).await.unwrap(), [["11", "1", "1023456789"].map(Val::from)]);
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let (sql, _) = with_table(PATIENT).await;
    run(&sql, "CREATE TABLE v (id BIGINT PRIMARY KEY, n BIGINT, t TEXT)").await;
    let (long, numbers) = ("x".repeat(1 << 20), [i64::MIN, -1, 0, i64::MAX]);
    let texts = ["", "'; DROP TABLE v; --", "$1 ?1", "ä 漢 🦀", "\\x00 \\ \u{1}", &long];
    for (id, text) in texts.iter().enumerate() {
        let row = [Val::from(id as i64), numbers[id % 4].into(), (*text).into()];
        sql.query("INSERT INTO v (id, n, t) VALUES ($1, $2, $3)", &row).await.unwrap();
        assert_eq!(sql.query("SELECT id, n, t FROM v WHERE id = $1", &row[..1]).await.unwrap(), [row]);
    }
    let nothing = [99.into(), Val::Null, Val::Null];
    sql.query("INSERT INTO v (id, n, t) VALUES ($1, $2, $3)", &nothing).await.unwrap();
    assert_eq!(sql.query("SELECT id, n, t FROM v WHERE id = 99", &[]).await.unwrap(), [nothing]);
}

/// PostgreSQL has no such text. SQLite has.
#[tokio::test]
async fn a_text_with_a_zero_in_it_is_refused() {
    let (sql, _) = with_table(PATIENT).await;
    assert_eq!(sql.query(INSERT, &[1.into(), "a\0b".into()]).await, Err(SqlError::Statement));
    insert(&sql, 1).await.unwrap();
}

#[tokio::test]
async fn the_server_decides_the_type_of_a_value() {
    let (sql, _) = with_table(PATIENT).await;
    insert(&sql, 7).await.unwrap();
    // Beside a literal a placeholder is a 32-bit number.
    assert_eq!(numbers(&sql, "SELECT id FROM t WHERE id = 3 + 4").await, [7]);
    let sum = "SELECT id FROM t WHERE id = $1 + 4";
    assert_eq!(sql.query(sum, &[3.into()]).await.unwrap(), [[Val::I64(7)]]);
    assert_eq!(sql.query(sum, &[i64::MAX.into()]).await, Err(SqlError::Statement));
    assert_eq!(sql.query(sum, &[Val::Null]).await.unwrap(), [[Val::Null; 0]; 0]);
    let nulls = "SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST($3 AS VARCHAR), CAST($4 AS INTEGER)";
    assert_eq!(sql.query(nulls, &[const { Val::Null }; 4]).await.unwrap(), [[const { Val::Null }; 4]]);
    assert_eq!(
        sql.query("SELECT EXISTS (SELECT 1 FROM t), 1 = 2, 5, NULL", &[]).await.unwrap(),
        [[Val::I64(1), Val::I64(0), Val::I64(5), Val::Null]]
    );
}

#[tokio::test]
async fn a_value_of_the_other_type_is_a_wrong_statement() {
    let (sql, _) = with_table(PATIENT).await;
    let wrong: [&[Val]; 5] =
        [&["1".into(), "x".into()], &[1.into(), 2.into()], &[1.into()], &[1.into(), "x".into(), 3.into()], &[]];
    for values in wrong {
        assert_eq!(sql.query(INSERT, values).await, Err(SqlError::Statement), "{values:?}");
    }
    assert_eq!(sql.query("SELECT SUM(id) FROM t", &[]).await, Err(SqlError::Statement), "a sum is a NUMERIC here");
    assert_eq!(numbers(&sql, "SELECT CAST(COALESCE(SUM(id), 0) AS BIGINT) FROM t").await, [0]);
}

#[tokio::test]
async fn a_write_that_returns_rows_gives_them() {
    let (sql, _) = with_table(PATIENT).await;
    let inserted = sql.query("INSERT INTO t (id, x) VALUES (7, 'x') RETURNING id, x", &[]).await.unwrap();
    assert_eq!(inserted, [[7.into(), Val::from("x")]]);
    assert_eq!(sql.query("DELETE FROM t WHERE id = 8 RETURNING id", &[]).await.unwrap(), [[Val::Null; 0]; 0]);
}

#[tokio::test]
async fn the_statements_of_a_batch_run_in_order() {
    let (sql, _) = with_table(PATIENT).await;
    let batch: [Statement<'_>; 3] = [
        ("INSERT INTO t (id, x) VALUES (1, 'a')", &[]),
        ("UPDATE t SET x = x || 'b'", &[]),
        ("UPDATE t SET x = x || $1", &[Val::Null]),
    ];
    sql.batch(&batch[..2]).await.unwrap();
    assert_eq!(sql.query("SELECT x FROM t", &[]).await.unwrap(), [[Val::from("ab")]]);
    assert_eq!(sql.batch(&batch[2..]).await, Err(SqlError::Constraint));
    sql.batch(&[]).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_fails_at_its_end_leaves_nothing() {
    // One connection, so that whatever a failure left open would show in the next statement.
    let (sql, _) = with_table(Bounds { connections: 1, ..PATIENT }).await;
    insert(&sql, 1).await.unwrap();
    let failing: [(&str, &[Val], SqlError); 4] = [
        ("INSERT INTO t (id, x) VALUES (2, 'again')", &[], SqlError::Constraint),
        ("INSERT INTO t (id, x) VALUES ($1, $2)", &[3.into(), Val::Null], SqlError::Constraint),
        ("INSERT INTO missing VALUES (1)", &[], SqlError::Statement),
        ("INSERT INTO t (id, x) VALUES ($1, $2)", &["no number".into(), "x".into()], SqlError::Statement),
    ];
    for (last, values, expected) in failing {
        let batch: [Statement<'_>; 4] = [
            ("INSERT INTO t (id, x) VALUES (2, 'x')", &[]),
            ("CREATE TABLE made (x TEXT)", &[]),
            ("DELETE FROM t WHERE id = 1", &[]),
            (last, values),
        ];
        assert_eq!(sql.batch(&batch).await, Err(expected));
        assert_eq!(numbers(&sql, "SELECT id FROM t").await, [1]);
        assert_eq!(sql.query("SELECT x FROM made", &[]).await, Err(SqlError::Statement), "{last}");
    }
}

#[tokio::test]
async fn a_constraint_that_is_checked_at_the_end_fails_the_batch() {
    let (sql, _) = with_table(Bounds { connections: 1, ..PATIENT }).await;
    run(&sql, "CREATE TABLE c (id BIGINT REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)").await;
    assert_eq!(sql.batch(&[("INSERT INTO c VALUES ($1)", &[1.into()])]).await, Err(SqlError::Constraint));
    assert_eq!(numbers(&sql, "SELECT COUNT(*) FROM c").await, [0]);
}

#[tokio::test]
async fn a_statement_is_parsed_once_for_a_connection() {
    let (sql, _) = with_table(Bounds { connections: 1, ..PATIENT }).await;
    let count = "SELECT COUNT(*) FROM pg_prepared_statements";
    let before = numbers(&sql, count).await[0];
    for id in 0..10 {
        insert(&sql, id).await.unwrap();
    }
    assert_eq!(numbers(&sql, count).await, [before + 1]);
    for n in 0..300 {
        run(&sql, &format!("SELECT {n}")).await;
    }
    assert!(numbers(&sql, count).await[0] < 300, "what is made up as it goes is not kept for ever");
}

/// An index over a large table takes longer than any statement of a call may.
#[tokio::test]
async fn a_migration_has_more_time_than_a_call() {
    let bounds = Bounds { statement: Duration::from_secs(1_234), migration: Duration::from_secs(4_321), ..PATIENT };
    let (sql, _) = with_table(bounds).await;
    let now = "INSERT INTO t SELECT COUNT(*), current_setting('statement_timeout') FROM t";
    run(&sql, now).await;
    sql.batch(&[(now, &[])]).await.unwrap();
    sql.batch(&[("INSERT INTO t SELECT $1, current_setting('statement_timeout')", &[2.into()])]).await.unwrap();
    let rows = sql.query("SELECT x FROM t ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows, [["1234s"], ["4321s"], ["1234s"]].map(|row| row.map(Val::from)));
}

#[tokio::test]
async fn it_says_which_engine_it_is() {
    let (sql, _) = with_table(PATIENT).await;
    assert_eq!(sql.engine(), Engine::Postgres);
}

// Trouble and its names.

#[tokio::test]
async fn a_statement_that_does_not_fit_is_called_wrong() {
    let (sql, _) = with_table(PATIENT).await;
    for statement in ["SELECT nothing FROM t", "SELECT x FROM nowhere", "UPDATE t SET", "NOT SQL", "SELECT 1; SELECT 2"]
    {
        assert_eq!(sql.query(statement, &[]).await, Err(SqlError::Statement), "{statement}");
    }
}

#[tokio::test]
async fn each_kind_of_trouble_has_its_name() {
    let (sql, _) = with_table(Bounds { connections: 1, ..PATIENT }).await;
    insert(&sql, 1).await.unwrap();
    assert_eq!(insert(&sql, 1).await, Err(SqlError::Constraint));
    let raised = [
        ("53100", SqlError::Full),
        ("53200", SqlError::Unavailable),
        ("57P01", SqlError::Unavailable),
        ("40P01", SqlError::Unavailable),
        ("42501", SqlError::Denied),
        ("XX001", SqlError::Corrupt),
        ("XX000", SqlError::Statement),
    ];
    for (code, expected) in raised {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION 'a value' USING ERRCODE = '{code}'; END $$");
        assert_eq!(sql.query(&raise, &[]).await, Err(expected), "{code}");
        assert_eq!(sql.batch(&[(INSERT, &[2.into(), "x".into()]), (&raise, &[])]).await, Err(expected), "{code}");
        assert_eq!(numbers(&sql, "SELECT id FROM t").await, [1], "{code}");
    }
}

#[tokio::test]
async fn a_server_that_only_reads_is_not_available_for_writes() {
    let (sql, _) = with_table(Bounds { connections: 1, ..PATIENT }).await;
    run(&sql, "SET default_transaction_read_only = on").await;
    assert_eq!(insert(&sql, 1).await, Err(SqlError::Unavailable));
}

// Company.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_writers_share_the_connections() {
    let (sql, admin) = with_table(PATIENT).await;
    let sql = Arc::new(sql);
    let writer = |n: i64| {
        let sql = sql.clone();
        tokio::spawn(async move {
            for id in n * 1_000..n * 1_000 + 20 {
                insert(&*sql, id).await.unwrap();
                assert_eq!(sql.query("SELECT id FROM t WHERE id = $1", &[id.into()]).await.unwrap().len(), 1);
            }
        })
    };
    for writer in (0..50).map(writer).collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(numbers(&*sql, "SELECT COUNT(*) FROM t").await, [1_000]);
    assert!(backends(&admin).await <= PATIENT.connections as i64);
}

/// Connections to the database, but for the one that asks.
async fn backends(admin: &Client) -> i64 {
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits while `admin` has this lock.
const LOCKED: &str = "SELECT COUNT(*) FROM pg_advisory_xact_lock(7)";

/// Completes when `count` callers wait for the lock.
async fn until_waiting(admin: &Client, count: i64) {
    let sql = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn lock(admin: &Client) {
    admin.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
}

async fn unlock(admin: &Client) {
    admin.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
}

#[tokio::test]
async fn only_so_many_wait_for_a_connection() {
    let (sql, admin) = with_table(Bounds { connections: 2, waiting: 1, ..PATIENT }).await;
    let sql = Arc::new(sql);
    let locked = || {
        let sql = sql.clone();
        tokio::spawn(async move { sql.query(LOCKED, &[]).await.map(drop) })
    };
    lock(&admin).await;
    let busy = [locked(), locked()];
    until_waiting(&admin, 2).await;
    let waiting = locked();
    // This runtime has one thread: after it was yielded to, the task stands in line.
    tokio::task::yield_now().await;
    assert_eq!(insert(&*sql, 1).await, Err(SqlError::Unavailable), "there is no end to a line without a bound");
    unlock(&admin).await;
    for caller in busy.into_iter().chain([waiting]) {
        caller.await.unwrap().unwrap();
    }
    insert(&*sql, 1).await.unwrap();
}

#[tokio::test]
async fn nobody_waits_for_a_connection_for_ever() {
    let (sql, admin) = with_table(Bounds { connections: 1, acquire: Duration::from_millis(1), ..PATIENT }).await;
    let sql = Arc::new(sql);
    lock(&admin).await;
    let busy = sql.clone();
    let busy = tokio::spawn(async move { busy.query(LOCKED, &[]).await.map(drop) });
    until_waiting(&admin, 1).await;
    assert_eq!(insert(&*sql, 1).await, Err(SqlError::Unavailable));
    unlock(&admin).await;
    busy.await.unwrap().unwrap();
    insert(&*sql, 1).await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let bounds = Bounds { connections: 1, statement: Duration::from_millis(200), ..PATIENT };
    let (sql, admin) = with_table(bounds).await;
    lock(&admin).await;
    assert_eq!(sql.query(LOCKED, &[]).await, Err(SqlError::Unavailable));
    until_waiting(&admin, 0).await;
    insert(&sql, 1).await.unwrap();
}

/// A call that is cancelled drops its future wherever that is.
#[tokio::test]
async fn a_caller_who_is_dropped_leaves_no_answer_to_the_next() {
    let (sql, admin) = with_table(Bounds { connections: 1, ..PATIENT }).await;
    let sql = Arc::new(sql);
    lock(&admin).await;
    for _ in 0..3 {
        let dropped = sql.clone();
        let caller = tokio::spawn(async move { dropped.query(LOCKED, &[]).await.map(drop) });
        until_waiting(&admin, 1).await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(sql.query("SELECT 'mine'", &[]).await.unwrap(), [[Val::from("mine")]]);
        unlock(&admin).await;
        until_waiting(&admin, 0).await;
        lock(&admin).await;
    }
}

#[tokio::test]
async fn a_batch_whose_caller_is_dropped_leaves_nothing() {
    let (sql, admin) = with_table(Bounds { connections: 1, ..PATIENT }).await;
    let sql = Arc::new(sql);
    lock(&admin).await;
    let dropped = sql.clone();
    let caller = tokio::spawn(async move {
        let batch: [Statement<'_>; 2] = [(INSERT, &[1.into(), "x".into()]), (LOCKED, &[])];
        dropped.batch(&batch).await
    });
    until_waiting(&admin, 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    unlock(&admin).await;
    // The row is there for nobody else, and gone with the connection: only then the same key can be inserted.
    insert(&*sql, 1).await.unwrap();
}

// A server that goes away.

#[tokio::test]
async fn connections_that_the_server_ended_are_replaced() {
    let (sql, admin) = with_table(PATIENT).await;
    insert(&sql, 1).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    admin.batch_execute(end).await.unwrap();
    // The news may come while the statement is on its way.
    while let Err(error) = insert(&sql, 2).await {
        assert_eq!(error, SqlError::Unavailable);
    }
    assert_eq!(numbers(&sql, "SELECT id FROM t ORDER BY id").await, [1, 2]);
}

#[tokio::test]
async fn a_server_that_was_stopped_is_used_again_once_it_is_back() {
    let mut server = Server::start(&[]);
    let sql = open(&server.target().await).await;
    run(&sql, "CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT NOT NULL)").await;
    for round in 0..2 {
        server.stop();
        for _ in 0..10 {
            assert_eq!(insert(&sql, round).await, Err(SqlError::Unavailable));
            assert_eq!(sql.batch(&[(INSERT, &[round.into(), "x".into()])]).await, Err(SqlError::Unavailable));
        }
        server.start_again();
        insert(&sql, round).await.unwrap();
    }
    assert_eq!(numbers(&sql, "SELECT COUNT(*) FROM t").await, [2]);
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_a_bounded_time() {
    let server = Server::start(&[]);
    let short = Duration::from_millis(300);
    let bounds = Bounds { connections: 2, connect: short, statement: short, migration: short, ..PATIENT };
    let target = server.target().await;
    // It is made with patience, so that only the hanging server is short of time.
    let patient = open(&target).await;
    run(&patient, "CREATE TABLE t (id BIGINT PRIMARY KEY, x TEXT NOT NULL)").await;
    let sql = loop {
        if let Ok(sql) = Postgres::open_with(&target, bounds).await {
            break Arc::new(sql);
        }
    };
    let frozen = server.freeze().await;
    // On the connection there is, on a new one, and in a batch.
    for id in 0..2 {
        assert_eq!(insert(&*sql, id).await, Err(SqlError::Unavailable));
        assert_eq!(sql.batch(&[(INSERT, &[id.into(), "x".into()])]).await, Err(SqlError::Unavailable));
    }
    // A crowd is not the sum of its waits: who finds no connection is told so.
    let crowd = |id| {
        let sql = sql.clone();
        tokio::spawn(async move { insert(&*sql, id).await })
    };
    for caller in (0..20).map(crowd).collect::<Vec<_>>() {
        assert_eq!(caller.await.unwrap(), Err(SqlError::Unavailable));
    }
    let refused = Postgres::open_with(&target, bounds).await.err().unwrap().to_string();
    assert!(refused.ends_with(": no answer within 0.3 s"), "{refused}");
    frozen.thaw();
    while let Err(error) = insert(&*sql, 100).await {
        assert!(matches!(error, SqlError::Unavailable | SqlError::Constraint), "{error:?}");
        if error == SqlError::Constraint {
            break;
        }
    }
    assert_eq!(numbers(&patient, "SELECT id FROM t WHERE id = 100").await, [100]);
}

// Migrations.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_that_migrate_at_once_all_succeed() {
    for round in 0..15 {
        let target = shared().target().await;
        let mut stores = Vec::new();
        for _ in 0..4 {
            stores.push(Arc::new(Store::new(Arc::new(open(&target).await))));
        }
        let start = Arc::new(tokio::sync::Barrier::new(4));
        let migrate = |store: &Arc<Store>| {
            let (store, start) = (store.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                store.migrate(1).await
            })
        };
        let mut applied = 0;
        for migrating in stores.iter().map(migrate).collect::<Vec<_>>() {
            applied += migrating.await.unwrap().unwrap_or_else(|error| panic!("round {round}: {error}")).len();
        }
        assert_eq!(applied, MIGRATIONS.len(), "round {round}: each was applied once");
        for store in stores {
            store.check_migrations().await.unwrap();
        }
    }
}

/// PostgreSQL lets only the owner of a database make tables in it.
#[tokio::test]
async fn a_user_without_rights_is_told_so_and_with_the_least_of_them_serves() {
    let name = shared().database().await;
    let admin = shared().admin(&name).await;
    let role = format!("server_of_{name}");
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'server'")).await.unwrap();
    let url = format!("postgres://{role}:server@{}/{name}", shared().address());
    let folder = TempFolder::new();
    let live = live(&folder, &url);
    assert_eq!(
        refusal(&live).await,
        (
            format!(
                "failed to start on `postgres://{role}@{}/{name}`: the user of the store lacks a right",
                shared().address()
            ),
            "make it the owner with `ALTER DATABASE … OWNER TO …`; if it shall not make tables, run `acme migrate` as \
             the owner and grant it SELECT, INSERT, UPDATE and DELETE"
                .to_owned()
        )
    );
    Store::new(Arc::new(open(&target(&shared().url(&name))).await)).migrate(1).await.unwrap();
    let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}");
    admin.batch_execute(&grant).await.unwrap();
    let kit = host::live(&app(&Spy::default()), &live).await.unwrap();
    kit.operator.tenant_add("acme").await.unwrap();
}

#[tokio::test]
async fn an_empty_database_lacks_all_migrations() {
    let store = Store::new(Arc::new(open(&shared().target().await).await));
    assert_eq!(store.check_migrations().await, Err(MigrateError::Pending { count: MIGRATIONS.len() }));
}

// What a stranger reads.

fn live(folder: &TempFolder, url: &str) -> Settings {
    let kek = folder.path().join("kek");
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    write_private(&kek, &key).unwrap();
    settings(
        &app(&Spy::default()),
        &[("MCP__STORAGE__DATABASE_URL", url), ("MCP__VAULT__KEK_FILE", kek.to_str().unwrap())],
    )
}

/// Message and hint.
async fn refusal(settings: &Settings) -> (String, String) {
    let error = host::live(&app(&Spy::default()), settings).await.err().expect("a refusal");
    let hint = error.downcast_ref::<Hinted>().unwrap().hint().to_owned();
    let message = format!("{error:#}");
    assert!(!format!("{message} {hint} {error:?}").contains("2f7c1e"), "the password, or a part of it: {error:?}");
    (message, hint)
}

async fn refused(url: &str) -> (String, String) {
    refusal(&live(&TempFolder::new(), url)).await
}

#[tokio::test]
async fn what_is_wrong_with_the_log_in_is_told_by_its_name() {
    let address = shared().address();
    let expected = |url: String, cause: &str, hint: &str| {
        (
            url.clone(),
            (format!("failed to open `{}`: {cause}", url.replace(&format!(":{ENCODED}"), "")), hint.to_owned()),
        )
    };
    let correct = "correct them in `storage.database_url`; an @, / or : in the password is written %40, %2F or %3A";
    let (refuses, asks) = ("it refuses the user or the password", "it asks for a password");
    let file = "put it into `storage.database_url`, best in a file that MCP__STORAGE__DATABASE_URL_FILE names";
    let create = "make it with `createdb nowhere`, or correct `storage.database_url`";
    let cases = [
        expected(format!("postgres://kit:{ENCODED}@{address}/nowhere"), "it has no such database", create),
        expected(format!("postgres://nobody:{ENCODED}@{address}/postgres"), refuses, correct),
        expected(format!("postgres://kit@{address}/postgres"), asks, file),
    ];
    for (url, expected) in cases {
        assert_eq!(refused(&url).await, expected);
    }
    let wrong = format!("postgres://kit:wrong@{address}/postgres");
    assert_eq!(refused(&wrong).await.0, format!("failed to open `postgres://kit@{address}/postgres`: {refuses}"));
}

#[tokio::test]
async fn a_user_whom_the_server_does_not_let_in_is_told_so() {
    let url = shared().socket_url("postgres").replace("kit@", "stranger@");
    let (message, hint) = refused(&url).await;
    assert!(message.ends_with("/postgres`: it does not let this user in"), "{message}");
    assert_eq!(
        hint,
        "let the user in on the server (its pg_hba.conf and GRANT CONNECT), or correct `storage.database_url`"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_so() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    assert_eq!(
        refused(&format!("postgres://kit:{ENCODED}@{free}/acme")).await,
        (
            format!("failed to open `postgres://kit@{free}/acme`: Connection refused (os error 111)"),
            "see that the server runs and can be reached from here, or correct `storage.database_url`".to_owned()
        )
    );
}

#[tokio::test]
async fn a_server_that_speaks_another_protocol_is_told_so() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let other = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut client, _) = listener.accept().unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let (message, _) = refused(&format!("postgres://kit@{address}/acme")).await;
    other.join().unwrap();
    assert!(message.starts_with(&format!("failed to open `postgres://kit@{address}/acme`: ")), "{message}");
    assert!(!message.contains("HTTP"), "{message}");
}

#[tokio::test]
async fn a_server_without_room_is_told_so() {
    let server = Server::start(&["max_connections=4", "superuser_reserved_connections=0"]);
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(server.admin("postgres").await);
    }
    let (message, hint) = refused(&server.url("postgres")).await;
    assert!(message.ends_with("`: it has no connection left"), "{message}");
    assert_eq!(hint, "stop what holds them, or raise `max_connections` on the server");
}

#[tokio::test]
async fn a_password_does_not_print() {
    let url = shared().url("postgres");
    assert!(url.contains(ENCODED) && ENCODED != PASSWORD);
    let settings = live(&TempFolder::new(), &url);
    for printed in [format!("{settings:?}"), format!("{settings:#?}"), settings.database.to_string()] {
        assert!(!printed.contains("2f7c1e"), "{printed}");
    }
    assert_eq!(settings.database.to_string(), format!("postgres://kit@{}/postgres", shared().address()));
    assert!(matches!(settings.database, Database::Postgres(_)));
}

// TLS.

#[tokio::test]
async fn a_connection_is_encrypted_to_a_server_whose_certificate_is_right() {
    let folder = TempFolder::new();
    let server = Server::start_with(&["ssl=on"], |data| {
        certificates(data);
        std::fs::copy(data.join("ca.crt"), folder.path().join("ca with space.crt")).unwrap();
    });
    let authority = folder.path().join("ca with space.crt").display().to_string().replace(' ', "%20");
    let url = server.url("postgres").replace("127.0.0.1", "localhost");
    let over_tls = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for options in
        ["sslmode=require", "sslmode=verify-full&application_name=x", "channel_binding=require&sslmode=require"]
    {
        let sql = open(&target(&format!("{url}?{options}&sslrootcert={authority}"))).await;
        assert_eq!(numbers(&sql, over_tls).await, [1], "{options}");
    }
    let sql = open(&target(&url)).await;
    assert_eq!(numbers(&sql, over_tls).await, [0], "on this machine it is not asked for");

    let name = |host: &str| {
        format!("failed to open `postgres://kit@{}/postgres`: ", server.address().replace("127.0.0.1", host))
    };
    let hint = "name a file with its authority's certificate as `?sslrootcert=FILE` in `storage.database_url`";
    let unknown =
        format!("{}its certificate is not accepted: invalid peer certificate: UnknownIssuer", name("localhost"));
    assert_eq!(refused(&format!("{url}?sslmode=require")).await, (unknown, hint.to_owned()));
    let other = format!("{}?sslmode=require&sslrootcert={authority}", server.url("postgres"));
    let (message, _) = refused(&other).await;
    let expected = format!("{}its certificate is not accepted: invalid peer certificate: ", name("127.0.0.1"));
    assert!(message.starts_with(&expected), "{message}");

    let missing = format!("{url}?sslmode=require&sslrootcert=no-such-file");
    let (message, hint) = refused(&missing).await;
    assert!(message.starts_with("failed to read `no-such-file`: "), "{message}");
    assert_eq!(
        hint,
        "give a file with the certificate of the server's authority as sslrootcert in `storage.database_url`"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let url = format!("{}?sslmode=require", shared().url("postgres"));
    assert_eq!(
        refused(&url).await,
        (
            format!("failed to open `postgres://kit@{}/postgres`: it offers no TLS", shared().address()),
            "turn TLS on there; on a network that is yours alone, `?sslmode=disable` in `storage.database_url` goes \
             without"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn a_socket_needs_no_tls_and_no_password() {
    for options in ["", "?sslmode=require", "?sslmode=prefer"] {
        let sql = open(&target(&format!("{}{options}", shared().socket_url("postgres")))).await;
        assert_eq!(numbers(&sql, "SELECT 1").await, [1], "{options}");
    }
}
