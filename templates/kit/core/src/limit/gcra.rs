// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) in whole microseconds: one number a bucket, the
//! theoretical arrival time at which it will be full again. A bucket that is not there is a full one.
//!
//! The same arithmetic runs in Redis, whose numbers are doubles: exact up to 2^53. So a bucket holds no more than 2^51 µs,
//! 71 years, and every sum stays exact until the year 2184.

use super::{Charge, Decision, Rate};

/// No bucket takes longer to fill.
pub const MAX_WINDOW_US: i64 = 1 << 51;

/// What one bucket answers to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 0 for a request that is admitted; else the time until it would be.
    pub retry_after_us: i64,
    /// Tokens left.
    pub remaining: u32,
    /// Time until the bucket is full again.
    pub reset_us: i64,
}

fn interval_us(rate: Rate) -> i64 {
    rate.interval_us.clamp(1, MAX_WINDOW_US)
}

/// Time in which an empty bucket fills.
pub fn window_us(rate: Rate) -> i64 {
    interval_us(rate).saturating_mul(i64::from(rate.burst)).min(MAX_WINDOW_US)
}

/// Time in which `cost` tokens come back; never much more than any bucket can hold.
pub fn price_us(rate: Rate, cost: u32) -> i64 {
    interval_us(rate).saturating_mul(i64::from(cost)).min(MAX_WINDOW_US + i64::from(cost > rate.burst))
}

/// Time from `now_us` until the bucket with the arrival time `tat_us` is full again.
///
/// Never more than its window, whatever the clock did: one that steps back an hour would otherwise keep the bucket empty
/// for that hour.
pub fn level_us(tat_us: i64, rate: Rate, now_us: i64) -> i64 {
    tat_us.saturating_sub(now_us).clamp(0, window_us(rate))
}

/// Takes `cost` tokens from a bucket that is full in `level_us`; [`Outcome::reset_us`] is its new level. A denied request
/// leaves it as it was.
pub fn decide(level_us: i64, rate: Rate, cost: u32) -> Outcome {
    let window = window_us(rate);
    let next = level_us.saturating_add(price_us(rate, cost));
    let (retry_after_us, reset_us) = if next > window { (next - window, level_us) } else { (0, next) };
    let remaining = (window - reset_us) / interval_us(rate);
    Outcome { retry_after_us, remaining: u32::try_from(remaining).unwrap_or(u32::MAX), reset_us }
}

