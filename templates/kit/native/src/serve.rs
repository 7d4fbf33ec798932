// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `serve`: the server for tenants, over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use kit::App;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::Url;

use crate::http::{Http, listen};
use crate::settings::Settings;
use crate::signal::Signals;
use crate::{host, upkeep};

/// Serves until a signal comes.
pub async fn run(app: &App, settings: &Settings) -> anyhow::Result<()> {
    let signals = Signals::catch()?;
    let kit = Arc::new(host::serving(app, settings).await?);
    let listener = listen(settings.bind).await?;
    kit.connector.reached_at(address_of(listener.local_addr()?)?);
    tracing::info!(address = %listener.local_addr()?, tools = kit.registry.tools.len(), "listening");
    let upkeep = upkeep::start(&kit, settings);
    until_signal(Http::new(kit.clone(), settings), listener, signals).await?;
    drop(upkeep);
    upkeep::settle(&kit, settings.refresh.token_timeout).await;
    tracing::info!("stopped");
    Ok(())
}

/// Where people reach a server that has no public URL: on this machine.
pub(crate) fn address_of(address: SocketAddr) -> anyhow::Result<Url> {
    Ok(Url::parse(&format!("http://{address}"))?)
}

/// Serves until the first signal, then drains; a second signal ends it at once. What was answered is committed either way.
pub(crate) async fn until_signal(http: Http, listener: TcpListener, mut signals: Signals) -> std::io::Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let mut server = std::pin::pin!(http.serve(listener, async { stopped.await.unwrap_or(()) }));
    tokio::select! {
        result = &mut server => return result,
        () = signals.next() => drop(stop.send(())),
    }
    tokio::select! {
        result = server => result,
        () = signals.next() => Ok(()),
    }
}
