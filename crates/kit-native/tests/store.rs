//! The store is written once and runs on two engines: the same day in the life of a server on SQLite and on PostgreSQL, with
//! the same outcome and the same statements.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/postgres.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod postgres;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::connect::{Callback, Start};
use kit::inbound::Environment;
use kit::limit::memory::MemoryLimits;
use kit::operator::NewConnection;
use kit::pipeline::{Bounds, Caller};
use kit::ports::{BoxFuture, Clock, Engine, HttpSend, Row, SendError, Sql, SqlError, Statement, Val};
use kit::prelude::*;
use kit::store::tenants::TenantState;
use kit::tenant::{Account, TenantId};
use kit::upstream::refresh::Timing;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::kek_file::{self, FileKeks, Kind};
use kit_native::log::LogTelemetry;
use kit_native::postgres::{Postgres, Target as Database};
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;
use serde_json::Map;

const DAY_MS: i64 = 86_400_000;

const ADS: Provider = Provider {
    id: "ads",
    title: "Ads",
    base_url: "https://api.ads.test",
    auth: AuthShape::LwaProfile(LwaProfile {
        oauth: OAuth { refresh_life: RefreshLife::Absolute, ..OAuth::STANDARD },
        client_id_header: "Client-Id",
    }),
    sites: Sites::Regions(REGIONS),
    targets: Some(Targets {
        noun: "profile",
        header: Some("Profile"),
        path: "/profiles",
        query: &[],
        discover: profiles,
    }),
    throttle: Throttle::Silent,
    ..Provider::PLAIN
};

const REGIONS: &[Region] = &[Region {
    name: "eu",
    title: "eu",
    authorize_url: "https://auth.ads.test/authorize",
    token_url: "https://auth.ads.test/token",
    api_url: "https://api.ads.test",
}];

fn profiles(list: &Value) -> Vec<Target> {
    list.as_array().into_iter().flatten().map(|id| Target { id: id.to_string(), label: String::new() }).collect()
}

async fn me(call: Call, _: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    call.upstream().get("/me").json().await
}

/// Answers tokens, profiles and everything else; `fail` is the status of the next answers of the token endpoint.
#[derive(Default)]
struct Upstream {
    fail: AtomicI64,
}

impl HttpSend for Upstream {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        let answer = match (request.url.path(), self.fail.load(Ordering::SeqCst)) {
            ("/token", 0) => HttpResponse::json(
                200,
                &json!({"access_token": "a", "refresh_token": "r",
                "expires_in": 3_600, "refresh_token_expires_in": 20 * DAY_MS / 1_000}),
            ),
            ("/token", 401) => HttpResponse::json(401, &json!({"error": "invalid_client"})),
            ("/token", 400) => HttpResponse::json(400, &json!({"error": "invalid_grant"})),
            ("/token", _) => HttpResponse::json(500, &json!({})),
            ("/profiles", _) => HttpResponse::json(200, &json!([1, 2])),
            _ => HttpResponse::json(200, &json!({"ok": true})),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// Remembers every statement.
struct Recorder {
    inner: Arc<dyn Sql>,
    seen: Arc<Mutex<BTreeSet<String>>>,
}

impl Sql for Recorder {
    fn engine(&self) -> Engine {
        self.inner.engine()
    }

    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>> {
        self.seen.lock().unwrap().insert(sql.to_owned());
        self.inner.query(sql, values)
    }

    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>> {
        // What only one engine has, its guards, is not compared.
        let guard = |sql: &&str| sql.contains("CREATE TRIGGER") || sql.contains("CREATE FUNCTION");
        let common = statements.iter().map(|(sql, _)| *sql).filter(|sql| !guard(sql));
        self.seen.lock().unwrap().extend(common.map(str::to_owned));
        self.inner.batch(statements)
    }
}

#[derive(Default)]
struct Days(AtomicI64);

impl Clock for Days {
    fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> i64 {
        self.0.fetch_add(1_000, Ordering::SeqCst)
    }
}

struct Server {
    kit: Kit,
    clock: Arc<Days>,
    upstream: Arc<Upstream>,
    kek: std::path::PathBuf,
}

impl Server {
    async fn start(sql: Arc<dyn Sql>, folder: &TempFolder) -> Self {
        let kek = folder.path().join("kek");
        if !kek.exists() {
            kek_file::write_private(&kek, b"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=\n").unwrap();
        }
        let (clock, upstream) = (Arc::new(Days::default()), Arc::new(Upstream::default()));
        let tools = Tools::new().read("me", "Me.", me);
        let app = App::new("acme", "0.0.0").integration("ads", Integration::new(ADS).tools(tools));
        let ports = Ports {
            clock: clock.clone(),
            sleep: Arc::new(TokioTime),
            spawn: Arc::new(TokioTime),
            rng: Arc::new(SystemRng),
            sql,
            kek: Arc::new(FileKeks::open(&kek, Kind::File).unwrap()),
            send: Some(upstream.clone()),
            limits: Arc::new(MemoryLimits::default()),
            telemetry: Arc::new(LogTelemetry),
            spill: None,
        };
        let options = Options {
            environment: Environment::Live,
            migrate: true,
            bounds: Bounds { deadline: Duration::from_secs(60), max_output_bytes: 1 << 16 },
            rules: kit::limit::traffic::Rules::default(),
            max_upstream_bytes: 1 << 16,
            kms_grace: Duration::from_secs(3_600),
            public_url: None,
            breakers: kit::breaker::LevelSettings::default(),
            ledger: kit::ledger::LedgerOptions::default(),
            refresh: Timing::default(),
            integrations: BTreeMap::new(),
        };
        Self { kit: boot(&app, ports, options).await.unwrap(), clock, upstream, kek }
    }

    fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms * 1_000, Ordering::SeqCst);
    }

    async fn call(&self, tenant: &str) -> String {
        let ctx = self.kit.authenticator.local(&TenantId::parse(tenant).unwrap()).await.unwrap();
        match self.kit.pipeline.tool(&ctx, "ads_me", json!({}), Caller::patient()).await {
            Ok(answer) => answer.text,
            Err(kit::pipeline::Failure::Tool(error)) => error.kind().as_str().to_owned(),
            Err(failure) => format!("{failure:?}"),
        }
    }

    async fn connections(&self, tenant: &str) -> Vec<String> {
        let list = self.kit.operator.connection_list(tenant).await.unwrap();
        list.into_iter().map(|c| format!("{}/{} {:?} {:?}", c.integration, c.account, c.state, c.reason)).collect()
    }

    fn of_a(secret: &str) -> NewConnection<'_> {
        NewConnection::new("a", "ads", Secret::from(secret))
    }

    /// A day: everything that the operator, the callers and the sweep do to the store.
    async fn day(&self) -> Vec<String> {
        let operator = &self.kit.operator;
        let mut said = Vec::new();
        for tenant in ["a", "b"] {
            operator.tenant_add(tenant).await.unwrap();
        }
        said.push(format!("{:?}", operator.tenant_add("a").await.map_err(|error| error.to_string())));
        let key = operator.key_create("a", "one", Some(DAY_MS)).await.unwrap();
        said.push(format!("{:?}", self.kit.authenticator.api_key(key.key.expose_str().unwrap()).await.is_ok()));
        operator.key_revoke("a", &key.id).await.unwrap();
        said.push(format!("{:?}", operator.key_list("a").await.unwrap().len()));
        operator.app_set("ads", None, "id", Secret::from("one")).await.unwrap();
        operator.app_set("ads", Some("a"), "of-a", Secret::from("two")).await.unwrap();
        operator.app_set("ads", Some("a"), "of-a", Secret::from("three")).await.unwrap();
        operator.connection_set(Self::of_a("first")).await.unwrap();
        said.push(self.call("a").await);
        said.push(format!("{:?}", operator.connection_targets("a", "ads", "default").await.unwrap()));
        operator.connection_target("a", "ads", "default", "1").await.unwrap();
        said.push(self.call("a").await);
        // Renewed; failed; refused; revived; dead; replaced.
        self.pass(3_700_000);
        said.push(self.call("a").await);
        for trouble in [500, 401] {
            self.upstream.fail.store(trouble, Ordering::SeqCst);
            self.pass(3_700_000);
            said.push(self.call("a").await);
            said.extend(self.connections("a").await);
        }
        self.upstream.fail.store(0, Ordering::SeqCst);
        operator.app_set("ads", Some("a"), "of-a", Secret::from("four")).await.unwrap();
        operator.app_set("ads", None, "id", Secret::from("five")).await.unwrap();
        said.push(self.call("a").await);
        said.push(format!("{:?}", self.kit.sweeper.pass().await.unwrap()));
        operator.vault_rotate_dek("a").await.unwrap();
        said.push(format!("{:?}", operator.vault_destroy_retired("a").await.unwrap()));
        kek_file::add_key(&self.kek).unwrap();
        said.push(format!("{:?}", operator.vault_rewrap(false).await.unwrap()));
        let status = operator.vault_status().await.unwrap();
        said.push(format!("{:?}", status.iter().map(|kek| (kek.deks_active, kek.server_keys)).collect::<Vec<_>>()));
        self.upstream.fail.store(400, Ordering::SeqCst);
        self.pass(3_700_000);
        said.push(self.call("a").await);
        said.extend(self.connections("a").await);
        self.upstream.fail.store(0, Ordering::SeqCst);
        operator.connection_set(NewConnection { target: Some("2"), ..Self::of_a("second") }).await.unwrap();
        said.push(self.call("a").await);
        // A consent.
        let ctx = self.kit.authenticator.local(&TenantId::parse("b").unwrap()).await.unwrap();
        let account = Account::parse("eu").unwrap();
        let start = Start {
            integration: "ads",
            account: &account,
            site: Some("eu"),
            redirect_uri: "https://mcp.test/cb",
            browser: "cookie",
            link: None,
        };
        let state = self.kit.connector.begin(&ctx, &start).await.unwrap().state;
        let callback = Callback {
            query: &[("state", state.expose_str().unwrap()), ("code", "code")]
                .map(|(n, v)| (n.to_owned(), v.to_owned())),
            browser: "cookie",
        };
        said.push(format!("{:?}", self.kit.connector.finish(&callback).await));
        said.push(format!("{:?}", self.kit.connector.finish(&callback).await));
        said.extend(self.connections("b").await);
        operator.connection_remove("b", "ads", "eu").await.unwrap();
        let apps = operator.app_list().await.unwrap();
        said.push(format!("{:?}", apps.iter().map(|app| (&app.tenant, &app.client_id)).collect::<Vec<_>>()));
        operator.app_remove("ads", Some("a")).await.unwrap();
        operator.tenant_state("b", TenantState::Suspended).await.unwrap();
        said.push(format!("{:?}", operator.tenant_export("a").await.unwrap().connections.len()));
        operator.tenant_delete("a").await.unwrap();
        let left = operator.tenant_list().await.unwrap();
        said.push(format!("{:?}", left.iter().map(|t| (&t.id, t.state, t.connections, t.keys)).collect::<Vec<_>>()));
        said.push(format!("{:?}", self.kit.store.ping().await.is_ok()));
        said
    }
}

