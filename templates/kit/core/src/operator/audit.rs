// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What the operator does with the audit: reads it, verifies it, takes old rows out of the store and leaves a tombstone, and
//! looks into captured calls, which is written down like anything else.

use serde::Serialize;
use serde_json::{Value, json};

use super::{DAY_MS, Operator, OperatorError};
use crate::calendar;
use crate::day::Day;
use crate::ledger::checkpoint::Checkpoint;
use crate::ledger::verify::Verified;
use crate::ledger::{call_id, tombstone};
use crate::store::audit::AuditRow;

/// Rows that one statement removes: it has to be done within the seconds that a statement may take.
const PURGED_AT_ONCE: i64 = 10_000;

/// A row in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditLine {
    /// Its stream.
    pub stream: String,
    /// Its number there.
    pub seq: i64,
    /// The tenant's name, or its pseudonym once it was deleted; empty for what concerns the whole server.
    pub tenant: String,
    /// When the call began, milliseconds since the epoch.
    pub at_ms: i64,
    /// Id of the call.
    pub call: String,
    /// What was written down.
    pub record: Value,
    /// Its hash.
    pub hash: String,
}

/// A call with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallShown {
    /// Its rows.
    pub rows: Vec<AuditLine>,
    /// Arguments and result, if the call was captured.
    pub captured: Option<Value>,
}

/// What a purge has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Streams that a tombstone was put into.
    pub streams: usize,
    /// Rows that are gone.
    pub rows: i64,
    /// Rows that are as old and stay: they were not exported, or no checkpoint has seen them.
    pub left: i64,
}

/// An export under way: ask for pages until there are none, keep them safe, then mark it.
pub struct Export {
    before_ms: i64,
    stream: String,
    seq: i64,
    /// What was given out, by stream.
    through: Vec<(String, i64)>,
    checkpoints: Option<i64>,
    rows: usize,
}

impl Export {
    /// Rows that were given out.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

impl AuditLine {
    fn of(row: AuditRow) -> Self {
        let AuditRow { stream, seq, tenant, at_ms, call, record, hash } = row;
        // A record that cannot be read was not written by this server; it is shown as what it is.
        let record = serde_json::from_str(&record).unwrap_or(Value::String(record));
        Self { stream, seq, tenant, at_ms, call, record, hash }
    }
}

impl Operator {
    /// The latest rows, of one tenant or of all, the oldest of them first.
    pub async fn audit_tail(&self, tenant: Option<&str>, limit: u32) -> Result<Vec<AuditLine>, OperatorError> {
        let ctx = match tenant {
            Some(tenant) => Some(self.act_for(tenant).await?),
            None => None,
        };
        let tenant = ctx.as_ref().map(|ctx| ctx.tenant().as_str());
        let rows = self.store.audit_tail(tenant, limit.into()).await?;
        Ok(rows.into_iter().rev().map(AuditLine::of).collect())
    }

    /// Verifies the audit.
    pub async fn audit_verify(&self) -> Result<Verified, OperatorError> {
        Ok(self.ledger.verify().await?)
    }

    /// Makes a checkpoint now. Should another process be at it, that one's is as good.
    pub async fn audit_checkpoint(&self) -> Result<Option<Checkpoint>, OperatorError> {
        Ok(self.ledger.checkpoint(0).await?)
    }

    /// Begins an export of all rows from before the day `before` (UTC).
    pub fn audit_export(&self, before: Day) -> Export {
        let before_ms = start_of(before);
        Export { before_ms, stream: String::new(), seq: 0, through: Vec::new(), checkpoints: Some(0), rows: 0 }
    }

