// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What can be typed. No logic beyond the types.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::client_config::Client;

#[derive(Parser)]
#[command(disable_help_subcommand = true, arg_required_else_help = true)]
pub(super) struct Args {
    /// Folder of `server.toml` and `integrations/` [env: MCP__CONFIG]
    #[arg(long, global = true, default_value_os_t = default_config(), value_name = "FOLDER")]
    pub(super) config: PathBuf,
    #[command(subcommand)]
    pub(super) command: Command,
}

fn default_config() -> PathBuf {
    std::env::var_os("MCP__CONFIG").map_or_else(|| PathBuf::from("config"), PathBuf::from)
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run on this machine with a demo tenant and stand-ins for the upstreams
    Dev(Dev),
    /// Serve tenants over HTTP
    #[cfg(feature = "http")]
    Serve,
    /// Serve a local client over standard input and output
    #[cfg(feature = "stdio")]
    Stdio(Stdio),
    /// Add, list, suspend, resume, export and delete tenants
    #[command(subcommand)]
    Tenant(Tenant),
    /// Create, list and revoke the API keys of a tenant
    #[command(subcommand)]
    Key(Key),
    /// Set, list and remove the owner's apps at providers
    #[command(subcommand)]
    App(App),
    /// Make a link by which a person connects an account; send it to them
    #[cfg(feature = "http")]
    Connect(Connect),
    /// Set, list and remove the connections of a tenant
    #[command(subcommand)]
    Connection(Connection),
    /// Read, verify, export and purge what was written down of calls
    #[command(subcommand)]
    Audit(Audit),
    /// Keep the arguments and results of a tenant's calls, sealed, for a while
    #[command(subcommand)]
    Capture(Capture),
    /// See who uses what, and give it out to be billed
    #[command(subcommand)]
    Usage(Usage),
    /// Rotate and remove the keys that everything is sealed with
    #[command(subcommand)]
    Vault(Vault),
    /// Look at a tenant's limits, and at the breakers of upstreams, in the server that runs here
    #[cfg(feature = "http")]
    #[command(subcommand)]
    Limits(Limits),
    /// Check the configuration
    #[command(subcommand)]
    Config(Config),
    /// Ask the server that runs here to finish its calls and to end
    #[cfg(feature = "http")]
    Drain,
    /// Bring the store up to date
    Migrate,
    /// Ask the server on this machine whether it is ready
    #[cfg(feature = "http")]
    Healthcheck,
    /// Print what to paste into a client
    ClientConfig(ClientConfig),
}

#[derive(clap::Args)]
pub(super) struct Dev {
    /// Address to listen on; loopback only
    #[cfg(feature = "http")]
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub(super) bind: std::net::SocketAddr,
    /// Also serve the stand-ins for upstreams here, to programs of your own; loopback only
    #[cfg(feature = "http")]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) sandbox_bind: Option<std::net::SocketAddr>,
    /// Serve a local client over standard input and output instead
    #[cfg(feature = "stdio")]
    #[arg(long)]
    pub(super) stdio: bool,
    /// Send traces and metrics to this collector, for example http://127.0.0.1:4318
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    pub(super) otlp: Option<url::Url>,
    /// Print one line of JSON for programs instead of text for people
    #[arg(long)]
    pub(super) json: bool,
    /// Folder of the development store
    #[arg(long, default_value = crate::dev::FOLDER, value_name = "FOLDER")]
    pub(super) folder: PathBuf,
}

#[cfg(feature = "stdio")]
#[derive(clap::Args)]
pub(super) struct Stdio {
    /// The tenant to serve [env: MCP__TENANT]
    #[arg(long, conflicts_with = "tenants")]
    tenant: Option<String>,
    /// Several tenants, separated by commas; every tool then takes a `tenant`
    #[arg(long, value_delimiter = ',', value_name = "TENANT,…")]
    pub(super) tenants: Option<Vec<String>>,
}

