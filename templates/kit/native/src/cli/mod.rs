// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The command line of the generated server: it is its own operator's tool. Each operator command calls one function of
//! `kit::operator` and prints what it returns.

mod args;
mod audit;
mod check;
mod client_config;
mod dev;
#[cfg(feature = "http")]
mod healthcheck;
#[cfg(feature = "http")]
mod live;
mod operator;
mod usage;
mod vault;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _};
use kit::App;
use tracing::level_filters::LevelFilter;

use crate::log::{self, Format};
use crate::settings::Settings;
#[cfg(feature = "stdio")]
use crate::telemetry::Reporting;
use crate::{clock, failure, host, out};
use args::{Args, Command};

/// Runs the command that the process was started with.
pub fn run(app: App) -> ExitCode {
    let matches = Args::command().name(app.name()).version(app.version()).get_matches();
    let result = Args::from_arg_matches(&matches)
        .context("failed to read the arguments")
        .and_then(|args| clock::block_on(dispatch(&app, args)).context("failed to start the runtime")?);
    result.unwrap_or_else(|error| failure::report(&error))
}

async fn dispatch(app: &App, args: Args) -> anyhow::Result<ExitCode> {
    let load = || Settings::load(app, &args.config);
    let done = |()| ExitCode::SUCCESS;
    match args.command {
        Command::Dev(command) => {
            let level = if command.quiet() { LevelFilter::ERROR } else { LevelFilter::INFO };
            log::start(level, Format::Plain, true);
            dev::run(app, &load()?, command).await.map(done)
        }
        #[cfg(feature = "http")]
        Command::Serve => {
            let settings = load()?;
            log::start(settings.log_level, settings.log_format, false);
            crate::serve::run(app, &args.config, &settings).await.map(done)
        }
        #[cfg(feature = "stdio")]
        Command::Stdio(command) => {
            let settings = load()?;
            log::start(settings.log_level, settings.log_format, false);
            let reporting = Reporting::start(app, &settings)?;
            let kit = host::serving(app, &settings, reporting.port()).await?;
            match command.tenants {
                Some(tenants) => crate::stdio::several(kit, &settings, &reporting, &tenants).await.map(done),
                None => crate::stdio::one(kit, &settings, &reporting, &command.tenant(app.name())?).await.map(done),
            }
        }
        Command::Config(args::Config::Check) => check::run(app, &args.config).await,
        #[cfg(feature = "http")]
        Command::Config(args::Config::Reload) => live::reload(app, &load()?.admin).await.map(done),
        #[cfg(feature = "http")]
        Command::Limits(command) => live::limits(app, &load()?.admin, command).await.map(done),
        #[cfg(feature = "http")]
        Command::Drain => live::drain(app, &load()?.admin).await.map(done),
        Command::Migrate => {
            let settings = Settings { migrate: true, ..load()? };
            host::live(app, &settings).await?;
            out::note("the store is up to date");
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(feature = "http")]
        Command::Healthcheck => healthcheck::run(load()?.bind).map(done),
        Command::ClientConfig(command) => client_config::run(app, &load()?, &args.config, &command).map(done),
        Command::Tenant(command) => operator::tenant(&host::live(app, &load()?).await?, command).await.map(done),
        Command::Key(command) => operator::key(&host::live(app, &load()?).await?, command).await.map(done),
        Command::App(command) => operator::app(&host::live(app, &load()?).await?, command).await.map(done),
        Command::Capture(command) => audit::capture(&host::live(app, &load()?).await?, command).await.map(done),
        Command::Usage(command) => usage::run(&host::live(app, &load()?).await?, command).await,
        Command::Audit(command) => audit::run(&host::live(app, &load()?).await?, command).await,
        Command::Vault(command) => {
            let settings = load()?;
            vault::run(&host::live(app, &settings).await?, &settings, command).await.map(done)
        }
        #[cfg(feature = "http")]
        Command::Connect(command) => {
            let settings = load()?;
            let kit = host::live(app, &settings).await?;
            if settings.bind.ip().is_loopback() {
                kit.connector.reached_at(crate::serve::address_of(settings.bind)?);
            }
            operator::connect(&kit, &command).await.map(done)
        }
        Command::Connection(command) => {
            operator::connection(&host::live(app, &load()?).await?, command).await.map(done)
        }
    }
}
