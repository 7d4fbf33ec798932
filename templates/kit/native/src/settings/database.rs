// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `storage.database_url`: which database. A password in it does not print.

use std::fmt;
use std::path::PathBuf;

/// Where the store is.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// A database on a server.
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::Target>),
}

impl Database {
    /// Reads a URL; on failure what is wrong and what to do, without any part of the URL.
    pub(super) fn parse(url: &str) -> Result<Self, (&'static str, &'static str)> {
        match url.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => {
                Ok(Self::Sqlite(PathBuf::from(file.strip_prefix("//").unwrap_or(file))))
            }
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => {
                crate::postgres::Target::parse(url).map(|target| Self::Postgres(Box::new(target)))
            }
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => Err((
                "a database on PostgreSQL, which this build leaves out",
                "add \"postgres\" to the features of kit-native in Cargo.toml and build again",
            )),
            _ => Err((
                "not a database this build knows",
                "give sqlite:PATH, for example sqlite:data/server.db, or postgres://USER:PASSWORD@HOST/DATABASE",
            )),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            #[cfg(feature = "postgres")]
            Self::Postgres(target) => target.fmt(f),
        }
    }
}
