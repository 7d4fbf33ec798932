// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What happened, for whoever answers for it and whoever pays for it: one row of the audit for each call, chained and keyed,
//! and its usage, in one transaction. An answer is given when that is committed.
//!
//! ```text
//! room in the queue ─▶ (intent ─▶ committed ─▶) the tool ─▶ entry ─▶ group ─▶ one transaction ─▶ the answer
//! ```

pub(crate) mod call_id;
mod canonical;
pub mod checkpoint;
pub mod export;
pub(crate) mod group;
mod open;
mod queue;
pub mod record;
pub mod redact;
pub(crate) mod tombstone;
pub mod usage;
pub mod verify;
mod writer;

pub use open::OpenCall;
pub use record::{ClientInfo, Entry, Kind, UpstreamCall};

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::cache::Cache;
use crate::error::{ErrorKind, ToolError};
use crate::inbound::{MAX_STALENESS_US, TenantCtx};
use crate::ports::{Clock, Rng, RngError, Sleep, Spawn, Spill, SqlError};
use crate::secret::Secret;
use crate::store::Store;
use crate::tenant::TenantId;
use crate::tool::Class;
use crate::vault::Vault;
use call_id::CallIds;
use checkpoint::Covered;
use group::Capture;
use queue::Refusal;
use record::AuditKey;
use redact::{Redacted, Redactor, Shape};
use usage::Usage;
use writer::Writer;

const DAY_MS: i64 = 86_400_000;
/// Tenants whose rule of capture is held at most.
const MAX_RULES: usize = 10_000;
/// Of a captured call this much is kept.
const MAX_CAPTURE: usize = 512 << 10;

/// What the owner set.
#[derive(Clone, Copy, Debug)]
pub struct LedgerOptions {
    /// Whether the answer of a tool that changes nothing is given before its row is committed. A crash can then lose the rows
    /// of the last moment, those of such tools only.
    pub relaxed: bool,
    /// Captured calls are kept for so many days.
    pub capture_days: u32,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self { relaxed: false, capture_days: 7 }
    }
}

/// Writes down what happens.
pub struct Ledger {
    pub(crate) writer: Arc<Writer>,
    pub(crate) redactor: Redactor,
    pub(crate) key: AuditKey,
    vault: Arc<Vault>,
    ids: CallIds,
    rules: Cache<TenantId, i64>,
    covered: Mutex<Covered>,
    options: LedgerOptions,
}

/// What a ledger is made of.
pub(crate) struct LedgerParts {
    pub(crate) store: Arc<Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sleep: Arc<dyn Sleep>,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) spill: Option<Arc<dyn Spill>>,
    pub(crate) audit_key: Secret,
    pub(crate) redaction_key: Secret,
    pub(crate) server: &'static str,
}

impl Ledger {
    /// A ledger that nothing was written to yet. `server` is the server's version.
    pub(crate) fn new(parts: LedgerParts, options: LedgerOptions) -> Result<Self, RngError> {
        let key = AuditKey::new(&parts.audit_key);
        let writer = Writer {
            queue: Arc::default(),
            store: parts.store,
            usage: parts.usage,
            clock: parts.clock,
            sleep: parts.sleep,
            spawn: parts.spawn,
            rng: parts.rng,
            spill: parts.spill,
            key: key.clone(),
            server: parts.server,
            state: Mutex::default(),
            reachable: AtomicBool::new(false),
        };
        Ok(Self {
            ids: CallIds::new(&*writer.rng)?,
            writer: Arc::new(writer),
            redactor: Redactor::new(&parts.redaction_key),
            key,
            vault: parts.vault,
            rules: Cache::new(MAX_RULES, MAX_STALENESS_US),
            covered: Mutex::default(),
            options,
        })
    }

    /// Takes up what an earlier process could not write to the store.
    pub(crate) async fn recover(&self) {
        self.writer.recover().await;
    }

    /// Begins a call: from here on it is written down, however it ends. Refused if there is no room to write it.
    pub async fn open(
        self: &Arc<Self>,
        ctx: &TenantCtx,
        tool: &str,
        class: Class,
        client: Option<ClientInfo>,
        trace: Option<String>,
    ) -> Result<OpenCall, ToolError> {
        let at_ms = self.writer.clock.wall_ms();
        // A tool that changes something leaves two rows.
        let entries = if class == Class::Read { 1 } else { 2 };
        let room = self.writer.room(entries).await.map_err(|refusal| refused(refusal, at_ms))?;
        let (id, tenant, actor) = (self.ids.next(at_ms), ctx.tenant().clone(), ctx.principal_label());
        let entry =
            Entry { class: Some(class), client, trace, ..Entry::new(Kind::Call, id, tenant, actor, tool, at_ms) };
        Ok(OpenCall::new(self.clone(), room, entry))
    }

