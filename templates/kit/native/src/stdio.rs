// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `stdio`: the server as a child process of a local client. Its tenants are those it was started for.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use kit::boot::Kit;
use kit::inbound::TenantCtx;
use kit::tenant::TenantId;
use rmcp::ServiceExt as _;
use rmcp::service::ServerInitializeError;
use rmcp::transport::stdio_pipes;

use crate::failure::Hinted;
use crate::mcp::{McpServer, Who};
use crate::settings::Settings;
use crate::signal::Signals;
use crate::telemetry::Reporting;
use crate::upkeep;

/// Serves the one tenant `name`.
pub async fn one(kit: Kit, settings: &Settings, reporting: &Reporting, name: &str) -> anyhow::Result<()> {
    let tenant = authenticate(&kit, name).await?;
    serve(kit, settings, reporting, Who::One(tenant)).await
}

/// Serves several tenants; every tool gets a required argument `tenant`.
pub async fn several(kit: Kit, settings: &Settings, reporting: &Reporting, names: &[String]) -> anyhow::Result<()> {
    let taken =
        kit.registry.tools.iter().find(|tool| tool.input.get("properties").is_some_and(|p| p.get("tenant").is_some()));
    if let Some(tool) = taken {
        let message = format!("tool `{}` has an argument `tenant` of its own", tool.name);
        bail!(Hinted::new(message, "start one process for each tenant with `--tenant`"));
    }
    let mut tenants = BTreeMap::new();
    for name in names {
        tenants.insert(name.clone(), authenticate(&kit, name).await?);
    }
    serve(kit, settings, reporting, Who::Choice(tenants)).await
}

async fn authenticate(kit: &Kit, name: &str) -> anyhow::Result<TenantCtx> {
    let server = kit.registry.name;
    let hint = || {
        let hint = format!("see `{server} tenant list`, or add it with `{server} tenant add {name}`");
        Hinted::new(format!("failed to serve tenant `{name}`"), hint)
    };
    let tenant = TenantId::parse(name).with_context(hint)?;
    kit.authenticator.local(&tenant).await.with_context(hint)
}

async fn serve(kit: Kit, settings: &Settings, reporting: &Reporting, who: Who) -> anyhow::Result<()> {
    let mut signals = Signals::catch()?;
    let kit = Arc::new(kit);
    reporting.watch(&kit);
    let upkeep = upkeep::start(&kit, settings);
    let running = match McpServer::new(kit.clone(), who).serve(stdio_pipes()).await {
        Ok(running) => running,
        // The client closed the pipe before its first message: nothing went wrong.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(error).context("failed to start the protocol on stdio"),
    };
    let protocol = running.cancellation_token();
    tokio::select! {
        reason = running.waiting() => { reason.context("failed to serve on stdio")?; }
        () = signals.next() => protocol.cancel(),
    }
    drop(upkeep);
    upkeep::settle(&kit, settings.refresh.token_timeout).await;
    reporting.end().await;
    Ok(())
}
