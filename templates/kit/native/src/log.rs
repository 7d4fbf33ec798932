// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Logs: to standard error, JSON for machines or plain lines in `dev`. The protocol library logs whole requests, so it
//! is held at warnings whatever the level.

use std::sync::OnceLock;

use kit::observe::{Alarm, AlarmEvent, CallEvent, RefreshEvent};
use kit::ports::Telemetry;
use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a person.
    Plain,
}

/// The level that is in force, once logging has started.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Libraries that talk of themselves are held at warnings.
fn targets(level: LevelFilter) -> Targets {
    let quiet = LevelFilter::WARN.min(level);
    Targets::new().with_default(level).with_target("rmcp", quiet).with_target("opentelemetry", quiet)
}

/// Changes the level.
pub fn set_level(level: LevelFilter) {
    if let Some(filter) = FILTER.get() {
        // It fails only when the subscriber is gone, and then there is nobody to tell.
        let _ = filter.reload(targets(level));
    }
}

/// Starts logging. `panics_in_full` prints a panic's message, which can hold a tool's input: for `dev` only.
pub fn start(level: LevelFilter, format: Format, panics_in_full: bool) {
    let (targets, handle) = reload::Layer::new(targets(level));
    let _ = FILTER.set(handle);
    let registry = tracing_subscriber::registry();
    // A second start (in tests) keeps the first.
    let _ = match format {
        Format::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
            registry.with(layer.with_filter(targets)).try_init()
        }
        Format::Plain => {
            let layer =
                tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(std::io::stderr);
            registry.with(layer.with_filter(targets)).try_init()
        }
    };
    // The default hook symbolises a backtrace on the panicking thread, about 100 ms in which no call is served.
    std::panic::set_hook(Box::new(move |panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        match panic.payload_as_str() {
            Some(message) if panics_in_full => tracing::error!(at, message, "panic"),
            _ => tracing::error!(at, "panic"),
        }
    }));
}

/// Reports finished calls as log lines: failures as `info`, the rest as `debug`.
pub struct LogTelemetry;

impl Telemetry for LogTelemetry {
    fn call(&self, event: &CallEvent<'_>) {
        let level = if event.outcome == "ok" { Level::DEBUG } else { Level::INFO };
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    method = event.operation.method(),
                    target_name = event.target,
                    tenant = event.tenant.as_str(),
                    principal = event.principal,
                    outcome = event.outcome,
                    duration_us = event.duration_us,
                    trace_id = %event.trace.id(),
                    span_id = %event.trace.root(),
                    "call"
                )
            };
        }
        if level == Level::DEBUG { line!(Level::DEBUG) } else { line!(Level::INFO) }
    }

    fn refreshed(&self, event: &RefreshEvent<'_>) {
        tracing::debug!(integration = event.integration, outcome = event.outcome, "refresh");
    }

    fn alarm(&self, event: &AlarmEvent<'_>) {
        let (tenant, integration, account) = (event.tenant.as_str(), event.integration, event.account);
        let alarm = event.alarm.as_str();
        match event.alarm {
            Alarm::EndsSoon { days } => {
                tracing::warn!(
                    alarm,
                    tenant,
                    integration,
                    account,
                    days,
                    "a connection ends soon; its tenant has to connect again"
                );
            }
            Alarm::ReconnectNeeded => {
                tracing::warn!(
                    alarm,
                    tenant,
                    integration,
                    account,
                    "a connection is dead; its tenant has to connect again"
                );
            }
            Alarm::AppRejected => {
                tracing::error!(
                    alarm,
                    tenant,
                    integration,
                    account,
                    "the authorization server refuses the owner's app"
                );
            }
            Alarm::RefreshUnsaved => {
                tracing::error!(
                    alarm,
                    tenant,
                    integration,
                    account,
                    "refreshed tokens could not be written; trying again"
                );
            }
            Alarm::LeaseLost => {
                tracing::error!(
                    alarm,
                    tenant,
                    integration,
                    account,
                    "a refresh was overtaken; its tokens were discarded"
                );
            }
        }
    }
}
