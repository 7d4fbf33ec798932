// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a serving process does besides answering: it keeps idle connections alive, and at its end it waits for refreshes
//! under way.

use std::sync::Arc;
use std::time::Duration;

use kit::boot::Kit;
use kit::upstream::sweep::Swept;

/// Looks after idle connections every `interval`, for as long as the process lives.
pub(crate) async fn sweep(kit: Arc<Kit>, interval: Duration) {
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

/// Waits for refreshes under way: each may hold tokens that are nowhere else yet.
pub(crate) async fn settle(kit: &Kit, longest: Duration) {
    let end = tokio::time::Instant::now() + longest;
    while kit.refresher.under_way() > 0 && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
