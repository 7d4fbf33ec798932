// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Tombstones: what stands for the purged beginning of a stream. It says how many rows there were and the hash of the last
//! of them, from which the chain goes on, and is signed like a row.

use serde::Deserialize;

use super::canonical::Object;
use super::record::AuditKey;
use crate::store::audit::Signed;

/// What a body says.
#[derive(Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) stream: String,
    pub(crate) through: i64,
    pub(crate) last: String,
}

/// The tombstone of the first `through` rows of `stream`, the last of which has the hash `last`.
pub(crate) fn form(key: &AuditKey, stream: &str, through: i64, last: &str, at_ms: i64) -> Signed {
    let mut body = String::new();
    let mut object = Object::begin(&mut body);
    object.whole("at_ms", at_ms);
    object.whole("count", through);
    object.text("last", last);
    object.text("stream", stream);
    object.whole("through", through);
    object.whole("v", 1);
    object.end();
    let hash = key.tombstone(&body);
    Signed { stream: stream.to_owned(), seq: through, body, hash }
}

/// What a tombstone says, if this server made it for its place.
pub(crate) fn read(key: &AuditKey, signed: &Signed) -> Option<Tombstone> {
    let body: Tombstone = serde_json::from_str(&signed.body).ok()?;
    let fits = body.stream == signed.stream && body.through == signed.seq && key.tombstone(&signed.body) == signed.hash;
    fits.then_some(body)
}
