// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Which server and database, and whether the way there is closed. Beyond this machine it is TLS with a certificate that
//! is checked, unless the URL itself says `sslmode=disable`: `prefer`, the default elsewhere, gives way to whoever sits
//! in between. The URL holds a password, so what prints is made of its other parts.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use crate::failure::Hinted;

/// A URL of the form `postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE`, checked.
#[derive(Clone)]
pub struct Target {
    config: Config,
    roots: Option<Roots>,
}

/// Who vouches for the server's certificate.
#[derive(Clone)]
enum Roots {
    /// Whoever this machine trusts.
    System,
    /// The certificates in this file and no others.
    File(PathBuf),
}

const SETTING: &str = "`storage.database_url`";

impl Target {
    /// Reads a URL; on failure what is wrong and what to do, without any part of the URL.
    pub fn parse(url: &str) -> Result<Self, (&'static str, &'static str)> {
        let form = "give postgres://USER:PASSWORD@HOST/DATABASE";
        let unread = ("not a URL of PostgreSQL, or with an option that is not known", form);
        let (_, rest) = url.split_once("://").ok_or(unread)?;
        // The first `@` ends the password for whoever reads the URL. With a second one a part of the password would be
        // taken for the host, and print.
        let place = rest.split_once('@').map_or(rest, |(_, place)| place);
        let options = place.split_once('?').map(|(_, options)| options).unwrap_or_default();
        if place[..place.len() - options.len()].contains('@') {
            return Err(("has more than one @", "write an @ in the user or the password as %40"));
        }
        let (ours, theirs): (Vec<&str>, Vec<&str>) = options
            .split('&')
            .filter(|option| !option.is_empty())
            .partition(|option| option.starts_with("sslmode=") || option.starts_with("sslrootcert="));
        let (mut mode, mut roots) = (String::new(), Roots::System);
        // A `+` is no space here.
        for (key, value) in form_urlencoded::parse(ours.join("&").replace('+', "%2B").as_bytes()) {
            match (&*key, &*value) {
                ("sslmode", value) => value.clone_into(&mut mode),
                (_, "system") => roots = Roots::System,
                (_, file) => roots = Roots::File(file.into()),
            }
        }
        let bare = url.strip_suffix(options).unwrap_or(url);
        let mut config: Config = format!("{bare}{}", theirs.join("&")).parse().map_err(|_| unread)?;
        if config.get_hosts().is_empty() {
            return Err(("names no host", form));
        }
        let tls = match mode.as_str() {
            "disable" => false,
            "require" | "verify-ca" | "verify-full" => !is_socket(&config),
            "" | "allow" | "prefer" => !is_here(&config),
            _ => return Err(("has an unknown `sslmode`", "give sslmode=require, or leave it out")),
        };
        config.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
        // Two hours by default, and what stands in between forgets a silent connection within minutes.
        config.keepalives_idle(Duration::from_secs(60));
        Ok(Self { config, roots: tls.then_some(roots) })
    }

    pub(super) fn config(&self) -> Config {
        self.config.clone()
    }

    /// What encrypts the connections, where that is asked for.
    pub(super) fn tls(&self) -> Result<Option<MakeRustlsConnect>, Hinted> {
        let Some(roots) = &self.roots else { return Ok(None) };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let trusting = builder.and_then(|builder| match roots {
            Roots::System => builder.with_platform_verifier(),
            Roots::File(path) => Ok(builder.with_root_certificates(read(path)?)),
        });
        let mut config = trusting.map_err(|error| self.distrust(&error))?.with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Some(MakeRustlsConnect::new(config)))
    }

    fn distrust(&self, error: &rustls::Error) -> Hinted {
        let which = match &self.roots {
            Some(Roots::File(path)) => format!("`{}`", path.display()),
            _ => "the certificates that this machine trusts".to_owned(),
        };
        let hint = format!("give a file with the certificate of the server's authority as sslrootcert in {SETTING}");
        Hinted::new(format!("failed to read {which}: {error}"), hint)
    }

    /// Why there is no connection, for whoever starts the server.
    pub(super) fn refusal(&self, failure: &Failure) -> Hinted {
        let correct = format!("or correct {SETTING}");
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("NAME");
        let hint = match failure.reason() {
            Reason::Password => {
                format!("correct them in {SETTING}; an @, / or : in the password is written %40, %2F or %3A")
            }
            Reason::NoPassword => {
                format!("put it into {SETTING}, best in a file that MCP__STORAGE__DATABASE_URL_FILE names")
            }
            Reason::Admission => {
                format!("let the user in on the server (its pg_hba.conf and GRANT CONNECT), {correct}")
            }
            Reason::NoDatabase => format!("make it with `createdb {database}`, {correct}"),
            Reason::Full => "stop what holds them, or raise `max_connections` on the server".to_owned(),
            Reason::NoTls => {
                format!(
                    "turn TLS on there; on a network that is yours alone, `?sslmode=disable` in {SETTING} goes without"
                )
            }
            Reason::Certificate => {
                format!("name a file with its authority's certificate as `?sslrootcert=FILE` in {SETTING}")
            }
            Reason::Unreachable => format!("see that the server runs and can be reached from here, {correct}"),
        };
        Hinted::new(format!("failed to open `{self}`: {}", failure.cause()), hint)
    }
}

