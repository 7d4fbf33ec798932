// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Verification: walks every stream from its beginning or its tombstone, then compares with the checkpoints. What is wrong is
//! named by stream and row, as far as rows that are gone let it be known.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::record::AuditKey;
use super::tombstone::{self, Tombstone};
use super::{Ledger, checkpoint};
use crate::ports::SqlError;
use crate::store::audit::{AuditRow, PAGE, Signed};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The row is not what its hash was made over: it was changed, or this server did not write it.
    Changed,
    /// The hash of the row is not the one that the next row goes on from: it was made without the key.
    HashNotOurs,
    /// It goes on from a hash that is not ours, so nothing can be said of it.
    Unanchored,
    /// It is missing between others.
    Removed,
    /// It stands at another place than the one it was written to.
    Reordered,
    /// It was written to another stream.
    Copied,
    /// It is booked on another tenant than the one that it was written for.
    Moved,
    /// It was put between others.
    Inserted,
    /// Rows that a checkpoint has seen are missing at the end of the stream.
    TailCut,
    /// A stream that a checkpoint has seen is missing.
    StreamDropped,
    /// The checkpoint was changed, or is not ours.
    CheckpointChanged,
    /// The checkpoint is missing.
    CheckpointRemoved,
    /// The tombstone is not ours.
    TombstoneForged,
}

impl What {
    /// A sentence without its subject.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "was changed, or was not written by this server",
            Self::HashNotOurs => "has a hash that was made without the key",
            Self::Unanchored => "goes on from a hash that is not ours, and cannot be judged",
            Self::Removed => "was removed",
            Self::Reordered => "stands at another place than it was written to",
            Self::Copied => "was copied from another stream",
            Self::Moved => "is booked on another tenant than it was written for",
            Self::Inserted => "was inserted",
            Self::TailCut => "was cut off the end of its stream",
            Self::StreamDropped => "is gone with its whole stream",
            Self::CheckpointChanged => "was changed, or was not made by this server",
            Self::CheckpointRemoved => "was removed",
            Self::TombstoneForged => "was not made by this server",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stream; `checkpoints` for a checkpoint.
    pub stream: String,
    /// The row, or the first of several; the number of a checkpoint.
    pub seq: i64,
    /// The last of several rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<i64>,
    /// What is wrong with it.
    pub what: What,
    /// Where it came from, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What a verification has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Streams that were walked.
    pub streams: usize,
    /// Their rows.
    pub rows: usize,
    /// Checkpoints.
    pub checkpoints: usize,
    /// Number and hash of the latest one, to compare with the log.
    pub last_checkpoint: Option<(i64, String)>,
    /// Tombstones.
    pub tombstones: usize,
    /// What is wrong, by stream and row.
    pub findings: Vec<Finding>,
}

/// The stream that findings about checkpoints name.
pub const CHECKPOINTS: &str = "checkpoints";

/// What is looked at of a record.
#[derive(Deserialize)]
struct Place {
    stream: String,
    seq: i64,
    tenant: String,
    kind: String,
    #[serde(default)]
    args: serde_json::Value,
}

impl Ledger {
    /// Verifies all that is in the store.
    pub async fn verify(&self) -> Result<Verified, SqlError> {
        let store = &self.writer.store;
        let mut verifier = Verifier::new(&self.key);
        let mut after = 0;
        loop {
            let page = store.checkpoints(after).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            page.iter().for_each(|signed| verifier.checkpoint(signed));
        }
        store.tombstones().await?.iter().for_each(|signed| verifier.tombstone(signed));
        let (mut stream, mut seq) = (String::new(), 0);
        loop {
            let page = store.audit_page(&stream, seq).await?;
            let Some(last) = page.last() else { break };
            (stream, seq) = (last.stream.clone(), last.seq);
            let all = page.len() < PAGE;
            page.iter().for_each(|row| verifier.row(row));
            if all {
                break;
            }
        }
        verifier.end_stream();
        // Made while the rows were read, which may tell of them.
        for signed in store.checkpoints(after).await? {
            verifier.late_checkpoint(&signed);
        }
        Ok(verifier.end())
    }
}

