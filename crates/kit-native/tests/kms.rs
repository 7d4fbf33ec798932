//! Key-encryption keys that live elsewhere: Google Cloud KMS and Vault's transit engine, as stand-ins on loopback which check
//! the token, the authenticated data and the checksums as the real ones do, with real AES-GCM inside. What a keeper that is
//! down costs, and for how long the server goes on without it.
#![cfg(all(feature = "kms-gcp", feature = "kms-transit"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Spy, app};
use kit::boot::{Options, Ports, boot};
use kit::inbound::Environment;
use kit::limit::memory::MemoryLimits;
use kit::operator::NewConnection;
use kit::pipeline::Caller;
use kit::ports::{BoxFuture, Clock, HttpSend, KeyWrap, KeyWrapError, SendError};
use kit::prelude::*;
use kit::tenant::TenantId;
use kit::vault::kek::LocalKeks;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::kek_ring;
use kit_native::log::LogTelemetry;
use kit_native::settings::Settings;
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;

const NAME: &str = "projects/p/locations/l/keyRings/r/cryptoKeys/k";

/// A keeper of keys.
struct Keeper {
    keks: LocalKeks,
    /// The token that it takes now.
    token: Mutex<String>,
    /// Answers with this status instead, if it is not 0.
    trouble: AtomicU16,
    asked: AtomicUsize,
}

impl Keeper {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let keks = LocalKeks::parse(b"0123456789abcdefghijklmnopqrstuv", Arc::new(SystemRng)).unwrap();
        let (token, trouble, asked) = (Mutex::new("token-1".to_owned()), AtomicU16::new(0), AtomicUsize::new(0));
        let keeper = Arc::new(Self { keks, token, trouble, asked });
        let router = Router::new()
            .route("/computeMetadata/v1/instance/service-accounts/default/token", get(metadata))
            .route("/token", post(google_token))
            .route("/v1/transit/{verb}/orders", post(transit))
            .route("/v1/{*path}", post(kms))
            .with_state(keeper.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (keeper, address)
    }

    fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn in_trouble(&self) -> Option<Response> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let status = self.trouble.load(Ordering::SeqCst);
        (status != 0).then(|| (StatusCode::from_u16(status).unwrap(), "<html>trouble</html>").into_response())
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let json = [("content-type", "application/json")];
    (StatusCode::from_u16(status).unwrap(), json, body.to_string()).into_response()
}

async fn metadata(State(keeper): State<Arc<Keeper>>, headers: HeaderMap) -> Response {
    if headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
        return answer(403, &json!({}));
    }
    let token = keeper.token.lock().unwrap().clone();
    let body = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
    ([("metadata-flavor", "Google"), ("content-type", "application/json")], body.to_string()).into_response()
}

/// CRC-32C (Castagnoli).
/// The token endpoint of Google, for a user whose refresh token is the name of an access token.
async fn google_token(State(keeper): State<Arc<Keeper>>, body: String) -> Response {
    let form: std::collections::BTreeMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!((form["grant_type"].as_str(), form["client_id"].as_str()), ("refresh_token", "client"));
    if form["refresh_token"] != *keeper.token.lock().unwrap() {
        return answer(400, &json!({"error": "invalid_grant", "error_description": "Account has been deleted"}));
    }
    answer(200, &json!({"access_token": form["refresh_token"], "expires_in": 3_599, "token_type": "Bearer"}))
}

fn crc32c(bytes: &[u8]) -> String {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    (!crc).to_string()
}

