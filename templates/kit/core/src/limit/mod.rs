// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Token buckets per tenant and tool. The decision is pure arithmetic ([`gcra`]); where the buckets live is a port.

pub mod gcra;
pub mod memory;
pub mod permits;
pub mod plan;
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
}

/// What one layer of limits asks of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge<'a> {
    /// Whose bucket it is.
    pub key: &'a str,
    /// How it fills.
    pub rate: Rate,
    /// Tokens to take.
    pub cost: u32,
}

/// What a bucket answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on; this many tokens are left.
    Admitted {
        /// The layer with the least left.
        layer: usize,
        /// Tokens left.
        remaining: u32,
        /// Microseconds until it is full.
        reset_us: i64,
    },
    /// Not now.
    Denied {
        /// The layer that denied.
        layer: usize,
        /// Microseconds until the same request would be admitted.
        retry_after_us: i64,
        /// Tokens left.
        remaining: u32,
    },
    /// Too many different buckets are live to open another.
    Saturated,
    /// Nobody can tell just now, and what is not counted is not let in.
    Unavailable,
}
