// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Buckets in Redis, shared by all replicas, behind the [`LimitBackend`] port. A call waits a bounded time for them whatever
//! the server does, also where it hangs instead of refusing; then it goes by what the owner said of its tool.
//!
//! Every pass is charged here as well, at this replica's share of the rate, before the server is asked: when it is gone, what
//! has been taken is known, and the change-over gives away at most the burst of that share.

mod gate;
pub mod script;
mod target;

use std::sync::Arc;

use kit::limit::memory::MemoryLimits;
use kit::limit::outage::{Outage, Outages};
use kit::limit::{Charge, Decision, Rate};
use kit::ports::{BoxFuture, Clock, LimitBackend};

use crate::failure::Hinted;
use gate::Gate;
pub use gate::{Bounds, Traffic};
pub use target::Target;

/// Shared buckets.
pub struct RedisLimits {
    gate: Arc<Gate>,
    /// Servers of other names may use the same Redis.
    prefix: String,
    local: MemoryLimits,
    replicas: u32,
    outages: Outages,
    time: Time,
}

/// Whose time counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    /// That of the server, the same for all replicas.
    Servers,
    /// That of the caller.
    Callers,
}

impl RedisLimits {
    /// Buckets of the application `name` on `target`. Nothing is asked of the server yet; see [`connect`](Self::connect).
    pub fn new(
        target: &Target,
        name: &str,
        replicas: u32,
        outages: Outages,
        bounds: Bounds,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Hinted> {
        let gate = Arc::new(Gate::new(target.client()?, target.to_string(), bounds, clock));
        let (prefix, local) = (format!("{name}:"), MemoryLimits::default());
        Ok(Self { gate, prefix, local, replicas, outages, time: Time::Servers })
    }

    /// Counts by the time of its callers: for tests, whose time does not pass by itself.
    #[must_use]
    pub fn in_virtual_time(self) -> Self {
        Self { time: Time::Callers, ..self }
    }

    /// Connects, for whoever wants to know how that ends. Calls make it connect by themselves.
    pub async fn connect(&self) -> Result<(), Hinted> {
        self.gate.connect().await.map_err(|failure| {
            let hint = if failure.is_refusal() {
                "correct user and password in `limits.redis_url`; the user must be allowed EVALSHA, SCRIPT, TIME, GET, SET"
            } else {
                "see that Redis runs and can be reached from here, or correct `limits.redis_url`"
            };
            Hinted::new(format!("failed to reach the limits: {}", failure.cause()), hint)
        })
    }

    /// Whether calls are sent to the server at present.
    pub fn is_shared(&self) -> bool {
        self.gate.is_open()
    }

    /// What was done so far.
    pub fn traffic(&self) -> Traffic {
        self.gate.traffic()
    }

    /// This replica's part of what `charge` may give out. A request that the whole bucket could hold fits into the part.
    fn share<'a>(&self, charge: &Charge<'a>) -> Charge<'a> {
        let share = charge.rate.share(self.replicas);
        let burst = share.burst.max(charge.cost.min(charge.rate.burst));
        Charge { rate: Rate { burst, ..share }, ..*charge }
    }

    async fn ask(&self, charges: &[Charge<'_>], now_us: i64) -> Option<Decision> {
        let keys: Vec<String> = charges.iter().map(|charge| format!("{}{}", self.prefix, charge.key)).collect();
        let now_us = (self.time == Time::Callers).then_some(now_us);
        let levels = self.gate.run(&keys, &script::arguments(charges, now_us)).await?;
        script::decision(charges, &levels)
    }
}

impl LimitBackend for RedisLimits {
    fn take<'a>(&'a self, charges: &'a [Charge<'a>], now_us: i64) -> BoxFuture<'a, Decision> {
        let shares: Vec<Charge<'_>> = charges.iter().map(|charge| self.share(charge)).collect();
        let local = self.local.decide(&shares, now_us);
        Box::pin(async move {
            if let Some(decision) = self.ask(charges, now_us).await {
                return decision;
            }
            match self.outages.of(charges) {
                Outage::Local => local,
                Outage::Deny => Decision::Unavailable,
                Outage::Allow => Decision::Admitted { layer: 0, remaining: u32::MAX, reset_us: 0 },
            }
        })
    }
}
