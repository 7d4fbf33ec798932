//! The store that replicas share: a database on a real PostgreSQL server, or a file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kit::ports::{KeyWrap, Sql};
use kit_native::kek_file;
use kit_native::postgres::{Postgres, Target};
use kit_native::sqlite::Sqlite;

/// Where the store and the key-encryption key are.
#[derive(Clone)]
pub struct Place {
    /// A folder with the key-encryption key.
    folder: PathBuf,
    /// URL of the database; empty for a file in the folder.
    url: String,
}

impl Place {
    pub fn parse(text: &str) -> Self {
        let (folder, url) = text.split_once(' ').unwrap();
        Self { folder: PathBuf::from(folder), url: url.to_owned() }
    }

    /// A new place.
    pub fn new(folder: PathBuf, url: String) -> Self {
        let key: Vec<u8> = (100..132).collect();
        kek_file::write_private(&folder.join("kek"), &key).unwrap();
        Self { folder, url }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.folder.display(), self.url)
    }
}

pub async fn open(place: &Place) -> (Arc<dyn Sql>, Arc<dyn KeyWrap>) {
    let kek = Arc::new(kek_file::read(&place.folder.join("kek"), kek_file::Kind::File).unwrap());
    let sql: Arc<dyn Sql> = match place.url.as_str() {
        "" => Arc::new(Sqlite::open(&place.folder.join("store.db")).unwrap()),
        url => Arc::new(Postgres::open(&Target::parse(url).unwrap()).await.unwrap()),
    };
    (sql, kek)
}
