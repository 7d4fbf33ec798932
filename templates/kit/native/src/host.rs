// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Puts the kit on this machine: reads what the settings name and boots it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use kit::App;
use kit::boot::{self, BootError, Kit, Options, Ports};
use kit::inbound::Environment;
use kit::limit::memory::MemoryLimits;
use kit::ports::{Clock, HttpSend, KeyWrap, LimitBackend, Spill, Sql, SqlError, Telemetry};
use kit::store::migrate::MigrateError;

use crate::clock::{SystemClock, SystemRng, TokioTime};
use crate::failure::Hinted;
use crate::log::LogTelemetry;
use crate::send::NetworkSend;
#[cfg(feature = "redis")]
use crate::settings::LimitSettings;
use crate::settings::{Database, Problem, Problems, Settings};
use crate::spill::SpillFile;
use crate::sqlite::Sqlite;
use crate::{kek_file, kek_ring};

/// A kit for the operator's commands, with the store and the keys that the settings name.
pub async fn live(app: &App, settings: &Settings) -> anyhow::Result<Kit> {
    with_spill(app, settings, None, Arc::new(LogTelemetry)).await
}

/// The same for a process that serves: its calls are reported to `telemetry`, and it has the spill, which one process at a time
/// can have.
pub async fn serving(app: &App, settings: &Settings, telemetry: Arc<dyn Telemetry>) -> anyhow::Result<Kit> {
    let spill = match &settings.audit.spill {
        Some((path, max_bytes)) => {
            let opened = SpillFile::open(path, *max_bytes);
            let spill: Arc<dyn Spill> =
                Arc::new(opened.with_context(|| format!("failed to open `{}`", path.display()))?);
            Some(spill)
        }
        None => None,
    };
    with_spill(app, settings, spill, telemetry).await
}

async fn with_spill(
    app: &App,
    settings: &Settings,
    spill: Option<Arc<dyn Spill>>,
    telemetry: Arc<dyn Telemetry>,
) -> anyhow::Result<Kit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let kek = Arc::new(kek_ring::open(&settings.vault, &clock)?);
    let send = Arc::new(NetworkSend::new(settings.egress()));
    let limits = limits(app, settings, &clock).await?;
    assemble(app, settings, &settings.database, kek, Some(send), limits, spill, Environment::Live, clock, telemetry)
        .await
}

/// A kit for `dev` and tests: its own store and key in `folder`, answered by the sandboxes.
pub async fn dev(
    app: &App,
    settings: &Settings,
    folder: &Path,
    clock: Arc<dyn Clock>,
    telemetry: Arc<dyn Telemetry>,
) -> anyhow::Result<Kit> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
    let kek = kek_file::read_or_make_dev(&folder.join("kek"))?;
    let database = Database::Sqlite(folder.join("store.db"));
    let limits = Arc::new(MemoryLimits::default());
    assemble(app, settings, &database, Arc::new(kek), None, limits, None, Environment::Dev, clock, telemetry).await
}

