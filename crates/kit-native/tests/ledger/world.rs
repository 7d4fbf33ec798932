//! A store on a real engine, a kit on it, and tools that do what the tests need.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::inbound::{Environment, TenantCtx};
use kit::ledger::verify::{Finding, What};
use kit::ledger::{ClientInfo, LedgerOptions};
use kit::limit::memory::MemoryLimits;
use kit::observe::request::RequestFacts;
use kit::observe::{AlarmEvent, CallEvent, RefreshEvent};
use kit::pipeline::{Answer, Bounds, Caller, Failure};
use kit::ports::{BoxFuture, Clock, HttpSend, Row, SendError, Spill, Sql, Telemetry, Val};
use kit::prelude::*;
use kit::tenant::TenantId;
use kit::upstream::refresh::Timing;
use kit::vault::kek::LocalKeks;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::sqlite::Sqlite;
use kit_native::testing::{ManualClock, TempFolder};
use serde_json::Map;
use tokio::sync::Notify;

use crate::tap::Tap;

/// The names of the calls that were reported, with their outcomes.
#[derive(Default)]
pub struct Reports(Mutex<Vec<(String, String)>>);

impl Telemetry for Reports {
    fn call(&self, event: &CallEvent<'_>) {
        self.0.lock().unwrap().push((event.target.to_owned(), event.outcome.to_owned()));
    }

    fn refreshed(&self, _: &RefreshEvent<'_>) {}

    fn alarm(&self, _: &AlarmEvent<'_>) {}
}

struct Nobody;

impl HttpSend for Nobody {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        Box::pin(std::future::ready(Err(SendError::Connect)))
    }
}

/// What the tools share.
#[derive(Default)]
pub struct Bench {
    /// How often `set` has run.
    pub sets: AtomicUsize,
    /// Lets `wait` and `hold` go on.
    pub gate: Notify,
    /// How many calls of `wait` and `hold` are under way.
    pub waiting: AtomicUsize,
}

pub struct World {
    pub kit: Arc<Kit>,
    pub tap: Arc<Tap>,
    pub clock: Arc<ManualClock>,
    pub bench: Arc<Bench>,
    /// Past the faults.
    pub sql: Arc<dyn Sql>,
    pub folder: Arc<TempFolder>,
}

type Out = Result<Map<String, Value>, ToolError>;

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "a field that is only told")]
pub struct Args {
    #[schemars(extend("x-log" = "plain"))]
    #[serde(default)]
    pub limit: u64,
    #[serde(default)]
    pub text: String,
}

fn app(bench: &Arc<Bench>) -> App {
    let out = |args: &Args| Map::from_iter([("said".to_owned(), args.text.clone().into())]);
    let get = move |_: Call, args: Args| async move { Ok::<_, ToolError>(out(&args)) };
    let sets = bench.clone();
    let set = move |_: Call, args: Args| {
        sets.sets.fetch_add(1, Ordering::SeqCst);
        // What a process has done that is killed later, out of its reach.
        if let Some(folder) = std::env::var_os("LEDGER_FOLDER") {
            let mut options = std::fs::File::options();
            let mut file = options.create(true).append(true).open(std::path::Path::new(&folder).join("ran")).unwrap();
            std::io::Write::write_all(&mut file, format!("{}\n", args.limit).as_bytes()).unwrap();
        }
        async move { Ok::<_, ToolError>(out(&args)) }
    };
    let waits = |bench: &Arc<Bench>| {
        let bench = bench.clone();
        move |_: Call, _: Args| {
            let bench = bench.clone();
            async move {
                bench.waiting.fetch_add(1, Ordering::SeqCst);
                bench.gate.notified().await;
                Ok::<_, ToolError>(Map::new())
            }
        }
    };
    async fn fails(_: Call, _: Args) -> Out {
        Err(ToolError::not_found("no such thing"))
    }
    async fn panics(_: Call, _: Args) -> Out {
        panic!("planted")
    }
    let tools = Tools::new()
        .read("get", "Reads.", get)
        .write("set", "Writes.", set)
        .read("wait", "Waits.", waits(bench))
        .destructive("hold", "Waits.", waits(bench))
        .read("fail", "Fails.", fails)
        .read("panic", "Panics.", panics);
    let provider = Provider { title: "Shop", base_url: "https://api.shop.test", ..Provider::PLAIN };
    App::new("acme", "1.2.3").integration("p", Integration::new(provider).tools(tools))
}

