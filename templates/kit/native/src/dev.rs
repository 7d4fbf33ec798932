// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `dev`: the whole server on this machine, without accounts and without other servers. It has its own store and its
//! own key, a tenant `demo` with an API key, and the sandbox of every integration as its upstream. Nothing of it is of
//! use to a real server, which refuses its store, its key-encryption key and its API keys.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use kit::App;
use kit::boot::Kit;
use kit::operator::NewConnection;
use kit::ports::{Clock, Telemetry};
use kit::secret::Secret;

use crate::clock::SystemClock;
use crate::host;
use crate::kek_file::write_private;
use crate::settings::Settings;

/// Folder of the development store; the project's `.gitignore` names it.
pub const FOLDER: &str = ".dev";
/// The tenant that `dev` makes.
pub const TENANT: &str = "demo";

/// A development kit and the API key of its tenant.
pub struct Dev {
    /// The kit, answered by the sandboxes.
    pub kit: Kit,
    /// A key of the tenant `demo`.
    pub key: Secret,
}

/// Starts from what an earlier `dev` left in `folder`, or from nothing.
pub async fn start(
    app: &App,
    settings: &Settings,
    folder: &Path,
    telemetry: Arc<dyn Telemetry>,
) -> anyhow::Result<Dev> {
    start_with(app, settings, folder, Arc::new(SystemClock), telemetry).await
}

/// The same with another clock, for tests.
pub async fn start_with(
    app: &App,
    settings: &Settings,
    folder: &Path,
    clock: Arc<dyn Clock>,
    telemetry: Arc<dyn Telemetry>,
) -> anyhow::Result<Dev> {
    let kit = host::dev(app, settings, folder, clock, telemetry).await?;
    if !kit.operator.tenant_list().await?.iter().any(|tenant| tenant.id == TENANT) {
        kit.operator.tenant_add(TENANT).await?;
    }
    connect_sandboxes(&kit, TENANT).await?;
    let key = remembered_key(&kit, &folder.join("demo.key")).await?;
    Ok(Dev { kit, key })
}

/// Gives `tenant` a connection to every sandbox that it has none to.
pub async fn connect_sandboxes(kit: &Kit, tenant: &str) -> anyhow::Result<()> {
    let have = kit.operator.connection_list(tenant).await?;
    for (integration, seed) in kit.sandboxes.iter().flat_map(|sandboxes| sandboxes.seeds()) {
        if have.iter().any(|connection| connection.integration == integration) {
            continue;
        }
        if let Some((client_id, client_secret)) = seed.app {
            kit.operator.app_set(integration, None, client_id, client_secret).await?;
        }
        let (secret, site, target, account) = (seed.secret, seed.site, seed.target, "default");
        let new = NewConnection { tenant, integration, account, secret, site, target };
        kit.operator.connection_set(new).await?;
    }
    Ok(())
}

/// The key of the last time, if it is still good: the client configuration that was pasted then goes on working.
async fn remembered_key(kit: &Kit, path: &Path) -> anyhow::Result<Secret> {
    if let Ok(text) = std::fs::read_to_string(path)
        && kit.authenticator.api_key(text.trim()).await.is_ok()
    {
        return Ok(Secret::from(text.trim()));
    }
    let key = kit.operator.key_create(TENANT, "dev", None).await?.key;
    write_private(path, key.expose()).context("failed to remember the development key")?;
    Ok(key)
}
