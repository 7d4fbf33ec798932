// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The sandboxes on a socket, for `dev` alone: a browser meets their consent pages here, and other programs can be pointed at
//! them. `/<integration>/<path>` is what the sandbox of `<integration>` answers at `/<path>`. `POST /<integration>/-/expire` ends
//! its access tokens and `POST /<integration>/-/revoke` all that was ever given, to see what becomes of calls then; from
//! `POST /<integration>/-/restore` on new tokens and keys are good.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use kit::ports::{self, Clock as _, HttpRequest, HttpSend as _};
use kit::upstream::sandbox::{SANDBOX_HOST, SANDBOX_NOW, Sandboxes};
use url::Url;

use crate::clock::SystemClock;

/// The routes over `sandboxes`.
pub fn routes(sandboxes: Arc<Sandboxes>) -> Router {
    let answer = any(answer).layer(DefaultBodyLimit::max(1 << 20));
    Router::new().route("/{integration}/{*path}", answer).with_state(sandboxes)
}

async fn answer(
    State(sandboxes): State<Arc<Sandboxes>>,
    method: Method,
    Path((integration, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let known =
        [ports::Method::Get, ports::Method::Post, ports::Method::Put, ports::Method::Patch, ports::Method::Delete];
    let Some(method) = known.into_iter().find(|known| known.as_str() == method.as_str()) else {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    };
    if let Some(end) = path.strip_prefix("-/") {
        match (method, end, sandboxes.tokens(&integration)) {
            (ports::Method::Post, "expire", Some(tokens)) => tokens.expire(),
            (ports::Method::Post, "revoke", tokens) => {
                tokens.iter().for_each(|tokens| tokens.revoke_all());
                sandboxes.refuse(&integration, true);
            }
            (ports::Method::Post, "restore", _) => sandboxes.refuse(&integration, false),
            _ => return StatusCode::NOT_FOUND.into_response(),
        }
        return StatusCode::NO_CONTENT.into_response();
    }
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    let Ok(mut url) = Url::parse(&format!("http://localhost/{path}{query}")) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let host = url.query_pairs().find(|(name, _)| name == SANDBOX_HOST).map(|(_, host)| host.into_owned());
    if host.is_some_and(|host| url.set_host(Some(&host)).is_err()) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let now = (SANDBOX_NOW.to_owned(), (SystemClock.wall_ms() / 1_000).to_string());
    let request = HttpRequest {
        integration,
        method,
        url,
        headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).chain([now]).collect(),
        body: body.to_vec(),
        timeout: Duration::from_secs(30),
        max_response_bytes: 1 << 20,
    };
    let Ok(answer) = sandboxes.send(request).await else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
