// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Plans: how much a tenant has bought. Each tenant is on one by name; what a plan allows is the owner's configuration and can
//! change under a running server.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::Rate;

/// What the tenants on one plan may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Its name; empty for tenants that are on none.
    pub name: String,
    /// All calls of a tenant together.
    pub rate: Option<Rate>,
    /// Calls of one tool.
    pub tool_rate: Option<Rate>,
    /// Calls under way at once.
    pub concurrency: Option<u32>,
    /// Units in a day (UTC). A call costs one unless its tool costs more.
    pub daily: Option<u64>,
    /// Units in a calendar month (UTC).
    pub monthly: Option<u64>,
}

/// All plans, and what single tools cost.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    /// For tenants on none, and on one that is no longer there.
    pub default: Arc<Plan>,
    /// By name.
    pub by_name: BTreeMap<String, Arc<Plan>>,
    /// Units that a call of a tool costs, by its full name; one where nothing is said.
    pub costs: BTreeMap<String, u32>,
}

impl Plans {
    /// The plan called `name`.
    pub fn of(&self, name: Option<&str>) -> &Arc<Plan> {
        name.and_then(|name| self.by_name.get(name)).unwrap_or(&self.default)
    }

    /// What one call of `tool` costs.
    pub fn cost(&self, tool: &str) -> u32 {
        self.costs.get(tool).copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_on_a_plan_that_is_not_there_has_what_those_without_one_have() {
        let named = |name: &str| Arc::new(Plan { name: name.to_owned(), ..Plan::default() });
        let by_name = [("growth".to_owned(), named("growth"))].into();
        let plans = Plans { default: named("default"), by_name, ..Plans::default() };
        let of = [None, Some("growth"), Some("gone")].map(|name| plans.of(name).name.as_str());
        assert_eq!(of, ["default", "growth", "default"]);
    }

    #[test]
    fn a_call_costs_one_unless_its_tool_costs_something_else() {
        let costs = [("shop_orders".to_owned(), 5), ("shop_ping".to_owned(), 0)].into();
        let plans = Plans { costs, ..Plans::default() };
        assert_eq!(["shop_orders", "shop_ping", "shop_items"].map(|tool| plans.cost(tool)), [5, 0, 1]);
    }
}