async fn kms(
    State(keeper): State<Arc<Keeper>>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if let Some(trouble) = keeper.in_trouble() {
        return trouble;
    }
    let no = |code: u16, status: &str| answer(code, &json!({"error": {"code": code, "status": status, "message": ""}}));
    let expected = format!("Bearer {}", keeper.token.lock().unwrap());
    if headers.get("authorization").is_none_or(|token| token != expected.as_str()) {
        return no(401, "UNAUTHENTICATED");
    }
    let (name, verb) = path.rsplit_once(':').unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    let bytes = |field: &str| STANDARD.decode(body[field].as_str().unwrap()).unwrap();
    let whole = |field: &str| body[format!("{field}Crc32c")] == crc32c(&bytes(field)).as_str();
    let aad = bytes("additionalAuthenticatedData");
    if name != NAME {
        return no(404, "NOT_FOUND");
    }
    assert!(whole("additionalAuthenticatedData"));
    if verb == "encrypt" {
        assert!(whole("plaintext"));
        let sealed = keeper.keks.wrap(&aad, &Secret::new(bytes("plaintext"))).await.unwrap().text.into_bytes();
        return answer(
            200,
            &json!({"name": format!("{NAME}/cryptoKeyVersions/1"), "ciphertext": STANDARD.encode(&sealed),
            "ciphertextCrc32c": crc32c(&sealed), "verifiedPlaintextCrc32c": true,
            "verifiedAdditionalAuthenticatedDataCrc32c": true}),
        );
    }
    assert!(whole("ciphertext"));
    let sealed = String::from_utf8(bytes("ciphertext")).unwrap_or_default();
    match keeper.keks.unwrap(&keeper.keks.ids()[0], &aad, &sealed).await {
        Ok(plain) => {
            let (text, crc) = (STANDARD.encode(plain.expose()), crc32c(plain.expose()));
            answer(200, &json!({"plaintext": text, "plaintextCrc32c": crc}))
        }
        Err(_) => no(400, "INVALID_ARGUMENT"),
    }
}

