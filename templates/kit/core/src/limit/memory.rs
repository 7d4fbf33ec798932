// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Buckets in this process. Right for one replica; with more, each would admit the whole rate.
//!
//! Memory is bounded: so many buckets and no more. One that is full again is dropped when room is needed; a live one
//! never is, since that would hand its allowance out twice. A bucket is a keyed hash of its name and one number: 25 bytes,
//! at most 58 with what the table keeps free. Two names share a bucket with a chance of 2^-88 in a million.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Charge, Decision, gcra};
use crate::ports::{BoxFuture, LimitBackend};

/// Live buckets at most, unless the host says otherwise.
const MAX_BUCKETS: usize = 100_000;
/// Tables, each with its own lock: one that grows holds up a small part of the calls.
const SHARDS: usize = 64;
/// At the cap a look at every bucket frees what can be freed, but no more often than this.
const SWEEP_EVERY_US: i64 = 100_000;

/// Token buckets by name.
pub struct MemoryLimits {
    shards: [Mutex<Shard>; SHARDS],
    /// With keys of their own, so that nobody chooses names that meet.
    hashers: [RandomState; 2],
    live: AtomicUsize,
    max: usize,
    swept_us: Mutex<Option<i64>>,
}

/// Arrival times by the hash of the name.
type Shard = HashMap<Id, i64, BuildHasherDefault<Hashed>>;

/// Not a `u128`: that would be aligned to 16 bytes, and an entry be 32.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Id(u64, u64);

impl std::hash::Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Id {
    /// From the half that does not place it within its shard.
    fn shard(self) -> usize {
        usize::try_from(self.1 % SHARDS as u64).unwrap_or_default()
    }
}

/// For keys that are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
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
        let ids: Vec<Id> = charges.iter().map(|charge| self.id(charge.key)).collect();
        match self.attempt(charges, &ids, now_us) {
            Decision::Saturated => {
                self.sweep(now_us);
                self.attempt(charges, &ids, now_us)
            }
            decision => decision,
        }
    }

    fn attempt(&self, charges: &[Charge<'_>], ids: &[Id], now_us: i64) -> Decision {
        // One order for everybody, or two passes would wait for each other.
        let mut order: Vec<usize> = ids.iter().map(|id| id.shard()).collect();
        order.sort_unstable();
        order.dedup();
        let mut shards: Vec<MutexGuard<'_, Shard>> = order.iter().map(|at| guard(&self.shards[*at])).collect();
        let place = |id: &Id| order.partition_point(|at| *at < id.shard());
        let level = |(charge, id): (&Charge<'_>, &Id)| {
            shards[place(id)].get(id).map(|tat| gcra::level_us(*tat, charge.rate, now_us))
        };
        let levels: Vec<Option<i64>> = charges.iter().zip(ids).map(level).collect();
        let decision = gcra::pass(charges, levels.iter().map(|level| level.unwrap_or(0)));
        if !matches!(decision, Decision::Admitted { .. }) {
            return decision;
        }
        // What costs nothing opens no bucket.
        let new = charges.iter().zip(&levels).filter(|(charge, level)| charge.cost > 0 && level.is_none()).count();
        if new > 0 && self.live.fetch_add(new, Ordering::Relaxed) + new > self.max {
            self.live.fetch_sub(new, Ordering::Relaxed);
            return Decision::Saturated;
        }
        let mut opened = 0;
        for ((charge, id), level) in charges.iter().zip(ids).zip(levels).filter(|((charge, _), _)| charge.cost > 0) {
            let next = level.unwrap_or(0).saturating_add(gcra::price_us(charge.rate, charge.cost));
            opened += usize::from(shards[place(id)].insert(*id, now_us.saturating_add(next)).is_none());
        }
        self.live.fetch_sub(new - opened, Ordering::Relaxed);
        decision
    }

    fn id(&self, key: &str) -> Id {
        Id(self.hashers[0].hash_one(key), self.hashers[1].hash_one(key))
    }

    /// Drops what is full again, unless that was done a moment ago. Whoever comes meanwhile waits for it.
    fn sweep(&self, now_us: i64) {
        let mut last = self.swept_us.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| (0..SWEEP_EVERY_US).contains(&now_us.saturating_sub(last))) {
            return;
        }
        *last = Some(now_us);
        for shard in &self.shards {
            let mut shard = guard(shard);
            let before = shard.len();
            shard.retain(|_, tat| *tat > now_us);
            self.live.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
    }
}

fn guard(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