/// Without the password and the options.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (n, host) in self.config.get_hosts().iter().enumerate() {
            let separator = if n > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "{separator}[{name}]")?,
                Host::Tcp(name) => write!(f, "{separator}{name}")?,
                #[cfg(unix)]
                Host::Unix(folder) => write!(f, "{separator}{}", folder.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(n).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        self.config.get_dbname().map_or(Ok(()), |database| write!(f, "/{database}"))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Whether every host is a socket in this machine's file system, where there is no TLS.
fn is_socket(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_)))
}

/// Whether no host is beyond this machine. An address stands over the name it belongs to.
fn is_here(config: &Config) -> bool {
    let here = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(here),
        addresses => addresses.iter().all(|address| address.to_canonical().is_loopback()),
    }
}

fn read(path: &Path) -> Result<RootCertStore, rustls::Error> {
    let unread = |error: &dyn fmt::Display| rustls::Error::General(error.to_string());
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))? {
        store.add(certificate.map_err(|error| unread(&error))?)?;
    }
    if store.is_empty() { Err(unread(&"there is no certificate in it")) } else { Ok(store) }
}

/// Why a connection was not made.
pub(super) enum Failure {
    /// Nobody answered in this time.
    Late(Duration),
    /// The driver gave up.
    Driver(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Password,
    NoPassword,
    Admission,
    NoDatabase,
    Full,
    NoTls,
    Certificate,
    Unreachable,
}

impl Failure {
    fn reason(&self) -> Reason {
        let Self::Driver(error) = self else { return Reason::Unreachable };
        match (error.code().map(|code| code.code()), detail(error).as_deref()) {
            (Some("28P01"), _) => Reason::Password,
            (Some("28000" | "42501"), _) => Reason::Admission,
            (Some("3D000"), _) => Reason::NoDatabase,
            (Some("53300"), _) => Reason::Full,
            (None, Some("password missing")) => Reason::NoPassword,
            (None, Some("server does not support TLS")) => Reason::NoTls,
            _ if certificate(error).is_some() => Reason::Certificate,
            _ => Reason::Unreachable,
        }
    }