    /// The next lines of an export, each a JSON object; none when it is complete. A row's line is `{"hash":…,"record":…}`,
    /// its record the very bytes that the hash covers.
    pub async fn audit_export_page(&self, export: &mut Export) -> Result<Vec<String>, OperatorError> {
        if let Some(after) = export.checkpoints {
            let page = self.store.checkpoints(after).await?;
            export.checkpoints = page.last().map(|last| last.seq);
            if !page.is_empty() {
                let line = |body: &str, hash: &str| format!(r#"{{"checkpoint":{body},"hash":"{hash}"}}"#);
                return Ok(page.iter().map(|signed| line(&signed.body, &signed.hash)).collect());
            }
            let tombstones = self.store.tombstones().await?;
            if !tombstones.is_empty() {
                let line = |body: &str, hash: &str| format!(r#"{{"hash":"{hash}","tombstone":{body}}}"#);
                return Ok(tombstones.iter().map(|signed| line(&signed.body, &signed.hash)).collect());
            }
        }
        loop {
            let page = self.store.audit_page(&export.stream, export.seq).await?;
            if page.is_empty() {
                return Ok(Vec::new());
            }
            let mut lines = Vec::new();
            for row in page {
                // Behind the first row that is too young the stream is not looked at any more.
                if row.stream == export.stream && export.seq == i64::MAX {
                    continue;
                }
                let young = row.at_ms >= export.before_ms;
                export.seq = if young { i64::MAX } else { row.seq };
                if !young {
                    lines.push(format!(r#"{{"hash":"{}","record":{}}}"#, row.hash, row.record));
                    match export.through.last_mut() {
                        Some((stream, through)) if *stream == row.stream => *through = row.seq,
                        _ => export.through.push((row.stream.clone(), row.seq)),
                    }
                }
                export.stream = row.stream;
            }
            export.rows += lines.len();
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    /// Notes that what `export` gave out is kept elsewhere.
    pub async fn audit_exported(&self, export: Export) -> Result<(), OperatorError> {
        self.audit(None, "audit export", json!({"before_ms": export.before_ms, "rows": export.rows})).await?;
        for (stream, through) in &export.through {
            self.store.mark_exported(stream, *through).await?;
        }
        Ok(())
    }

    /// Removes the rows from before the day `before` that were exported and that a checkpoint has seen, and leaves signed
    /// tombstones. An audit that does not verify is not touched: a tombstone would hide what is wrong with it.
    pub async fn audit_purge(&self, before: Day) -> Result<Purged, OperatorError> {
        let before_ms = start_of(before);
        if !self.ledger.verify().await?.findings.is_empty() {
            let hint = format!("see `{} audit verify`", self.server);
            return Err(OperatorError::refused("the audit does not verify; nothing was purged", hint));
        }
        self.audit(None, "audit purge", json!({"before_ms": before_ms})).await?;
        let covered = self.ledger.load_covered().await?;
        let mut purged = Purged { streams: 0, rows: 0, left: 0 };
        let gone: std::collections::HashMap<String, i64> =
            self.store.tombstones().await?.into_iter().map(|signed| (signed.stream, signed.seq)).collect();
        for (stream, exported) in self.store.exports().await? {
            let old = self.store.audit_since(&stream, before_ms).await?.map_or(i64::MAX, |young| young - 1);
            let through = old.min(exported).min(covered.of(&stream));
            let before = gone.get(&stream).copied().unwrap_or(0);
            let mut done = before;
            while done < through {
                let next = through.min(done.saturating_add(PURGED_AT_ONCE));
                let Some(last) = self.store.audit_hash(&stream, next).await? else { break };
                let tombstone = tombstone::form(&self.ledger.key, &stream, next, &last, self.clock.wall_ms());
                self.store.purge(&tombstone).await?;
                done = next;
            }
            purged.streams += usize::from(done > before);
            purged.rows += done - before;
        }
        *self.ledger.covered() = covered;
        purged.left = self.store.audit_before(&call_id::first_at(before_ms)).await?;
        Ok(purged)
    }

    /// Captures the calls of `tenant` for so long, or no more. Other processes follow within 15 s.
    pub async fn audit_capture(&self, tenant: &str, for_ms: Option<i64>) -> Result<Option<i64>, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let until_ms = for_ms.map(|for_ms| self.clock.wall_ms().saturating_add(for_ms));
        self.audit(Some(ctx.tenant()), "audit capture", json!({"until_ms": until_ms})).await?;
        self.store.set_capture(&ctx, until_ms).await?;
        self.ledger.forget_rule(ctx.tenant());
        Ok(until_ms)
    }

    /// One call of `tenant`, with its arguments and its result if it was captured.
    pub async fn audit_show(&self, tenant: &str, call: &str) -> Result<CallShown, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let mut rows = self.store.audit_call(call).await?;
        rows.retain(|row| row.tenant == ctx.tenant().as_str());
        let captured = self.store.capture(&ctx, call, self.clock.wall_ms()).await?;
        if rows.is_empty() && captured.is_none() {
            return Err(OperatorError::refused(
                format!("tenant `{tenant}` has no such call"),
                format!("see `{} audit tail --tenant {tenant}`", self.server),
            ));
        }
        let captured = match captured {
            None => None,
            Some(row) => {
                // Before it is opened: what cannot be written down is not read.
                self.audit(Some(ctx.tenant()), "audit show", json!({"call": row.call})).await?;
                let plain = self.vault.open_capture(&ctx, &row).await?;
                Some(serde_json::from_slice(&plain).map_err(|_| crate::vault::VaultError::Rejected)?)
            }
        };
        Ok(CallShown { rows: rows.into_iter().map(AuditLine::of).collect(), captured })
    }
}

/// The first millisecond of a day.
fn start_of(day: Day) -> i64 {
    calendar::days_from_civil(day.year().into(), day.month().into(), day.day().into()) * DAY_MS
}
