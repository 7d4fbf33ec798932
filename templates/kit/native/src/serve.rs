// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `serve`: the server for tenants, over HTTP.

use std::sync::Arc;

use kit::App;

use crate::http::{Http, listen};
use crate::settings::Settings;
use crate::{host, signal};

/// Serves until a signal comes.
pub async fn run(app: &App, settings: &Settings) -> anyhow::Result<()> {
    let kit = Arc::new(host::live(app, settings).await?);
    let listener = listen(settings.bind).await?;
    tracing::info!(address = %listener.local_addr()?, tools = kit.registry.tools.len(), "listening");
    Http::new(kit, settings).serve(listener, signal::shutdown()).await?;
    tracing::info!("stopped");
    Ok(())
}
