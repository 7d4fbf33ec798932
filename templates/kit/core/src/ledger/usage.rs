// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Usage as quotas need it: what the store says, and what this process has counted and not committed yet. What other replicas
//! have used is seen within [`MAX_STALENESS_US`] of their committing it, which is as far as a quota can be overdrawn. Usage
//! itself is written with the rows of the audit, in one transaction.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::calendar;
use crate::inbound::{MAX_STALENESS_US, TenantCtx};
use crate::ledger::group::USAGE;
use crate::ports::{Clock, SqlError, Val};
use crate::store::Store;
use crate::tenant::TenantId;

pub(crate) const HOUR_MS: i64 = 3_600_000;
/// Tenants whose totals are held at most. One that is not held is read again.
const MAX_HELD: usize = 10_000;

/// Units that a tenant has used, and when the count begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Today (UTC).
    pub day: u64,
    /// In this calendar month (UTC).
    pub month: u64,
    /// Milliseconds until tomorrow.
    pub day_ends_ms: i64,
    /// Milliseconds until the next month.
    pub month_ends_ms: i64,
}

/// Counts and reads.
pub struct Usage {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// Units that are not committed yet, by hour.
    pending: HashMap<TenantId, HashMap<i64, i64>>,
    /// What the store said, and what was added here since.
    totals: HashMap<TenantId, Total>,
}

struct Total {
    day_from: i64,
    month_from: i64,
    day: i64,
    month: i64,
    read_us: i64,
}

impl Usage {
    /// Over `store`.
    pub(crate) fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, counted: Mutex::default() }
    }

    /// Counts a call that has ended and began at `at_ms`.
    pub(crate) fn count(&self, tenant: &TenantId, at_ms: i64, units: u32) {
        let units = i64::from(units);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.pending.entry(tenant.clone()).or_default().entry(at_ms.div_euclid(HOUR_MS)).or_default() += units;
        if let Some(total) = counted.totals.get_mut(tenant) {
            total.day += units;
            total.month += units;
        }
    }

    /// Rows of usage that are in the store by now.
    pub(crate) fn committed(&self, rows: &[Val]) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows.chunks(USAGE) {
            let [Val::Text(tenant), _, Val::I64(hour), _, _, Val::I64(units)] = row else { continue };
            let Ok(tenant) = TenantId::parse(tenant) else { continue };
            let Some(hours) = counted.pending.get_mut(&tenant) else { continue };
            if let Some(left) = hours.get_mut(hour) {
                *left -= units;
            }
            hours.retain(|_, left| *left > 0);
            if hours.is_empty() {
                counted.pending.remove(&tenant);
            }
        }
    }

    /// What the tenant has used.
    pub async fn spent(&self, ctx: &TenantCtx) -> Result<Spent, SqlError> {
        let (now_ms, now_us) = (self.clock.wall_ms(), self.clock.monotonic_us());
        let (day_from, month_from) = beginnings(now_ms);
        let spent = |day: i64, month: i64| Spent {
            day: day.max(0).unsigned_abs(),
            month: month.max(0).unsigned_abs(),
            day_ends_ms: (day_from + 24) * HOUR_MS - now_ms,
            month_ends_ms: next_month(now_ms) * HOUR_MS - now_ms,
        };
        if let Some(total) = self.counted.lock().unwrap_or_else(PoisonError::into_inner).totals.get(ctx.tenant())
            && (total.day_from, total.month_from) == (day_from, month_from)
            && now_us - total.read_us < MAX_STALENESS_US
        {
            return Ok(spent(total.day, total.month));
        }
        let (mut day, mut month) = self.store.units(ctx, day_from, month_from).await?;
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        // What this process has counted and not committed is not in the store.
        for (hour, units) in counted.pending.get(ctx.tenant()).into_iter().flatten() {
            day += if *hour >= day_from { *units } else { 0 };
            month += if *hour >= month_from { *units } else { 0 };
        }
        if counted.totals.len() >= MAX_HELD && !counted.totals.contains_key(ctx.tenant()) {
            counted.totals.retain(|_, total| now_us - total.read_us < MAX_STALENESS_US);
            if counted.totals.len() >= MAX_HELD {
                counted.totals.clear();
            }
        }
        let total = Total { day_from, month_from, day, month, read_us: now_us };
        counted.totals.insert(ctx.tenant().clone(), total);
        Ok(spent(day, month))
    }
}

/// The first hours of the day and of the calendar month that `now_ms` is in, in hours since the epoch.
fn beginnings(now_ms: i64) -> (i64, i64) {
    let days = now_ms.div_euclid(24 * HOUR_MS);
    let (year, month) = calendar::month_of(days);
    (days * 24, calendar::days_from_civil(year, month, 1) * 24)
}

/// The first hour of the next calendar month.
fn next_month(now_ms: i64) -> i64 {
    let (year, month) = calendar::month_of(now_ms.div_euclid(24 * HOUR_MS));
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    calendar::days_from_civil(year, month, 1) * 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_begin_with_the_day_and_the_month_of_utc() {
        // 2026-11-23T15:00:00Z, 2024-02-29T23:59:59.999Z, 1999-12-31T00:00:00Z; each with its day, its month and the next.
        for (now_ms, day, month, next) in [
            (1_795_446_000_000, (2026, 11, 23), (2026, 11, 1), (2026, 12, 1)),
            (1_709_251_199_999, (2024, 2, 29), (2024, 2, 1), (2024, 3, 1)),
            (946_598_400_000, (1999, 12, 31), (1999, 12, 1), (2000, 1, 1)),
        ] {
            let hours = |(year, month, day)| calendar::days_from_civil(year, month, day) * 24;
            assert_eq!(beginnings(now_ms), (hours(day), hours(month)));
            assert_eq!(next_month(now_ms), hours(next));
        }
    }
}