#[allow(clippy::too_many_arguments, reason = "what the two kinds of server differ in, each once")]
async fn assemble(
    app: &App,
    settings: &Settings,
    database: &Database,
    kek: Arc<dyn KeyWrap>,
    send: Option<Arc<dyn HttpSend>>,
    limits: Arc<dyn LimitBackend>,
    spill: Option<Arc<dyn Spill>>,
    environment: Environment,
    clock: Arc<dyn Clock>,
    telemetry: Arc<dyn Telemetry>,
) -> anyhow::Result<Kit> {
    let ports = Ports {
        clock,
        sleep: Arc::new(TokioTime),
        spawn: Arc::new(TokioTime),
        rng: Arc::new(SystemRng),
        sql: open(database).await?,
        kek,
        send,
        limits,
        telemetry,
        spill,
    };
    let options = Options {
        environment,
        migrate: settings.migrate || environment == Environment::Dev,
        bounds: settings.bounds,
        rules: settings.rules.clone(),
        max_upstream_bytes: settings.max_upstream_bytes,
        breakers: settings.breakers,
        ledger: settings.audit.options,
        refresh: settings.refresh,
        kms_grace: settings.vault.kms_grace,
        public_url: settings.public_url.clone(),
        integrations: settings.integrations.clone(),
    };
    let failed = || format!("failed to start on `{database}`");
    boot::boot(app, ports, options).await.map_err(|error| match error {
        BootError::Migrate(MigrateError::Pending { .. }) => {
            let hint = format!("bring it up to date with `{} migrate`", app.name());
            Hinted::new(format!("{}: {error}", failed()), hint).into()
        }
        BootError::Migrate(MigrateError::Sql(SqlError::Denied)) | BootError::Store(SqlError::Denied) => {
            let hint = format!(
                "make it the owner with `ALTER DATABASE … OWNER TO …`; if it shall not make tables, run `{} migrate` as \
                 the owner and grant it SELECT, INSERT, UPDATE and DELETE",
                app.name()
            );
            Hinted::new(format!("{}: {error}", failed()), hint).into()
        }
        BootError::MissingKeks { .. } => {
            let hint = "put it back: its line into the key file, or its source into `vault.previous_keks`";
            Hinted::new(format!("{}: {error}", failed()), hint).into()
        }
        error => anyhow::Error::new(error).context(failed()),
    })
}

async fn open(database: &Database) -> anyhow::Result<Arc<dyn Sql>> {
    Ok(match database {
        Database::Sqlite(path) => Arc::new(Sqlite::open(path)?),
        #[cfg(feature = "postgres")]
        Database::Postgres(target) => Arc::new(crate::postgres::Postgres::open(target).await?),
    })
}

/// Token buckets where the settings say. A Redis that is not there stops no server from starting: it is an outage like any
/// other, and `config check` is who insists.
#[cfg_attr(not(feature = "redis"), allow(unused_variables, clippy::unused_async, reason = "there is one place then"))]
async fn limits(app: &App, settings: &Settings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn LimitBackend>> {
    #[cfg(feature = "redis")]
    if let Some(redis) = redis(app, settings, clock)? {
        // Why it could not is in the log.
        redis.connect().await.unwrap_or_default();
        return Ok(Arc::new(redis));
    }
    Ok(Arc::new(MemoryLimits::default()))
}

/// Whether the limits that the settings name can be reached.
#[cfg(feature = "redis")]
pub(crate) async fn check_limits(app: &App, settings: &Settings) -> anyhow::Result<()> {
    if let Some(redis) = redis(app, settings, &(Arc::new(SystemClock) as Arc<dyn Clock>))? {
        redis.connect().await?;
    }
    Ok(())
}

#[cfg(feature = "redis")]
fn redis(
    app: &App,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<Option<crate::redis::RedisLimits>, crate::failure::Hinted> {
    use crate::redis::{Bounds, RedisLimits};
    let LimitSettings { redis, replicas, outages } = &settings.limits;
    let Some(target) = redis else { return Ok(None) };
    RedisLimits::new(target, app.name(), *replicas, outages.clone(), Bounds::default(), clock.clone()).map(Some)
}

/// Whether every plan that tenants are on is described.
pub(crate) async fn check_plans(kit: &Kit, settings: &Settings) -> anyhow::Result<()> {
    let lost = kit.operator.lost_plans(&settings.rules.plans).await.context("failed to read the tenants' plans")?;
    let server = kit.registry.name;
    let problem = |plan: String| Problem {
        path: format!("plans.{plan}"),
        source: "tenants".into(),
        what: "tenants are on this plan, and it is not described".into(),
        remedy: format!("describe it under `[plans.{plan}]`, or see who is on it with `{server} tenant list`"),
    };
    if lost.is_empty() { Ok(()) } else { Err(Problems(lost.into_iter().map(problem).collect()).into()) }
}
