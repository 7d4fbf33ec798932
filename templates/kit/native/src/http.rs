// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The HTTP edge: authentication, health, and the drain at the end. Everything about the protocol itself is behind
//! `/mcp`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use kit::boot::Kit;
use kit::connect::web;
use kit::inbound::AuthError;
use kit::ports::BoxFuture;
use kit::vault::VaultError;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::accept;
use crate::doorkeeper::Doorkeeper;
use crate::failure::Hinted;
use crate::mcp::{McpServer, Who};
use crate::settings::Settings;
use crate::stand_in;

/// Path of the MCP endpoint.
pub const PATH: &str = "/mcp";

/// Where `dev` has the stand-ins for upstreams, consent pages included.
const STAND_INS: &str = "/sandbox";

/// Readiness is answered within this, store or no store. It asks no keeper of a key: while one is down, calls go on.
const READY_TIMEOUT: Duration = Duration::from_secs(1);

/// What every request needs. Behind one `Arc`: a layer around the protocol's service would clone that service, its lists
/// of hosts and origins included, for each request.
struct Edge {
    kit: Arc<Kit>,
    mcp: StreamableHttpService<McpServer, NeverSessionManager>,
    draining: Arc<AtomicBool>,
    doorkeeper: Arc<Doorkeeper>,
}

/// Everything behind the listener. The endpoint of the protocol is taken before the router, whose generality costs
/// each request several allocations; the router has the rest.
#[derive(Clone)]
struct Front {
    edge: Arc<Edge>,
    rest: Router,
    peer: IpAddr,
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() == PATH {
            let (edge, peer) = (self.edge.clone(), self.peer);
            Box::pin(async move { Ok(edge.answer(request, peer).await) })
        } else {
            Box::pin(self.rest.clone().call(request.map(Body::new)))
        }
    }
}

/// A server that is about to listen.
pub struct Http {
    front: Front,
    draining: Arc<AtomicBool>,
    protocol: CancellationToken,
    grace: Duration,
    drain: Duration,
}

impl Http {
    /// The routes over `kit`. `bind` is the address it will listen on: its own loopback names are always accepted.
    pub fn new(kit: Arc<Kit>, settings: &Settings) -> Self {
        let (draining, protocol) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        let server = McpServer::new(kit.clone(), Who::Verified);
        let (hosts, origins) = allowed(settings);
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_sse_keep_alive(Some(Duration::from_secs(15)))
            .with_max_request_body_bytes(settings.max_body_bytes)
            .with_allowed_hosts(hosts)
            .with_allowed_origins(origins)
            .enforce_origin_validation()
            .with_cancellation_token(protocol.child_token());
        let mcp =
            StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
        let doorkeeper = Arc::new(Doorkeeper::new(&settings.per_address));
        let edge = Arc::new(Edge { kit, mcp, draining: draining.clone(), doorkeeper });
        let rest = Router::new()
            .route("/health/live", get(|| async { "live\n" }))
            .route("/health/ready", get(ready))
            .route("/connect/{*path}", get(connect_page).post(connect_page))
            .layer(DefaultBodyLimit::max(web::MAX_FORM_BYTES))
            .with_state(edge.clone());
        let rest = match &edge.kit.sandboxes {
            Some(sandboxes) => rest.nest(STAND_INS, stand_in::routes(sandboxes.clone())),
            None => rest,
        };
        let front = Front { edge, rest, peer: Ipv4Addr::UNSPECIFIED.into() };
        Self { front, draining, protocol, grace: settings.grace, drain: settings.drain }
    }

    /// Whether it is about to end.
    pub(crate) fn draining(&self) -> Arc<AtomicBool> {
        self.draining.clone()
    }

    /// Who counts requests by address.
    pub(crate) fn doorkeeper(&self) -> Arc<Doorkeeper> {
        self.front.edge.doorkeeper.clone()
    }

