// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Checkpoints: a signed list of the heads of all streams that have grown since the one before, chained to that. A chain shows
//! what was changed within it; a checkpoint shows what is missing at its end, and which streams there were. The hash of a
//! checkpoint also stands in the log and in the audit: whoever takes checkpoints away has to take it out there too.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::canonical::{Object, text, whole};
use super::record::{AuditKey, hex};
use super::{Kind, Ledger};
use crate::ports::SqlError;
use crate::store::audit::{Head, PAGE, Signed};

/// Form of a body.
const VERSION: i64 = 1;

/// A checkpoint that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Its number, from 1.
    pub seq: i64,
    /// When it was made, milliseconds since the epoch.
    pub at_ms: i64,
    /// Streams that have grown since the one before.
    pub streams: usize,
    /// Merkle root over their heads.
    pub root: String,
    /// Its hash. Whoever keeps it elsewhere can tell later that this checkpoint was there.
    pub hash: String,
}

/// What a body says.
#[derive(Deserialize)]
pub(crate) struct Body {
    pub(crate) seq: i64,
    pub(crate) prev: String,
    pub(crate) root: String,
    pub(crate) heads: Vec<(String, i64, String)>,
}

/// What earlier checkpoints cover: for each stream its last row.
#[derive(Default)]
pub(crate) struct Covered {
    seq: i64,
    hash: String,
    heads: HashMap<String, i64>,
}

impl Ledger {
    /// Makes a checkpoint, unless the latest one is younger than `period_ms`. `None` also where another process was faster.
    pub async fn checkpoint(&self, period_ms: i64) -> Result<Option<Checkpoint>, SqlError> {
        let store = &self.writer.store;
        let at_ms = self.writer.clock.wall_ms();
        if store.last_checkpoint_ms().await?.is_some_and(|last| at_ms.saturating_sub(last) < period_ms) {
            return Ok(None);
        }
        let mut covered = self.load_covered().await?;
        let mut heads: Vec<Head> = Vec::new();
        let mut after = String::new();
        loop {
            let page = store.audit_heads(&after).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.stream);
            let all = page.len() < PAGE;
            heads.extend(page.into_iter().filter(|head| covered.heads.get(&head.stream) != Some(&head.seq)));
            if all {
                break;
            }
        }
        // Engines sort text each in their own way.
        heads.sort_by(|a, b| a.stream.cmp(&b.stream));
        let (signed, checkpoint) = form(&self.key, covered.seq + 1, at_ms, &covered.hash, &heads);
        let added = store.add_checkpoint(&signed, at_ms).await;
        if added.is_ok() {
            covered.add(signed);
        }
        *self.covered() = covered;
        match added {
            Ok(()) => {}
            Err(SqlError::Constraint) => return Ok(None),
            Err(error) => return Err(error),
        }
        let details = json!({"hash": checkpoint.hash, "root": checkpoint.root, "seq": checkpoint.seq});
        self.note(Kind::Checkpoint, None, "checkpoint", &details).await?;
        Ok(Some(checkpoint))
    }

    /// What checkpoints cover by now. It is taken out, for the caller to put it back: what is lost with a dropped caller is read
    /// again.
    pub(crate) async fn load_covered(&self) -> Result<Covered, SqlError> {
        let mut covered = std::mem::take(&mut *self.covered());
        loop {
            let page = self.writer.store.checkpoints(covered.seq).await?;
            if page.is_empty() {
                return Ok(covered);
            }
            page.into_iter().for_each(|checkpoint| covered.add(checkpoint));
        }
    }

    /// Puts pseudonyms in the place of names that calls under way brought back behind the deletion of their tenant, and
    /// removes captured calls that have expired.
    pub async fn tidy(&self) -> Result<(), SqlError> {
        let store = &self.writer.store;
        for name in store.names_to_forget().await? {
            store.forget_name(&name, &self.key.pseudonym(&name)).await?;
        }
        store.expire_captures(self.writer.clock.wall_ms()).await
    }
}

impl Covered {
    /// The last row of `stream` that a checkpoint has seen.
    pub(crate) fn of(&self, stream: &str) -> i64 {
        self.heads.get(stream).copied().unwrap_or(0)
    }

