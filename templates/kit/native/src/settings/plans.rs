// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `calls`, `limits` and `plans`: how much is let in, from whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::limit::Rate;
use kit::limit::plan::{Plan, Plans};
use kit::limit::traffic::Rules;

use super::network::{Network, PerAddress};
use super::reader::Reader;

/// Where a problem is that more than one source can have caused.
const SOURCE: &str = "config/server.toml or environment";
/// Units of a plan at most.
const MOST: i64 = 1_000_000_000;

/// What is let in once a tenant is known.
pub(super) fn rules(reader: &mut Reader<'_>) -> Rules {
    let tool_rate = rate(reader, "calls.per_minute", "calls.burst", (600, 60));
    let default = Arc::new(Plan { tool_rate, ..plan(reader, "", "limits") });
    let mut by_name = BTreeMap::new();
    for name in reader.sections("plans") {
        let section = format!("plans.{name}");
        let keys = ["tool_per_minute", "tool_burst"].map(|key| format!("{section}.{key}"));
        let own = rate(reader, &keys[0], &keys[1], (0, 60));
        // A plan that says nothing of single tools has what tenants without a plan have.
        let plan = Plan { tool_rate: own.or(tool_rate), ..plan(reader, &name, &section) };
        by_name.insert(name, Arc::new(plan));
    }
    let mut costs = BTreeMap::new();
    for tool in reader.sections("limits.costs") {
        let cost = reader.count(&format!("limits.costs.{tool}"), 0..=1_000_000, 1);
        costs.insert(tool, cost);
    }
    for (tool, cost) in &costs {
        let plans = std::iter::once(&default).chain(by_name.values());
        let rates = plans.flat_map(|plan: &Arc<Plan>| [plan.rate, plan.tool_rate]).flatten();
        if let Some(burst) = rates.map(|rate| rate.burst).filter(|burst| burst < cost).min() {
            let what = format!("costs {cost}, and a bucket holds {burst} at the most: it could never be called");
            reader.problem(&format!("limits.costs.{tool}"), SOURCE, &what, "raise the burst, or lower the cost");
        }
    }
    let max_in_flight: u32 = reader.count("limits.max_in_flight", 0..=1_000_000, 512);
    Rules { plans: Plans { default, by_name, costs }, max_in_flight: (max_in_flight > 0).then_some(max_in_flight) }
}

fn plan(reader: &mut Reader<'_>, name: &str, section: &str) -> Plan {
    let key = |key: &str| format!("{section}.{key}");
    let concurrency: u32 = reader.count(&key("concurrency"), 0..=1_000_000, 0);
    let [daily, monthly] = ["daily", "monthly"].map(|period| reader.count(&key(period), 0..=MOST, 0_u64));
    Plan {
        name: name.to_owned(),
        rate: rate(reader, &key("per_minute"), &key("burst"), (0, 60)),
        tool_rate: None,
        concurrency: (concurrency > 0).then_some(concurrency),
        daily: (daily > 0).then_some(daily),
        monthly: (monthly > 0).then_some(monthly),
    }
}

/// A rate and its burst; none where the rate is zero.
fn rate(reader: &mut Reader<'_>, per_minute: &str, burst: &str, default: (u32, u32)) -> Option<Rate> {
    let per_minute: u32 = reader.count(per_minute, 0..=1_000_000, default.0);
    let burst: u32 = reader.count(burst, 1..=1_000_000, default.1);
    (per_minute > 0).then(|| Rate::per_minute(per_minute, burst))
}

/// What is let in before anybody is known, by address.
pub(super) fn per_address(reader: &mut Reader<'_>) -> PerAddress {
    let rate = rate(reader, "limits.ip_per_minute", "limits.ip_burst", (6_000, 1_000));
    let path = "limits.trusted_proxies";
    let (texts, source) = reader.sourced_list(path, "[\"127.0.0.1\", \"10.0.0.0/8\"]");
    let mut trusted = Vec::new();
    for text in texts {
        match Network::parse(&text) {
            Some(network) => trusted.push(network),
            None => reader.problem(path, &source, "is not an address or network", "give for example 10.0.0.0/8"),
        }
    }
    PerAddress { rate, trusted }
}
