// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `dev` on the command line: what it prints, and over which transport it serves.

use anyhow::Context as _;
use kit::App;
use kit::boot::Kit;
use serde_json::json;

use super::args;
use crate::client_config::{Client, Route, write};
use crate::dev::{self, Dev, TENANT};
use crate::out;
use crate::settings::Settings;
use crate::telemetry::Reporting;

pub(super) async fn run(app: &App, settings: &Settings, command: args::Dev) -> anyhow::Result<()> {
    let settings = &with_collector(settings, &command);
    let reporting = Reporting::start(app, settings)?;
    let Dev { kit, key } = dev::start(app, settings, &command.folder, reporting.port()).await?;
    #[cfg(feature = "stdio")]
    if command.stdio {
        return crate::stdio::one(kit, settings, &reporting, TENANT).await;
    }
    let key = key.expose_str().context("failed to show the development key")?.to_owned();
    #[cfg(feature = "http")]
    return over_http(kit, settings, &command, &key, &reporting).await;
    #[cfg(not(feature = "http"))]
    {
        let _ = (key, settings, reporting);
        announce_stdio(&kit, &command)
    }
}

/// The same settings, with the collector that the command line names.
fn with_collector(settings: &Settings, command: &args::Dev) -> Settings {
    let mut settings = settings.clone();
    #[cfg(feature = "otlp")]
    if let Some(url) = &command.otlp {
        settings.telemetry.otlp_endpoint = Some(url.clone());
    }
    #[cfg(not(feature = "otlp"))]
    let _ = command;
    settings.telemetry.sampling = crate::settings::Sampling { percent: 100, ..settings.telemetry.sampling };
    settings
}

#[cfg(feature = "http")]
async fn over_http(
    kit: Kit,
    settings: &Settings,
    command: &args::Dev,
    key: &str,
    reporting: &Reporting,
) -> anyhow::Result<()> {
    use crate::http::{Http, PATH, listen};

    if !command.bind.ip().is_loopback() {
        let message = format!("`dev` does not listen on {}: its key and its data are for this machine", command.bind);
        anyhow::bail!(crate::failure::Hinted::new(message, "give a loopback address, or use `serve`"));
    }
    let signals = crate::signal::Signals::catch()?;
    let listener = listen(command.bind).await?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}{PATH}");
    kit.connector.reached_at(crate::serve::address_of(address)?);
    if let (Some(bind), Some(sandboxes)) = (command.sandbox_bind, kit.sandboxes.clone()) {
        stand_ins(bind, sandboxes, command).await?;
    }
    if command.json {
        let tools: Vec<&str> = kit.registry.tools.iter().map(|tool| tool.name.as_str()).collect();
        out::json(&json!({"url": url, "api_key": key, "tenant": TENANT, "tools": tools}));
    } else {
        announce_http(&kit, &url, key);
    }
    // A developer who presses Ctrl-C does not wait for a load balancer.
    let settings = Settings {
        bind: address,
        public_url: None,
        grace: std::time::Duration::ZERO,
        drain: std::time::Duration::from_secs(2),
        ..settings.clone()
    };
    let kit = std::sync::Arc::new(kit);
    reporting.watch(&kit);
    let upkeep = crate::upkeep::start(&kit, &settings);
    let http = Http::new(kit.clone(), &settings);
    crate::serve::until_signal(http, listener, signals, std::future::pending()).await?;
    drop(upkeep);
    crate::upkeep::settle(&kit, settings.drain).await;
    reporting.end().await;
    Ok(())
}

/// Serves the sandboxes to other programs as well.
#[cfg(feature = "http")]
async fn stand_ins(
    bind: std::net::SocketAddr,
    sandboxes: std::sync::Arc<kit::upstream::sandbox::Sandboxes>,
    command: &args::Dev,
) -> anyhow::Result<()> {
    if !bind.ip().is_loopback() {
        let message = format!("the stand-ins do not listen on {bind}: they take any password");
        anyhow::bail!(crate::failure::Hinted::new(message, "give a loopback address"));
    }
    let listener = crate::http::listen(bind).await?;
    if !command.json {
        out::note(&format!("stand-ins for outside clients: http://{}/<integration>/", listener.local_addr()?));
    }
    let server = axum::serve(listener, crate::stand_in::routes(sandboxes));
    tokio::spawn(server.into_future());
    Ok(())
}

#[cfg(feature = "http")]
fn announce_http(kit: &Kit, url: &str, key: &str) {
    let name = kit.registry.name;
    let route = Route::Http { url: url.to_owned(), variable: "KEY".to_owned() };
    out::note(&format!("{name} is running for the tenant `{TENANT}`, with stand-ins for its upstreams"));
    out::note(&format!("\n  URL      {url}\n  API key  {key}\n\ntools:"));
    list_tools(kit);
    out::note("\npaste into a terminal (Claude Code):\n");
    out::note(&format!("  claude mcp add --transport http --header \"Authorization: Bearer {key}\" {name} {url}"));
    if let Some((place, text)) = write(Client::Cursor, name, &route) {
        let text = text.replace("${env:KEY}", key).replace('\n', "\n  ");
        out::note(&format!("\nor into {place}:\n\n  {text}"));
    }
    out::note(&format!("\nother clients: `{name} client-config --help`; stop with Ctrl-C"));
}

#[cfg(not(feature = "http"))]
fn announce_stdio(kit: &Kit, command: &args::Dev) -> anyhow::Result<()> {
    let program = std::env::current_exe()?.display().to_string();
    let [folder, config] = [command.folder.as_path(), std::path::Path::new("config")].map(std::path::absolute);
    let args =
        ["dev", "--stdio", "--folder", &folder?.display().to_string(), "--config", &config?.display().to_string()]
            .map(str::to_owned)
            .to_vec();
    if command.json {
        let tools: Vec<&str> = kit.registry.tools.iter().map(|tool| tool.name.as_str()).collect();
        out::json(&json!({"command": program, "args": args, "tenant": TENANT, "tools": tools}));
        return Ok(());
    }
    let name = kit.registry.name;
    out::note(&format!("{name} is ready for the tenant `{TENANT}`, with stand-ins for its upstreams\n\ntools:"));
    list_tools(kit);
    out::note("\npaste into a terminal (Claude Code):\n");
    out::note(&format!("  claude mcp add {name} -- {program} {}", args.join(" ")));
    if let Some((place, text)) =
        write(Client::ClaudeDesktop, name, &Route::Stdio { command: program, args, env: Default::default() })
    {
        out::note(&format!("\nor into {place}:\n\n  {}", text.replace('\n', "\n  ")));
    }
    Ok(())
}

fn list_tools(kit: &Kit) {
    for tool in &kit.registry.tools {
        out::note(&format!("  {}  {}", tool.name, tool.description));
    }
}
