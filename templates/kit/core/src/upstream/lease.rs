// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Who may refresh a connection, across replicas: a compare-and-swap on its row. A lease is taken over when nothing about
//! it has changed for its whole length *as measured here*: the replicas' wall clocks need not agree, and no lease ends
//! early because one of them was set. A process that was just started waits that long for a holder that died.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::inbound::TenantCtx;
use crate::ports::{Clock, SqlError};
use crate::store::Store;
use crate::store::connections::ConnectionRow;
use crate::tenant::TenantId;

/// A lease that should have ended longer ago is taken over at once. No wall clock is set by so much while a holder works: a
/// clock that is an hour ahead, or was just set, must not take a lease from somebody who uses a refresh token.
const LONG_PAST_MS: i64 = 86_400_000;

/// A lease that this process holds.
pub(crate) struct Lease {
    /// The name it is held under: new for each lease, so that nobody mistakes an older one for it.
    pub(crate) owner: String,
    taken_us: i64,
    length_us: i64,
}

impl Lease {
    /// Whether `needed` more fits before somebody else may take it.
    pub(crate) fn lasts(&self, clock: &dyn Clock, needed: Duration) -> bool {
        clock.monotonic_us() - self.taken_us + micros(needed) < self.length_us
    }
}

/// Leases of others, as seen from here.
pub(crate) struct Leases {
    length: Duration,
    seen: Mutex<HashMap<LeaseKey, Holder>>,
}

/// Tenant, integration, account.
type LeaseKey = (TenantId, String, String);
/// The name of a holder, and when it was seen first.
type Holder = (String, i64);

impl Leases {
    /// `length` is how long one lasts.
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, seen: Mutex::new(HashMap::new()) }
    }

    /// Tries to take the lease of `row` under the name `owner`. `None` while somebody else has it.
    pub(crate) async fn take(
        &self,
        store: &Store,
        clock: &dyn Clock,
        ctx: &TenantCtx,
        row: &ConnectionRow,
        owner: String,
    ) -> Result<Option<Lease>, SqlError> {
        let now = clock.wall_ms();
        if let Some(holder) = &row.lease_owner
            && !long_past(row.lease_until_ms, now)
            && !self.over(ctx, row, holder, clock.monotonic_us())
        {
            return Ok(None);
        }
        let taken_us = clock.monotonic_us();
        if !store.take_lease(ctx, row, &owner, end(now, self.length)).await? {
            return Ok(None);
        }
        self.forget(ctx, row);
        Ok(Some(Lease { owner, taken_us, length_us: micros(self.length) }))
    }

    /// Whether `holder` has been seen for the whole length of a lease.
    fn over(&self, ctx: &TenantCtx, row: &ConnectionRow, holder: &str, now_us: i64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.entry(key(ctx, row)).or_insert_with(|| (holder.to_owned(), now_us));
        if entry.0 != holder {
            *entry = (holder.to_owned(), now_us);
        }
        now_us - entry.1 >= micros(self.length)
    }

    /// Forgets what was seen of `row`: nobody holds it any more, or we do.
    pub(crate) fn forget(&self, ctx: &TenantCtx, row: &ConnectionRow) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(ctx, row));
    }
}

/// Whether a lease ended so long ago that no clock is that wrong.
fn long_past(until_ms: Option<i64>, now_ms: i64) -> bool {
    until_ms.is_some_and(|until| until + LONG_PAST_MS < now_ms)
}

/// When a lease of `length` that begins now is over, as other processes read it.
fn end(now_ms: i64, length: Duration) -> i64 {
    now_ms + i64::try_from(length.as_millis()).unwrap_or_default()
}

fn key(ctx: &TenantCtx, row: &ConnectionRow) -> LeaseKey {
    (ctx.tenant().clone(), row.integration.clone(), row.account.clone())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_long_past_a_day_after_its_end_and_no_earlier() {
        assert!(!long_past(None, i64::MAX));
        assert!(!long_past(Some(0), 86_400_000));
        assert!(long_past(Some(0), 86_400_001));
    }

    #[test]
    fn a_lease_ends_its_length_from_now() {
        assert_eq!(end(1_000, Duration::from_secs(30)), 31_000);
    }
}
