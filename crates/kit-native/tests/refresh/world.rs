//! Several replicas of one server on one store, in one process, on virtual time: the clock moves on when everything waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::boot::{Kit, Options, Ports, boot};
use kit::error::ToolError;
use kit::inbound::{Environment, TenantCtx};
use kit::limit::memory::MemoryLimits;
use kit::observe::{Alarm, AlarmEvent, CallEvent, RefreshEvent};
use kit::operator::{ConnectionSummary, NewConnection};
use kit::pipeline::{Bounds, Caller, Failure};
use kit::ports::{BoxFuture, Clock, Spawn, Telemetry};
use kit::prelude::*;
use kit::store::connections::ConnectionState;
use kit::tenant::TenantId;
use kit::upstream::refresh::Timing;
use kit::vault::kek::LocalKeks;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::log::LogTelemetry;
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;
use rusqlite::Connection as Database;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::net::{CLIENT_ID, CLIENT_SECRET, Net, Way};
use crate::providers::app;
use crate::sql::Tap;

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// One replica's clocks. Its wall clock may be wrong, and be set.
pub struct ReplicaClock {
    began: Instant,
    wrong_ms: AtomicI64,
}

impl ReplicaClock {
    pub fn set_wrong_ms(&self, ms: i64) {
        self.wrong_ms.store(ms, Ordering::SeqCst);
    }
}

impl Clock for ReplicaClock {
    fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + self.monotonic_us() / 1_000 + self.wrong_ms.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap()
    }
}

/// What was reported, of all replicas.
#[derive(Default)]
pub struct Reports {
    alarms: Mutex<Vec<(Alarm, String, String)>>,
    texts: Mutex<Vec<String>>,
}

impl Telemetry for Reports {
    fn call(&self, event: &CallEvent<'_>) {
        self.texts.lock().unwrap().push(format!("{event:?}"));
        LogTelemetry.call(event);
    }

    fn refreshed(&self, event: &RefreshEvent<'_>) {
        LogTelemetry.refreshed(event);
    }

    fn alarm(&self, event: &AlarmEvent<'_>) {
        self.texts.lock().unwrap().push(format!("{event:?}"));
        LogTelemetry.alarm(event);
        let named = (event.alarm, event.tenant.to_string(), event.integration.to_owned());
        self.alarms.lock().unwrap().push(named);
    }
}

/// Tasks that end with their replica.
#[derive(Default)]
struct Tasks(Mutex<Vec<AbortHandle>>);

impl Spawn for Tasks {
    fn spawn(&self, work: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().push(tokio::spawn(work).abort_handle());
    }
}

/// One replica.
#[derive(Clone)]
pub struct Replica {
    pub kit: Arc<Kit>,
    pub clock: Arc<ReplicaClock>,
    pub sql: Arc<Tap>,
    tasks: Arc<Tasks>,
}

/// A store, everything outside, and what was reported.
pub struct World {
    pub folder: TempFolder,
    pub net: Arc<Net>,
    pub reports: Arc<Reports>,
    began: Instant,
    replicas: Mutex<usize>,
}

impl World {
    pub fn new() -> Self {
        let (net, reports) = (Net::new(), Arc::default());
        Self { folder: TempFolder::new(), net, reports, began: Instant::now(), replicas: Mutex::new(0) }
    }

    /// A world with one replica on which the owner has set all apps.
    pub async fn with_one() -> (Self, Replica) {
        let world = Self::new();
        let replica = world.replica().await;
        for integration in ["shop", "ads", "link", "meta", "lwa", "chat"] {
            replica.app_set(integration, CLIENT_SECRET).await;
        }
        (world, replica)
    }

    /// The same with two more replicas.
    pub async fn with_three() -> (Self, [Replica; 3]) {
        let (world, first) = Self::with_one().await;
        let others = [world.replica().await, world.replica().await];
        let [second, third] = others;
        (world, [first, second, third])
    }

    /// Another process on the store: it has cached nothing.
    pub async fn replica(&self) -> Replica {
        let number = {
            let mut count = self.replicas.lock().unwrap();
            *count += 1;
            *count
        };
        let clock = Arc::new(ReplicaClock { began: self.began, wrong_ms: AtomicI64::new(0) });
        let sql = Arc::new(Tap::new(Sqlite::open(&self.folder.path().join("store.db")).unwrap()));
        let tasks = Arc::new(Tasks::default());
        let ports = Ports {
            clock: clock.clone(),
            sleep: Arc::new(TokioTime),
            spawn: tasks.clone(),
            rng: Arc::new(SystemRng),
            sql: sql.clone(),
            kek: Arc::new(LocalKeks::parse(b"0123456789abcdefghijklmnopqrstuv", Arc::new(SystemRng)).unwrap()),
            send: Some(Arc::new(Way { net: self.net.clone(), replica: number })),
            limits: Arc::new(MemoryLimits::default()),
            telemetry: self.reports.clone(),
            spill: None,
        };
        let options = Options {
            environment: Environment::Live,
            migrate: true,
            bounds: Bounds { deadline: Duration::from_secs(60), max_output_bytes: 1 << 20 },
            rules: kit::limit::traffic::Rules::default(),
            max_upstream_bytes: 1 << 20,
            kms_grace: Duration::from_secs(3_600),
            public_url: None,
            breakers: kit::breaker::LevelSettings::default(),
            ledger: kit::ledger::LedgerOptions::default(),
            refresh: Timing::default(),
            integrations: BTreeMap::new(),
        };
        Replica { kit: Arc::new(boot(&app(), ports, options).await.unwrap()), clock, sql, tasks }
    }

