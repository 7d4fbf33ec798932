//! Keys that change while the server serves: two processes on one store and one key file, one that is under load and one
//! that rotates. No call fails, nothing that was sealed or hashed before stops being good, and a key that is still needed
//! cannot be taken away.
//!
//! `VAULT_ROUNDS` sets the rounds of the rotations under load (40).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::inbound::{Environment, TenantCtx};
use kit::limit::memory::MemoryLimits;
use kit::operator::NewConnection;
use kit::pipeline::{Bounds, Caller};
use kit::ports::{BoxFuture, Clock, HttpSend, SendError};
use kit::prelude::*;
use kit::upstream::refresh::Timing;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::kek_file::{self, FileKeks, Kind};
use kit_native::log::LogTelemetry;
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;
use serde_json::Map;

const PROVIDER: Provider = Provider {
    id: "crm",
    title: "CRM",
    base_url: "https://crm.test",
    auth: AuthShape::ApiKey { header: "X-Key", prefix: "" },
    throttle: Throttle::Silent,
    ..Provider::PLAIN
};

/// Its requests carry a proof that only the app's secret makes.
const META: Provider = Provider {
    id: "meta",
    title: "Meta",
    base_url: "https://meta.test",
    auth: AuthShape::SystemUser(SystemUser { header: "X-Key", prefix: "", proof_param: Some("proof"), exchange: None }),
    ..PROVIDER
};

const MINUTE_MS: i64 = 60_000;

/// A clock that all processes share and the test moves.
#[derive(Default)]
struct Shared(AtomicI64);

impl Clock for Shared {
    fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> i64 {
        // It also goes on by itself a little with each look, so that versions that follow it grow.
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Answers with the key it was sent.
struct Mirror;

impl HttpSend for Mirror {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        let key = request.header("x-key").unwrap_or_default().to_owned();
        let proof = request.query("proof");
        Box::pin(std::future::ready(Ok(HttpResponse::json(200, &json!({"key": key, "proof": proof})))))
    }
}

async fn me(call: Call, _: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    call.upstream().get("/me").json().await
}

/// One store, one key file, one clock.
struct Place {
    folder: TempFolder,
    clock: Arc<Shared>,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: TempFolder::new(), clock: Arc::default() };
        let key: Vec<u8> = (7..39).collect();
        use base64::Engine as _;
        let line = base64::engine::general_purpose::STANDARD.encode(key);
        kek_file::write_private(&place.kek(), format!("{line}\n").as_bytes()).unwrap();
        place
    }

    fn kek(&self) -> PathBuf {
        self.folder.path().join("kek")
    }

    /// A process that starts on it.
    async fn start(&self) -> Result<Kit, String> {
        self.start_with(&self.kek()).await
    }

    async fn start_with(&self, kek: &Path) -> Result<Kit, String> {
        let tools = || Tools::new().read("me", "Whose key it is.", me);
        let app = App::new("acme", "0.0.0")
            .integration("crm", Integration::new(PROVIDER).tools(tools()))
            .integration("meta", Integration::new(META).tools(tools()));
        let ports = Ports {
            clock: self.clock.clone(),
            sleep: Arc::new(TokioTime),
            spawn: Arc::new(TokioTime),
            rng: Arc::new(SystemRng),
            sql: Arc::new(Sqlite::open(&self.folder.path().join("store.db")).unwrap()),
            kek: Arc::new(FileKeks::open(kek, Kind::File).map_err(|error| format!("{error:#}"))?),
            send: Some(Arc::new(Mirror)),
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
        boot(&app, ports, options).await.map_err(|error| error.to_string())
    }
}

/// A tenant with a connection; its API key as text.
async fn tenant(kit: &Kit, name: &str) -> String {
    kit.operator.tenant_add(name).await.unwrap();
    let secret = Secret::from(format!("key-of-{name}").as_str());
    kit.operator.connection_set(NewConnection::new(name, "crm", secret)).await.unwrap();
    kit.operator.key_create(name, "test", None).await.unwrap().key.expose_str().unwrap().to_owned()
}

/// A whole call: the API key is verified, the record opened, the request signed.
async fn call(kit: &Kit, key: &str) -> Result<String, String> {
    let ctx: TenantCtx = kit.authenticator.api_key(key).await.map_err(|error| error.to_string())?;
    let answer = kit.pipeline.tool(&ctx, "crm_me", json!({}), Caller::patient()).await;
    let answer = answer.map_err(|failure| format!("{failure:?}"))?;
    let expected = format!("key-of-{}", ctx.tenant());
    let found = answer.value["key"].as_str().unwrap_or_default().to_owned();
    if found == expected { Ok(found) } else { Err(format!("`{found}` for `{expected}`")) }
}

