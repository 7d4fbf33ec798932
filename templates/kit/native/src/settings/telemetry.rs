// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `[telemetry]`: where traces and metrics go, and which calls leave a trace.

use std::collections::BTreeMap;

use kit::observe::CallEvent;
use url::Url;

use super::reader::Reader;

/// Everything about traces and metrics that an owner can set.
#[derive(Clone, Debug, Default)]
pub struct TelemetrySettings {
    /// The collector; none for no export.
    pub otlp_endpoint: Option<Url>,
    /// Which calls leave a trace.
    pub sampling: Sampling,
}

/// Which calls leave a trace. Those that failed, were refused or took long always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Of a hundred others, so many.
    pub percent: u8,
    /// What takes as long is slow, in microseconds.
    pub slow_us: i64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { percent: 100, slow_us: 2_000_000 }
    }
}

impl Sampling {
    /// Whether the call that `event` tells of is kept. It goes by the id of the trace, so all servers that a trace passes
    /// decide alike; what its client wants is no reason.
    pub fn keeps(self, event: &CallEvent<'_>) -> bool {
        if event.outcome != "ok" || event.duration_us >= self.slow_us {
            return true;
        }
        let [.., a, b, c, d] = event.trace.id().0;
        u64::from(u32::from_be_bytes([a, b, c, d])) * 100 < u64::from(self.percent) << 32
    }
}

impl TelemetrySettings {
    /// The URL for `signal` (`traces`, `metrics`), which the collector's own is the base of.
    pub fn signal(&self, signal: &str) -> Option<String> {
        let base = self.otlp_endpoint.as_ref()?.as_str().trim_end_matches('/');
        Some(format!("{base}/v1/{signal}"))
    }
}

const ENDPOINT: &str = "telemetry.otlp_endpoint";

pub(super) fn read(reader: &mut Reader<'_>, environment: &BTreeMap<String, String>) -> TelemetrySettings {
    let default = Sampling::default();
    let sampling = Sampling {
        percent: reader.count("telemetry.sample_percent", 0..=100, default.percent),
        slow_us: reader.count("telemetry.slow_ms", 1..=3_600_000, default.slow_us / 1_000).saturating_mul(1_000),
    };
    // The variable that every OpenTelemetry program reads.
    let standard = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|text| !text.is_empty());
    // It may be meant for others, so a build that exports nothing does not refuse to start.
    let standard = standard.filter(|_| cfg!(feature = "otlp"));
    let standard = standard.map(|text| (text.clone(), "environment OTEL_EXPORTER_OTLP_ENDPOINT".to_owned()));
    let Some((text, source)) = reader.sourced_text(ENDPOINT).or(standard) else {
        return TelemetrySettings { otlp_endpoint: None, sampling };
    };
    let endpoint = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if endpoint.is_none() {
        let remedy = "give the URL of a collector that takes OTLP over HTTP, for example http://127.0.0.1:4318";
        reader.problem(ENDPOINT, &source, "is not an http:// or https:// URL", remedy);
    } else if !cfg!(feature = "otlp") {
        let remedy = "add \"otlp\" to the features of kit-native in Cargo.toml and build again";
        reader.problem(ENDPOINT, &source, "traces and metrics, which this build leaves out", remedy);
    }
    TelemetrySettings { otlp_endpoint: endpoint, sampling }
}
