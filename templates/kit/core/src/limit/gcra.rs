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
        return (tat_us, Decision::Denied { layer: 0, retry_after_us: over, remaining: 0 });
    }
    let remaining = (window - (next - now_us)) / rate.interval_us;
    (
        next,
        Decision::Admitted {
            layer: 0,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_us: next - now_us,
        },
    )
}