#[derive(Subcommand)]
pub(super) enum Tenant {
    /// Add a tenant
    Add {
        /// Its name
        tenant: String,
        /// The plan that it is on; see `[plans]` in config/server.toml
        #[arg(long, value_name = "PLAN")]
        plan: Option<String>,
    },
    /// Put a tenant on another plan
    Plan {
        /// Its name
        tenant: String,
        /// The plan
        #[arg(required_unless_present = "none")]
        plan: Option<String>,
        /// On none: what `[limits]` says of tenants without a plan
        #[arg(long, conflicts_with = "plan")]
        none: bool,
    },
    /// Set what the billing system calls a tenant: a customer of Stripe, a subscription of Lago
    Billing {
        /// Its name
        tenant: String,
        /// The id there
        #[arg(required_unless_present = "none")]
        id: Option<String>,
        /// Its own name, as long as nothing else is set
        #[arg(long, conflicts_with = "id")]
        none: bool,
    },
    /// List the tenants
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a tenant's calls until it is resumed
    Suspend {
        /// Its name
        tenant: String,
    },
    /// Accept a suspended tenant's calls again
    Resume {
        /// Its name
        tenant: String,
    },
    /// Print what is stored of a tenant as JSON, without secrets
    Export {
        /// Its name
        tenant: String,
    },
    /// Destroy a tenant's keys and connections; there is no way back
    Delete {
        /// Its name
        tenant: String,
        /// Its name once more
        #[arg(long, value_name = "TENANT")]
        confirm: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Key {
    /// Create a key and print it once
    Create {
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// The account that its calls are for; without it the caller chooses where there are several
        #[arg(long)]
        account: Option<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        label: String,
        /// Days until it ends
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys, without their secrets
    List {
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key; every replica refuses it within 15 s
    Revoke {
        /// The third part of the key
        id: String,
        /// The tenant
        #[arg(long)]
        tenant: String,
    },
}

#[derive(Subcommand)]
pub(super) enum App {
    /// Store an app's client id and secret; the secret is read from standard input or a file
    Set {
        /// The integration
        integration: String,
        /// The client id
        #[arg(long, value_name = "ID")]
        client_id: String,
        /// For this tenant only
        #[arg(long)]
        tenant: Option<String>,
        /// File with the secret, instead of standard input
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// List the apps, without their secrets
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an app
    Remove {
        /// The integration
        integration: String,
        /// The override of this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
}

#[cfg(feature = "http")]
#[derive(clap::Args)]
pub(super) struct Connect {
    /// The integration
    pub(super) integration: String,
    /// The tenant
    #[arg(long)]
    pub(super) tenant: String,
    /// The account, where the tenant has several
    #[arg(long, default_value = "default")]
    pub(super) account: String,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Subcommand)]
pub(super) enum Connection {
    /// Store the secret of a connection, read from standard input or a file
    Set {
        /// The integration
        integration: String,
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// The account, where a tenant has several
        #[arg(long, default_value = "default")]
        account: String,
        /// Region or host, where the provider has several
        #[arg(long)]
        site: Option<String>,
        /// Id of what its requests are for, where the provider has several: a profile, a customer
        #[arg(long, value_name = "ID")]
        target: Option<String>,
        /// File with the secret, instead of standard input
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// List what a connection's requests can be for, where the provider has several
    Targets {
        /// The integration
        integration: String,
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// The account
        #[arg(long, default_value = "default")]
        account: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Choose what a connection's requests are for
    Target {
        /// The integration
        integration: String,
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// The account
        #[arg(long, default_value = "default")]
        account: String,
        /// Id of the profile
        #[arg(long)]
        id: String,
    },
    /// List the connections, without their secrets
    List {
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a connection
    Remove {
        /// The integration
        integration: String,
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// The account
        #[arg(long, default_value = "default")]
        account: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Vault {
    /// List the key-encryption keys and what they wrap
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a new key-encryption key in the place of the primary, and wrap everything with it
    RotateKek,
    /// Wrap with the primary what another key-encryption key has wrapped; servers go on serving
    Rewrap {
        /// Also what the primary has wrapped: after a rotation inside a KMS
        #[arg(long)]
        all: bool,
    },
    /// Remove a key-encryption key that wraps nothing any more
    RemoveKek {
        /// Its id
        id: String,
    },
    /// Give a tenant a new data key, seal its connections anew, and destroy the old one
    RotateDek {
        /// The tenant
        #[arg(long)]
        tenant: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Audit {
    /// List the latest rows
    Tail {
        /// Of this tenant only
        #[arg(long)]
        tenant: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// As JSON, one row a line
        #[arg(long)]
        json: bool,
    },
    /// Look for rows that were changed, removed or put in; fails if there are any
    Verify {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the rows from before a day to a file, one JSON object a line
    Export {
        /// The day (UTC)
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
        before: kit::day::Day,
        /// The file; it must not be there yet
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Remove the rows from before a day that were exported and that a checkpoint has seen
    Purge {
        /// The day (UTC)
        #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
        before: kit::day::Day,
    },
    /// Make a checkpoint now; a serving process makes one every hour
    Checkpoint,
    /// Show one call, with its arguments and result if they were captured; this is written down too
    Show {
        /// Id of the call
        call: String,
        /// The tenant
        #[arg(long)]
        tenant: String,
    },
}

#[derive(Subcommand)]
pub(super) enum Usage {
    /// Add it up
    Report {
        #[command(flatten)]
        period: Days,
        /// What it is added up by
        #[arg(long, value_enum, default_value_t = By::Tenant)]
        by: By,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the programs that called, with the version of this server that they saw
    Clients {
        #[command(flatten)]
        period: Days,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List who still calls tools that go
    Deprecated {
        #[command(flatten)]
        period: Days,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write what was not billed yet to standard output. The same again until it is acknowledged
    Export {
        /// The form
        #[arg(long, value_parser = format)]
        format: kit::ledger::export::Format,
        /// Name of what it goes to, which remembers what it has; the form's where nothing is said
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// What the billing system calls what is counted
        #[arg(long, default_value = "mcp_units", value_name = "NAME")]
        meter: String,
        /// Calls that ended otherwise than well are billed too, by the class of their answer
        #[arg(long, value_delimiter = ',', default_value = "ok", value_name = "OUTCOME,…")]
        outcomes: Vec<String>,
        /// A file instead of standard output; it must not be there yet
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Say that a batch has arrived
    Ack {
        /// Its number
        batch: i64,
        /// Name of what it went to
        #[arg(long, value_name = "NAME")]
        to: String,
    },
    /// Compare usage with the audit; fails if they differ
    Reconcile {
        #[command(flatten)]
        period: Days,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct Days {
    /// The first day (UTC) [default: the first of this month]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    from: Option<kit::day::Day>,
    /// The first day behind it [default: until now]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    to: Option<kit::day::Day>,
    /// Of this tenant only
    #[arg(long)]
    tenant: Option<String>,
}

impl Days {
    pub(super) fn period(self) -> kit::operator::Period {
        kit::operator::Period { from: self.from, to: self.to, tenant: self.tenant }
    }
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum By {
    /// Tenant
    Tenant,
    /// Tenant and tool
    Tool,
    /// Day
    Day,
}

fn format(text: &str) -> Result<kit::ledger::export::Format, String> {
    use kit::ledger::export::Format;
    let known = Format::ALL.map(Format::as_str).join(", ");
    Format::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| format!("give one of: {known}"))
}

#[derive(Subcommand)]
pub(super) enum Capture {
    /// From now on
    On {
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// For how long: 30m, 1h, 2d
        #[arg(long = "for", value_name = "TIME", value_parser = span_ms)]
        span_ms: i64,
    },
    /// No more
    Off {
        /// The tenant
        #[arg(long)]
        tenant: String,
    },
}

fn day(text: &str) -> Result<kit::day::Day, String> {
    kit::day::Day::parse(text).ok_or_else(|| "give a day of the calendar, as 2026-10-31".to_owned())
}

/// `30m`, `1h` or `2d` in milliseconds, up to 30 days.
fn span_ms(text: &str) -> Result<i64, String> {
    let units = [('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    let parsed =
        units.iter().find_map(|(unit, ms)| text.strip_suffix(*unit)?.parse::<u16>().ok().map(|n| i64::from(n) * ms));
    let fits = parsed.filter(|ms| (1..=30 * 86_400_000).contains(ms));
    fits.ok_or_else(|| "give minutes, hours or days up to 30, as 30m, 1h or 2d".to_owned())
}

#[derive(Subcommand)]
pub(super) enum Config {
    /// Report everything that is wrong with it
    Check,
    /// Have the server that runs here read it again: limits, plans and the level of its log
    #[cfg(feature = "http")]
    Reload,
}

#[cfg(feature = "http")]
#[derive(Subcommand)]
pub(super) enum Limits {
    /// Show what a tenant may, and how much of it is used
    Show {
        /// The tenant
        #[arg(long)]
        tenant: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the upstreams that are not asked just now
    Breakers {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct ClientConfig {
    /// The client
    #[arg(long)]
    pub(super) client: Client,
    /// URL of the server, where it is not `server.public_url`
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<url::Url>,
    /// Start the server as a child of the client, for this tenant
    #[arg(long, value_name = "TENANT")]
    pub(super) stdio: Option<String>,
}

impl Dev {
    /// Whether standard error is left to problems: a program reads the output.
    pub(super) fn quiet(&self) -> bool {
        self.json
    }
}

#[cfg(feature = "stdio")]
impl Stdio {
    /// The tenant to serve. There is no default: guessing one would hand its connections to whoever starts this.
    pub(super) fn tenant(self, server: &str) -> anyhow::Result<String> {
        let missing = || {
            let hint = format!("run `{server} stdio --tenant NAME`, or set MCP__TENANT; see `{server} tenant list`");
            crate::failure::Hinted::new("no tenant was named", hint).into()
        };
        self.tenant.or_else(|| std::env::var("MCP__TENANT").ok()).filter(|name| !name.is_empty()).ok_or_else(missing)
    }
}
