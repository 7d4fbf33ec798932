// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What every call must pass before it is done: is there room for one more of this tenant, has it units left, do its buckets
//! hold enough? One pass, the cheapest question first, and the one that takes tokens last, so that nothing is ever given back.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use super::permits::{Full, Permit, Permits};
use super::plan::{Plan, Plans};
use super::{Charge, Decision, Rate};
use crate::error::{ErrorKind, ToolError};
use crate::inbound::TenantCtx;
use crate::ledger::usage::{Spent, Usage};
use crate::ports::{Clock, LimitBackend, SqlError};

/// Of the server's room this part, in percent, is kept for calls of one unit: a few expensive ones must not take it all.
const KEPT_FOR_CHEAP: u32 = 20;
/// How long a caller waits where nobody can know.
const A_MOMENT_MS: i64 = 1_000;

/// Lets calls in, or says when to come back.
pub struct Traffic {
    backend: Arc<dyn LimitBackend>,
    clock: Arc<dyn Clock>,
    rules: RwLock<Arc<Rules>>,
    permits: Arc<Permits>,
    usage: Arc<Usage>,
}

/// What the owner set.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Plans and costs.
    pub plans: Plans,
    /// Calls under way at once, of all tenants.
    pub max_in_flight: Option<u32>,
}

/// A call that was let in. It ends when this is dropped.
pub struct Admitted {
    /// What the call costs.
    pub units: u32,
    _permit: Permit,
}

/// Where a tenant stands, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What it may.
    pub plan: Plan,
    /// Calls under way.
    pub in_flight: u32,
    /// Units used today.
    pub today: u64,
    /// Units used this month.
    pub this_month: u64,
    /// Its buckets: the tenant's own, and those of tools that are not full.
    pub buckets: Vec<Bucket>,
}

/// One of a tenant's buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Full name of the tool; none for all calls of the tenant together.
    pub tool: Option<String>,
    /// How it fills.
    pub rate: Rate,
    /// Tokens in it; none while it cannot be looked at.
    pub left: Option<u32>,
}

impl Traffic {
    /// Over `backend`, by `rules`.
    pub(crate) fn new(backend: Arc<dyn LimitBackend>, clock: Arc<dyn Clock>, usage: Arc<Usage>, rules: Rules) -> Self {
        Self { backend, clock, rules: RwLock::new(Arc::new(rules)), permits: Arc::default(), usage }
    }

