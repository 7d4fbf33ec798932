// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Buckets in this process. Right for one replica; with more, each would admit the whole rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Charge, Decision, gcra};
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
    fn take<'a>(&'a self, charges: &'a [Charge<'a>], now_us: i64) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(self.decide(charges, now_us)))
    }
}

impl MemoryLimits {
    /// The same at once.
    pub fn decide(&self, charges: &[Charge<'_>], now_us: i64) -> Decision {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() + charges.len() > MAX_BUCKETS {
            buckets.retain(|_, tat| *tat > now_us);
        }
        let mut taken = Vec::new();
        let mut least = Decision::Unavailable;
        for (layer, charge) in charges.iter().enumerate() {
            let tat = buckets.get(charge.key).copied().unwrap_or(0);
            match gcra::decide(tat, charge.rate, charge.cost, now_us) {
                (next, Decision::Admitted { remaining, reset_us, .. }) => {
                    taken.push((charge.key.to_owned(), next));
                    least = Decision::Admitted { layer, remaining, reset_us };
                }
                (_, Decision::Denied { retry_after_us, remaining, .. }) => {
                    return Decision::Denied { layer, retry_after_us, remaining };
                }
                (_, other) => return other,
            }
        }
        buckets.extend(taken);
        least
    }
}
