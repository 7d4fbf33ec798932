// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Buckets in this process. Right for one replica; with more, each would admit the whole rate.
//!
//! Memory is bounded: so many buckets and no more. One that is full again is dropped when room is needed; a live one
//! never is, since that would hand its allowance out twice. A bucket is a keyed hash of its name and one number: 24 bytes,
//! at most 55 with what the table keeps free. That any two of a million names share a bucket has a chance of 2^-89.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::table::{Id, Table};
use super::{Charge, Decision, gcra};
use crate::ports::{BoxFuture, LimitBackend};

/// Live buckets at most, unless the host says otherwise.
const MAX_BUCKETS: usize = 100_000;
/// Tables, each with its own lock: one that grows holds up a small part of the calls. What a name has in braces decides
/// which, so that a pass takes one lock as a rule.
const SHARDS: usize = 64;
/// At the cap a look at every bucket frees what can be freed, but no more often than this.
const SWEEP_EVERY_US: i64 = 100_000;

/// Token buckets by name.
pub struct MemoryLimits {
    shards: [Mutex<Table>; SHARDS],
    /// With keys of their own, so that nobody chooses names that meet.
    hashers: [RandomState; 2],
    live: AtomicUsize,
    max: usize,
    swept_us: Mutex<Option<i64>>,
}

/// Where a bucket is, and how far from full, if it is there.
struct Slot {
    shard: usize,
    id: Id,
    level_us: Option<i64>,
}

/// The locked shards of a pass: the first, and seldom others behind it.
struct Held<'a> {
    first: (usize, MutexGuard<'a, Table>),
    rest: Vec<(usize, MutexGuard<'a, Table>)>,
}

impl Held<'_> {
    fn of(&mut self, shard: usize) -> &mut Table {
        let rest = self.rest.iter_mut().find(|(at, _)| *at == shard);
        &mut rest.unwrap_or(&mut self.first).1
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::new(MAX_BUCKETS)
    }
}

impl LimitBackend for MemoryLimits {
    fn take<'a>(&'a self, charges: &'a [Charge<'a>], now_us: i64) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(self.decide(charges, now_us)))
    }
}

impl MemoryLimits {
    /// Room for `max` live buckets.
    pub fn new(max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hashers: [RandomState::new(), RandomState::new()],
            live: AtomicUsize::new(0),
            max,
            swept_us: Mutex::default(),
        }
    }

    /// Buckets there are, live or not yet dropped.
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same as [`take`](LimitBackend::take), which has nothing to wait for here.
    pub fn decide(&self, charges: &[Charge<'_>], now_us: i64) -> Decision {
        let mut slots: Vec<Slot> = charges.iter().map(|charge| self.slot(charge.key)).collect();
        match self.attempt(charges, &mut slots, now_us) {
            Decision::Saturated => {
                self.sweep(now_us);
                self.attempt(charges, &mut slots, now_us)
            }
            decision => decision,
        }
    }

    fn attempt(&self, charges: &[Charge<'_>], slots: &mut [Slot], now_us: i64) -> Decision {
        let Some(mut held) = self.hold(slots) else { return gcra::pass(&[], []) };
        let mut new = 0;
        for (charge, slot) in charges.iter().zip(&mut *slots) {
            let tat = held.of(slot.shard).get(slot.id);
            slot.level_us = tat.map(|tat| gcra::level_us(tat, charge.rate, now_us));
            // What costs nothing opens no bucket.
            new += usize::from(slot.level_us.is_none() && charge.cost > 0);
        }
        let decision = gcra::pass(charges, slots.iter().map(|slot| slot.level_us.unwrap_or(0)));
        if !matches!(decision, Decision::Admitted { .. }) {
            return decision;
        }
        if new > 0 && self.live.fetch_add(new, Ordering::Relaxed) + new > self.max {
            self.live.fetch_sub(new, Ordering::Relaxed);
            return Decision::Saturated;
        }
        for (charge, slot) in charges.iter().zip(slots).filter(|(charge, _)| charge.cost > 0) {
            let next = slot.level_us.unwrap_or(0).saturating_add(gcra::price_us(charge.rate, charge.cost));
            new -= usize::from(held.of(slot.shard).put(slot.id, now_us.saturating_add(next)));
        }
        // A name that came twice.
        self.live.fetch_sub(new, Ordering::Relaxed);
        decision
    }

    fn slot(&self, key: &str) -> Slot {
        let [one, other] = &self.hashers;
        let braced = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let shard = one.hash_one(braced.map_or(key, |(tag, _)| tag)) % SHARDS as u64;
        let id = Id(one.hash_one(key), other.hash_one(key));
        Slot { shard: usize::try_from(shard).unwrap_or_default(), id, level_us: None }
    }

    /// Locks the shards of `slots`, in the one order that everybody takes them in. `None` if there is none.
    fn hold(&self, slots: &[Slot]) -> Option<Held<'_>> {
        let lowest = slots.iter().map(|slot| slot.shard).min()?;
        let mut others: Vec<usize> = slots.iter().map(|slot| slot.shard).filter(|shard| *shard != lowest).collect();
        others.sort_unstable();
        others.dedup();
        let lock = |shard: usize| (shard, guard(&self.shards[shard]));
        Some(Held { first: lock(lowest), rest: others.into_iter().map(lock).collect() })
    }

    /// Drops what is full again, unless that was done a moment ago. Whoever comes meanwhile waits for it.
    fn sweep(&self, now_us: i64) {
        let mut last = self.swept_us.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| (0..SWEEP_EVERY_US).contains(&now_us.saturating_sub(last))) {
            return;
        }
        *last = Some(now_us);
        for shard in &self.shards {
            let dropped = guard(shard).sweep(now_us);
            self.live.fetch_sub(dropped, Ordering::Relaxed);
        }
    }
}

fn guard(shard: &Mutex<Table>) -> MutexGuard<'_, Table> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
