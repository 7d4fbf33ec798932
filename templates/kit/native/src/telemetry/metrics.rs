// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Metrics: counted where things happen, read by the collector's exporter and by whoever scrapes the admin API. No label has a
//! tenant in it, or anything else that a caller chooses: what each tenant used is in the ledger.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use anyhow::Context as _;
use kit::boot::Kit;
use kit::observe::trace::{Attribute, Kind, Span};
use kit::observe::{AlarmEvent, CallEvent, Operation, RefreshEvent, names};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, TextEncoder};

use super::export::{LAST, TIMEOUT};
use super::spans::error_type;
use crate::settings::TelemetrySettings;

/// The bounds that the convention recommends, in seconds.
const BOUNDS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Everything that is counted.
pub(super) struct Metrics {
    provider: SdkMeterProvider,
    registry: prometheus::Registry,
    meter: Meter,
    duration: Histogram<f64>,
    upstream: Histogram<f64>,
    limited: Counter<u64>,
    refreshes: Counter<u64>,
    opened: Counter<u64>,
    alarms: Counter<u64>,
}

impl Metrics {
    /// `dropped` counts the spans that were not exported.
    pub(super) fn new(
        settings: &TelemetrySettings,
        resource: Resource,
        dropped: Arc<AtomicU64>,
    ) -> anyhow::Result<Self> {
        let registry = prometheus::Registry::new();
        let scraped = opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
        let scraped = scraped.build().context("failed to make the metrics")?;
        let mut builder = SdkMeterProvider::builder().with_resource(resource).with_reader(scraped);
        if let Some(endpoint) = settings.signal("metrics") {
            builder = builder.with_periodic_exporter(exporter(endpoint)?);
        }
        let provider = builder.build();
        let meter = provider.meter("kit");
        let seconds = |name: &'static str, what: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_description(what).with_boundaries(BOUNDS.to_vec()).build()
        };
        let counter = |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        let metrics = Self {
            duration: seconds(names::METRIC_DURATION, "How long calls take."),
            upstream: seconds(names::METRIC_UPSTREAM, "How long requests to upstreams take."),
            limited: counter(names::METRIC_LIMITED, "Calls that a limit refused."),
            refreshes: counter(names::METRIC_REFRESH, "Renewals of tokens that ended."),
            opened: counter(names::METRIC_VAULT, "Connections that were looked up and opened."),
            alarms: counter(names::METRIC_ALARMS, "Things that a person should look at."),
            provider,
            registry,
            meter,
        };
        metrics
            .meter
            .u64_observable_counter(names::METRIC_DROPPED)
            .with_description("Spans that were not exported.")
            .with_callback(move |gauge| gauge.observe(dropped.load(Ordering::Relaxed), &[]))
            .build();
        Ok(metrics)
    }

    /// Counts a finished call, and the requests that it made.
    pub(super) fn call(&self, event: &CallEvent<'_>, below: &[Span]) {
        let mut attributes = vec![KeyValue::new(names::MCP_METHOD, event.operation.method())];
        if !event.target.is_empty() {
            let name = match event.operation {
                Operation::Tool => names::GEN_AI_TOOL,
                Operation::Prompt => names::GEN_AI_PROMPT,
                Operation::Resource => names::MCP_RESOURCE_URI,
            };
            attributes.push(KeyValue::new(name, event.target.to_owned()));
        }
        attributes
            .extend(error_type(event.operation, event.outcome).map(|error| KeyValue::new(names::ERROR_TYPE, error)));
        if event.outcome != "ok" {
            attributes.push(KeyValue::new(names::OUTCOME, event.outcome));
        }
        self.duration.record(seconds(event.duration_us), &attributes);
        for span in below {
            match (span.kind, &*span.name) {
                (Kind::Client, _) => self.request(span),
                (_, names::SPAN_VAULT) => self.opened.add(1, &failed(span)),
                (_, names::SPAN_LIMIT) if span.error.is_some() => {
                    let scope = text(span, names::LIMIT_SCOPE).unwrap_or_else(|| "none".to_owned());
                    self.limited.add(1, &[KeyValue::new(names::LIMIT_SCOPE, scope)]);
                }
                _ => {}
            }
        }
    }

    fn request(&self, span: &Span) {
        let mut attributes = failed(span);
        attributes.extend(text(span, names::INTEGRATION).map(|name| KeyValue::new(names::INTEGRATION, name)));
        attributes.extend(span.attributes.iter().find_map(|(name, value)| match value {
            Attribute::Number(status) if *name == names::HTTP_STATUS => {
                Some(KeyValue::new(names::HTTP_STATUS, *status))
            }
            _ => None,
        }));
        self.upstream.record(seconds(span.end_us.saturating_sub(span.start_us)), &attributes);
    }

    /// Counts a renewal.
    pub(super) fn refreshed(&self, event: &RefreshEvent<'_>) {
        let integration = KeyValue::new(names::INTEGRATION, event.integration.to_owned());
        self.refreshes.add(1, &[integration, KeyValue::new(names::OUTCOME, event.outcome)]);
    }

    /// Counts an alarm.
    pub(super) fn alarm(&self, event: &AlarmEvent<'_>) {
        let integration = KeyValue::new(names::INTEGRATION, event.integration.to_owned());
        self.alarms.add(1, &[integration, KeyValue::new("kit.alarm", event.alarm.as_str())]);
    }

    /// Reads off `kit` whenever somebody asks.
    pub(super) fn watch(&self, kit: &Arc<Kit>) {
        self.gauge(names::METRIC_IN_FLIGHT, "Calls under way.", kit, |kit| u64::from(kit.traffic.in_flight()));
        self.gauge(names::METRIC_REFRESHING, "Renewals under way.", kit, |kit| kit.refresher.under_way() as u64);
        self.gauge(names::METRIC_LEDGER, "Rows of the ledger that wait.", kit, |kit| kit.ledger.waiting() as u64);
        let kit = Arc::downgrade(kit);
        self.meter
            .u64_observable_gauge(names::METRIC_BREAKERS)
            .with_description("Breakers that are open.")
            .with_callback(move |gauge| {
                let Some(kit) = kit.upgrade() else { return };
                for ((integration, level), count) in open_breakers(&kit) {
                    let level = KeyValue::new("kit.breaker.level", level);
                    gauge.observe(count, &[KeyValue::new(names::INTEGRATION, integration), level]);
                }
            })
            .build();
    }

    fn gauge(
        &self,
        name: &'static str,
        what: &'static str,
        kit: &Arc<Kit>,
        read: impl Fn(&Kit) -> u64 + Send + Sync + 'static,
    ) {
        let kit: Weak<Kit> = Arc::downgrade(kit);
        let gauge = self.meter.u64_observable_gauge(name).with_description(what);
        let observed = gauge.with_callback(move |gauge| {
            if let Some(kit) = kit.upgrade() {
                gauge.observe(read(&kit), &[]);
            }
        });
        observed.build();
    }

    /// In the text format of Prometheus.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).ok()?;
        String::from_utf8(text).ok()
    }

    /// Sends what is left, but waits for no more than a moment: the provider's own bound is that of each of its parts.
    pub(super) async fn end(&self) {
        let (provider, (done, ended)) = (self.provider.clone(), tokio::sync::oneshot::channel());
        // Not one of tokio's threads: those are waited for at the end of the process.
        std::thread::spawn(move || {
            let ended = provider.shutdown();
            let _ = done.send(ended);
        });
        match tokio::time::timeout(LAST, ended).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last metrics were not exported"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last metrics were not exported in time"),
        }
    }
}