    /// The alarms so far.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.reports.alarms.lock().unwrap().iter().map(|(alarm, ..)| *alarm).collect()
    }

    /// The alarms so far, each with its tenant and integration.
    pub fn named_alarms(&self) -> Vec<(Alarm, String, String)> {
        self.reports.alarms.lock().unwrap().clone()
    }

    /// All that was reported, as text.
    pub fn reported(&self) -> String {
        self.reports.texts.lock().unwrap().join("\n")
    }

    /// The database behind the replicas' backs.
    pub fn database(&self) -> Database {
        Database::open(self.folder.path().join("store.db")).unwrap()
    }

    /// One column of the connection of `tenant`.
    pub fn column<T: rusqlite::types::FromSql>(&self, tenant: &str, column: &str) -> T {
        let sql = format!("SELECT {column} FROM connections WHERE tenant_id = ?1");
        self.database().query_row(&sql, [tenant], |row| row.get(0)).unwrap()
    }
}

/// What a tool answered, or the class and the sentence of its error.
pub type Called = Result<Value, (String, String)>;

impl Replica {
    /// Ends as if killed: what it had under way is gone.
    pub fn die(self) {
        self.tasks.0.lock().unwrap().iter().for_each(AbortHandle::abort);
    }

    pub async fn app_set(&self, integration: &str, secret: &str) {
        self.kit.operator.app_set(integration, None, CLIENT_ID, Secret::from(secret)).await.unwrap();
    }

    /// A tenant with a connection made from `secret`.
    pub async fn tenant(&self, name: &str, integration: &str, secret: impl AsRef<str>) -> TenantCtx {
        self.kit.operator.tenant_add(name).await.unwrap();
        self.connect(name, integration, secret).await;
        self.local(name).await
    }

    /// A tenant whose access token (number 0) has a minute to live and whose refresh token is number 0.
    pub async fn tenant_with_pair(&self, name: &str, integration: &str, expires_in: i64) -> TenantCtx {
        self.tenant(name, integration, pair(name, expires_in)).await
    }

    pub async fn local(&self, tenant: &str) -> TenantCtx {
        self.kit.authenticator.local(&TenantId::parse(tenant).unwrap()).await.unwrap()
    }

    pub async fn connect(&self, tenant: &str, integration: &str, secret: impl AsRef<str>) {
        let secret = Secret::from(secret.as_ref());
        let (site, target) = if integration == "lwa" { (Some("eu"), Some("11")) } else { (None, None) };
        let new = NewConnection { site, target, ..NewConnection::new(tenant, integration, secret) };
        self.kit.operator.connection_set(new).await.unwrap();
    }

    pub async fn raw(&self, ctx: &TenantCtx, tool: &str) -> Result<Value, ToolError> {
        match self.kit.pipeline.tool(ctx, tool, json!({}), Caller::patient()).await {
            Ok(answer) => Ok(answer.value),
            Err(Failure::Tool(error)) => Err(error),
            Err(other) => panic!("{other:?}"),
        }
    }

    pub async fn call(&self, ctx: &TenantCtx, tool: &str) -> Called {
        self.raw(ctx, tool).await.map_err(|error| (error.kind().as_str().to_owned(), error.message().to_owned()))
    }

    /// `count` calls at once.
    pub fn calls(&self, ctx: &TenantCtx, tool: &'static str, count: usize) -> Vec<tokio::task::JoinHandle<Called>> {
        (0..count)
            .map(|_| {
                let (this, ctx) = (self.clone(), ctx.clone());
                tokio::spawn(async move { this.call(&ctx, tool).await })
            })
            .collect()
    }

    pub async fn connection(&self, tenant: &str) -> ConnectionSummary {
        let [one] = self.kit.operator.connection_list(tenant).await.unwrap().try_into().unwrap();
        one
    }

    pub async fn state(&self, tenant: &str) -> ConnectionState {
        self.connection(tenant).await.state
    }
}

/// The first answer of a token endpoint to `name`.
pub fn pair(name: &str, expires_in: i64) -> String {
    json!({"access_token": format!("A-{name}-0"), "refresh_token": format!("R-{name}-0"), "expires_in": expires_in})
        .to_string()
}

/// Lets time pass; whatever is due meanwhile happens.
pub async fn pass(ms: i64) {
    tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await;
}

/// Waits until `condition` holds, in virtual time.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never: {what}");
}

/// What all of `calls` answered.
pub async fn all(calls: Vec<tokio::task::JoinHandle<Called>>) -> Vec<Called> {
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

/// A good answer of `who`.
pub fn good(who: &str) -> Called {
    Ok(json!({"who": who}))
}

/// An error.
pub fn bad(kind: &str, message: &str) -> Called {
    Err((kind.to_owned(), message.to_owned()))
}
