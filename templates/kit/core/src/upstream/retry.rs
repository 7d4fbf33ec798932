// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Whether a request that failed is sent once more, and when. The executor asks here and nowhere else sends again: retries of
//! several layers multiply, and an upstream in trouble is the last to need that.
//!
//! A call repeats at most twice, with waits that grow at random, within its deadline. All calls of an integration together
//! repeat at most one in ten: the budget is what keeps an outage from doubling the load.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::ports::Rng;

/// Repeats of one call at most.
pub(crate) const REPEATS: u32 = 2;
/// A limit that the upstream says ends later than this is not waited for inline.
pub(crate) const PATIENCE_MS: i64 = 2_000;

/// What must be left of the call's time after the wait, in microseconds: a request needs some too.
pub(crate) const LEAST_LEFT_US: i64 = 100_000;

/// The first wait is at least this, and no wait is longer than the other.
const SHORTEST_US: i64 = 50_000;
const LONGEST_US: i64 = 2_000_000;

/// One in how many recent calls may be repeated.
const ONE_IN: u64 = 10;
/// As many repeats as these are free, for an integration that is hardly used.
const FREE: u64 = 10;
/// Recent is what lies in the present half and the one before it.
const HALF_US: i64 = 30_000_000;

/// What a repeat follows on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The connection or the upstream failed.
    Failure,
    /// The upstream asked to wait. Only calls that went well earn such a repeat, the free ones are not for it: an upstream
    /// that complains is not asked again unless it is a busy one, where that is a drop among many.
    Limit,
}

/// The budgets of all integrations.
#[derive(Default)]
pub(crate) struct Budgets(Mutex<HashMap<String, Window>>);

#[derive(Default)]
struct Window {
    began_us: i64,
    /// Calls and repeats, of this half and the one before.
    now: (u64, u64),
    before: (u64, u64),
}

impl Budgets {
    /// A call of `integration` begins.
    pub(crate) fn called(&self, integration: &str, now_us: i64) {
        self.with(integration, now_us, |window| window.now.0 += 1);
    }

    /// Takes a repeat out of the budget of `integration`, if there is one.
    pub(crate) fn take(&self, integration: &str, after: After, now_us: i64) -> bool {
        self.with(integration, now_us, |window| {
            let (calls, repeats) = (window.now.0 + window.before.0, window.now.1 + window.before.1);
            let free = after == After::Failure && repeats < FREE;
            let fits = free || (repeats + 1) * ONE_IN <= calls;
            window.now.1 += u64::from(fits);
            fits
        })
    }

    fn with<T>(&self, integration: &str, now_us: i64, work: impl FnOnce(&mut Window) -> T) -> T {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = budgets.get_mut(integration) {
            window.turn(now_us);
            return work(window);
        }
        // As many as there are integrations.
        let window = budgets.entry(integration.to_owned()).or_default();
        window.began_us = now_us;
        work(window)
    }
}

impl Window {
    fn turn(&mut self, now_us: i64) {
        let age = now_us.saturating_sub(self.began_us);
        // Also when the clock has jumped back: a half would never end then.
        if !(0..HALF_US).contains(&age) {
            self.before = if (HALF_US..2 * HALF_US).contains(&age) { self.now } else { (0, 0) };
            (self.now, self.began_us) = ((0, 0), now_us);
        }
    }
}

/// The next wait after one of `last_us` (0 for the first): decorrelated jitter, between the shortest and three times the last.
pub(crate) fn wait_us(rng: &dyn Rng, last_us: i64) -> i64 {
    let most = last_us.max(SHORTEST_US).saturating_mul(3).min(LONGEST_US);
    let mut bytes = [0; 8];
    // Without randomness the longest wait is the safe one.
    let Ok(()) = rng.fill(&mut bytes) else { return most };
    let roll = u64::from_le_bytes(bytes) % (most - SHORTEST_US + 1).unsigned_abs();
    SHORTEST_US + i64::try_from(roll).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::RngError;

    struct Same(u8);

    impl Rng for Same {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError> {
            buffer.fill(self.0);
            if self.0 == 99 { Err(RngError) } else { Ok(()) }
        }
    }

    fn takes(budgets: &Budgets, after: After, now_us: i64) -> usize {
        (0..1_000).take_while(|_| budgets.take("crm", after, now_us)).count()
    }

    #[test]
    fn one_call_in_ten_is_repeated_and_ten_repeats_are_free_after_a_failure() {
        for (calls, failures, limits) in [(0, 10, 0), (9, 10, 0), (10, 10, 1), (1_000, 100, 100)] {
            for (after, expected) in [(After::Failure, failures), (After::Limit, limits)] {
                let budgets = Budgets::default();
                (0..calls).for_each(|_| budgets.called("crm", 0));
                assert_eq!(takes(&budgets, after, 0), expected, "{calls} {after:?}");
                assert!(calls < 1_000 || !budgets.take("other", After::Limit, 0), "each has its own");
            }
        }
    }

    #[test]
    fn calls_and_repeats_are_forgotten_after_a_minute_at_the_latest() {
        let budgets = Budgets::default();
        (0..1_000).for_each(|_| budgets.called("crm", 0));
        assert_eq!(takes(&budgets, After::Limit, HALF_US), 100);
        assert_eq!(takes(&budgets, After::Limit, 2 * HALF_US - 1), 0);
        assert_eq!(takes(&budgets, After::Limit, 2 * HALF_US), 0);
        assert_eq!(takes(&budgets, After::Failure, 4 * HALF_US), 10);
    }

    #[test]
    fn a_clock_that_jumps_back_begins_anew() {
        let budgets = Budgets::default();
        assert_eq!(takes(&budgets, After::Failure, HALF_US * 1_000), 10);
        assert_eq!(takes(&budgets, After::Failure, 0), 10);
        assert_eq!(takes(&budgets, After::Failure, i64::MIN), 10);
        assert_eq!(takes(&budgets, After::Failure, i64::MAX), 10);
    }

    #[test]
    fn waits_grow_threefold_at_most_within_their_bounds() {
        let mut last = 0;
        for _ in 0..10 {
            let (least, most) = (wait_us(&Same(0), last), wait_us(&Same(99), last));
            assert_eq!((least, most), (50_000, last.max(50_000).saturating_mul(3).min(2_000_000)));
            let some = wait_us(&Same(7), last);
            assert!((least..=most).contains(&some));
            last = most;
        }
        assert_eq!(last, 2_000_000);
    }
}