fn exporter(endpoint: String) -> anyhow::Result<MetricExporter> {
    let make = move || {
        let builder = MetricExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        builder.with_endpoint(endpoint).with_timeout(TIMEOUT).build()
    };
    // The client that it makes must not come into being on one of tokio's threads.
    let made = std::thread::spawn(make).join();
    made.ok().context("failed to start a thread")?.context("failed to make the exporter of metrics")
}

/// How many breakers are open, by integration and level.
fn open_breakers(kit: &Kit) -> std::collections::BTreeMap<(String, &'static str), u64> {
    let mut counts = std::collections::BTreeMap::new();
    // What was open and is not any more has to be told as none.
    for integration in kit.registry.integrations.keys() {
        for level in ["connection", "app"] {
            counts.insert((integration.clone(), level), 0);
        }
    }
    for open in kit.operator.limits_breakers().open {
        let level = if open.account.is_some() { "connection" } else { "app" };
        *counts.entry((open.integration, level)).or_insert(0) += 1;
    }
    counts
}

fn failed(span: &Span) -> Vec<KeyValue> {
    span.error.map(|error| KeyValue::new(names::ERROR_TYPE, error)).into_iter().collect()
}

fn text(span: &Span, wanted: &str) -> Option<String> {
    span.attributes.iter().find_map(|(name, value)| match value {
        Attribute::Text(text) if *name == wanted => Some(text.clone().into_owned()),
        _ => None,
    })
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of one call are far below 2^52")]
fn seconds(us: i64) -> f64 {
    us.max(0) as f64 / 1_000_000.0
}
