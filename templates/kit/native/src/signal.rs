// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The signals that end the process.

/// Completes at SIGTERM, SIGINT or, elsewhere than on Unix, Ctrl-C.
pub(crate) async fn shutdown() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
