// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `[admin]`: where the server answers its operator. A socket that only the server's own user can open, or an address of this
//! machine with a token: whoever is on the machine can reach an address.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use kit::secret::Secret;

use super::reader::Reader;

/// Where a server answers its operator.
#[derive(Clone, Debug)]
pub enum AdminListen {
    /// Nowhere.
    None,
    /// A socket in the file system.
    Unix {
        /// Where it is.
        path: PathBuf,
        /// Whether it is the owner's choice. A default that cannot be is done without.
        chosen: bool,
    },
    /// An address on loopback.
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What a caller has to show.
        token: Secret,
    },
}

impl fmt::Display for AdminListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Tcp { address, .. } => address.fmt(f),
        }
    }
}

/// Relative to the folder that the server is started in, as its database is.
const DEFAULT: &str = "data/admin.sock";
const LISTEN: &str = "admin.listen";
const TOKEN: &str = "admin.token";
const FORMS: &str = "give unix:PATH, HOST:PORT on loopback, or none";
/// Shorter ones can be guessed.
const LEAST_TOKEN: usize = 32;
/// What a socket's address has room for on Linux, its final zero left out.
const LONGEST_PATH: usize = 107;

pub(super) fn read(reader: &mut Reader<'_>) -> AdminListen {
    let default = AdminListen::Unix { path: PathBuf::from(DEFAULT), chosen: false };
    let (listen, token) = (reader.sourced_text(LISTEN), reader.sourced_text(TOKEN));
    let Some((text, source)) = listen else { return default };
    if text == "none" {
        return AdminListen::None;
    }
    if let Some(path) = text.strip_prefix("unix:") {
        match path.len() {
            0 => reader.problem(LISTEN, &source, "names no file", FORMS),
            1..=LONGEST_PATH => return AdminListen::Unix { path: PathBuf::from(path), chosen: path != DEFAULT },
            _ => reader.problem(LISTEN, &source, "is longer than the path of a socket may be", "give a shorter path"),
        }
        return default;
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        reader.problem(LISTEN, &source, "does not fit", FORMS);
        return default;
    };
    if !address.ip().is_loopback() {
        let what = "is not on loopback: whoever reaches it can stop the server";
        reader.problem(LISTEN, &source, what, "give an address like 127.0.0.1:9090, and go there over a tunnel");
        return default;
    }
    match token {
        Some((token, _)) if token.len() >= LEAST_TOKEN => {
            AdminListen::Tcp { address, token: Secret::from(token.as_str()) }
        }
        Some((_, source)) => {
            reader.problem(TOKEN, &source, "is shorter than 32 characters", "make one with `openssl rand -hex 32`");
            default
        }
        None => {
            let what = "missing, while the operator is answered on an address that all of this machine can reach";
            let remedy = "name a file that holds one in MCP__ADMIN__TOKEN_FILE, or listen on unix:PATH";
            reader.problem(TOKEN, &source, what, remedy);
            default
        }
    }
}
