//! Bare echo server on rmcp and axum: the baseline for performance comparisons.
//!
//! It has one tool, `echo`, and none of the patterns a generated server adds: no authentication, no
//! limits, no tracing, no storage. What it does have, a careful author would write by hand as well:
//! a router that is built once, JSON replies without sessions, and the `Host` and `Origin` checks.
//!
//! `PORT=8931 mcpkit-bench-echo` serves `http://127.0.0.1:8931/mcp` (port 0 picks a free one);
//! `mcpkit-bench-echo --stdio` speaks over standard input and output. Both protocol eras work.

use std::{
    env,
    net::Ipv4Addr,
    sync::{Arc, LazyLock},
};

use anyhow::Context;
use axum::{Router, serve::ListenerExt};
use rmcp::{
    Json, ServerHandler, ServiceExt,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{Implementation, ServerCapabilities, ServerConfig},
    schemars::JsonSchema,
    service::ServerInitializeError,
    tool, tool_handler, tool_router,
    transport::{
        stdio_pipes,
        streamable_http_server::{
            StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
        },
    },
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Built once: left to itself, the handler macro would rebuild the router for every request.
static ROUTER: LazyLock<ToolRouter<Echo>> = LazyLock::new(Echo::tool_router);

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct EchoArgs {
    /// Text to send back.
    text: String,
}

/// Structured, as the measured server answers: both send the same bytes.
#[derive(Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Echoed {
    text: String,
}

#[derive(Clone, Copy)]
struct Echo;

#[tool_router]
impl Echo {
    #[tool(description = "Return the text that was sent.")]
    async fn echo(&self, Parameters(EchoArgs { text }): Parameters<EchoArgs>) -> Json<Echoed> {
        Json(Echoed { text })
    }
}

#[tool_handler(router = ROUTER)]
impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("echo", env!("CARGO_PKG_VERSION")))
    }
}

async fn serve_http(port: u16) -> anyhow::Result<()> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"])
        .enforce_origin_validation();
    let mcp = StreamableHttpService::new(
        || Ok(Echo),
        Arc::new(NeverSessionManager::default()),
        config,
    );

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
    eprintln!("listening on http://{}/mcp", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // Only latency suffers when this fails, so there is nothing to report.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, Router::new().route_service("/mcp", mcp)).await?;
    Ok(())
}

async fn serve_stdio() -> anyhow::Result<()> {
    match Echo.serve(stdio_pipes()).await {
        Ok(running) => {
            running.waiting().await?;
            Ok(())
        }
        // The client left before it said anything: nothing went wrong.
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if env::args().skip(1).any(|arg| arg == "--stdio") {
        return serve_stdio().await;
    }
    let port = match env::var("PORT") {
        Ok(port) => port.parse().context("PORT is not a port number")?,
        Err(_) => 8931,
    };
    serve_http(port).await
}
