// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `[audit]`: when an answer is given free, and where rows go while the database is away.

use std::path::PathBuf;

use kit::ledger::LedgerOptions;

use super::Database;
use super::reader::Reader;

/// How calls are written down.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// When an answer is given free, and how long captured calls are kept.
    pub options: LedgerOptions,
    /// The file for rows while the database is away, and how many bytes it may hold.
    pub spill: Option<(PathBuf, u64)>,
}

pub(super) fn read(reader: &mut Reader<'_>) -> AuditSettings {
    let default = LedgerOptions::default();
    let relaxed = reader.one_of("audit.mode", &["strict", "relaxed"]) == Some("relaxed");
    let capture_days = reader.count("audit.capture_days", 1..=365, default.capture_days);
    let max_bytes = reader.count("audit.spill_max_bytes", 1 << 20..=1 << 40, 64 << 20);
    let spill = reader.text("audit.spill_file").map(|path| (PathBuf::from(path), max_bytes));
    AuditSettings { options: LedgerOptions { relaxed, capture_days }, spill }
}

/// A file beside a file helps nothing.
pub(super) fn check(reader: &mut Reader<'_>, audit: &AuditSettings, database: &Database) {
    if audit.spill.is_some() && matches!(database, Database::Sqlite(_)) {
        let what = "a spill beside a database that is a file itself: when one cannot be written, nor can the other";
        let remedy = "leave it out, or give the postgres:// URL of a database in `storage.database_url`";
        reader.problem("audit.spill_file", "config/server.toml or environment", what, remedy);
    }
}