/// Takes checkpoints, then tombstones, then rows by stream and number.
pub(crate) struct Verifier<'a> {
    key: &'a AuditKey,
    report: Verified,
    /// Hashes of the good checkpoints by number.
    checkpoints: BTreeMap<i64, String>,
    last_checkpoint: (i64, String),
    /// Of each stream the last row that a checkpoint has seen, until it is met.
    heads: HashMap<String, (i64, String)>,
    /// The start of each purged stream.
    starts: HashMap<String, Tombstone>,
    /// Checkpoints that the audit tells of.
    told: Vec<(i64, String)>,
    walk: Option<Walk>,
}

/// The stream that is being walked.
struct Walk {
    stream: String,
    purged: i64,
    /// The number of the last row.
    seq: i64,
    /// The hash of the last row; `None` where it is not to be relied upon.
    prev: Option<String>,
    /// The hash before that, while the last row does not fit its own.
    before: Option<String>,
    /// Rows that were inserted so far: those behind them stand so much further on than they were written.
    shift: i64,
    head: Option<(i64, String)>,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(key: &'a AuditKey) -> Self {
        Self {
            key,
            report: Verified::default(),
            checkpoints: BTreeMap::new(),
            last_checkpoint: (0, String::new()),
            heads: HashMap::new(),
            starts: HashMap::new(),
            told: Vec::new(),
            walk: None,
        }
    }

    fn find(&mut self, stream: &str, seq: i64, what: What) -> &mut Finding {
        self.report.findings.push(Finding { stream: stream.to_owned(), seq, through: None, what, from: None });
        let last = self.report.findings.len() - 1;
        &mut self.report.findings[last]
    }

    pub(crate) fn checkpoint(&mut self, signed: &Signed) {
        if let Some(body) = self.checked(signed) {
            self.heads.extend(body.heads.into_iter().map(|(stream, seq, hash)| (stream, (seq, hash))));
        }
    }

    /// One that was made behind the rows; what it has seen is not looked for among them.
    fn late_checkpoint(&mut self, signed: &Signed) {
        self.checked(signed);
    }

    fn checked(&mut self, signed: &Signed) -> Option<checkpoint::Body> {
        self.report.checkpoints += 1;
        let (last, prev) = std::mem::replace(&mut self.last_checkpoint, (signed.seq, signed.hash.clone()));
        let gap = signed.seq - last - 1;
        if gap > 0 {
            self.find(CHECKPOINTS, last + 1, What::CheckpointRemoved).through = (gap > 1).then_some(signed.seq - 1);
        }
        let body: Option<checkpoint::Body> = serde_json::from_str(&signed.body).ok();
        let good = body.filter(|body| {
            let heads = body.heads.iter().map(|(stream, seq, hash)| (stream.as_str(), *seq, hash.as_str()));
            body.seq == signed.seq
                && (gap > 0 || body.prev == prev)
                && body.root == checkpoint::root(heads)
                && self.key.checkpoint(&signed.body) == signed.hash
        });
        let Some(body) = good else {
            self.find(CHECKPOINTS, signed.seq, What::CheckpointChanged);
            return None;
        };
        self.checkpoints.insert(signed.seq, signed.hash.clone());
        Some(body)
    }

    pub(crate) fn tombstone(&mut self, signed: &Signed) {
        self.report.tombstones += 1;
        match tombstone::read(self.key, signed) {
            // The last one of a stream comes last.
            Some(tombstone) => drop(self.starts.insert(signed.stream.clone(), tombstone)),
            None => drop(self.find(&signed.stream, signed.seq, What::TombstoneForged)),
        }
    }

    pub(crate) fn row(&mut self, row: &AuditRow) {
        self.report.rows += 1;
        if self.walk.as_ref().is_none_or(|walk| walk.stream != row.stream) {
            self.end_stream();
            self.report.streams += 1;
            let start = self.starts.remove(&row.stream);
            let (purged, hash) = start.map_or((0, String::new()), |tombstone| (tombstone.through, tombstone.last));
            let head = self.heads.remove(&row.stream);
            let stream = row.stream.clone();
            self.walk = Some(Walk { stream, purged, seq: purged, prev: Some(hash), before: None, shift: 0, head });
        }
        if let Some(mut walk) = self.walk.take() {
            self.step(&mut walk, row);
            self.walk = Some(walk);
        }
    }

