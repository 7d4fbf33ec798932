//! A live installation without a network: its own store and key-encryption key in a folder, an upstream that remembers, and
//! a clock that is moved by hand. Any number of processes can be booted on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kit::boot::{Kit, Options, Ports, boot};
use kit::error::ToolError;
use kit::inbound::{Environment, TenantCtx};
use kit::limit::memory::MemoryLimits;
use kit::operator::NewConnection;
use kit::pipeline::{Caller, Failure};
use kit::ports::{Clock, KeyWrap};
use kit::prelude::*;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::kek_file::{self, Kind, write_private};
use kit_native::kek_ring;
use kit_native::log::LogTelemetry;
use kit_native::settings::{KekSource, Settings};
use kit_native::sqlite::Sqlite;
use kit_native::testing::{ManualClock, TempFolder};
use rusqlite::Connection as Database;

use super::{Spy, app, settings};

/// After this an opened data key is asked for again.
pub const ASK_AGAIN_MS: i64 = 600_000;
/// After this every row that was read is read again.
pub const ROWS_STALE_MS: i64 = 15_000;

/// An integration whose owner has an app.
const MACHINE: Provider = Provider {
    id: "machine",
    title: "Machine",
    base_url: "https://machine.test",
    auth: AuthShape::SystemUser(SystemUser { header: "X-Key", prefix: "", proof_param: Some("proof"), exchange: None }),
    throttle: Throttle::Silent,
    ..Provider::PLAIN
};

/// What all processes of one installation share.
pub struct Installation {
    pub folder: TempFolder,
    pub clock: Arc<ManualClock>,
    pub upstream: Spy,
    pub settings: Settings,
}

impl Installation {
    /// With a key-encryption key in the file `kek`.
    pub fn new() -> Self {
        let (folder, upstream) = (TempFolder::new(), Spy::default());
        write_private(&folder.path().join("kek"), &random_key()).unwrap();
        let mut settings = settings(&app(&upstream), &[]);
        settings.vault.kek = Some(KekSource::File(folder.path().join("kek")));
        Self { folder, clock: Arc::default(), upstream, settings }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn database(&self) -> Database {
        Database::open(self.path("store.db")).unwrap()
    }

    /// Another process on the same store.
    pub async fn process(&self) -> Kit {
        self.start(&self.settings).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Another process with settings of its own, or why it does not start.
    pub async fn start(&self, settings: &Settings) -> Result<Kit, String> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let ring = kek_ring::open(&settings.vault, &clock).map_err(|error| format!("{error:#}"))?;
        self.start_with(settings, Arc::new(ring)).await
    }

    /// The same with a ring of the test's own.
    pub async fn start_with(&self, settings: &Settings, kek: Arc<dyn KeyWrap>) -> Result<Kit, String> {
        let ports = Ports {
            clock: self.clock.clone(),
            sleep: Arc::new(TokioTime),
            spawn: Arc::new(TokioTime),
            rng: Arc::new(SystemRng),
            sql: Arc::new(Sqlite::open(&self.path("store.db")).map_err(|error| error.to_string())?),
            kek,
            send: Some(Arc::new(self.upstream.clone())),
            limits: Arc::new(MemoryLimits::default()),
            telemetry: Arc::new(LogTelemetry),
            spill: None,
        };
        let options = Options {
            environment: Environment::Live,
            migrate: true,
            bounds: settings.bounds,
            rules: kit::limit::traffic::Rules::default(),
            max_upstream_bytes: settings.max_upstream_bytes,
            kms_grace: settings.vault.kms_grace,
            public_url: None,
            breakers: kit::breaker::LevelSettings::default(),
            ledger: kit::ledger::LedgerOptions::default(),
            refresh: settings.refresh,
            integrations: settings.integrations.clone(),
        };
        let app = app(&self.upstream).integration("machine", Integration::new(MACHINE));
        boot(&app, ports, options).await.map_err(|error| error.to_string())
    }
}

/// A tenant with a `crm` connection, and its API key.
pub async fn tenant(kit: &Kit, name: &str) -> (TenantCtx, String) {
    kit.operator.tenant_add(name).await.unwrap();
    set(kit, name, &format!("secret-of-{name}")).await;
    let key = kit.operator.key_create(name, "", None).await.unwrap().key.expose_str().unwrap().to_owned();
    (kit.authenticator.api_key(&key).await.unwrap(), key)
}

/// Sets the `crm` connection of a tenant.
pub async fn set(kit: &Kit, tenant: &str, secret: &str) {
    kit.operator.connection_set(NewConnection::new(tenant, "crm", Secret::from(secret))).await.unwrap();
}

/// Calls a tool that sends one request with the tenant's credential.
pub async fn call(kit: &Kit, tenant: &TenantCtx) -> Result<Value, ToolError> {
    match kit.pipeline.tool(tenant, "crm_me", json!({}), Caller::patient()).await {
        Ok(answer) => Ok(answer.value),
        Err(Failure::Tool(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

/// The ids in a key file, the primary first.
pub fn ids(path: &Path) -> Vec<String> {
    kek_file::read(path, Kind::File).unwrap().ids()
}

pub fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    key
}

/// All rows that are wrapped by some key-encryption key, as `(kek_id, wrapped)`.
pub fn wrapped(database: &Database) -> Vec<(String, String)> {
    let sql = "SELECT kek_id, wrapped FROM tenant_deks WHERE wrapped IS NOT NULL \
               UNION ALL SELECT kek_id, wrapped FROM server_keys";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}