impl World {
    pub async fn on_sqlite() -> Self {
        let folder = Arc::new(TempFolder::new());
        let sql = Arc::new(Sqlite::open(&folder.path().join("store.db")).unwrap());
        Self::over(sql, folder, false, None, LedgerOptions::default()).await
    }

    #[cfg(feature = "postgres")]
    pub async fn on_postgres() -> Self {
        let server = crate::postgres::shared();
        let sql = kit_native::postgres::Postgres::open(&server.target().await).await.unwrap();
        Self::over(Arc::new(sql), Arc::new(TempFolder::new()), false, None, LedgerOptions::default()).await
    }

    /// On SQLite, waited for in place: for virtual time.
    pub async fn in_place(spill: Option<Arc<dyn Spill>>, options: LedgerOptions) -> Self {
        let folder = Arc::new(TempFolder::new());
        let sql = Arc::new(Sqlite::open(&folder.path().join("store.db")).unwrap());
        Self::over(sql, folder, true, spill, options).await
    }

    /// With a tenant `a`.
    pub async fn over(
        sql: Arc<dyn Sql>,
        folder: Arc<TempFolder>,
        in_place: bool,
        spill: Option<Arc<dyn Spill>>,
        options: LedgerOptions,
    ) -> Self {
        let (tap, clock, bench) = (Tap::new(sql.clone(), in_place), Arc::<ManualClock>::default(), Arc::default());
        let kit = start(tap.clone(), &clock, &bench, spill, options).await;
        let world = Self { kit, tap, clock, bench, sql, folder };
        // It may be there from an earlier process.
        world.kit.operator.tenant_add("a").await.unwrap_or_default();
        world.tap.groups();
        world
    }

    /// Another process on the same store.
    pub async fn another(&self, spill: Option<Arc<dyn Spill>>) -> Self {
        let tap = Tap::new(self.sql.clone(), false);
        let kit = start(tap.clone(), &self.clock, &self.bench, spill, LedgerOptions::default()).await;
        let (clock, bench) = (self.clock.clone(), self.bench.clone());
        Self { kit, tap, clock, bench, sql: self.sql.clone(), folder: self.folder.clone() }
    }

    pub async fn tenant(&self, name: &str) -> TenantCtx {
        self.kit.authenticator.local(&TenantId::parse(name).unwrap()).await.unwrap()
    }

    /// Calls a tool of tenant `a`; what it said, or `kind: reason`.
    pub async fn call(&self, tool: &str) -> Result<String, String> {
        self.call_with("a", tool, json!({"text": "hello"})).await
    }

    pub async fn call_with(&self, tenant: &str, tool: &str, arguments: Value) -> Result<String, String> {
        let ctx = self.tenant(tenant).await;
        let request = RequestFacts { client: Some(ClientInfo::new("Claude", "1.0")), ..RequestFacts::default() };
        said(self.kit.pipeline.tool(&ctx, tool, arguments, Caller { request, ..Caller::patient() }).await)
    }

    /// The same in the background.
    pub async fn spawn(&self, tool: &'static str) -> tokio::task::JoinHandle<Result<String, String>> {
        let (pipeline, ctx) = (self.kit.pipeline.clone(), self.tenant("a").await);
        let work = async move { said(pipeline.tool(&ctx, tool, json!({}), Caller::patient()).await) };
        tokio::spawn(work)
    }

    pub async fn rows(&self, sql: &str, values: &[Val]) -> Vec<Row> {
        self.sql.query(sql, values).await.unwrap()
    }