async fn transit(
    State(keeper): State<Arc<Keeper>>,
    UrlPath(verb): UrlPath<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if let Some(trouble) = keeper.in_trouble() {
        return trouble;
    }
    let no = |status: u16, error: &str| answer(status, &json!({"errors": [error]}));
    if headers.get("x-vault-token").is_none_or(|token| token != keeper.token.lock().unwrap().as_str()) {
        return no(403, "permission denied");
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let bytes = |field: &str| STANDARD.decode(body[field].as_str().unwrap()).unwrap();
    let aad = bytes("associated_data");
    if verb == "encrypt" {
        let sealed = keeper.keks.wrap(&aad, &Secret::new(bytes("plaintext"))).await.unwrap().text;
        return answer(200, &json!({"data": {"ciphertext": format!("vault:v1:{sealed}")}}));
    }
    let sealed = body["ciphertext"].as_str().unwrap().trim_start_matches("vault:v1:");
    if sealed.is_empty() {
        return no(400, "missing ciphertext to decrypt");
    }
    match keeper.keks.unwrap(&keeper.keks.ids()[0], &aad, sealed).await {
        Ok(plain) => answer(200, &json!({"data": {"plaintext": STANDARD.encode(plain.expose())}})),
        Err(_) => no(400, "cipher: message authentication failed"),
    }
}

/// A clock that stands still until it is moved.
#[derive(Default)]
struct Still(AtomicI64);

impl Clock for Still {
    fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn settings(environment: &[(&str, String)]) -> Settings {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Settings::load_with(&app(&Spy::default()), Path::new("no-such-folder"), environment).unwrap()
}

fn gcp(address: SocketAddr) -> Settings {
    settings(&[
        ("MCP__VAULT__KEK", format!("gcp-kms:{NAME}")),
        ("MCP__VAULT__GCP_KMS_ENDPOINT", format!("http://{address}")),
        ("GCE_METADATA_HOST", address.to_string()),
    ])
}

fn vault(address: SocketAddr, token: &Path) -> Settings {
    settings(&[
        ("MCP__VAULT__KEK", format!("transit:http://{address}/v1/transit/keys/orders")),
        ("MCP__VAULT__TRANSIT_TOKEN_FILE", token.display().to_string()),
    ])
}

/// Everything that is asked of a keeper.
async fn keeps(ring: &dyn KeyWrap, id: &str) {
    let key = Secret::from("a data key of thirty-two bytes..");
    let wrapped = ring.wrap(b"purpose", &key).await.unwrap();
    assert_eq!(wrapped.kek_id, id);
    assert!(!wrapped.text.contains("data key"));
    assert_eq!(ring.unwrap(id, b"purpose", &wrapped.text).await.unwrap().expose(), key.expose());
    // Another tenant's, or altered.
    assert_eq!(ring.unwrap(id, b"another", &wrapped.text).await.err(), Some(KeyWrapError::Rejected));
    assert_eq!(ring.unwrap("gcp:other", b"purpose", &wrapped.text).await.err(), Some(KeyWrapError::NotLoaded));
}

#[tokio::test]
async fn cloud_kms_wraps_for_one_purpose_with_the_token_of_the_metadata_server() {
    let (keeper, address) = Keeper::start().await;
    let clock: Arc<dyn Clock> = Arc::new(Still::default());
    let ring = kek_ring::open(&gcp(address).vault, &clock).unwrap();
    keeps(&ring, &format!("gcp:{NAME}")).await;
    // The token was withdrawn before its time; the next one is fetched.
    *keeper.token.lock().unwrap() = "token-2".to_owned();
    keeps(&ring, &format!("gcp:{NAME}")).await;
}

/// Settings of a server that asks for tokens with the credentials in `file`.
fn gcp_with_file(address: SocketAddr, file: &Path) -> Settings {
    settings(&[
        ("MCP__VAULT__KEK", format!("gcp-kms:{NAME}")),
        ("MCP__VAULT__GCP_KMS_ENDPOINT", format!("http://{address}")),
        ("GOOGLE_APPLICATION_CREDENTIALS", file.display().to_string()),
    ])
}

fn user(token_uri: &str) -> String {
    json!({"type": "authorized_user", "client_id": "client", "client_secret": "s", "refresh_token": "token-1",
           "token_uri": token_uri})
    .to_string()
}

#[tokio::test]
async fn a_user_that_google_refuses_is_denied_and_not_waited_for() {
    let ((keeper, address), folder) = (Keeper::start().await, TempFolder::new());
    let file = folder.path().join("user.json");
    std::fs::write(&file, user(&format!("http://{address}/token"))).unwrap();
    let still = Arc::new(Still::default());
    let clock: Arc<dyn Clock> = still.clone();
    let ring = kek_ring::open(&gcp_with_file(address, &file).vault, &clock).unwrap();
    keeps(&ring, &format!("gcp:{NAME}")).await;
    *keeper.token.lock().unwrap() = "token-2".to_owned();
    still.0.store(3_600_000_000, Ordering::SeqCst);
    assert_eq!(ring.wrap(b"purpose", &Secret::from("k")).await.err(), Some(KeyWrapError::Denied));
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What signs for us goes to nobody in the clear: not at boot, and not when the file is another one later.
#[tokio::test]
async fn credentials_are_sent_to_no_address_without_tls() {
    let ((keeper, address), folder) = (Keeper::start().await, TempFolder::new());
    let file = folder.path().join("user.json");
    let clear = "http://token.test/token";
    std::fs::write(&file, user(clear)).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Still::default());
    let refused = kek_ring::open(&gcp_with_file(address, &file).vault, &clock).err().unwrap();
    let expected = format!("`token_uri` in `{}` is no https:// address", file.display());
    assert!(format!("{refused:#}").contains(&expected), "{refused:#}");

    std::fs::write(&file, user(&format!("http://{address}/token"))).unwrap();
    let ring = kek_ring::open(&gcp_with_file(address, &file).vault, &clock).unwrap();
    std::fs::write(&file, user(clear)).unwrap();
    let before = keeper.count();
    // That it was refused, and not merely out of reach, is in the log.
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let logging = tracing::subscriber::set_default(subscriber);
    assert_eq!(ring.wrap(b"purpose", &Secret::from("k")).await.err(), Some(KeyWrapError::Unavailable));
    drop(logging);
    assert_eq!(keeper.count(), before);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("is no https:// address"), "{logged}");
}

#[tokio::test]
async fn a_transit_engine_wraps_for_one_purpose_with_the_token_of_a_file() {
    let ((keeper, address), folder) = (Keeper::start().await, TempFolder::new());
    let file = folder.path().join("token");
    std::fs::write(&file, "token-1\n").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Still::default());
    let ring = kek_ring::open(&vault(address, &file).vault, &clock).unwrap();
    let id = format!("transit:http://{address}/v1/transit/keys/orders");
    keeps(&ring, &id).await;
    // A row that somebody has emptied is an altered row.
    assert_eq!(ring.unwrap(&id, b"purpose", "").await.err(), Some(KeyWrapError::Rejected));
    // An agent has put another one there.
    *keeper.token.lock().unwrap() = "token-2".to_owned();
    std::fs::write(&file, "token-2\n").unwrap();
    keeps(&ring, &id).await;
}

