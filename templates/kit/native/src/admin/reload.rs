// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A reload: what can change under a running server is read again and put in place, all of it or, if anything is wrong with the
//! configuration, nothing. The rest takes a restart, and is not half done here.

use std::path::PathBuf;
use std::sync::Arc;

use kit::App;
use kit::boot::Kit;

use super::Admin;
use crate::doorkeeper::Doorkeeper;
use crate::settings::Settings;
use crate::{host, log};

/// Where the configuration is, and who goes by it.
pub(crate) struct Reload {
    pub(crate) app: App,
    pub(crate) folder: PathBuf,
    pub(crate) doorkeeper: Arc<Doorkeeper>,
}

/// The sections that a reload puts in place.
const APPLIED: [&str; 4] = ["calls.per_minute and calls.burst", "limits", "plans", "log.level"];

impl Reload {
    /// Reads the configuration and puts in place what it can. Returns what that is.
    pub(super) async fn run(&self, kit: &Kit) -> anyhow::Result<&'static [&'static str]> {
        let settings = Settings::load(&self.app, &self.folder)?;
        host::check_plans(kit, &settings).await?;
        kit.traffic.set_rules(settings.rules);
        self.doorkeeper.set_rules(settings.per_address);
        log::set_level(settings.log_level);
        tracing::info!(applied = APPLIED.join(", "), "read the configuration again");
        Ok(&APPLIED)
    }
}

/// Reloads at each SIGHUP, which is what process supervisors send for it.
#[cfg(unix)]
pub(super) async fn on_hangup(admin: Arc<Admin>) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        if let Err(error) = admin.reload.run(&admin.kit).await {
            tracing::error!(reason = format!("{error:#}"), "the configuration was not read again");
        }
    }
}