    /// Replaces the rules. Calls under way are not touched.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `ctx` may call `target` now. Both are bounded: the tenant has authenticated and the target is a registered one.
    pub(crate) async fn admit(&self, ctx: &TenantCtx, target: &str) -> Result<Admitted, ToolError> {
        let rules = self.rules();
        let plan = rules.plans.of(ctx.plan());
        let units = rules.plans.cost(target);
        let room = rules.max_in_flight.map(|most| match units {
            0 | 1 => most,
            _ => most - most * KEPT_FOR_CHEAP / 100,
        });
        let now_ms = self.clock.wall_ms();
        let busy = |what: &str| limited("server", what, None, Some(A_MOMENT_MS), now_ms);
        let permit = self.permits.take(ctx.tenant(), plan.concurrency, room).map_err(|full| match full {
            Full::Tenant => {
                limited("tenant", "too many calls are under way", plan.concurrency.map(u64::from), None, now_ms)
            }
            Full::Server => busy("the server is at its capacity"),
        })?;
        if plan.daily.is_some() || plan.monthly.is_some() {
            let spent = self.usage.spent(ctx).await;
            let spent = spent.map_err(|_| ToolError::unavailable("the store does not answer"))?;
            within_quota(plan, spent, units, now_ms)?;
        }
        let tenant = super::key(ctx, None);
        let tool = super::key(ctx, Some(target));
        let layers = [(plan.rate, tenant.as_str(), "tenant"), (plan.tool_rate, tool.as_str(), "tenant_tool")];
        let charge = |(rate, key, _): &(Option<Rate>, &'_ str, &str)| rate.map(|rate| (rate, (*key).to_owned()));
        let charged: Vec<(Rate, String)> = layers.iter().filter_map(charge).collect();
        let scopes: Vec<&str> = layers.iter().filter(|(rate, ..)| rate.is_some()).map(|(.., scope)| *scope).collect();
        let charges: Vec<Charge<'_>> =
            charged.iter().map(|(rate, key)| Charge { key, rate: *rate, cost: units }).collect();
        if charges.is_empty() {
            return Ok(Admitted { units, _permit: permit });
        }
        match self.backend.take(&charges, self.clock.monotonic_us()).await {
            Decision::Admitted { .. } => Ok(Admitted { units, _permit: permit }),
            Decision::Denied { layer, retry_after_us, .. } => {
                let scope = scopes.get(layer).copied().unwrap_or("tenant");
                let what = match scope {
                    "tenant_tool" => format!("`{target}` is called too often"),
                    _ => "this tenant calls too often".to_owned(),
                };
                let limit = charges.get(layer).map(|charge| u64::from(charge.rate.burst));
                Err(limited(scope, &what, limit, Some((retry_after_us + 999) / 1_000), now_ms))
            }
            Decision::Saturated => Err(busy("the server is at its capacity")),
            Decision::Unavailable => Err(busy("calls cannot be counted just now")),
        }
    }

    /// Where `ctx` stands, with its buckets for `targets`. Nothing is charged for looking.
    pub async fn standing(&self, ctx: &TenantCtx, targets: &[&str]) -> Result<Standing, SqlError> {
        let spent = self.usage.spent(ctx).await?;
        let plan = Plan::clone(self.rules().plans.of(ctx.plan()));
        let mut buckets = Vec::new();
        if let Some(rate) = plan.rate {
            let left = self.left(&super::key(ctx, None), rate).await;
            buckets.push(Bucket { tool: None, rate, left });
        }
        if let Some(rate) = plan.tool_rate {
            for tool in targets {
                let left = self.left(&super::key(ctx, Some(tool)), rate).await;
                if left != Some(rate.burst) {
                    buckets.push(Bucket { tool: Some((*tool).to_owned()), rate, left });
                }
            }
        }
        let in_flight = self.permits.of(ctx.tenant());
        Ok(Standing { plan, in_flight, today: spent.day, this_month: spent.month, buckets })
    }

    /// Tokens in a bucket: what costs nothing is always admitted, and says how many are left.
    async fn left(&self, key: &str, rate: Rate) -> Option<u32> {
        match self.backend.take(&[Charge { key, rate, cost: 0 }], self.clock.monotonic_us()).await {
            Decision::Admitted { remaining, .. } => Some(remaining),
            Decision::Denied { .. } | Decision::Saturated | Decision::Unavailable => None,
        }
    }

    /// The names of the plans.
    pub fn plans(&self) -> Vec<String> {
        self.rules().plans.by_name.keys().cloned().collect()
    }

    /// Calls under way, of all tenants.
    pub fn in_flight(&self) -> u32 {
        self.permits.all()
    }
}

fn within_quota(plan: &Plan, spent: Spent, units: u32, now_ms: i64) -> Result<(), ToolError> {
    let quotas =
        [("day", plan.daily, spent.day, spent.day_ends_ms), ("month", plan.monthly, spent.month, spent.month_ends_ms)];
    for (period, quota, used, ends_ms) in quotas {
        if let Some(quota) = quota.filter(|quota| used.saturating_add(u64::from(units)) > *quota) {
            let what = format!("the plan's units for this {period} are used up");
            return Err(limited("quota", &what, Some(quota), Some(ends_ms), now_ms).fact("period", period));
        }
    }
    Ok(())
}

/// A refusal that says what was met and when to come back: a sentence for the model, facts for programs.
fn limited(scope: &str, what: &str, limit: Option<u64>, retry_after_ms: Option<i64>, now_ms: i64) -> ToolError {
    let again = match retry_after_ms {
        Some(ms) => format!("; try again in {}", spoken(ms)),
        None => "; wait for one of them to end".to_owned(),
    };
    let error = ToolError::new(ErrorKind::RateLimited, format!("{what}{again}")).fact("scope", scope);
    let error = limit.into_iter().fold(error, |error, limit| error.fact("limit", limit));
    retry_after_ms.into_iter().fold(error, |error, ms| error.retry_in(ms, now_ms))
}

/// A time to wait as a person says it, rounded up.
fn spoken(ms: i64) -> String {
    let seconds = ms.max(0).saturating_add(999) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", (seconds + 59) / 60),
        _ => format!("{} h", (seconds + 3_599) / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::spoken;

    #[test]
    fn a_wait_is_told_in_the_unit_that_fits_and_never_too_short() {
        let texts = [-5, 0, 1, 1_000, 119_000, 119_001, 120_000, 120_001, 7_199_000, 7_199_001, 7_200_001, i64::MAX];
        let expected = [
            "0 s",
            "0 s",
            "1 s",
            "1 s",
            "119 s",
            "2 min",
            "2 min",
            "3 min",
            "120 min",
            "2 h",
            "3 h",
            "2562047788016 h",
        ];
        assert_eq!(texts.map(spoken), expected);
    }
}