#[tokio::test]
async fn a_keeper_that_fails_is_asked_once_a_second_and_never_believed_about_a_key() {
    let ((keeper, address), folder) = (Keeper::start().await, TempFolder::new());
    let file = folder.path().join("token");
    std::fs::write(&file, "token-1").unwrap();
    for settings in [gcp(address), vault(address, &file)] {
        keeper.trouble.store(0, Ordering::SeqCst);
        let still = Arc::new(Still::default());
        let clock: Arc<dyn Clock> = still.clone();
        let ring = kek_ring::open(&settings.vault, &clock).unwrap();
        let key = Secret::from("a data key of thirty-two bytes..");
        let wrapped = ring.wrap(b"purpose", &key).await.unwrap();
        for status in [400, 403, 404, 429, 500, 503] {
            keeper.trouble.store(status, Ordering::SeqCst);
            let before = keeper.count();
            for _ in 0..10 {
                let answer = ring.unwrap(&wrapped.kek_id, b"purpose", &wrapped.text).await;
                assert_eq!(answer.err(), Some(KeyWrapError::Unavailable), "{status}");
            }
            assert_eq!(keeper.count() - before, 1, "{status}");
            still.0.fetch_add(1_100_000, Ordering::SeqCst);
        }
        keeper.trouble.store(0, Ordering::SeqCst);
        assert!(ring.unwrap(&wrapped.kek_id, b"purpose", &wrapped.text).await.is_ok());
    }
}

#[tokio::test]
async fn a_keeper_that_is_not_there_is_unavailable() {
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(Still::default());
    let ring = kek_ring::open(&gcp(nobody).vault, &clock).unwrap();
    assert_eq!(ring.wrap(b"purpose", &Secret::from("k")).await.err(), Some(KeyWrapError::Unavailable));
}

/// A server whose key-encryption key is at a keeper that goes away: it serves on with the data keys it has opened, until the
/// grace is over, and says then what is wrong.
#[tokio::test]
async fn a_server_outlives_its_keeper_for_the_grace_and_no_longer() {
    let ((keeper, address), folder) = (Keeper::start().await, TempFolder::new());
    let file = folder.path().join("token");
    std::fs::write(&file, "token-1").unwrap();
    let (still, upstream) = (Arc::new(Still::default()), Spy::default());
    let clock: Arc<dyn Clock> = still.clone();
    let ports = Ports {
        clock: clock.clone(),
        sleep: Arc::new(TokioTime),
        spawn: Arc::new(TokioTime),
        rng: Arc::new(SystemRng),
        sql: Arc::new(Sqlite::open(&folder.path().join("store.db")).unwrap()),
        kek: Arc::new(kek_ring::open(&vault(address, &file).vault, &clock).unwrap()),
        send: Some(Arc::new(Direct(upstream.clone()))),
        limits: Arc::new(MemoryLimits::default()),
        telemetry: Arc::new(LogTelemetry),
        spill: None,
    };
    let settings = vault(address, &file);
    let options = Options {
        environment: Environment::Live,
        migrate: true,
        bounds: settings.bounds,
        rules: kit::limit::traffic::Rules::default(),
        max_upstream_bytes: settings.max_upstream_bytes,
        kms_grace: Duration::from_secs(3_600),
        public_url: None,
        breakers: kit::breaker::LevelSettings::default(),
        ledger: kit::ledger::LedgerOptions::default(),
        refresh: settings.refresh,
        integrations: settings.integrations.clone(),
    };
    let kit = boot(&app(&upstream), ports, options).await.unwrap();
    kit.operator.tenant_add("acme").await.unwrap();
    kit.operator.connection_set(NewConnection::new("acme", "crm", Secret::from("key-of-acme"))).await.unwrap();
    let tenant = kit.authenticator.local(&TenantId::parse("acme").unwrap()).await.unwrap();
    let call = || async {
        let answer = kit.pipeline.tool(&tenant, "crm_me", json!({}), Caller::patient()).await;
        answer.map(|answer| answer.value).map_err(|failure| format!("{failure:?}"))
    };
    assert_eq!(call().await, Ok(json!({"ok": true})));
    keeper.trouble.store(503, Ordering::SeqCst);
    for minutes in [5, 15, 59] {
        still.0.store(minutes * 60_000_000, Ordering::SeqCst);
        assert_eq!(call().await, Ok(json!({"ok": true})), "{minutes} minutes");
    }
    still.0.store(61 * 60_000_000, Ordering::SeqCst);
    assert!(call().await.unwrap_err().contains("the vault does not answer"));
    assert_eq!(upstream.keys().len(), 4);
    keeper.trouble.store(0, Ordering::SeqCst);
    still.0.store(62 * 60_000_000, Ordering::SeqCst);
    assert_eq!(call().await, Ok(json!({"ok": true})));
}

/// The upstream that remembers, without sandboxes around it.
struct Direct(Spy);

impl HttpSend for Direct {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        Box::pin(std::future::ready(Ok(self.0.handle(&request))))
    }
}
