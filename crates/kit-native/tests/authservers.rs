//! Refresh against authorization servers that nobody here wrote, over real sockets: one that rotates refresh tokens and ends
//! a family whose used token comes again (npm oidc-provider), and one that fails as it is told (npm oauth2-mock-server).
//!
//! Needs `scripts/setup`; `MCPKIT_NODE` and `MCPKIT_AUTHSERVERS` say what it installed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::error::ErrorKind;
use kit::inbound::{Environment, TenantCtx};
use kit::limit::memory::MemoryLimits;
use kit::operator::NewConnection;
use kit::pipeline::{Bounds, Caller, Failure};
use kit::ports::Clock;
use kit::prelude::*;
use kit::registry::IntegrationSettings;
use kit::store::connections::ConnectionState;
use kit::tenant::TenantId;
use kit::upstream::refresh::Timing;
use kit::vault::kek::LocalKeks;
use kit_native::clock::{SystemClock, SystemRng, TokioTime};
use kit_native::egress::Egress;
use kit_native::log::LogTelemetry;
use kit_native::send::NetworkSend;
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;
use serde_json::Map;

const HOUR_MS: i64 = 3_600_000;

const PROVIDER: Provider = Provider {
    id: "real",
    title: "Real",
    base_url: "https://api.test",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth { token_url: "https://auth.test/token", ..OAuth::STANDARD },
        header: "Authorization",
        prefix: "Bearer ",
    },
    headers: &[("Accept", "application/json")],
    ..Provider::PLAIN
};

/// A server of Node's, ended with the test.
struct Server {
    child: Child,
    said: Value,
}

