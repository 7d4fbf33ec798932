// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The admin API: JSON for the operator, about the process that serves, on a listener of its own. What tenants reach has
//! none of it. The commands that need a running server are its client ([`client`]); each route calls one function.

pub(crate) mod client;
mod listener;
mod reload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kit::boot::Kit;
use kit::operator::OperatorError;
use kit::secret::Secret;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;

use listener::Listener;
pub(crate) use reload::Reload;

use crate::failure::Hinted;
use crate::settings::AdminListen;
use crate::telemetry::Reporting;

/// What the operator can reach of a serving process.
pub(crate) struct Admin {
    pub(crate) kit: Arc<Kit>,
    pub(crate) draining: Arc<AtomicBool>,
    pub(crate) reload: Reload,
    pub(crate) reporting: Arc<Reporting>,
    /// Told when the operator asks for the end.
    pub(crate) drain: Arc<Notify>,
}

/// An admin API that answers. It ends when this is dropped.
pub(crate) struct Answering {
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Begins to answer on `listen`, and to follow SIGHUP.
pub(crate) async fn start(admin: Admin, listen: &AdminListen) -> anyhow::Result<Answering> {
    let admin = Arc::new(admin);
    let mut tasks = Vec::new();
    #[cfg(unix)]
    tasks.push(tokio::spawn(reload::on_hangup(admin.clone())));
    match Listener::bind(listen).await {
        Ok(Some(listener)) => {
            tracing::info!(address = %listen, "answering the operator");
            let routes = routes(admin, listener.token().cloned());
            tasks.push(tokio::spawn(async move { listener.serve(routes).await }));
        }
        Ok(None) => {}
        Err(error) if matches!(listen, AdminListen::Unix { chosen: false, .. }) => {
            let reason = format!("{error:#}");
            tracing::warn!(reason, "nobody answers the operator; choose where in `admin.listen`, or say none there");
        }
        Err(error) => return Err(error),
    }
    Ok(Answering { tasks })
}

fn routes(admin: Arc<Admin>, token: Option<Secret>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/limits/{tenant}", get(limits))
        .route("/breakers", get(breakers))
        .route("/metrics", get(metrics))
        .route("/reload", post(reload))
        .route("/drain", post(drain))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "there is nothing of that name", None) })
        .layer(middleware::from_fn_with_state(Arc::new(token), entitled))
        .with_state(admin)
}

/// Lets in whoever shows the token, where there is one; a socket has the rights of its file instead. What a browser sends by
/// itself is turned away: its pages are other people's.
async fn entitled(State(token): State<Arc<Option<Secret>>>, request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        return refused(StatusCode::FORBIDDEN, "this is not for web pages", None);
    }
    if let Some(token) = &*token {
        let shown =
            request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        if !shown.is_some_and(|shown| token.equals(shown)) {
            return refused(StatusCode::UNAUTHORIZED, "the token is missing or wrong", None);
        }
    }
    next.run(request).await
}

#[derive(Serialize)]
struct Status {
    name: &'static str,
    version: &'static str,
    /// Whether it is about to end.
    draining: bool,
    /// Calls under way.
    in_flight: u32,
}

async fn status(State(admin): State<Arc<Admin>>) -> Response {
    let registry = &admin.kit.registry;
    answer(&Status {
        name: registry.name,
        version: registry.version,
        draining: admin.draining.load(Ordering::Relaxed),
        in_flight: admin.kit.traffic.in_flight(),
    })
}

async fn limits(State(admin): State<Arc<Admin>>, Path(tenant): Path<String>) -> Response {
    match admin.kit.operator.limits_show(&tenant).await {
        Ok(standing) => answer(&standing),
        Err(error) => failed(&error),
    }
}

async fn breakers(State(admin): State<Arc<Admin>>) -> Response {
    answer(&admin.kit.operator.limits_breakers())
}

/// For Prometheus, or whatever reads its format.
async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.reporting.prometheus() {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        None => refused(StatusCode::NOT_FOUND, "this build counts nothing", Some("build it with the feature `otlp`")),
    }
}

async fn reload(State(admin): State<Arc<Admin>>) -> Response {
    match admin.reload.run(&admin.kit).await {
        Ok(applied) => answer(&json!({ "applied": applied })),
        Err(error) => {
            let hint = error.downcast_ref::<Hinted>().map(Hinted::hint);
            refused(StatusCode::UNPROCESSABLE_ENTITY, &format!("{error:#}"), hint)
        }
    }
}

async fn drain(State(admin): State<Arc<Admin>>) -> Response {
    admin.drain.notify_one();
    answer(&json!({ "in_flight": admin.kit.traffic.in_flight() }))
}

fn answer(value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], Body::from(body)).into_response()
}

fn failed(error: &OperatorError) -> Response {
    let status = match error {
        OperatorError::Refused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    refused(status, &error.to_string(), error.hint())
}

fn refused(status: StatusCode, message: &str, hint: Option<&str>) -> Response {
    let mut response = answer(&json!({ "error": { "message": message, "hint": hint } }));
    *response.status_mut() = status;
    response
}
