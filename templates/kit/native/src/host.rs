// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Puts the kit on this machine: reads what the settings name and boots it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use kit::App;
use kit::boot::{self, BootError, Kit, Options, Ports};
use kit::inbound::Environment;
use kit::limit::memory::MemoryLimits;
use kit::ports::{Clock, HttpSend, KeyWrap, Sql, SqlError};
use kit::store::migrate::MigrateError;

use crate::clock::{SystemClock, SystemRng, TokioTime};
use crate::failure::Hinted;
use crate::log::LogTelemetry;
use crate::send::NetworkSend;
use crate::settings::{Database, Settings};
use crate::sqlite::Sqlite;
use crate::{kek_file, kek_ring};

/// A kit for tenants, with the store and the keys that the settings name.
pub async fn live(app: &App, settings: &Settings) -> anyhow::Result<Kit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let kek = Arc::new(kek_ring::open(&settings.vault, &clock)?);
    let send = Arc::new(NetworkSend::new(settings.egress()));
    assemble(app, settings, &settings.database, kek, Some(send), Environment::Live, clock).await
}

/// A kit for `dev` and tests: its own store and key in `folder`, answered by the sandboxes.
pub async fn dev(app: &App, settings: &Settings, folder: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Kit> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
    let kek = kek_file::read_or_make_dev(&folder.join("kek"))?;
    let database = Database::Sqlite(folder.join("store.db"));
    assemble(app, settings, &database, Arc::new(kek), None, Environment::Dev, clock).await
}

async fn assemble(
    app: &App,
    settings: &Settings,
    database: &Database,
    kek: Arc<dyn KeyWrap>,
    send: Option<Arc<dyn HttpSend>>,
    environment: Environment,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Kit> {
    let ports = Ports {
        clock,
        sleep: Arc::new(TokioTime),
        spawn: Arc::new(TokioTime),
        rng: Arc::new(SystemRng),
        sql: open(database).await?,
        kek,
        send,
        limits: Arc::new(MemoryLimits::default()),
        telemetry: Arc::new(LogTelemetry),
    };
    let options = Options {
        environment,
        migrate: settings.migrate || environment == Environment::Dev,
        bounds: settings.bounds,
        max_upstream_bytes: settings.max_upstream_bytes,
        breakers: settings.breakers,
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
