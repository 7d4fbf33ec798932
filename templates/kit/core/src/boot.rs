// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! From ports and an application to a running kit. Everything that must be right before the first call is checked here
//! and nowhere later: the kind of the store, the key-encryption key, every name of every tool.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use url::Url;

use crate::app::App;
use crate::breaker::{Breakers, LevelSettings};
use crate::connect::{self, Connector};
use crate::inbound::{Authenticator, Environment};
use crate::ledger::usage::Usage;
use crate::ledger::{Ledger, LedgerOptions, LedgerParts};
use crate::limit::traffic::{Rules, Traffic};
use crate::observe::trace::Ids;
use crate::operator::Operator;
use crate::pipeline::{Bounds, Pipeline};
use crate::ports::{Clock, HttpSend, KeyWrap, LimitBackend, Rng, Sleep, Spawn, Spill, Sql, SqlError, Telemetry};
use crate::registry::{IntegrationSettings, Registry, RegistryError};
use crate::store::Store;
use crate::store::migrate::MigrateError;
use crate::upstream::executor::Executor;
use crate::upstream::refresh::{RefreshPorts, Refresher, Timing};
use crate::upstream::sandbox::Sandboxes;
use crate::upstream::sweep::Sweeper;
use crate::vault::Vault;
use crate::vault::kek::DEV_KEK_ID;
use crate::vault::server_keys::{self, Purpose, ServerKeyError};

/// The adapters of a host.
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting.
    pub sleep: Arc<dyn Sleep>,
    /// Work that outlives a call.
    pub spawn: Arc<dyn Spawn>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// The database.
    pub sql: Arc<dyn Sql>,
    /// The key-encryption keys.
    pub kek: Arc<dyn KeyWrap>,
    /// The way out; `None` answers from the sandboxes, which only a development server may do.
    pub send: Option<Arc<dyn HttpSend>>,
    /// Token buckets.
    pub limits: Arc<dyn LimitBackend>,
    /// Where calls are reported.
    pub telemetry: Arc<dyn Telemetry>,
    /// Where the ledger goes while the database is away; without it calls are refused then.
    pub spill: Option<Arc<dyn Spill>>,
}

/// What the owner set.
pub struct Options {
    /// Which kind of server this is.
    pub environment: Environment,
    /// Whether missing migrations are applied.
    pub migrate: bool,
    /// Bounds of a call.
    pub bounds: Bounds,
    /// Plans and limits.
    pub rules: Rules,
    /// A longer answer of an upstream is an error.
    pub max_upstream_bytes: usize,
    /// How long the parts of a refresh may take.
    pub refresh: Timing,
    /// When upstreams are asked no more, and for how long.
    pub breakers: LevelSettings,
    /// While a key-encryption key cannot be reached, a data key that it opened is used for this long.
    pub kms_grace: Duration,
    /// How calls are written down.
    pub ledger: LedgerOptions,
    /// Where people reach this server, if that is known.
    pub public_url: Option<Url>,
    /// Settings by instance name.
    pub integrations: BTreeMap<String, IntegrationSettings>,
}

/// A kit that is ready for calls.
pub struct Kit {
    /// What it offers.
    pub registry: Arc<Registry>,
    /// Who is calling.
    pub authenticator: Arc<Authenticator>,
    /// The path of every call.
    pub pipeline: Arc<Pipeline>,
    /// The operator's commands.
    pub operator: Arc<Operator>,
    /// Consents.
    pub connector: Arc<Connector>,
    /// Refreshes, for whoever stops this process.
    pub refresher: Arc<Refresher>,
    /// What looks after idle connections; the host runs it now and then.
    pub sweeper: Arc<Sweeper>,
    /// Who may call how much; its rules can be replaced.
    pub traffic: Arc<Traffic>,
    /// Audit and usage; the host makes checkpoints now and then, and waits for it at the end.
    pub ledger: Arc<Ledger>,
    /// The breakers, for people to look at.
    pub breakers: Arc<Breakers>,
    /// The vault, for its counters.
    pub vault: Arc<Vault>,
    /// The store, for readiness.
    pub store: Arc<Store>,
    /// The sandboxes, on a development server.
    pub sandboxes: Option<Arc<Sandboxes>>,
    /// Its clock, for whatever stands in front of it.
    pub clock: Arc<dyn Clock>,
}

