// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Which server, and whether the way there is closed: `rediss://` is TLS with a certificate that is checked, `redis://` is
//! not. The URL holds a password, so what prints is made of its other parts.

use std::fmt;
use std::path::PathBuf;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};
use url::Url;

use crate::failure::Hinted;

/// A URL of the form `redis://USER:PASSWORD@HOST:PORT/DATABASE`, checked.
#[derive(Clone)]
pub struct Target {
    info: ConnectionInfo,
    /// Who vouches for the server's certificate, where it is not whoever this machine trusts.
    authority: Option<PathBuf>,
}

const FORM: &str = "give redis://:PASSWORD@HOST:PORT, rediss:// for TLS, or unix:///PATH";

impl Target {
    /// Reads a URL; on failure what is wrong and what to do, without any part of the URL.
    pub fn parse(url: &str) -> Result<Self, (&'static str, &'static str)> {
        let unread = ("not a URL of Redis, or with an option that is not known", FORM);
        let mut url = Url::parse(url).map_err(|_| unread)?;
        let (socket, tls) = match url.scheme() {
            "redis" => (false, false),
            "rediss" => (false, true),
            "unix" => (true, false),
            _ => return Err(unread),
        };
        let mut authority = None;
        if !socket {
            if url.host_str().is_none_or(str::is_empty) {
                return Err(("names no host", FORM));
            }
            for (name, value) in url.query_pairs() {
                match &*name {
                    "sslrootcert" if tls => authority = Some(PathBuf::from(&*value)),
                    _ => return Err(unread),
                }
            }
            url.set_query(None);
        }
        // `#insecure` would check no certificate.
        if url.fragment().is_some() {
            return Err(unread);
        }
        let info = url.into_connection_info().map_err(|_| unread)?;
        Ok(Self { info, authority })
    }

    /// What makes connections to it.
    pub(super) fn client(&self) -> Result<Client, Hinted> {
        let hint = |hint: &str| hint.to_owned();
        let Some(path) = &self.authority else {
            let opened = Client::open(self.info.clone());
            return opened.map_err(|_| Hinted::new(format!("failed to use `{self}`"), hint(FORM)));
        };
        let unread = |cause: &dyn fmt::Display| {
            let hint =
                hint("give a file with the certificate of the server's authority as sslrootcert in `limits.redis_url`");
            Hinted::new(format!("failed to read `{}`: {cause}", path.display()), hint)
        };
        let certificate = std::fs::read(path).map_err(|error| unread(&error))?;
        let tls = TlsCertificates { client_tls: None, root_cert: Some(certificate) };
        Client::build_with_tls(self.info.clone(), tls).map_err(|error| unread(&error.category()))
    }
}

/// Without the password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => ("redis", host, port),
            ConnectionAddr::TcpTls { host, port, .. } => ("rediss", host, port),
            ConnectionAddr::Unix(path) => return write!(f, "unix://{}", path.display()),
            _ => return f.write_str("redis"),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_without_the_password() {
        let shown = [
            ("redis://:canary@cache:6380/2", "redis://cache:6380"),
            ("redis://user:canary@127.0.0.1", "redis://127.0.0.1:6379"),
            ("rediss://user:canary@[::1]:1", "rediss://[::1]:1"),
            ("rediss://cache?sslrootcert=/etc/canary.crt", "rediss://cache:6379"),
            ("unix:///run/redis.sock?pass=canary", "unix:///run/redis.sock"),
        ];
        for (url, expected) in shown {
            let target = Target::parse(url).unwrap_or_else(|problem| panic!("{url}: {problem:?}"));
            assert_eq!(target.to_string(), expected, "{url}");
            assert_eq!(format!("{target:?}"), format!("Target({expected})"), "{url}");
        }
    }

    #[test]
    fn the_authority_can_be_given() {
        let authority = |url: &str| Target::parse(url).unwrap().authority;
        assert_eq!(authority("rediss://cache?sslrootcert=/etc/a%20b.crt"), Some("/etc/a b.crt".into()));
        assert_eq!(authority("rediss://cache"), None);
    }

    #[test]
    fn what_is_not_such_a_url_is_refused_without_repeating_it() {
        let what = |url: &str| Target::parse(url).err().unwrap_or_else(|| panic!("{url}")).0;
        for url in [
            "",
            "canary",
            "http://canary",
            "redis+sentinel://canary",
            "redis://cache/canary",
            "redis://cache:canary",
            "redis://cache?protocol=resp3",
            "redis://cache?sslrootcert=canary",
            "rediss://cache?sslrootcert=x&canary=1",
            "rediss://cache#insecure",
        ] {
            assert_eq!(what(url), "not a URL of Redis, or with an option that is not known", "{url}");
        }
        assert_eq!(what("redis:///0"), "names no host");
    }
}