/// What a pass over `charges` comes to whose buckets are full in `levels_us`: it is admitted if each of them is. Of several
/// that deny the longest wait counts: who comes back after it is admitted.
pub fn pass(charges: &[Charge<'_>], levels_us: impl IntoIterator<Item = i64>) -> Decision {
    let (mut denied, mut admitted) = (None, None);
    for (layer, (charge, level)) in charges.iter().zip(levels_us).enumerate() {
        let Outcome { retry_after_us, remaining, reset_us } = decide(level, charge.rate, charge.cost);
        if retry_after_us > denied.map_or(0, |(_, longest, _)| longest) {
            denied = Some((layer, retry_after_us, remaining));
        }
        if admitted.is_none_or(|(_, least, _)| remaining < least) {
            admitted = Some((layer, remaining, reset_us));
        }
    }
    if let Some((layer, retry_after_us, remaining)) = denied {
        return Decision::Denied { layer, retry_after_us, remaining };
    }
    let (layer, remaining, reset_us) = admitted.unwrap_or((0, u32::MAX, 0));
    Decision::Admitted { layer, remaining, reset_us }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval_us: 100_000, burst: 5 };

    fn charge(rate: Rate, cost: u32) -> Charge<'static> {
        Charge { key: "k", rate, cost }
    }

    #[test]
    fn a_greedy_caller_gets_the_burst_and_then_the_rate() {
        let (mut tat, mut admitted) = (0, 0);
        for now in (0..60_000_000).step_by(1_000) {
            let outcome = decide(level_us(tat, RATE, now), RATE, 1);
            if outcome.retry_after_us == 0 {
                tat = now + outcome.reset_us;
                admitted += 1;
            }
        }
        // 10 a second for 60 s, plus a full bucket at the start, less the token that is due at the very end.
        assert_eq!(admitted, 604);
    }

    #[test]
    fn a_denied_request_says_when_to_come_back_and_costs_nothing() {
        let denied = Outcome { retry_after_us: 100_000, remaining: 0, reset_us: 500_000 };
        assert_eq!(decide(500_000, RATE, 1), denied);
        assert_eq!(decide(400_000, RATE, 1), Outcome { retry_after_us: 0, remaining: 0, reset_us: 500_000 });
        assert_eq!(decide(400_001, RATE, 1), Outcome { retry_after_us: 1, remaining: 0, reset_us: 400_001 });
    }

    #[test]
    fn a_dearer_request_takes_more_and_one_beyond_the_burst_is_never_admitted() {
        assert_eq!(decide(0, RATE, 3), Outcome { retry_after_us: 0, remaining: 2, reset_us: 300_000 });
        assert_eq!(decide(0, RATE, 5), Outcome { retry_after_us: 0, remaining: 0, reset_us: 500_000 });
        assert_eq!(decide(0, RATE, 6), Outcome { retry_after_us: 100_000, remaining: 5, reset_us: 0 });
        assert_eq!(decide(500_000, RATE, 0), Outcome { retry_after_us: 0, remaining: 0, reset_us: 500_000 });
    }

    #[test]
    fn a_clock_that_steps_back_costs_a_window_and_not_its_step() {
        let hour = 3_600_000_000;
        assert_eq!(level_us(hour, RATE, 0), 500_000);
        assert_eq!(level_us(hour, RATE, hour - 1), 1);
        assert_eq!(level_us(hour, RATE, hour), 0);
        assert_eq!(level_us(0, RATE, hour), 0);
        assert_eq!(level_us(i64::MAX, RATE, i64::MIN), 500_000);
    }

    #[test]
    fn absurd_rates_stay_within_what_a_double_holds() {
        let slow = Rate { interval_us: i64::MAX, burst: u32::MAX };
        assert_eq!((window_us(slow), price_us(slow, 1), price_us(slow, u32::MAX)), (1 << 51, 1 << 51, 1 << 51));
        assert_eq!(price_us(Rate { burst: 1, ..slow }, 2), (1 << 51) + 1);
        assert_eq!(decide(0, slow, 1), Outcome { retry_after_us: 0, remaining: 0, reset_us: 1 << 51 });
        assert_eq!(decide(1, slow, 1), Outcome { retry_after_us: 1, remaining: 0, reset_us: 1 });
        let none = Rate { interval_us: 0, burst: 3 };
        assert_eq!(decide(0, none, 1), Outcome { retry_after_us: 0, remaining: 2, reset_us: 1 });
    }

    #[test]
    fn a_pass_answers_for_the_layer_with_the_fewest_tokens() {
        let charges = [charge(Rate { burst: 9, ..RATE }, 1), charge(RATE, 2), charge(Rate { burst: 4, ..RATE }, 1)];
        assert_eq!(pass(&charges, [0, 0, 0]), Decision::Admitted { layer: 1, remaining: 3, reset_us: 200_000 });
        assert_eq!(pass(&charges, [0, 0, 1]), Decision::Admitted { layer: 2, remaining: 2, reset_us: 100_001 });
        assert_eq!(pass(&[], []), Decision::Admitted { layer: 0, remaining: u32::MAX, reset_us: 0 });
    }

    #[test]
    fn a_pass_that_is_denied_waits_for_the_slowest_layer() {
        let charges = [charge(RATE, 1), charge(RATE, 1), charge(RATE, 1)];
        let denied = |layer, retry_after_us| Decision::Denied { layer, retry_after_us, remaining: 0 };
        assert_eq!(pass(&charges, [0, 500_000, 0]), denied(1, 100_000));
        assert_eq!(pass(&charges, [450_000, 400_001, 500_000]), denied(2, 100_000));
        assert_eq!(pass(&charges, [500_000, 0, 500_000]), denied(0, 100_000));
    }
}
