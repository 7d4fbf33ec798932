// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Buckets in this process. Right for one replica; with more, each would admit the whole rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Decision, Rate, gcra};
use crate::ports::{BoxFuture, LimitBackend};

/// Live buckets at most. A bucket that is full again is dropped when room is needed; a live one never is, since that
/// would hand its allowance out twice.
const MAX_BUCKETS: usize = 100_000;

/// Token buckets by name.
#[derive(Default)]
pub struct MemoryLimits {
    buckets: Mutex<HashMap<String, i64>>,
}

impl LimitBackend for MemoryLimits {
    fn take<'a>(&'a self, key: &'a str, rate: Rate, cost: u32, now_us: i64) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(self.decide(key, rate, cost, now_us)))
    }
}

impl MemoryLimits {
    fn decide(&self, key: &str, rate: Rate, cost: u32, now_us: i64) -> Decision {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tat) = buckets.get_mut(key) {
            let (next, decision) = gcra::decide(*tat, rate, cost, now_us);
            *tat = next;
            return decision;
        }
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|_, tat| *tat > now_us);
            if buckets.len() >= MAX_BUCKETS {
                return Decision::Saturated;
            }
        }
        let (next, decision) = gcra::decide(0, rate, cost, now_us);
        buckets.insert(key.to_owned(), next);
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_do_not_share_tokens() {
        let limits = MemoryLimits::default();
        let rate = Rate::per_minute(60, 1);
        assert_eq!(limits.decide("a", rate, 1, 0), Decision::Admitted { remaining: 0 });
        assert_eq!(limits.decide("a", rate, 1, 0), Decision::Denied { retry_after_us: 1_000_000 });
        assert_eq!(limits.decide("b", rate, 1, 0), Decision::Admitted { remaining: 0 });
    }
}