impl Server {
    fn start(script: &str) -> Self {
        let need = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/setup"));
        let script = std::path::Path::new(&need("MCPKIT_AUTHSERVERS")).join(script);
        let mut command = Command::new(need("MCPKIT_NODE"));
        let mut child = command.arg(script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, said: serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server does not start")) }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.said["url"].as_str().unwrap())
    }

    async fn ask(&self, path: &str) -> String {
        reqwest::get(self.url(path)).await.unwrap().text().await.unwrap()
    }

    /// Refreshes by hand; the status, and the answer.
    async fn refresh(&self, token: &str) -> (u16, Value) {
        let body = format!("grant_type=refresh_token&client_id=kit&client_secret=kit-secret&refresh_token={token}");
        let request = reqwest::Client::new()
            .post(self.url("/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The machine's clocks, moved on by hand.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn wall_ms(&self) -> i64 {
        SystemClock.wall_ms() + self.0.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        SystemClock.monotonic_us() + self.0.load(Ordering::SeqCst) * 1_000
    }
}

async fn me(call: Call, _: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    call.upstream().get("/").json().await
}

struct World {
    server: Server,
    clock: Arc<Ahead>,
    kit: Arc<Kit>,
    tenant: TenantCtx,
    _folder: TempFolder,
}

impl World {
    /// A kit whose upstream is the server that `script` starts, and a tenant with the refresh token `token`.
    async fn new(script: &str, token: Option<&str>) -> Self {
        let (server, clock, folder) = (Server::start(script), Arc::new(Ahead::default()), TempFolder::new());
        let url = |name: &str| Some(url::Url::parse(&server.url(server.said[name].as_str().unwrap())).unwrap());
        let settings =
            IntegrationSettings { base_url: url("api"), token_url: url("token"), ..IntegrationSettings::default() };
        let ports = Ports {
            clock: clock.clone(),
            sleep: Arc::new(TokioTime),
            spawn: Arc::new(TokioTime),
            rng: Arc::new(SystemRng),
            sql: Arc::new(Sqlite::open(&folder.path().join("store.db")).unwrap()),
            kek: Arc::new(LocalKeks::parse(b"0123456789abcdefghijklmnopqrstuv", Arc::new(SystemRng)).unwrap()),
            send: Some(Arc::new(NetworkSend::new(Egress { loopback: true, ..Egress::default() }))),
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
            integrations: [("real".to_owned(), settings)].into(),
        };
        let tools = Tools::new().read("me", "Whose token it is.", me);
        let app = App::new("acme", "0.0.0").integration("real", Integration::new(PROVIDER).tools(tools));
        let kit = Arc::new(boot(&app, ports, options).await.unwrap());
        let operator = &kit.operator;
        operator.app_set("real", None, "kit", Secret::from("kit-secret")).await.unwrap();
        operator.tenant_add("a").await.unwrap();
        let minted = match token {
            Some(token) => token.to_owned(),
            None => server.ask("/test/mint").await,
        };
        operator.connection_set(NewConnection::new("a", "real", Secret::from(minted.as_str()))).await.unwrap();
        let tenant = kit.authenticator.local(&TenantId::parse("a").unwrap()).await.unwrap();
        Self { server, clock, kit, tenant, _folder: folder }
    }

    async fn call(&self) -> Result<Value, ToolError> {
        call(&self.kit, &self.tenant).await
    }

    async fn state(&self) -> ConnectionState {
        self.kit.operator.connection_list("a").await.unwrap()[0].state
    }
}

async fn call(kit: &Kit, tenant: &TenantCtx) -> Result<Value, ToolError> {
    match kit.pipeline.tool(tenant, "real_me", json!({}), Caller::patient()).await {
        Ok(answer) => Ok(answer.value),
        Err(Failure::Tool(error)) => Err(error),
        Err(failure) => panic!("{failure:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/test runs it once scripts/setup has installed the servers"]
async fn real_fifty_calls_at_once_make_one_token_request_each_time_a_token_has_ended() {
    let world = World::new("oidc.mjs", None).await;
    for round in 1..=4 {
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let (kit, tenant) = (world.kit.clone(), world.tenant.clone());
                tokio::spawn(async move { call(&kit, &tenant).await })
            })
            .collect();
        for one in calls {
            assert_eq!(one.await.unwrap().unwrap(), json!({"sub": "somebody"}));
        }
        assert_eq!(world.server.ask("/test/count").await, round.to_string());
        world.clock.0.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
    }
}

/// What makes the test above worth something: this server really ends a family whose used token comes again.
#[tokio::test]
#[ignore = "scripts/test runs it once scripts/setup has installed the servers"]
async fn real_a_used_refresh_token_ends_its_family_here() {
    let server = Server::start("oidc.mjs");
    let first = server.ask("/test/mint").await;
    let (status, answer) = server.refresh(&first).await;
    assert_eq!(status, 200, "{answer}");
    let newest = answer["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(newest, first);
    for token in [&first, &newest] {
        let (status, answer) = server.refresh(token).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
    }
}

#[tokio::test]
#[ignore = "scripts/test runs it once scripts/setup has installed the servers"]
async fn real_a_family_that_was_ended_asks_for_a_person() {
    let world = World::new("oidc.mjs", None).await;
    let stolen = world.server.ask("/test/mint").await;
    world.kit.operator.connection_set(NewConnection::new("a", "real", Secret::from(stolen.as_str()))).await.unwrap();
    assert!(world.call().await.is_ok());
    // Somebody who has the first token uses it again.
    assert_eq!(world.server.refresh(&stolen).await.0, 400);
    world.clock.0.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
    assert_eq!(world.call().await.unwrap_err().kind(), ErrorKind::ReconnectRequired);
    assert_eq!(world.state().await, ConnectionState::NeedsReconnect);
    let asked = world.server.ask("/test/count").await;
    assert_eq!(world.call().await.unwrap_err().kind(), ErrorKind::ReconnectRequired);
    assert_eq!(world.server.ask("/test/count").await, asked);
}

#[tokio::test]
#[ignore = "scripts/test runs it once scripts/setup has installed the servers"]
async fn real_a_wrong_client_secret_is_the_owners_fault_and_costs_no_token() {
    let world = World::new("oidc.mjs", None).await;
    world.kit.operator.app_set("real", None, "kit", Secret::from("wrong")).await.unwrap();
    assert_eq!(world.call().await.unwrap_err().kind(), ErrorKind::Misconfigured);
    assert_eq!(world.state().await, ConnectionState::Misconfigured);
    world.kit.operator.app_set("real", None, "kit", Secret::from("kit-secret")).await.unwrap();
    assert_eq!(world.call().await.unwrap(), json!({"sub": "somebody"}));
}

#[tokio::test]
#[ignore = "scripts/test runs it once scripts/setup has installed the servers"]
async fn real_a_server_that_fails_as_it_is_told_costs_no_credential() {
    let world = World::new("mock.mjs", Some("any")).await;
    let control = world.server.said["control"].as_str().unwrap().to_owned();
    let troubles = [
        json!({"status": 500, "body": {"error": "server_error"}}),
        json!({"status": 503, "body": "<html>busy</html>"}),
        json!({"status": 200, "body": "<html>fine</html>"}),
        json!({"status": 200, "body": {}}),
        json!({"status": 200, "body": {"access_token": ""}}),
        json!({"status": 429, "body": {}}),
    ];
    for trouble in troubles {
        let told = reqwest::Client::new().post(&control).body(trouble.to_string()).send().await.unwrap();
        assert!(told.status().is_success());
        assert_eq!(world.call().await.unwrap_err().kind(), ErrorKind::Unavailable, "{trouble}");
        assert_eq!(world.state().await, ConnectionState::Active, "{trouble}");
        // After the pause that a failure asks for.
        world.clock.0.fetch_add(400_000, Ordering::SeqCst);
    }
    assert!(world.call().await.is_ok());
    let told = json!({"status": 400, "body": {"error": "invalid_grant"}});
    reqwest::Client::new().post(&control).body(told.to_string()).send().await.unwrap();
    world.clock.0.fetch_add(2 * HOUR_MS, Ordering::SeqCst);
    assert_eq!(world.call().await.unwrap_err().kind(), ErrorKind::ReconnectRequired);
}
