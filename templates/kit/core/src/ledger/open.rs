// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A call under way, as the ledger knows it. Whatever becomes of the call, its row is written: also where the caller is
//! dropped in the middle, and this with it.

use std::sync::Arc;

use serde_json::Value;

use super::queue::{Refusal, Room};
use super::record::{Entry, Kind, UpstreamCall};
use super::redact::Shape;
use super::{Ledger, refused};
use crate::error::ToolError;
use crate::inbound::TenantCtx;
use crate::tool::Class;

/// A call that was begun.
pub struct OpenCall {
    ledger: Arc<Ledger>,
    room: Room,
    started_us: i64,
    /// Taken when the call is closed.
    entry: Option<Entry>,
    panicked: bool,
    acted: bool,
    refused: bool,
}

impl OpenCall {
    pub(super) fn new(ledger: Arc<Ledger>, room: Room, entry: Entry) -> Self {
        let started_us = ledger.writer.clock.monotonic_us();
        Self { ledger, room, started_us, entry: Some(entry), panicked: false, acted: false, refused: false }
    }

    /// The id of the call.
    pub fn id(&self) -> &str {
        self.entry.as_ref().map_or("", |entry| &entry.call)
    }

    /// Whether the call changes nothing.
    pub fn reads(&self) -> bool {
        self.entry.as_ref().is_none_or(|entry| entry.class == Some(Class::Read))
    }

    /// Notes the arguments, as far as `shape` lets them be told.
    pub fn arguments(&mut self, shape: &Shape, arguments: &Value) {
        if let Some(entry) = &mut self.entry {
            entry.args = Some(self.ledger.redact(shape, arguments));
        }
    }

    /// Notes what the call costs. Without it the call was not let in, and costs nothing.
    pub fn charged(&mut self, units: u32) {
        if let Some(entry) = &mut self.entry {
            entry.units = Some(units);
        }
    }

    /// Notes requests to an upstream.
    pub fn upstream(&mut self, call: UpstreamCall) {
        if let Some(entry) = &mut self.entry {
            entry.upstream.push(call);
        }
    }

    /// Notes that the owner's code has panicked.
    pub fn panicked(&mut self) {
        self.panicked = true;
    }

    /// To be awaited before the owner's code runs. Where that may change something, the intent is committed first: after a
    /// crash it says that the call had begun. An error means that the code must not run.
    pub async fn intent(&mut self) -> Result<(), ToolError> {
        let Some(entry) = &self.entry else { return Ok(()) };
        if entry.class == Some(Class::Read) {
            return Ok(());
        }
        let intent = Entry { kind: Kind::Intent, units: None, ..entry.clone() };
        let at_ms = entry.at_ms;
        let committed = self.ledger.writer.commit(&mut self.room, intent, None).await;
        self.acted = committed.is_ok();
        self.refused = committed.is_err();
        committed.map_err(|refusal| refused(refusal, at_ms))
    }

    /// Ends the call with `outcome` and commits its row, with `captured` beside it. An error is to be answered instead of
    /// whatever the call gave.
    pub async fn close(
        mut self,
        ctx: &TenantCtx,
        outcome: &'static str,
        captured: Option<Value>,
    ) -> Result<(), ToolError> {
        let Some(entry) = self.finished(outcome) else { return Ok(()) };
        let capture = match &captured {
            // From here on there is no way back into `self.entry`: should this be dropped, the row is written without it.
            Some(call) => {
                self.entry = Some(entry.clone());
                let capture = self.ledger.capture(ctx, &entry, call).await;
                self.entry = None;
                capture
            }
            None => None,
        };
        let at_ms = entry.at_ms;
        if let Some(units) = entry.units {
            self.ledger.writer.usage.count(&entry.tenant, at_ms, units);
        }
        let read = entry.class == Some(Class::Read);
        let receipt = self.ledger.writer.post(&mut self.room, entry, capture);
        // Whoever was refused already has an answer, and has waited long enough.
        if self.refused || read && self.ledger.options.relaxed {
            return Ok(());
        }
        self.ledger.writer.wait(&receipt).await.map_err(|refusal| match self.acted {
            false => refused(refusal, at_ms),
            true => acted(refusal, at_ms),
        })
    }

    fn finished(&mut self, outcome: &'static str) -> Option<Entry> {
        let mut entry = self.entry.take()?;
        entry.outcome = Some(if self.panicked { "panic" } else { outcome });
        entry.duration_us = Some(self.ledger.writer.clock.monotonic_us().saturating_sub(self.started_us));
        Some(entry)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if let Some(entry) = self.finished("cancelled") {
            if let Some(units) = entry.units {
                self.ledger.writer.usage.count(&entry.tenant, entry.at_ms, units);
            }
            self.ledger.writer.post(&mut self.room, entry, None);
        }
    }
}

/// The tool has run, and may have changed something: a model that calls it again does so twice.
fn acted(refusal: Refusal, now_ms: i64) -> ToolError {
    let error = refused(refusal, now_ms);
    let reason = error.to_value()["error"]["reason"].clone();
    ToolError::new(error.kind(), "the tool has run, but its outcome could not be written down")
        .hint("look whether it has done its work before calling it again")
        .fact("reason", reason)
        .fact("ran", true)
}