    fn add(&mut self, checkpoint: Signed) {
        self.seq = checkpoint.seq;
        self.hash = checkpoint.hash;
        // One that cannot be read covers nothing; its streams are listed once more.
        let body: Option<Body> = serde_json::from_str(&checkpoint.body).ok();
        let heads = body.into_iter().flat_map(|body| body.heads);
        self.heads.extend(heads.map(|(stream, seq, _)| (stream, seq)));
    }
}

/// The checkpoint `seq` behind the one with the hash `prev`. `heads` are in order.
pub(crate) fn form(key: &AuditKey, seq: i64, at_ms: i64, prev: &str, heads: &[Head]) -> (Signed, Checkpoint) {
    let root = root(heads.iter().map(|head| (head.stream.as_str(), head.seq, head.hash.as_str())));
    let mut body = String::with_capacity(256 + heads.len() * 128);
    let mut object = Object::begin(&mut body);
    object.whole("at_ms", at_ms);
    let list = object.name("heads");
    list.push('[');
    for (n, head) in heads.iter().enumerate() {
        list.push_str(if n > 0 { ",[" } else { "[" });
        text(list, &head.stream);
        list.push(',');
        whole(list, head.seq);
        list.push(',');
        text(list, &head.hash);
        list.push(']');
    }
    list.push(']');
    object.text("prev", prev);
    object.text("root", &root);
    object.whole("seq", seq);
    object.whole("streams", i64::try_from(heads.len()).unwrap_or(i64::MAX));
    object.whole("v", VERSION);
    object.end();
    let hash = key.checkpoint(&body);
    let checkpoint = Checkpoint { seq, at_ms, streams: heads.len(), root, hash: hash.clone() };
    (Signed { stream: String::new(), seq, body, hash }, checkpoint)
}

/// Merkle root as in RFC 6962 (leaves behind a 0, nodes behind a 1, a lone node is taken up as it is).
pub(crate) fn root<'a>(heads: impl Iterator<Item = (&'a str, i64, &'a str)>) -> String {
    let leaf = |(stream, seq, hash): (&str, i64, &str)| {
        Sha256::digest([&[0], format!("{stream}\n{seq}\n{hash}").as_bytes()].concat()).to_vec()
    };
    let mut level: Vec<Vec<u8>> = heads.map(leaf).collect();
    while level.len() > 1 {
        let node = |pair: &[Vec<u8>]| match pair {
            [left, right] => Sha256::digest([&[1], &left[..], right].concat()).to_vec(),
            lone => lone.concat(),
        };
        level = level.chunks(2).map(node).collect();
    }
    hex(&level.pop().unwrap_or_else(|| Sha256::digest([]).to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn head(stream: &str, seq: i64, hash: &str) -> Head {
        Head { stream: stream.into(), seq, hash: hash.into() }
    }

    /// Made with Python's hashlib and hmac.
    #[test]
    fn a_checkpoint_has_these_bytes_and_this_hash() {
        let key = AuditKey::new(&Secret::new((0..32).collect()));
        let heads = [head("t_a.w", 3, "aa"), head("t_b.w", 1, "bb"), head("t_c.w", 7, "cc")];
        let (signed, checkpoint) = form(&key, 2, 1_800_000_000_000, "pp", &heads);
        assert_eq!(
            signed.body,
            concat!(
                r#"{"at_ms":1800000000000,"heads":[["t_a.w",3,"aa"],["t_b.w",1,"bb"],["t_c.w",7,"cc"]],"prev":"pp","#,
                r#""root":"2d60f7457f3e58aa764bf85c0abe121a00270d5254a13a2ea62664cfc3dad451","seq":2,"streams":3,"v":1}"#
            )
        );
        assert_eq!(checkpoint.hash, "f5e83ab51e4d7c821120b4eb6f9c65b3ca92cec16bd870ca0ebf637a9565984d");
        assert_eq!((signed.hash, checkpoint.streams), (checkpoint.hash, 3));
    }

    #[test]
    fn the_root_of_nothing_is_the_hash_of_nothing() {
        assert_eq!(root([].into_iter()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
