// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `serve`: the server for tenants, over HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use kit::App;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use url::Url;

use crate::admin::{self, Admin, Reload};
use crate::http::{Http, listen};
use crate::settings::Settings;
use crate::signal::Signals;
use crate::telemetry::Reporting;
use crate::{host, upkeep};

/// Serves with the configuration in `folder`, which `settings` were read from, until a signal comes.
pub async fn run(app: &App, folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let signals = Signals::catch()?;
    let reporting = Arc::new(Reporting::start(app, settings)?);
    let kit = Arc::new(host::serving(app, settings, reporting.port()).await?);
    reporting.watch(&kit);
    let listener = listen(settings.bind).await?;
    kit.connector.reached_at(address_of(listener.local_addr()?)?);
    let (http, drain) = (Http::new(kit.clone(), settings), Arc::new(Notify::new()));
    let reload = Reload { app: app.clone(), folder: folder.to_owned(), doorkeeper: http.doorkeeper() };
    let admin = Admin {
        kit: kit.clone(),
        draining: http.draining(),
        reload,
        drain: drain.clone(),
        reporting: reporting.clone(),
    };
    let admin = admin::start(admin, &settings.admin).await?;
    tracing::info!(address = %listener.local_addr()?, tools = kit.registry.tools.len(), "listening");
    let upkeep = upkeep::start(&kit, settings);
    until_signal(http, listener, signals, drain.notified()).await?;
    drop(upkeep);
    upkeep::settle(&kit, settings.refresh.token_timeout).await;
    reporting.end().await;
    drop(admin);
    tracing::info!("stopped");
    Ok(())
}

/// Where people reach a server that has no public URL: on this machine.
pub(crate) fn address_of(address: SocketAddr) -> anyhow::Result<Url> {
    Ok(Url::parse(&format!("http://{address}"))?)
}

/// Serves until the first signal, or until `drain` completes, then drains; a second signal ends it at once. What was answered
/// is committed either way.
pub(crate) async fn until_signal(
    http: Http,
    listener: TcpListener,
    mut signals: Signals,
    drain: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let mut server = std::pin::pin!(http.serve(listener, async { stopped.await.unwrap_or(()) }));
    tokio::select! {
        result = &mut server => return result,
        () = signals.next() => {}
        () = drain => {}
    }
    // Whoever was to stop may have ended by itself.
    let _ = stop.send(());
    tokio::select! {
        result = server => result,
        () = signals.next() => Ok(()),
    }
}
