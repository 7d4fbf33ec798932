// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) in whole microseconds: one number a bucket, the
//! theoretical arrival time at which it will be full again.

use super::{Decision, Rate};

/// Takes `cost` tokens at `now_us` from the bucket whose arrival time is `tat_us` (0 for a fresh one). Returns the new
/// arrival time with the decision; a denied request leaves it as it was.
pub fn decide(tat_us: i64, rate: Rate, cost: u32, now_us: i64) -> (i64, Decision) {
    let window = rate.interval_us.saturating_mul(i64::from(rate.burst));
    let price = rate.interval_us.saturating_mul(i64::from(cost));
    let next = tat_us.max(now_us).saturating_add(price);
    let over = next.saturating_sub(now_us).saturating_sub(window);
    if over > 0 {
        return (tat_us, Decision::Denied { retry_after_us: over });
    }
    let remaining = (window - (next - now_us)) / rate.interval_us;
    (next, Decision::Admitted { remaining: u32::try_from(remaining).unwrap_or(u32::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval_us: 100_000, burst: 5 };

    #[test]
    fn a_greedy_caller_gets_the_burst_and_then_the_rate() {
        let (mut tat, mut admitted) = (0, 0);
        for now in (0..60_000_000).step_by(1_000) {
            let (next, decision) = decide(tat, RATE, 1, now);
            tat = next;
            admitted += u32::from(matches!(decision, Decision::Admitted { .. }));
        }
        // 10 a second for 60 s, plus a full bucket at the start, less the token that is due at the very end.
        assert_eq!(admitted, 604);
    }

    #[test]
    fn a_denied_request_says_when_to_come_back_and_costs_nothing() {
        let (tat, decision) = decide(500_000, RATE, 1, 0);
        assert_eq!((tat, decision), (500_000, Decision::Denied { retry_after_us: 100_000 }));
        assert_eq!(decide(tat, RATE, 1, 100_000).1, Decision::Admitted { remaining: 0 });
    }

    #[test]
    fn a_dearer_request_takes_more() {
        assert_eq!(decide(0, RATE, 3, 0).1, Decision::Admitted { remaining: 2 });
    }
}
