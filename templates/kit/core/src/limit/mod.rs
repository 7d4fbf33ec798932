// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! How much is let in. [`traffic`] asks everything a call must pass; the last of it are token buckets: a call is charged to
//! several of them in one pass (its tenant's, its tool's), all or none. The decision is pure arithmetic ([`gcra`]); where the
//! buckets live is a port, and what happens while they cannot be reached is [`outage`].

use crate::inbound::TenantCtx;

pub mod gcra;
pub mod memory;
pub mod outage;
pub mod permits;
pub mod plan;
mod table;
pub mod traffic;

use serde::Serialize;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Time in which one token comes back, in microseconds.
    pub interval_us: i64,
    /// Tokens a full bucket holds.
    pub burst: u32,
}

impl Rate {
    /// `count` tokens a minute, of which `burst` may be taken at once.
    pub fn per_minute(count: u32, burst: u32) -> Self {
        Self { interval_us: (60_000_000 / i64::from(count.max(1))).max(1), burst: burst.max(1) }
    }

    /// What one of `replicas` may give out so that together they give out no more than this: as much less often, and
    /// its part of the burst, rounded up to a token.
    #[must_use]
    pub fn share(self, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        Self {
            interval_us: self.interval_us.saturating_mul(i64::from(replicas)),
            burst: self.burst.div_ceil(replicas).max(1),
        }
    }
}

/// One bucket that a call is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge<'a> {
    /// Name of the bucket, `{tenant}` or `{tenant}/tool`; names of one pass differ. What is in braces is the same for all
    /// of them, so that a cluster keeps them on one node.
    pub key: &'a str,
    /// How the bucket fills.
    pub rate: Rate,
    /// Tokens to take. One that costs more than the burst is never admitted; one that costs nothing always is.
    pub cost: u32,
}

/// Name of the bucket of a tenant, or of one of its tools.
pub fn key(ctx: &TenantCtx, tool: Option<&str>) -> String {
    let tenant = ctx.tenant().as_str();
    match tool {
        Some(tool) => ["{", tenant, "}/", tool].concat(),
        None => ["{", tenant, "}"].concat(),
    }
}

/// What the buckets of a pass answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on. All buckets were charged.
    Admitted {
        /// Index of the charge whose bucket has the fewest tokens left.
        layer: usize,
        /// How many these are.
        remaining: u32,
        /// Microseconds until that bucket is full again.
        reset_us: i64,
    },
    /// Not now. No bucket was charged.
    Denied {
        /// Index of the charge that has to wait longest.
        layer: usize,
        /// Microseconds until the same pass would be admitted.
        retry_after_us: i64,
        /// Tokens left in that bucket.
        remaining: u32,
    },
    /// Too many different buckets are live to open another.
    Saturated,
    /// The buckets cannot be reached, and may not be replaced.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::TenantId;

    #[test]
    fn a_rate_is_an_interval_and_a_burst() {
        let rate = |interval_us, burst| Rate { interval_us, burst };
        assert_eq!(Rate::per_minute(600, 60), rate(100_000, 60));
        assert_eq!(Rate::per_minute(7, 1), rate(8_571_428, 1));
        assert_eq!(Rate::per_minute(u32::MAX, u32::MAX), rate(1, u32::MAX));
        assert_eq!(Rate::per_minute(0, 0), rate(60_000_000, 1));
    }

    #[test]
    fn replicas_share_a_rate_and_no_token_is_lost() {
        let rate = Rate { interval_us: 100, burst: 10 };
        let shares = [0, 1, 3, 10, 11].map(|replicas| rate.share(replicas));
        let expected = [(100, 10), (100, 10), (300, 4), (1_000, 1), (1_100, 1)];
        assert_eq!(shares, expected.map(|(interval_us, burst)| Rate { interval_us, burst }));
        assert_eq!(Rate { interval_us: i64::MAX, burst: 0 }.share(2), Rate { interval_us: i64::MAX, burst: 1 });
    }

    #[test]
    fn buckets_of_a_tenant_have_its_name_in_braces() {
        let ctx = TenantCtx::for_operator(TenantId::parse("acme").unwrap());
        assert_eq!(key(&ctx, None), "{acme}");
        assert_eq!(key(&ctx, Some("notion_search")), "{acme}/notion_search");
    }
}