async fn day_on(sql: Arc<dyn Sql>) -> (Vec<String>, BTreeSet<String>) {
    let (folder, seen) = (TempFolder::new(), Arc::new(Mutex::new(BTreeSet::new())));
    let recorder = Arc::new(Recorder { inner: sql, seen: seen.clone() });
    let said = Server::start(recorder, &folder).await.day().await;
    let statements = seen.lock().unwrap().clone();
    (said, statements)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_day_on_both_engines_ends_alike() {
    let folder = TempFolder::new();
    let (sqlite, of_sqlite) = day_on(Arc::new(Sqlite::open(&folder.path().join("store.db")).unwrap())).await;
    let server = postgres::shared();
    let url = server.socket_url(&server.database().await);
    let database = Postgres::open(&Database::parse(&url).unwrap()).await.unwrap();
    let (postgres, of_postgres) = day_on(Arc::new(database)).await;
    assert_eq!(postgres, sqlite);
    assert_eq!(of_postgres, of_sqlite);
    // The day is worth something only if it meets the whole store.
    assert!(of_sqlite.len() >= 60, "{} statements", of_sqlite.len());
    let expected = ["reconnect_required", "misconfigured", "unavailable", "needs_target", "{\"ok\":true}"];
    for outcome in expected {
        assert!(sqlite.iter().any(|said| said == outcome), "{outcome}: {sqlite:#?}");
    }
}
