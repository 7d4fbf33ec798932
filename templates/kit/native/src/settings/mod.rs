// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Settings: `config/server.toml`, then the environment (`MCP__SECTION__KEY`, or `…_FILE` with the path of a file that
//! holds the value). Every problem is found before any is reported, each with its path, its source and its remedy.

mod admin;
mod audit;
mod breaker;
mod database;
mod integrations;
mod limits;
mod network;
mod plans;
mod reader;
mod source;
mod telemetry;
mod vault;

pub use admin::AdminListen;
pub use audit::AuditSettings;
pub use limits::LimitSettings;
pub use telemetry::{Sampling, TelemetrySettings};
pub use vault::{KekSource, VaultSettings};

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::App;
use kit::breaker::LevelSettings;
use kit::limit::traffic::Rules;
use kit::pipeline::Bounds;
use kit::registry::IntegrationSettings;
use kit::upstream::refresh::Timing;
use tracing::level_filters::LevelFilter;
use url::Url;

use crate::egress::Egress;
use crate::log::Format;
pub use database::Database;
pub use network::{Network, PerAddress};
use reader::Reader;

/// Everything an owner can set, with its defaults resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens.
    pub bind: SocketAddr,
    /// Where it answers its operator.
    pub admin: AdminListen,
    /// How clients reach it: scheme, host and path prefix.
    pub public_url: Option<Url>,
    /// Further host names under which it answers.
    pub allowed_hosts: Vec<String>,
    /// Web origins whose pages may call it.
    pub allowed_origins: Vec<String>,
    /// A longer request is refused.
    pub max_body_bytes: usize,
    /// Bounds of a call.
    pub bounds: Bounds,
    /// Plans and limits.
    pub rules: Rules,
    /// The limit by address.
    pub per_address: PerAddress,
    /// A longer answer of an upstream is an error.
    pub max_upstream_bytes: usize,
    /// Where token buckets live.
    pub limits: LimitSettings,
    /// Where the store is.
    pub database: Database,
    /// How calls are written down.
    pub audit: AuditSettings,
    /// Whether `serve` and `stdio` apply missing migrations.
    pub migrate: bool,
    /// The key-encryption keys.
    pub vault: VaultSettings,
    /// Whether requests may go to private networks.
    pub egress_private: bool,
    /// How long the parts of a refresh may take.
    pub refresh: Timing,
    /// When upstreams are asked no more, and for how long.
    pub breakers: LevelSettings,
    /// How often idle connections are looked after.
    pub sweep: Duration,
    /// After SIGTERM the server still accepts for this long: load balancers need a moment to look away.
    pub grace: Duration,
    /// Then calls in flight may take this long.
    pub drain: Duration,
    /// Traces and metrics.
    pub telemetry: TelemetrySettings,
    /// Log level.
    pub log_level: LevelFilter,
    /// Log format.
    pub log_format: Format,
    /// By instance name.
    pub integrations: BTreeMap<String, IntegrationSettings>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the setting: `server.bind`.
    pub path: String,
    /// Where the value came from.
    pub source: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Everything that is wrong.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} problem(s) in the configuration", self.0.len())?;
        for problem in &self.0 {
            let Problem { path, source, what, remedy } = problem;
            write!(f, "\n  `{path}` ({source}): {what}\n    {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Settings {
    /// Reads `<folder>/server.toml`, `<folder>/integrations/*.toml` and the process's environment. A file that does not
    /// exist means defaults.
    pub fn load(app: &App, folder: &Path) -> Result<Self, Problems> {
        // A variable that is not text is not one of ours.
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self::load_with(app, folder, std::env::vars_os().filter_map(text).collect())
    }

    /// The same with a given environment.
    pub fn load_with(app: &App, folder: &Path, environment: BTreeMap<String, String>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let values = source::gather(&folder.join("server.toml"), &environment, &mut problems);
        let mut reader = Reader::new(values, &mut problems);

        let loopback = SocketAddr::from(([127, 0, 0, 1], 8080));
        let mut bind = reader.parsed("server.bind", "give HOST:PORT, for example 127.0.0.1:8080").unwrap_or(loopback);
        if let Some(port) = environment.get("PORT") {
            match port.parse() {
                Ok(port) => bind.set_port(port),
                Err(_) => reader.problem("server.bind", "environment PORT", "not a port", "give a number up to 65535"),
            }
        }
        let public_url: Option<Url> =
            reader.parsed("server.public_url", "give the URL that clients use, with https://");
        let settings = Self {
            bind,
            admin: admin::read(&mut reader),
            allowed_hosts: reader.list("server.allowed_hosts"),
            allowed_origins: reader.list("server.allowed_origins"),
            max_body_bytes: reader.count("server.max_body_bytes", 1024..=64 << 20, 1 << 20),
            bounds: Bounds {
                deadline: Duration::from_millis(reader.count("calls.deadline_ms", 10..=3_600_000, 30_000)),
                max_output_bytes: reader.count("calls.max_output_bytes", 1024..=16 << 20, 256 << 10),
            },
            rules: plans::rules(&mut reader),
            per_address: plans::per_address(&mut reader),
            max_upstream_bytes: reader.count("calls.max_upstream_bytes", 1024..=64 << 20, 4 << 20),
            limits: limits::read(&mut reader),
            database: database(&mut reader, app),
            audit: audit::read(&mut reader),
            migrate: reader.flag("storage.migrate", true),
            vault: vault::read(&mut reader, bind, &environment),
            egress_private: reader.flag("egress.private", false),
            refresh: refresh(&mut reader),
            breakers: breaker::read(&mut reader),
            sweep: Duration::from_secs(reader.count("refresh.sweep_s", 1..=86_400, 60)),
            grace: Duration::from_millis(reader.count("shutdown.grace_ms", 0..=300_000, 5_000)),
            drain: Duration::from_millis(reader.count("shutdown.drain_ms", 0..=3_600_000, 25_000)),
            telemetry: telemetry::read(&mut reader, &environment),
            log_level: reader
                .parsed("log.level", "give off, error, warn, info, debug or trace")
                .unwrap_or(LevelFilter::INFO),
            log_format: match reader.one_of("log.format", &["json", "plain"]) {
                Some("plain") => Format::Plain,
                _ => Format::Json,
            },
            integrations: BTreeMap::new(),
            public_url,
        };
        limits::check(&mut reader, &settings.limits, &settings.database);
        audit::check(&mut reader, &settings.audit, &settings.database);
        reader.finish();
        let integrations = integrations::load(app, &folder.join("integrations"), settings.bind, &mut problems);
        let settings = Self { integrations, ..settings };
        settings.check_public(&mut problems);
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }

    /// Where requests may go: to this machine only while nobody else can reach the server.
    pub fn egress(&self) -> Egress {
        Egress { loopback: self.bind.ip().is_loopback(), private: self.egress_private, metadata: false }
    }

    /// What must hold once the server listens on more than loopback.
    fn check_public(&self, problems: &mut Vec<Problem>) {
        let mut add = |what: &str, remedy: &str| {
            problems.push(Problem {
                path: "server.public_url".into(),
                source: "config/server.toml or environment MCP__SERVER__PUBLIC_URL".into(),
                what: what.into(),
                remedy: remedy.into(),
            });
        };
        match &self.public_url {
            None if !self.bind.ip().is_loopback() => {
                let what = format!("missing, while the server listens on {}", self.bind);
                add(&what, "give the URL that clients use, or listen on 127.0.0.1");
            }
            Some(url) if url.scheme() != "https" && !(is_loopback(url) && self.bind.ip().is_loopback()) => {
                add("keys would travel in the clear", "give an https:// URL; the proxy in front terminates TLS");
            }
            _ => {}
        }
    }
}

/// Whether `url` names this machine, in any of the ways there are to write that.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    match url.host() {
        Some(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.rsplit('.').next() == Some("localhost")
        }
        Some(url::Host::Ipv4(ip)) => here(ip.into()),
        Some(url::Host::Ipv6(ip)) => here(ip.to_canonical()),
        None => false,
    }
}

fn refresh(reader: &mut Reader<'_>) -> Timing {
    let default = Timing::default();
    let mut time = |path, default: Duration| {
        let ms = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(reader.count(path, 50..=600_000, ms))
    };
    let timing = Timing {
        lease: time("refresh.lease_ms", default.lease),
        token_timeout: time("refresh.token_timeout_ms", default.token_timeout),
        wait: time("refresh.wait_ms", default.wait),
    };
    if timing.lease < timing.token_timeout * 2 {
        reader.problem(
            "refresh.lease_ms",
            "config/server.toml or environment",
            "a lease that short ends while its holder still waits for the token endpoint",
            "give at least twice `refresh.token_timeout_ms`",
        );
    }
    timing
}

fn database(reader: &mut Reader<'_>, app: &App) -> Database {
    let path = "storage.database_url";
    let default = || Database::Sqlite(PathBuf::from(format!("data/{}.db", app.name())));
    let Some((url, source)) = reader.sourced_text(path) else { return default() };
    Database::parse(&url).unwrap_or_else(|(what, remedy)| {
        reader.problem(path, &source, what, remedy);
        default()
    })
}
