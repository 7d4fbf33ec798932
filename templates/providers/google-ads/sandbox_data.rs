//! What the sandbox tells: the accounts of an invented bicycle shop, with figures for the first three weeks of a November.

use super::sandbox::OUTLET;

pub(super) struct Account {
    pub(super) name: &'static str,
    pub(super) currency: &'static str,
    pub(super) campaigns: &'static [Campaign],
}

pub(super) struct Campaign {
    pub(super) id: u64,
    pub(super) name: &'static str,
    pub(super) status: &'static str,
    pub(super) channel: &'static str,
    /// How much it is shown.
    weight: u64,
    /// The last day of the month on which it was.
    last_day: u64,
}

const SHOP: Account = Account {
    name: "Kestrel Bicycles",
    currency: "EUR",
    campaigns: &[
        campaign(21_000_000_001, "Brand", "ENABLED", "SEARCH", 12, 21),
        campaign(21_000_000_002, "City bikes", "ENABLED", "PERFORMANCE_MAX", 30, 21),
        campaign(21_000_000_003, "Winter tyres", "PAUSED", "SHOPPING", 8, 9),
        campaign(21_000_000_004, "Summer sale", "REMOVED", "SEARCH", 10, 0),
        campaign(21_000_000_005, "Service and repair", "ENABLED", "SEARCH", 5, 21),
    ],
};

const CLEARANCE: Account = Account {
    name: "Kestrel Bicycles Outlet",
    currency: "GBP",
    campaigns: &[campaign(22_000_000_001, "Clearance", "ENABLED", "DISPLAY", 9, 21)],
};

const fn campaign(
    id: u64,
    name: &'static str,
    status: &'static str,
    channel: &'static str,
    weight: u64,
    last_day: u64,
) -> Campaign {
    Campaign { id, name, status, channel, weight, last_day }
}

pub(super) fn account(customer: &str) -> Account {
    if customer == OUTLET { CLEARANCE } else { SHOP }
}

/// Impressions, clicks, millionths of the currency, and quarters of a conversion that `campaigns` brought on `days`.
pub(super) fn figures(campaigns: &[&Campaign], days: &[u64]) -> [u64; 4] {
    let mut sum = [0; 4];
    for campaign in campaigns {
        for day in days.iter().filter(|day| **day <= campaign.last_day) {
            let (impressions, clicks) = (campaign.weight * 100 + day * 10, campaign.weight * 4 + day % 5);
            for (total, one) in sum.iter_mut().zip([impressions, clicks, clicks * 430_000, campaign.weight]) {
                *total += one;
            }
        }
    }
    sum
}