    /// What may be told of `arguments`.
    pub fn redact(&self, shape: &Shape, arguments: &Value) -> Redacted {
        self.redactor.arguments(shape, arguments)
    }

    /// Writes down what the operator does; passes when it is committed.
    pub(crate) async fn operator(
        &self,
        tenant: Option<&TenantId>,
        command: &str,
        details: &Value,
    ) -> Result<(), SqlError> {
        self.note(Kind::Operator, tenant, command, details).await
    }

    /// Writes down what `kind` says. `details` are told in full: no secret belongs into them.
    pub(crate) async fn note(
        &self,
        kind: Kind,
        tenant: Option<&TenantId>,
        what: &str,
        details: &Value,
    ) -> Result<(), SqlError> {
        let at_ms = self.writer.clock.wall_ms();
        let tenant = tenant.cloned().unwrap_or_else(TenantId::nobody);
        let mut text = String::new();
        canonical::value(&mut text, details);
        let args = Redacted { hmac: self.redactor.arguments(&Shape::default(), details).hmac, text };
        let entry = Entry::new(kind, self.ids.next(at_ms), tenant, "operator", what, at_ms);
        self.writer.commit_patiently(Entry { args: Some(args), ..entry }).await.map_err(|refusal| match refusal {
            Refusal::Unavailable => SqlError::Unavailable,
            Refusal::Full => SqlError::Full,
        })
    }

    /// Whether the calls of `ctx` are captured. Where the store does not say, they are not.
    pub(crate) async fn captures(&self, ctx: &TenantCtx) -> bool {
        let (now_ms, now_us) = (self.writer.clock.wall_ms(), self.writer.clock.monotonic_us());
        if let Some(until_ms) = self.rules.get(ctx.tenant(), now_us) {
            return now_ms < until_ms;
        }
        let ticket = self.rules.ticket();
        let Ok(found) = self.writer.store.capture_until(ctx.tenant()).await else { return false };
        let until_ms = found.unwrap_or(0);
        self.rules.put(ctx.tenant().clone(), until_ms, now_us, ticket);
        now_ms < until_ms
    }

    /// Forgets the rule of a tenant that was just changed in this process.
    pub(crate) fn forget_rule(&self, tenant: &TenantId) {
        self.rules.forget(|of, _| of == tenant);
    }

    /// Arguments and result of a call, sealed. A call that cannot be captured is answered all the same.
    pub(crate) async fn capture(&self, ctx: &TenantCtx, entry: &Entry, call: &Value) -> Option<Capture> {
        let mut plain = zeroize::Zeroizing::new(call.to_string());
        if plain.len() > MAX_CAPTURE {
            *plain = json!({"too_large": plain.len()}).to_string();
        }
        let sealed = self.vault.seal_capture(ctx, &entry.call, entry.at_ms, plain.as_bytes()).await;
        let (sealed, dek_id) = sealed.ok()?;
        let expires_ms = entry.at_ms.saturating_add(i64::from(self.options.capture_days) * DAY_MS);
        Some(Capture { expires_ms, sealed, dek_id })
    }

    pub(crate) fn covered(&self) -> MutexGuard<'_, Covered> {
        self.covered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that was brought so far is committed.
    pub async fn settled(&self) {
        self.writer.queue.empty().await;
    }

    /// Entries that wait to be committed.
    pub fn waiting(&self) -> usize {
        self.writer.queue.len()
    }
}

/// A call that cannot be written down is not let in.
fn refused(refusal: Refusal, now_ms: i64) -> ToolError {
    let (reason, what) = match refusal {
        Refusal::Unavailable => ("audit_unavailable", "the audit cannot be written just now"),
        Refusal::Full => ("storage_full", "the server has no space left to write the audit"),
    };
    let error = ToolError::new(ErrorKind::Unavailable, format!("{what}; try again in a moment"));
    error.fact("reason", reason).retry_in(1_000, now_ms)
}