fn rounds() -> usize {
    std::env::var("VAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// Calls from four tasks on `kit` until told to stop; says how many there were and which failed.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(kit: &Arc<Kit>, keys: &Arc<Vec<String>>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..4)
            .map(|first| {
                let (kit, keys, stop, done) = (kit.clone(), keys.clone(), stop.clone(), done.clone());
                tokio::spawn(async move {
                    let mut failed = Vec::new();
                    let mut next = first;
                    while !stop.load(Ordering::SeqCst) {
                        failed.extend(call(&kit, &keys[next % keys.len()]).await.err());
                        done.fetch_add(1, Ordering::SeqCst);
                        next += 1;
                        tokio::task::yield_now().await;
                    }
                    failed
                })
            })
            .collect();
        Self { stop, done, tasks }
    }

    /// Waits for `count` more calls.
    async fn goes_on(&self, count: usize) {
        let goal = self.done.load(Ordering::SeqCst) + count;
        while self.done.load(Ordering::SeqCst) < goal {
            tokio::task::yield_now().await;
        }
    }

    async fn failed(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failed = Vec::new();
        for task in self.tasks {
            failed.extend(task.await.unwrap());
        }
        failed
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_encryption_key_rotated_again_and_again_under_load_fails_no_call() {
    let place = Place::new();
    let (server, operator) = (Arc::new(place.start().await.unwrap()), place.start().await.unwrap());
    let mut keys = Vec::new();
    for number in 0..10 {
        keys.push(tenant(&operator, &format!("t{number}")).await);
    }
    let keys = Arc::new(keys);
    let load = Load::on(&server, &keys);
    let mut previous: Option<String> = None;
    for round in 0..rounds() {
        let old = operator.operator.vault_status().await.unwrap()[0].kek_id.clone();
        kek_file::add_key(&place.kek()).unwrap();
        let done = operator.operator.vault_rewrap(false).await.unwrap();
        assert!(done.deks >= 10 && done.server_keys >= 3 && done.altered.is_empty(), "round {round}: {done:?}");
        // The one before is taken away once nothing needs it; the server forgets the data keys it had opened.
        if let Some(gone) = previous.replace(old) {
            operator.operator.vault_removable(&gone).await.unwrap();
            kek_file::remove_key(&place.kek(), &gone).unwrap();
        }
        place.clock.0.fetch_add(11 * MINUTE_MS * 1_000, Ordering::SeqCst);
        // A tenant that comes while keys change is sealed under the newest.
        let fresh = tenant(&operator, &format!("fresh-{round}")).await;
        assert!(call(&server, &fresh).await.is_ok(), "round {round}");
        load.goes_on(40).await;
    }
    assert_eq!(load.failed().await, [""; 0]);
    // A process that starts now, with none of the first keys left, opens all of it.
    let third = place.start().await.unwrap();
    for key in keys.iter() {
        assert!(call(&third, key).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_key_replaced_again_and_again_under_load_fails_no_call() {
    let place = Place::new();
    let (server, operator) = (Arc::new(place.start().await.unwrap()), place.start().await.unwrap());
    let keys = Arc::new(vec![tenant(&operator, "a").await, tenant(&operator, "b").await]);
    let load = Load::on(&server, &keys);
    for round in 0..rounds() {
        let done = operator.operator.vault_rotate_dek("a").await.unwrap();
        assert_eq!((done.records, done.altered.len()), (1, 0), "round {round}");
        load.goes_on(20).await;
        // After this time no process holds a row that names the old one.
        place.clock.0.fetch_add(15_000_000, Ordering::SeqCst);
        load.goes_on(20).await;
        assert_eq!(operator.operator.vault_destroy_retired("a").await.unwrap().destroyed, 1, "round {round}");
    }
    assert_eq!(load.failed().await, [""; 0]);
}

#[tokio::test]
async fn an_apps_secret_outlives_the_data_key_it_was_sealed_under() {
    let place = Place::new();
    let kit = place.start().await.unwrap();
    let key = tenant(&kit, "a").await;
    kit.operator.app_set("meta", Some("a"), "id", Secret::from("app-secret-of-a")).await.unwrap();
    kit.operator.connection_set(NewConnection::new("a", "meta", Secret::from("token"))).await.unwrap();
    let ctx = kit.authenticator.api_key(&key).await.unwrap();
    let proof = kit::upstream::sign::proof(&Secret::from("app-secret-of-a"), &Secret::from("token"));
    for _ in 0..3 {
        let answer = kit.pipeline.tool(&ctx, "meta_me", json!({}), Caller::patient()).await.unwrap();
        assert_eq!(answer.value["proof"], proof.as_str());
        assert_eq!(kit.operator.vault_rotate_dek("a").await.unwrap().records, 3);
        assert_eq!(kit.operator.vault_destroy_retired("a").await.unwrap().destroyed, 1);
    }
}

/// What a file holds that is not a key, and what a stranger reads.
#[tokio::test]
async fn a_file_that_is_not_a_key_says_so_before_anything_is_opened() {
    let place = Place::new();
    let path = place.folder.path().join("other");
    for (content, expected) in [("", "32 bytes"), ("c2hvcnQ=\n", "32 bytes"), ("dev:AAAA\n", "was made by `dev`")] {
        kek_file::write_private(&path, content.as_bytes()).unwrap();
        let error = place.start_with(&path).await.err().unwrap();
        assert!(error.contains(expected) && error.contains(&path.display().to_string()), "{content:?}: {error}");
    }
    let error = place.start_with(&place.folder.path().join("missing")).await.err().unwrap();
    assert!(error.starts_with("failed to read"), "{error}");
}

#[tokio::test]
async fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    std::fs::set_permissions(place.kek(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = place.start().await.err().unwrap();
    assert!(error.contains("can be read by others"), "{error}");
}