    /// Serves until `stop` completes, then drains: not ready → still accepting for the grace period → no new
    /// connections, calls in flight finish → the protocol's streams end. The last step comes last because ending them
    /// earlier turns answers in flight into errors.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let (draining, grace) = (self.draining, self.grace);
        let (closing, closed) = tokio::sync::oneshot::channel::<()>();
        let close = async move {
            stop.await;
            tracing::info!("draining");
            draining.store(true, Ordering::Relaxed);
            tokio::time::sleep(grace).await;
            let _ = closing.send(());
        };
        let (protocol, drain) = (self.protocol, self.drain);
        let overdue = async move {
            if closed.await.is_ok() {
                tokio::time::sleep(drain).await;
                protocol.cancel();
                // What has not ended by now is a client that does not read.
                tokio::time::sleep(Duration::from_secs(1)).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            result = accept::serve(listener, |peer| Front { peer: peer.ip(), ..self.front.clone() }, close) => result,
            () = overdue => Ok(()),
        }
    }
}

/// Host names and origins under which the server answers: loopback, its public URL, and what the owner added.
fn allowed(settings: &Settings) -> (Vec<String>, Vec<String>) {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
    let mut origins: Vec<String> = Vec::new();
    if settings.bind.ip().is_loopback() {
        origins.extend(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"].map(str::to_owned));
    }
    if let Some(url) = &settings.public_url {
        hosts.extend(url.host_str().map(str::to_owned));
        let port = url.port_or_known_default().unwrap_or(443);
        origins.extend(url.host_str().map(|host| format!("{}://{host}:{port}", url.scheme())));
    }
    hosts.extend(settings.allowed_hosts.iter().cloned());
    origins.extend(settings.allowed_origins.iter().cloned());
    (hosts, origins)
}

impl Edge {
    /// Verifies the caller and hands the request to the protocol. Before anything is verified, the address has its limit.
    async fn answer(&self, mut request: Request<Incoming>, peer: IpAddr) -> Response {
        let now_us = self.kit.clock.monotonic_us();
        let caller = self.doorkeeper.caller(peer, request.headers());
        if let Some(refused) = self.doorkeeper.refuse(&caller, now_us) {
            return refused;
        }
        let presented = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let verified = match presented {
            Some(key) => self.kit.authenticator.api_key(key).await,
            None => Err(AuthError::Missing),
        };
        let mut response = match verified {
            Ok(tenant) => {
                // Nothing below needs the key any more, so nothing below can log it.
                request.headers_mut().remove(header::AUTHORIZATION);
                request.extensions_mut().insert(tenant);
                self.mcp.handle(request).await.map(Body::new)
            }
            Err(error) => {
                self.doorkeeper.turned_away(&caller, now_us);
                turned_away(error)
            }
        };
        // While draining, each answer asks its client to open a new connection, which then reaches another replica. A
        // client that kept the old one would meet its end with a request half sent.
        if self.draining.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The outside learns whether to send a key, to get a new one, or to come back; never which part was wrong.
fn turned_away(error: AuthError) -> Response {
    let status = match error {
        AuthError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNAUTHORIZED,
    };
    tracing::info!(reason = %error, "turned away");
    let mut response = status.into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = match error {
            AuthError::Missing => "Bearer",
            _ => "Bearer error=\"invalid_token\"",
        };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

async fn ready(State(edge): State<Arc<Edge>>) -> Response {
    if edge.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    match tokio::time::timeout(READY_TIMEOUT, edge.kit.vault.ready()).await {
        Ok(Ok(())) => (StatusCode::OK, "ready\n").into_response(),
        Ok(Err(VaultError::NotLoaded)) => {
            (StatusCode::SERVICE_UNAVAILABLE, "a key-encryption key is not loaded\n").into_response()
        }
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n").into_response(),
    }
}

/// The pages by which people connect accounts. Hosts are checked here as the protocol library checks its own: the links that
/// these pages give lead to the address that was configured, whatever a request says.
async fn connect_page(
    State(edge): State<Arc<Edge>>,
    method: Method,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    form: Bytes,
) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = web::Asked {
        post: method == Method::POST,
        path: &path,
        query: query.as_deref().unwrap_or_default(),
        cookie: text(header::COOKIE),
        form: &form,
    };
    let reply = edge.kit.connector.answer(&asked).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Binds `address`, with the command that frees it in the error.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let hinted = || {
        Hinted::new(format!("failed to listen on {address}"), "choose another port, or see who has it with `ss -ltnp`")
    };
    TcpListener::bind(address).await.with_context(hinted)
}
