// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Usage: counted as calls end, written in groups, read for quotas. What is not written yet counts all the same; what other
//! replicas have used is seen within [`MAX_STALENESS_US`] of their writing it, which is as far as a quota can be overdrawn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::calendar;
use crate::inbound::{MAX_STALENESS_US, TenantCtx};
use crate::ports::{Clock, SqlError};
use crate::store::Store;
use crate::store::usage::UsageRow;
use crate::tenant::TenantId;

const HOUR_MS: i64 = 3_600_000;
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

/// Counts, writes and reads.
pub struct Usage {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// Not written yet: calls and units.
    pending: HashMap<Key, (i64, i64)>,
    /// What the store said, and what was added here since.
    totals: HashMap<TenantId, Total>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    tool: String,
    hour: i64,
    outcome: &'static str,
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

    /// Counts a call that has ended.
    pub fn count(&self, ctx: &TenantCtx, tool: &str, outcome: &'static str, units: u32) {
        let hour = self.clock.wall_ms().div_euclid(HOUR_MS);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key { tenant: ctx.tenant().clone(), tool: tool.to_owned(), hour, outcome };
        let row = counted.pending.entry(key).or_insert((0, 0));
        row.0 += 1;
        row.1 += i64::from(units);
        if let Some(total) = counted.totals.get_mut(ctx.tenant()) {
            total.day += i64::from(units);
            total.month += i64::from(units);
        }
    }

    /// Writes what was counted. What cannot be written is kept for the next time.
    pub async fn flush(&self) -> Result<(), SqlError> {
        let taken = std::mem::take(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner).pending);
        if taken.is_empty() {
            return Ok(());
        }
        let rows: Vec<UsageRow> = taken
            .iter()
            .map(|(key, (calls, units))| UsageRow {
                tenant: key.tenant.clone(),
                tool: key.tool.clone(),
                hour: key.hour,
                outcome: key.outcome,
                calls: *calls,
                units: *units,
            })
            .collect();
        let written = self.store.add_usage(&rows).await;
        if written.is_err() {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, (calls, units)) in taken {
                let row = counted.pending.entry(key).or_insert((0, 0));
                row.0 += calls;
                row.1 += units;
            }
        }
        written
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
        // What this process has counted and not written is not in the store.
        for (key, (_, units)) in counted.pending.iter().filter(|(key, _)| key.tenant == *ctx.tenant()) {
            day += if key.hour >= day_from { *units } else { 0 };
            month += if key.hour >= month_from { *units } else { 0 };
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