    fn step(&mut self, walk: &mut Walk, row: &AuditRow) {
        if row.seq <= walk.purged {
            // What a tombstone stands for was put back.
            self.find(&row.stream, row.seq, What::Inserted);
            return;
        }
        if row.seq > walk.seq + 1 {
            self.find(&row.stream, walk.seq + 1, What::Removed).through =
                (row.seq > walk.seq + 2).then_some(row.seq - 1);
            walk.prev = None;
            walk.before = None;
        }
        walk.seq = row.seq;
        let place: Option<Place> = serde_json::from_str(&row.record).ok();
        let (prev, before) = (walk.prev.replace(row.hash.clone()), walk.before.take());
        if let Some(place) = &place {
            if place.stream != row.stream {
                self.find(&row.stream, row.seq, What::Copied).from = Some(format!("{} {}", place.stream, place.seq));
                walk.prev = None;
                return;
            }
            // The row before does not fit, and this one goes on from the row before that: the one between was put there.
            if place.seq == row.seq - walk.shift - 1
                && before.is_some_and(|before| self.key.link(&before, &row.record) == row.hash)
            {
                walk.shift += 1;
                if let Some(last) = self.report.findings.last_mut() {
                    last.what = What::Inserted;
                }
                return;
            }
            if place.seq != row.seq - walk.shift {
                self.find(&row.stream, row.seq, What::Reordered).from = Some(place.seq.to_string());
                walk.prev = None;
                return;
            }
            if row.tenant != place.tenant && self.key.pseudonym(&row.tenant) != place.tenant {
                self.find(&row.stream, row.seq, What::Moved);
            }
        }
        let Some(prev) = prev else { return };
        if place.is_some() && self.key.link(&prev, &row.record) == row.hash {
            self.seen(walk, row, place);
            return;
        }
        if let Some((_, hash)) = walk.head.as_ref().filter(|(seq, _)| *seq == row.seq - walk.shift)
            && *hash != row.hash
        {
            // What a checkpoint has seen is known to be ours; this is not it. The rows behind go on from what it was.
            walk.prev = Some(hash.clone());
            walk.head = None;
            self.find(&row.stream, row.seq, What::HashNotOurs);
            return;
        }
        let last = self.report.findings.last_mut();
        let follows = last.filter(|last| {
            last.stream == row.stream && last.seq == row.seq - 1 && last.what == What::Changed && last.through.is_none()
        });
        if let Some(last) = follows {
            last.what = What::HashNotOurs;
            self.find(&row.stream, row.seq, What::Unanchored);
            return;
        }
        self.find(&row.stream, row.seq, What::Changed);
        walk.before = Some(prev);
    }

    /// A row that is as it was written.
    fn seen(&mut self, walk: &Walk, row: &AuditRow, place: Option<Place>) {
        if let Some((seq, hash)) = &walk.head
            && *seq == row.seq - walk.shift
            && *hash != row.hash
        {
            self.find(&row.stream, row.seq, What::HashNotOurs);
        }
        if let Some(place) = place.filter(|place| place.kind == "checkpoint")
            && let (Some(seq), Some(hash)) = (place.args["seq"].as_i64(), place.args["hash"].as_str())
        {
            self.told.push((seq, hash.to_owned()));
        }
    }

    fn end_stream(&mut self) {
        let Some(walk) = self.walk.take() else { return };
        if let Some((seq, _)) = walk.head
            && walk.seq < seq
        {
            self.find(&walk.stream, walk.seq + 1, What::TailCut).through = (seq > walk.seq + 1).then_some(seq);
        }
    }

    pub(crate) fn end(mut self) -> Verified {
        self.end_stream();
        let mut gone: Vec<(String, i64)> =
            std::mem::take(&mut self.heads).into_iter().map(|(stream, (seq, _))| (stream, seq)).collect();
        gone.sort();
        for (stream, seq) in gone {
            let purged = self.starts.get(&stream).map_or(0, |tombstone| tombstone.through);
            if purged < seq {
                self.find(&stream, purged + 1, What::StreamDropped).through = (seq > purged + 1).then_some(seq);
            }
        }
        for (seq, hash) in std::mem::take(&mut self.told) {
            let there = self.checkpoints.get(&seq).is_some_and(|found| *found == hash);
            let known = |finding: &Finding| {
                finding.stream == CHECKPOINTS && (finding.seq..=finding.through.unwrap_or(finding.seq)).contains(&seq)
            };
            if !there && !self.report.findings.iter().any(known) {
                self.find(CHECKPOINTS, seq, What::CheckpointRemoved);
            }
        }
        let order = |finding: &Finding| (finding.stream.clone(), finding.seq);
        self.report.findings.sort_by_key(order);
        self.report.last_checkpoint = self.checkpoints.pop_last();
        self.report
    }
}
