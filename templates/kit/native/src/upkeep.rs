// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a serving process does besides answering: it keeps idle connections alive, makes checkpoints of the audit and compares
//! it with usage, and at its end it waits for refreshes under way and for the ledger.

use std::sync::Arc;
use std::time::Duration;

use kit::boot::Kit;
use kit::ledger::checkpoint::Checkpoint;
use kit::upstream::sweep::Swept;

use crate::settings::Settings;

/// Work in the background. It ends when this is dropped.
pub(crate) struct Upkeep(Vec<tokio::task::JoinHandle<()>>);

/// Begins it.
pub(crate) fn start(kit: &Arc<Kit>, settings: &Settings) -> Upkeep {
    Upkeep(vec![
        tokio::spawn(sweep(kit.clone(), settings.sweep)),
        tokio::spawn(look_after_ledger(kit.clone())),
        tokio::spawn(reconcile(kit.clone())),
    ])
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

/// A checkpoint of the audit is this old at most, by whichever replica makes it.
const CHECKPOINT: Duration = Duration::from_secs(3_600);
/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(60);
/// What is answered is committed; what is left are calls whose clients have gone.
const LAST_ROWS: Duration = Duration::from_secs(5);

/// Makes checkpoints and forgets what has had its time, for as long as the process lives.
async fn look_after_ledger(kit: Arc<Kit>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let period = i64::try_from(CHECKPOINT.as_millis()).unwrap_or(i64::MAX);
        match kit.ledger.checkpoint(period).await {
            Ok(Some(made)) => {
                // Here it is out of reach of whoever can write the database.
                let Checkpoint { seq, streams, root, hash, .. } = made;
                tracing::info!(seq, streams, root, hash, "checkpoint of the audit");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "failed to make a checkpoint of the audit"),
        }
        if let Err(error) = kit.ledger.tidy().await {
            tracing::warn!(%error, "failed to remove what has expired");
        }
    }
}

/// Usage is compared with the audit this often, over a day and what the comparison before may have missed.
const COMPARED: Duration = Duration::from_secs(86_400);
const COMPARED_HOURS: i64 = 36;
/// The first time, when the hour in which the process came is over.
const FIRST_COMPARED: Duration = Duration::from_secs(3_600);

/// Compares usage with the audit: what is billed is what was done. They are written in one transaction, so a difference is
/// somebody's hand in the database.
async fn reconcile(kit: Arc<Kit>) {
    tokio::time::sleep(FIRST_COMPARED).await;
    loop {
        match kit.operator.usage_reconcile_last(COMPARED_HOURS).await {
            Ok(differences) if differences.is_empty() => {}
            Ok(differences) => {
                tracing::error!(differences = differences.len(), "usage and audit differ; see `usage reconcile`");
            }
            Err(error) => tracing::warn!(%error, "failed to compare usage with the audit"),
        }
        tokio::time::sleep(COMPARED).await;
    }
}

/// Waits for refreshes under way: each may hold tokens that are nowhere else yet.
pub(crate) async fn settle(kit: &Kit, longest: Duration) {
    let end = tokio::time::Instant::now() + longest;
    while kit.refresher.under_way() > 0 && tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if tokio::time::timeout(LAST_ROWS, kit.ledger.settled()).await.is_err() {
        tracing::error!(waiting = kit.ledger.waiting(), "failed to write the last rows of the audit");
    }
}
