// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Where finished calls are reported: log lines always; with the feature `otlp` also traces and metrics, to a collector that
//! the settings name and to whoever scrapes the admin API. Reports may be lost, and a collector that is slow or gone costs no
//! call anything: what has no room is dropped and counted.

#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod metrics;
#[cfg(feature = "otlp")]
mod spans;

use std::sync::Arc;

use kit::App;
use kit::boot::Kit;
use kit::ports::Telemetry;

use crate::log::LogTelemetry;
use crate::settings::Settings;

/// The reports of a process that serves.
pub struct Reporting {
    #[cfg(feature = "otlp")]
    otlp: Arc<Otlp>,
}

#[cfg(feature = "otlp")]
impl Reporting {
    /// Begins to report as `settings` say.
    pub fn start(app: &App, settings: &Settings) -> anyhow::Result<Self> {
        let resource = resource(app)?;
        let telemetry = &settings.telemetry;
        let exporter = export::Exporter::start(telemetry, &resource)?;
        let metrics = metrics::Metrics::new(telemetry, resource, exporter.dropped())?;
        let otlp = Otlp { log: LogTelemetry, sampling: telemetry.sampling, exporter, metrics, version: app.version() };
        Ok(Self { otlp: Arc::new(otlp) })
    }

    /// For the kit.
    pub fn port(&self) -> Arc<dyn Telemetry> {
        self.otlp.clone()
    }

    /// Also reports what `kit` can be asked at any time.
    pub fn watch(&self, kit: &Arc<Kit>) {
        self.otlp.metrics.watch(kit);
    }

    /// The metrics in the text format of Prometheus.
    pub fn prometheus(&self) -> Option<String> {
        self.otlp.metrics.text()
    }

    /// Sends what is left, within a few seconds.
    pub async fn end(&self) {
        self.otlp.exporter.end().await;
        self.otlp.metrics.end().await;
    }
}

#[cfg(not(feature = "otlp"))]
impl Reporting {
    /// Begins to report: in log lines.
    pub fn start(_: &App, _: &Settings) -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// For the kit.
    pub fn port(&self) -> Arc<dyn Telemetry> {
        Arc::new(LogTelemetry)
    }

    /// There is nobody who would ask.
    pub fn watch(&self, _: &Arc<Kit>) {}

    /// There are none.
    pub fn prometheus(&self) -> Option<String> {
        None
    }

    /// Nothing is left.
    pub async fn end(&self) {}
}

/// Log lines, spans and metrics of each call.
#[cfg(feature = "otlp")]
struct Otlp {
    log: LogTelemetry,
    sampling: crate::settings::Sampling,
    exporter: export::Exporter,
    metrics: metrics::Metrics,
    version: &'static str,
}

#[cfg(feature = "otlp")]
impl Telemetry for Otlp {
    fn call(&self, event: &kit::observe::CallEvent<'_>) {
        self.log.call(event);
        let (below, more) = event.trace.take_spans();
        self.metrics.call(event, &below);
        if self.exporter.exports() && self.sampling.keeps(event) {
            self.exporter.send(spans::Finished::of(event, below, more, self.version));
        }
    }

    fn refreshed(&self, event: &kit::observe::RefreshEvent<'_>) {
        self.log.refreshed(event);
        self.metrics.refreshed(event);
    }

    fn alarm(&self, event: &kit::observe::AlarmEvent<'_>) {
        self.log.alarm(event);
        self.metrics.alarm(event);
    }
}

/// What all reports of this process have in common.
#[cfg(feature = "otlp")]
fn resource(app: &App) -> anyhow::Result<opentelemetry_sdk::Resource> {
    use anyhow::Context as _;
    let mut instance = [0_u8; 8];
    getrandom::fill(&mut instance).context("failed to name this process")?;
    let instance: String = instance.iter().map(|byte| format!("{byte:02x}")).collect();
    // Replicas that share a name and count on their own would overwrite each other's numbers without the last.
    let attributes = [("service.version", app.version().to_owned()), ("service.instance.id", instance)];
    let attributes = attributes.map(|(name, value)| opentelemetry::KeyValue::new(name, value));
    // What the environment says (OTEL_RESOURCE_ATTRIBUTES) is in it too.
    Ok(opentelemetry_sdk::Resource::builder().with_service_name(app.name()).with_attributes(attributes).build())
}
