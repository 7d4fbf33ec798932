//! The store that replicas share.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use kit::ports::{KeyWrap, Sql};
use kit_native::kek_file;
use kit_native::sqlite::Sqlite;

/// Where the store and the key-encryption key are.
#[derive(Clone)]
pub struct Place {
    /// A folder with the key-encryption key, and the database if it is SQLite.
    pub folder: PathBuf,
}

impl Place {
    pub fn parse(text: &str) -> Self {
        Self { folder: PathBuf::from(text) }
    }

    /// A new place in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        let key: Vec<u8> = (100..132).collect();
        kek_file::write_private(&folder.join("kek"), &key).unwrap();
        Self { folder }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.display().fmt(f)
    }
}

pub async fn open(place: &Place) -> (Arc<dyn Sql>, Arc<dyn KeyWrap>) {
    let kek = kek_file::read(&place.folder.join("kek")).unwrap();
    (Arc::new(Sqlite::open(&place.folder.join("store.db")).unwrap()), Arc::new(kek))
}
