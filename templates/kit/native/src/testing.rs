// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A whole kit in a temporary folder, for tests. It holds nothing that a request could not get: its tenants are added
//! by the operator and authenticate with an API key like anyone else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use kit::App;
use kit::boot::Kit;
use kit::connect::{Callback, ConnectError, Finished, Start};
use kit::error::ToolError;
use kit::inbound::TenantCtx;
use kit::pipeline::{Caller, Failure};
use kit::ports::Clock;
use kit::tenant::Account;

use serde_json::Value;
use url::Url;

use crate::dev;
use crate::log::LogTelemetry;
use crate::settings::Settings;

/// A clock that stands still until it is moved.
#[derive(Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Moves it on.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + self.0.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst) * 1_000
    }
}

/// A folder that is removed when dropped.
pub struct TempFolder(PathBuf);

impl TempFolder {
    /// A fresh folder.
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("mcp-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_default();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for TempFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A kit whose upstreams are the sandboxes.
pub struct TestKit {
    /// The kit.
    pub kit: Arc<Kit>,
    /// Its clock.
    pub clock: Arc<ManualClock>,
    /// The folder of its store.
    pub folder: TempFolder,
}

impl TestKit {
    /// Boots `app` with default settings. Panics when that fails: a test has nothing to do then.
    #[allow(clippy::expect_used, reason = "a test harness fails by panicking")]
    pub async fn new(app: &App) -> Self {
        let (folder, clock) = (TempFolder::new(), Arc::new(ManualClock::default()));
        let settings = Settings::load_with(app, Path::new("no-such-folder"), std::collections::BTreeMap::new())
            .expect("default settings are good");
        let kit = dev::start_with(app, &settings, folder.path(), clock.clone(), Arc::new(LogTelemetry))
            .await
            .expect("the kit boots")
            .kit;
        Self { kit: Arc::new(kit), clock, folder }
    }

    /// A tenant with a connection to every sandbox, authenticated by an API key.
    pub async fn tenant(&self, name: &str) -> TenantCtx {
        let tenant = self.bare_tenant(name).await;
        dev::connect_sandboxes(&self.kit, name).await.unwrap_or_default();
        tenant
    }

    /// A tenant without connections, authenticated by an API key.
    #[allow(clippy::expect_used, reason = "a test harness fails by panicking")]
    pub async fn bare_tenant(&self, name: &str) -> TenantCtx {
        self.kit.operator.tenant_add(name).await.expect("the tenant is new");
        let key = self.kit.operator.key_create(name, "test", None).await.expect("a key can be made").key;
        let text = key.expose_str().expect("a key is text");
        self.kit.authenticator.api_key(text).await.expect("a fresh key is good")
    }

    /// Connects `tenant` as a person would: to the sandbox's page of consent, where the button `decision` (`allow`, `narrow`,
    /// `deny`) is pressed, and back. Panics when the sandbox has no such page.
    #[allow(clippy::expect_used, reason = "a test harness fails by panicking")]
    pub async fn consent(
        &self,
        tenant: &TenantCtx,
        integration: &str,
        site: Option<&str>,
        decision: &str,
    ) -> Result<Finished, ConnectError> {
        let (account, redirect_uri) = (Account::parse("default").expect("a good name"), "https://mcp.test/callback");
        let start = Start { integration, account: &account, site, redirect_uri, browser: "cookie", link: None };
        let mut url = self.kit.connector.begin(tenant, &start).await?.authorize_url;
        url.query_pairs_mut().append_pair("decision", decision);
        let sandboxes = self.kit.sandboxes.as_ref().expect("sandboxes");
        let page = sandboxes.visit(integration, url, self.clock.wall_ms() / 1_000).expect("a page of consent");
        let back = page.header("location").and_then(|to| Url::parse(to).ok()).expect("the browser is sent back");
        let query: Vec<(String, String)> = back.query_pairs().into_owned().collect();
        self.kit.connector.finish(&Callback { query: &query, browser: "cookie" }).await
    }

    /// Calls a tool as `tenant` and returns its structured answer.
    pub async fn call(&self, tenant: &TenantCtx, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        match self.kit.pipeline.tool(tenant, tool, arguments, Caller::patient()).await {
            Ok(answer) => Ok(answer.value),
            Err(Failure::Tool(error)) => Err(error),
            Err(failure) => Err(ToolError::not_found(format!("`{tool}`: {failure:?}"))),
        }
    }
}