/// Why the kit does not start.
#[derive(Debug)]
pub enum BootError {
    /// The application is wrong.
    Registry(RegistryError),
    /// The database does not fit.
    Migrate(MigrateError),
    /// A development store, KEK or sandbox on a real server, or the reverse.
    Mixed(&'static str),
    /// The store needs key-encryption keys that are not loaded.
    MissingKeks {
        /// Their ids.
        missing: Vec<String>,
        /// Ids of those that are.
        loaded: Vec<String>,
    },
    /// The server keys do not open.
    ServerKeys(ServerKeyError),
    /// The store failed.
    Store(SqlError),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => error.fmt(f),
            Self::Migrate(error) => error.fmt(f),
            Self::Mixed(what) => f.write_str(what),
            Self::MissingKeks { missing, loaded } => {
                let list = |ids: &[String]| ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
                write!(f, "the store was sealed under the key-encryption key {}, which is not loaded", list(missing))?;
                write!(f, "; loaded: {}", list(loaded))
            }
            Self::ServerKeys(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BootError {}

impl From<SqlError> for BootError {
    fn from(error: SqlError) -> Self {
        Self::Store(error)
    }
}

impl From<ServerKeyError> for BootError {
    fn from(error: ServerKeyError) -> Self {
        Self::ServerKeys(error)
    }
}

/// Mounts `app` on `ports`.
pub async fn boot(app: &App, ports: Ports, options: Options) -> Result<Kit, BootError> {
    let environment = options.environment;
    let dev = environment == Environment::Dev;
    let is_dev = ports.kek.ids().iter().any(|id| id == DEV_KEK_ID);
    match (dev, is_dev, ports.send.is_none()) {
        (false, true, _) => return Err(BootError::Mixed("the key-encryption key is a development key")),
        (true, false, _) => return Err(BootError::Mixed("a development server makes its own key-encryption key")),
        (false, false, true) => return Err(BootError::Mixed("sandboxes are for development servers")),
        _ => {}
    }
    let registry = Arc::new(Registry::mount(app, &options.integrations).map_err(BootError::Registry)?);
    let store = Arc::new(Store::new(ports.sql));
    if options.migrate {
        store.migrate(ports.clock.wall_ms()).await.map_err(BootError::Migrate)?;
    } else {
        store.check_migrations().await.map_err(BootError::Migrate)?;
    }
    match (store.claim(environment).await?, environment) {
        (Environment::Dev, Environment::Live) => {
            return Err(BootError::Mixed("the store was made by `dev` and is not for tenants"));
        }
        (Environment::Live, Environment::Dev) => {
            return Err(BootError::Mixed("the store belongs to a real server; `dev` does not touch it"));
        }
        _ => {}
    }
    // In this order: a key that another process makes the primary between the two is then among the loaded ones.
    let mut missing = store.keks_in_use().await?;
    let loaded = ports.kek.ids();
    missing.retain(|id| !loaded.contains(id));
    if !missing.is_empty() {
        return Err(BootError::MissingKeks { missing, loaded });
    }
    let sentinel = server_keys::obtain(&store, &*ports.kek, &*ports.rng, Purpose::Sentinel).await?;
    drop(sentinel);
    let pepper = server_keys::obtain(&store, &*ports.kek, &*ports.rng, Purpose::ApiKeyPepper).await?;

    let (sandboxes, send): (_, Arc<dyn HttpSend>) = match ports.send {
        Some(send) => (None, send),
        None => {
            let sandboxes = Arc::new(Sandboxes::of(&registry));
            (Some(sandboxes.clone()), sandboxes)
        }
    };
    let app_key = server_keys::obtain(&store, &*ports.kek, &*ports.rng, Purpose::App).await?;
    let (kek, clock, rng) = (ports.kek, ports.clock.clone(), ports.rng.clone());
    let vault = Arc::new(Vault::new(store.clone(), kek.clone(), clock, rng, app_key, options.kms_grace));
    let refresh_ports = RefreshPorts {
        send: send.clone(),
        clock: ports.clock.clone(),
        sleep: ports.sleep.clone(),
        spawn: ports.spawn.clone(),
        rng: ports.rng.clone(),
        telemetry: ports.telemetry.clone(),
    };
    let refresher = Arc::new(Refresher::new(store.clone(), vault.clone(), refresh_ports, options.refresh));
    // Without randomness replicas come back in step; there is worse.
    let mut seed = [0; 8];
    drop(ports.rng.fill(&mut seed));
    let breakers = Breakers::new(options.breakers, u64::from_le_bytes(seed));
    let executor = Arc::new(Executor::new(
        refresher.clone(),
        breakers.clone(),
        send.clone(),
        ports.clock.clone(),
        ports.sleep.clone(),
        ports.rng.clone(),
        options.max_upstream_bytes,
        app.name,
    ));
    let authenticator = Arc::new(Authenticator::new(store.clone(), ports.clock.clone(), environment, pepper.clone()));
    let sweeper = Arc::new(Sweeper {
        refresher: refresher.clone(),
        registry: registry.clone(),
        clock: ports.clock.clone(),
        telemetry: ports.telemetry.clone(),
    });
    let usage = Arc::new(Usage::new(store.clone(), ports.clock.clone()));
    let traffic = Arc::new(Traffic::new(ports.limits, ports.clock.clone(), usage.clone(), options.rules));
    let audit_key = server_keys::obtain(&store, &*kek, &*ports.rng, Purpose::Audit).await?;
    let redaction_key = server_keys::obtain(&store, &*kek, &*ports.rng, Purpose::Redaction).await?;
    let parts = LedgerParts {
        store: store.clone(),
        vault: vault.clone(),
        usage,
        clock: ports.clock.clone(),
        sleep: ports.sleep.clone(),
        spawn: ports.spawn,
        rng: ports.rng.clone(),
        spill: ports.spill,
        audit_key,
        redaction_key,
        server: app.version,
    };
    let ledger = Ledger::new(parts, options.ledger).map_err(ServerKeyError::from)?;
    ledger.recover().await;
    let ledger = Arc::new(ledger);
    let operator = Arc::new(Operator {
        server: app.name,
        environment,
        store: store.clone(),
        vault: vault.clone(),
        executor: executor.clone(),
        authenticator: authenticator.clone(),
        traffic: traffic.clone(),
        breakers: breakers.clone(),
        ledger: ledger.clone(),
        registry: registry.clone(),
        clock: ports.clock.clone(),
        rng: ports.rng.clone(),
        pepper,
    });
    let connector = Arc::new(Connector {
        store: store.clone(),
        vault: vault.clone(),
        registry: registry.clone(),
        operator: operator.clone(),
        send,
        clock: ports.clock.clone(),
        rng: ports.rng,
        timing: options.refresh,
        sandboxed: sandboxes.is_some(),
        base: options.public_url.map(OnceLock::from).unwrap_or_default(),
        offers: connect::offers(),
    });
    let pipeline = Arc::new(Pipeline::new(
        registry.clone(),
        executor,
        connector.clone(),
        traffic.clone(),
        ledger.clone(),
        ports.telemetry,
        ports.clock.clone(),
        ports.sleep,
        options.bounds,
        Ids::new(u64::from_le_bytes(seed).rotate_left(32)),
    ));
    Ok(Kit {
        registry,
        authenticator,
        pipeline,
        operator,
        connector,
        refresher,
        sweeper,
        traffic,
        ledger,
        breakers,
        vault,
        store,
        sandboxes,
        clock: ports.clock,
    })
}
