// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What becomes of a call while the buckets that replicas share cannot be reached. An owner says it for the server and,
//! where that does not suit a tool, for the tool.

use std::collections::BTreeMap;

use super::Charge;

/// What becomes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outage {
    /// This replica decides alone, by its share of the rate.
    #[default]
    Local,
    /// It is refused.
    Deny,
    /// It is admitted, whatever the rate.
    Allow,
}

/// What becomes of each tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    /// Unless the tool is named below.
    pub default: Outage,
    /// By full name.
    pub tools: BTreeMap<String, Outage>,
}

impl Outages {
    /// What becomes of a pass: what is said of the tool that one of its keys, `{tenant}/tool`, names.
    pub fn of(&self, charges: &[Charge<'_>]) -> Outage {
        let tool = |charge: &Charge<'_>| self.tools.get(charge.key.split_once("}/")?.1).copied();
        charges.iter().find_map(tool).unwrap_or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Rate;

    #[test]
    fn a_tool_that_is_named_stands_over_the_default() {
        let outages = Outages {
            default: Outage::Deny,
            tools: [("ads_search".to_owned(), Outage::Local), ("ads_spend".to_owned(), Outage::Allow)].into(),
        };
        let of = |keys: &[&str]| {
            let rate = Rate::per_minute(60, 1);
            outages.of(&keys.iter().map(|key| Charge { key, rate, cost: 1 }).collect::<Vec<_>>())
        };
        assert_eq!(of(&["{acme}", "{acme}/ads_search"]), Outage::Local);
        assert_eq!(of(&["{acme}/ads_spend", "{acme}"]), Outage::Allow);
        assert_eq!(of(&["{acme}", "{acme}/ads_other"]), Outage::Deny);
        assert_eq!(of(&["ads_search", "{ads_search}", "{acme}/ads_search/x"]), Outage::Deny);
        assert_eq!(Outages::default().of(&[]), Outage::Local);
    }
}
