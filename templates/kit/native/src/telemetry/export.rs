// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Spans on their way to a collector, over OTLP as protobuf. A thread of its own takes them from a bounded queue, since what
//! sends them waits; a call only puts them there, and where there is no room they are dropped and counted. OpenTelemetry's own
//! batch processor was not taken: it does not say what it dropped, and its queue is counted in spans where ours is in calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::Notify;

use super::spans::Finished;
use crate::settings::TelemetrySettings;

/// Spans that wait at most.
const MAX_QUEUED: usize = 8_192;
/// As many go out together, or what there is after [`INTERVAL`].
const BATCH: usize = 512;
const INTERVAL: Duration = Duration::from_secs(5);
/// A collector that takes longer to answer has not.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// What is left at the end is sent within this, or not at all.
pub(super) const LAST: Duration = Duration::from_secs(3);

/// The way to the collector, if there is one.
pub(super) struct Exporter {
    queue: Option<SyncSender<Finished>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queued: AtomicUsize,
    dropped: Arc<AtomicU64>,
    closing: AtomicBool,
    closed: Notify,
}

impl Exporter {
    /// Begins to send to the collector that `settings` name.
    pub(super) fn start(settings: &TelemetrySettings, resource: &Resource) -> anyhow::Result<Self> {
        let shared = Arc::<Shared>::default();
        let Some(endpoint) = settings.signal("traces") else { return Ok(Self { queue: None, shared }) };
        // As many calls as there may be spans: a call is one at least.
        let (queue, waiting) = sync_channel(MAX_QUEUED);
        let (resource, sends) = (resource.clone(), shared.clone());
        let thread = std::thread::Builder::new().name("traces".to_owned());
        // The client that the exporter makes must not come into being on one of tokio's threads.
        let work = move || match exporter(&endpoint, &resource) {
            Ok(exporter) => run(&exporter, &waiting, &sends),
            Err(error) => {
                tracing::error!(reason = format!("{error:#}"), "no traces are exported");
                sends.closed.notify_one();
            }
        };
        thread.spawn(work).context("failed to start the thread that exports traces")?;
        Ok(Self { queue: Some(queue), shared })
    }

    /// Whether there is a collector.
    pub(super) fn exports(&self) -> bool {
        self.queue.is_some()
    }

    /// Spans that were dropped so far.
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        self.shared.dropped.clone()
    }

    /// Puts a call into the queue, if it has room.
    pub(super) fn send(&self, finished: Finished) {
        let (Some(queue), count) = (&self.queue, finished.count()) else { return };
        let room = self.shared.queued.fetch_add(count, Ordering::Relaxed) + count <= MAX_QUEUED;
        if !room || queue.try_send(finished).is_err() {
            self.shared.queued.fetch_sub(count, Ordering::Relaxed);
            self.shared.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// Waits until what is queued was sent, but not for longer than a moment.
    pub(super) async fn end(&self) {
        self.shared.closing.store(true, Ordering::Release);
        if self.exports() && tokio::time::timeout(LAST, self.shared.closed.notified()).await.is_err() {
            let left = self.shared.queued.load(Ordering::Relaxed);
            tracing::warn!(left, "the last spans were not exported in time");
        }
    }
}

fn exporter(endpoint: &str, resource: &Resource) -> anyhow::Result<SpanExporter> {
    let builder = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let mut exporter = builder
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .build()
        .with_context(|| format!("failed to make an exporter to {endpoint}"))?;
    exporter.set_resource(resource);
    Ok(exporter)
}

/// Sends until the process ends.
fn run(exporter: &SpanExporter, waiting: &Receiver<Finished>, shared: &Shared) {
    let scope = InstrumentationScope::builder("kit").with_version(env!("CARGO_PKG_VERSION")).build();
    let (mut batch, mut due, mut failing) = (Vec::with_capacity(BATCH), Instant::now() + INTERVAL, false);
    loop {
        // A pause of a tenth of a second at most, so that the end is seen.
        let pause = due.saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
        let closing = shared.closing.load(Ordering::Acquire);
        match waiting.recv_timeout(if closing { Duration::ZERO } else { pause }) {
            Ok(finished) => {
                shared.queued.fetch_sub(finished.count(), Ordering::Relaxed);
                finished.write(&scope, &mut batch);
                if batch.len() < BATCH && Instant::now() < due {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) if !closing && Instant::now() < due => continue,
            Err(_) => {}
        }
        send(exporter, std::mem::take(&mut batch), shared, &mut failing);
        due = Instant::now() + INTERVAL;
        if closing && shared.queued.load(Ordering::Relaxed) == 0 {
            break;
        }
    }
    shared.closed.notify_one();
}

fn send(exporter: &SpanExporter, batch: Vec<SpanData>, shared: &Shared, failing: &mut bool) {
    let count = batch.len();
    if count == 0 {
        return;
    }
    let sent = futures_executor::block_on(exporter.export(batch));
    match (&sent, *failing) {
        (Err(error), false) => tracing::warn!(%error, "spans were not exported; calls are not affected"),
        (Ok(()), true) => tracing::info!("spans are exported again"),
        _ => {}
    }
    *failing = sent.is_err();
    if sent.is_err() {
        shared.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }
}