    /// The cause in a few words, none of them the server's.
    pub(super) fn cause(&self) -> String {
        let error = match self {
            Self::Late(patience) => return format!("no answer within {} s", patience.as_secs_f32()),
            Self::Driver(error) => error,
        };
        match (self.reason(), error.code()) {
            (Reason::Password, _) => "it refuses the user or the password".to_owned(),
            (Reason::NoPassword, _) => "it asks for a password".to_owned(),
            (Reason::Admission, _) => "it does not let this user in".to_owned(),
            (Reason::NoDatabase, _) => "it has no such database".to_owned(),
            (Reason::Full, _) => "it has no connection left".to_owned(),
            (Reason::NoTls, _) => "it offers no TLS".to_owned(),
            (Reason::Certificate, _) => {
                certificate(error).map_or_else(String::new, |error| format!("its certificate is not accepted: {error}"))
            }
            (Reason::Unreachable, Some(code)) if code.code() == "57P03" => "it is starting or stopping".to_owned(),
            (Reason::Unreachable, Some(code)) => format!("it answers with SQLSTATE {}", code.code()),
            // The operating system's words, or the driver's own: neither knows a value.
            (Reason::Unreachable, None) => io(error).map_or_else(|| error.to_string(), ToString::to_string),
        }
    }
}

fn detail(error: &tokio_postgres::Error) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

fn io(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn certificate(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let error = io(error)?.get_ref()?.downcast_ref()?;
    matches!(error, rustls::Error::InvalidCertificate(_)).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `plain`, `system` or the file of the authority.
    fn way(url: &str) -> String {
        match Target::parse(url).unwrap_or_else(|problem| panic!("{url}: {problem:?}")).roots {
            None => "plain".to_owned(),
            Some(Roots::System) => "system".to_owned(),
            Some(Roots::File(path)) => path.display().to_string(),
        }
    }

    #[test]
    fn beyond_this_machine_it_is_tls_unless_the_url_says_that_it_is_not() {
        for host in
            ["db.example.com", "10.0.0.5", "[2001:db8::1]", "db", "localhost.example.com", "localhost,db", "0.0.0.0"]
        {
            for options in ["", "?sslmode=prefer", "?sslmode=allow", "?sslmode=require", "?sslmode=verify-ca"] {
                assert_eq!(way(&format!("postgres://u:p@{host}/d{options}")), "system", "{host} {options}");
            }
            assert_eq!(way(&format!("postgres://u:p@{host}/d?sslmode=disable")), "plain", "{host}");
        }
    }

    #[test]
    fn on_this_machine_it_is_tls_where_that_is_asked_for() {
        for host in ["localhost", "127.0.0.1:5433", "127.9.9.9", "[::1]:5433", "localhost,127.0.0.1"] {
            for options in ["", "?sslmode=prefer", "?sslmode=disable"] {
                assert_eq!(way(&format!("postgresql://u@{host}/d{options}")), "plain", "{host} {options}");
            }
            assert_eq!(way(&format!("postgresql://u@{host}/d?sslmode=require")), "system", "{host}");
        }
        for url in ["postgres://u@%2Frun%2Fpostgresql/d?sslmode=require", "postgres:///d?host=/run/postgresql&user=u"] {
            assert_eq!(way(url), "plain", "{url}");
        }
    }

    /// An address stands over the name it is given for.
    #[test]
    fn a_name_of_this_machine_does_not_excuse_an_address_beyond_it() {
        assert_eq!(way("postgres://u@localhost/d?hostaddr=10.0.0.5"), "system");
        assert_eq!(way("postgres://u@db/d?hostaddr=127.0.0.1"), "plain");
        assert_eq!(way("postgres://u@localhost/d?host=db"), "system");
    }

    #[test]
    fn the_authority_can_be_given() {
        assert_eq!(way("postgres://u@db/d?sslrootcert=/etc/ca.crt"), "/etc/ca.crt");
        assert_eq!(way("postgres://u@db/d?a%70plication_name=x&sslrootcert=a%20b+c.crt&sslmode=require"), "a b+c.crt");
        assert_eq!(way("postgres://u@db/d?sslrootcert=system"), "system");
    }

    #[test]
    fn options_that_are_not_ours_reach_the_driver() {
        let url =
            "postgres://u@db/d?sslmode=require&application_name=a%20b&sslrootcert=x&target_session_attrs=read-write";
        let config = Target::parse(url).unwrap().config();
        assert_eq!(config.get_application_name(), Some("a b"));
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
        // Whatever it takes for a mode, ours is the one that counts.
        let config = Target::parse("postgres://u@db/d?ssl%6Dode=disable").unwrap().config();
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn it_prints_without_password_and_options() {
        let shown = [
            ("postgres://u:canary@db:5433/d?password=canary&application_name=canary", "postgres://u@db:5433/d"),
            ("postgresql://db", "postgres://db:5432"),
            ("postgres://u:canary@[::1]/d", "postgres://u@[::1]:5432/d"),
            ("postgres://u:canary@a,b:6432/d", "postgres://u@a:5432,b:6432/d"),
            ("postgres://u:canary@%2Frun%2Fpg/d", "postgres://u@/run/pg:5432/d"),
            ("postgres:///d?host=/run/pg", "postgres:///run/pg/d"),
        ];
        for (url, expected) in shown {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.to_string(), expected, "{url}");
            assert_eq!(format!("{target:?}"), format!("Target({expected})"), "{url}");
        }
    }

    #[test]
    fn what_is_not_such_a_url_is_refused_without_repeating_it() {
        let what = |url: &str| Target::parse(url).err().unwrap_or_else(|| panic!("{url}")).0;
        for url in [
            "postgres:",
            "postgres:d",
            "postgres://u@db/d?canary=1",
            "postgres://u@db/d?sslcert=canary",
            "postgres://u@db:canary/d",
            "postgres://u@db/d?canary",
            "postgres://u@[::1/d",
        ] {
            assert_eq!(what(url), "not a URL of PostgreSQL, or with an option that is not known", "{url}");
        }
        for url in ["postgres://", "postgres:///d", "postgres://u:p@/d", "postgres://u@/d?hostaddr=10.0.0.5"] {
            assert_eq!(what(url), "names no host", "{url}");
        }
        for url in ["postgres://u:can@ry@db/d", "postgres://u:can@r/y@db/d"] {
            assert_eq!(what(url), "has more than one @", "{url}");
        }
        assert_eq!(what("postgres://u@db/d?sslmode=canary"), "has an unknown `sslmode`");
    }
}
