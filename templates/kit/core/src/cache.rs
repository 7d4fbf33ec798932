// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A bounded cache whose entries go stale after a stated time. It is what keeps an ordinary call free of database
//! reads, and its age limit is what bounds how long a revoked key or a replaced credential is still honoured.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Values by key, each forgotten `max_age_us` after it was put, at most `capacity` of them.
///
/// Whoever fills it takes a [`ticket`](Self::ticket) before it reads and puts with that: what was read before somebody
/// forgot is not put behind that, where it would outlive the change it was forgotten for.
pub struct Cache<K, V> {
    entries: Mutex<HashMap<K, (i64, V)>>,
    forgotten: AtomicU64,
    capacity: usize,
    max_age_us: i64,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// An empty cache.
    pub fn new(capacity: usize, max_age_us: i64) -> Self {
        Self { entries: Mutex::new(HashMap::new()), forgotten: AtomicU64::new(0), capacity, max_age_us }
    }

    /// The value of `key`, unless it has gone stale by `now_us` (monotonic).
    pub fn get<Q>(&self, key: &Q, now_us: i64) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(until, _)| now_us < *until).map(|(_, value)| value.clone())
    }

    /// What to put with: take it before reading what is to be put.
    pub fn ticket(&self) -> u64 {
        self.forgotten.load(Ordering::SeqCst)
    }

    /// Puts `value`, unless something was forgotten since `ticket` was taken. At capacity stale entries go first, then any: an entry lost costs one read, never an answer.
    pub fn put(&self, key: K, value: V, now_us: i64, ticket: u64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ticket() != ticket {
            return;
        }
        if entries.len() >= self.capacity && !entries.contains_key(&key) {
            entries.retain(|_, (until, _)| now_us < *until);
            if entries.len() >= self.capacity
                && let Some(any) = entries.keys().next().cloned()
            {
                entries.remove(&any);
            }
        }
        entries.insert(key, (now_us.saturating_add(self.max_age_us), value));
    }

    /// Forgets the entries that `gone` names.
    pub fn forget(&self, gone: impl Fn(&K, &V) -> bool) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        entries.retain(|key, (_, value)| !gone(key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn an_entry_is_gone_at_its_age_limit() {
        let cache = Cache::new(8, 100);
        cache.put("a", 1, 0, 0);
        assert_eq!(cache.get("a", 99), Some(1));
        assert_eq!(cache.get("a", 100), None);
    }

    #[test]
    fn at_capacity_stale_entries_go_first() {
        let cache = Cache::new(2, 100);
        cache.put("old", 1, 0, 0);
        cache.put("fresh", 2, 90, 0);
        cache.put("new", 3, 120, 0);
        assert_eq!((cache.get("old", 120), cache.get("fresh", 120), cache.get("new", 120)), (None, Some(2), Some(3)));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_put_behind_it() {
        let cache = Cache::new(8, 100);
        let ticket = cache.ticket();
        cache.forget(|key, _| *key == "a");
        cache.put("a", 1, 0, ticket);
        assert_eq!(cache.get("a", 0), None);
        cache.put("a", 2, 0, cache.ticket());
        assert_eq!(cache.get("a", 0), Some(2));
    }

    #[test]
    fn the_capacity_is_never_exceeded() {
        let cache = Cache::new(3, 1_000);
        (0..100).for_each(|n| cache.put(n, n, 0, 0));
        assert_eq!((0..100).filter(|n| cache.get(n, 1).is_some()).count(), 3);
    }
}
