//! An authorization server with rotation and family revocation, and an API behind it, on loopback. It remembers when each
//! refresh token was in use, so that a test can tell whether two processes ever used one at the same time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub const CLIENT_ID: &str = "replicas";
pub const CLIENT_SECRET: &str = "replicas-secret";

/// One use of one refresh token.
#[derive(Clone, Debug)]
pub struct Use {
    pub family: String,
    pub token: String,
    pub began: Instant,
    pub ended: Instant,
}

#[derive(Default)]
struct Inner {
    /// Family by refresh token, and whether the token was used.
    refresh: HashMap<String, (String, bool)>,
    /// Family by access token.
    access: HashMap<String, String>,
    revoked: Vec<String>,
    uses: Vec<Use>,
    /// Requests that have arrived.
    arrived: HashMap<String, usize>,
    /// How long an answer to a family takes.
    delay: HashMap<String, Duration>,
    issued: usize,
}

/// A running authority.
#[derive(Clone)]
pub struct Authority {
    inner: Arc<Mutex<Inner>>,
    pub address: SocketAddr,
}

impl Authority {
    /// Starts one on `runtime`.
    pub fn start(runtime: &Runtime) -> Self {
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let router = Router::new().route("/token", post(token)).route("/v1/me", get(me)).with_state(inner.clone());
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move { axum::serve(listener, router).await });
            address
        });
        Self { inner, address }
    }

    /// Begins a family and returns its first refresh token.
    pub fn family(&self, name: &str) -> String {
        let token = format!("{name}-refresh-0");
        self.inner.lock().unwrap().refresh.insert(token.clone(), (name.to_owned(), false));
        token
    }

    /// Answers to this family take `delay` from now on. The work is done at their beginning.
    pub fn delay(&self, family: &str, delay: Duration) {
        self.inner.lock().unwrap().delay.insert(family.to_owned(), delay);
    }

    /// Waits until a request of `family` has arrived.
    pub fn wait_for(&self, family: &str) {
        while !self.inner.lock().unwrap().arrived.contains_key(family) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All uses of refresh tokens of `family`, in order.
    pub fn uses(&self, family: &str) -> Vec<Use> {
        self.inner.lock().unwrap().uses.iter().filter(|one| one.family == family).cloned().collect()
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

async fn token(State(inner): State<Arc<Mutex<Inner>>>, body: String) -> Response {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let no = |status: StatusCode, error: &str| answer(status, &json!({"error": error}));
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if (field("client_id"), field("client_secret")) != (CLIENT_ID, CLIENT_SECRET) {
        return no(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let (began, presented) = (Instant::now(), field("refresh_token").to_owned());
    let (decided, family, delay) = decide(&mut inner.lock().unwrap(), &presented);
    // In a task of its own: a client that leaves does not undo what was done for it.
    let done = tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        inner.lock().unwrap().uses.push(Use { family, token: presented, began, ended: Instant::now() });
    });
    let _ = done.await;
    match decided {
        Ok(tokens) => answer(StatusCode::OK, &tokens),
        Err(()) => no(StatusCode::BAD_REQUEST, "invalid_grant"),
    }
}

fn decide(inner: &mut Inner, presented: &str) -> (Result<Value, ()>, String, Duration) {
    let Some((family, used)) = inner.refresh.get(presented).cloned() else {
        return (Err(()), String::new(), Duration::ZERO);
    };
    let delay = inner.delay.get(&family).copied().unwrap_or_default();
    *inner.arrived.entry(family.clone()).or_default() += 1;
    if used && !inner.revoked.contains(&family) {
        inner.revoked.push(family.clone());
    }
    if inner.revoked.contains(&family) {
        return (Err(()), family, delay);
    }
    inner.issued += 1;
    let (access, refresh) = (format!("{family}-access-{}", inner.issued), format!("{family}-refresh-{}", inner.issued));
    inner.refresh.insert(presented.to_owned(), (family.clone(), true));
    inner.refresh.insert(refresh.clone(), (family.clone(), false));
    inner.access.insert(access.clone(), family.clone());
    let answer = json!({"access_token": access, "refresh_token": refresh, "expires_in": 3_600});
    (Ok(answer), family, delay)
}

async fn me(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap) -> Response {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = bearer.strip_prefix("Bearer ").unwrap_or_default();
    let inner = inner.lock().unwrap();
    match inner.access.get(token).filter(|family| !inner.revoked.contains(family)) {
        Some(family) => answer(StatusCode::OK, &json!({"family": family})),
        None => answer(StatusCode::UNAUTHORIZED, &json!({"error": "unauthorized"})),
    }
}