    /// The rows of tenant `a` beside the operator's: kind, tool and outcome.
    pub async fn audit(&self) -> Vec<String> {
        let rows = self.rows("SELECT record FROM audit WHERE tenant_id = 'a' ORDER BY call_id, seq", &[]).await;
        let told = |row: &Row| {
            let Val::Text(record) = &row[0] else { panic!("{row:?}") };
            let record: Value = serde_json::from_str(record).unwrap();
            let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("kind"), text("tool"), text("outcome"))
        };
        rows.iter().map(told).filter(|row| !row.starts_with("operator")).collect()
    }

    /// `tool outcome calls units`, and whether that is what the audit adds up to.
    pub async fn usage(&self) -> Vec<String> {
        let sql = "SELECT tool, outcome, calls, units FROM usage_rollup ORDER BY tool, outcome, hour";
        let rows = self.rows(sql, &[]).await;
        let text = |row: &Row| match &row[..] {
            [Val::Text(tool), Val::Text(outcome), Val::I64(calls), Val::I64(units)] => {
                format!("{tool} {outcome} {calls} {units}")
            }
            _ => panic!("{row:?}"),
        };
        let usage: Vec<String> = rows.iter().map(text).collect();
        let mut sums: BTreeMap<(String, String, i64), (i64, i64)> = BTreeMap::new();
        for row in self.rows("SELECT record FROM audit", &[]).await {
            let Val::Text(record) = &row[0] else { panic!("{row:?}") };
            let record: Value = serde_json::from_str(record).unwrap();
            if let (Some("call"), Some(units)) = (record["kind"].as_str(), record["units"].as_i64()) {
                let text = |name: &str| record[name].as_str().unwrap().to_owned();
                let hour = record["at_ms"].as_i64().unwrap() / 3_600_000;
                let sum = sums.entry((text("tool"), text("outcome"), hour)).or_default();
                *sum = (sum.0 + 1, sum.1 + units);
            }
        }
        let sums = sums.iter().map(|((tool, outcome, _), (calls, units))| format!("{tool} {outcome} {calls} {units}"));
        assert_eq!(usage, sums.collect::<Vec<_>>(), "usage is not what the audit adds up to");
        usage
    }

    /// The stream in which this process writes of `tenant`.
    pub async fn stream(&self, tenant: &str) -> String {
        let sql = "SELECT stream FROM audit WHERE tenant_id = $1 ORDER BY call_id DESC LIMIT 1";
        match &self.rows(sql, &[tenant.into()]).await[0][0] {
            Val::Text(stream) => stream.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// What a verification finds: stream, row, last row, what.
    pub async fn findings(&self) -> Vec<(String, i64, i64, What)> {
        let tell = |f: Finding| (f.stream, f.seq, f.through.unwrap_or(f.seq), f.what);
        self.kit.operator.audit_verify().await.unwrap().findings.into_iter().map(tell).collect()
    }

    /// Takes the guards away, as whoever owns the database can.
    pub async fn unguard(&self) {
        let of = |table: &'static str, names: &'static [&'static str]| names.iter().map(move |name| (table, *name));
        let all = of("audit", &["audit_kept", "audit_purged"])
            .chain(of("audit_checkpoints", &["audit_checkpoints_kept", "audit_checkpoints_stay"]))
            .chain(of("audit_tombstones", &["audit_tombstones_kept", "audit_tombstones_stay"]));
        for (table, name) in all {
            let sql = match self.sql.engine() {
                kit::ports::Engine::Sqlite => format!("DROP TRIGGER IF EXISTS {name}"),
                kit::ports::Engine::Postgres => format!("DROP TRIGGER IF EXISTS {name} ON {table}"),
            };
            self.rows(&sql, &[]).await;
        }
    }
}

fn said(result: Result<Answer, Failure>) -> Result<String, String> {
    match result {
        Ok(answer) => Ok(answer.value["said"].as_str().unwrap_or_default().to_owned()),
        Err(Failure::Tool(error)) => {
            let reason = error.to_value()["error"]["reason"].as_str().map(|reason| format!(": {reason}"));
            Err(format!("{}{}", error.kind().as_str(), reason.unwrap_or_default()))
        }
        Err(failure) => Err(format!("{failure:?}")),
    }
}

async fn start(
    sql: Arc<Tap>,
    clock: &Arc<ManualClock>,
    bench: &Arc<Bench>,
    spill: Option<Arc<dyn Spill>>,
    ledger: LedgerOptions,
) -> Arc<Kit> {
    let clock: Arc<dyn Clock> = clock.clone();
    let ports = Ports {
        clock,
        sleep: Arc::new(TokioTime),
        spawn: Arc::new(TokioTime),
        rng: Arc::new(SystemRng),
        sql,
        kek: Arc::new(LocalKeks::parse(b"0123456789abcdefghijklmnopqrstuv", Arc::new(SystemRng)).unwrap()),
        send: Some(Arc::new(Nobody)),
        limits: Arc::new(MemoryLimits::default()),
        telemetry: Arc::new(Reports::default()),
        spill,
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
        ledger,
        refresh: Timing::default(),
        integrations: BTreeMap::new(),
    };
    Arc::new(boot(&app(bench), ports, options).await.unwrap())
}
