// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a serving process does besides answering: it keeps idle connections alive and writes usage, and at its end it waits for
//! refreshes under way and writes what is left.

use std::sync::Arc;
use std::time::Duration;

use kit::boot::Kit;
use kit::upstream::sweep::Swept;

use crate::settings::Settings;

/// Work in the background. It ends when this is dropped.
pub(crate) struct Upkeep(Vec<tokio::task::JoinHandle<()>>);

/// Begins it.
pub(crate) fn start(kit: &Arc<Kit>, settings: &Settings) -> Upkeep {
    Upkeep(vec![tokio::spawn(sweep(kit.clone(), settings.sweep)), tokio::spawn(write_usage(kit.clone()))])
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Looks after idle connections every `interval`, for as long as the process lives.
async fn sweep(kit: Arc<Kit>, interval: Duration) {
    loop {
        // Replicas that started together drift apart.
        let jitter = interval.mul_f64(f64::from(std::process::id() % 100) / 1_000.0);
        tokio::time::sleep(interval + jitter).await;
        match kit.sweeper.pass().await {
            Ok(swept) if swept == Swept::default() => {}
            Ok(Swept { renewed, failed, warned }) => tracing::info!(renewed, failed, warned, "swept"),
            Err(error) => tracing::warn!(%error, "failed to sweep"),
        }
    }
}

/// Usage is written this often: quotas of other replicas are behind by as much.
const FLUSH: Duration = Duration::from_secs(1);

/// Writes usage, for as long as the process lives.
async fn write_usage(kit: Arc<Kit>) {
    loop {
        tokio::time::sleep(FLUSH).await;
        if let Err(error) = kit.usage.flush().await {
            tracing::warn!(%error, "failed to write usage; it is kept and tried again");
        }
    }
}

/// Waits for refreshes under way: each may hold tokens that are nowhere else yet.
pub(crate) async fn settle(kit: &Kit, longest: Duration) {
    let end = tokio::time::Instant::now() + longest;
    while kit.refresher.under_way() > 0 && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Err(error) = kit.usage.flush().await {
        tracing::error!(%error, "failed to write the last usage");
    }
}
