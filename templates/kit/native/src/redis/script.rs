// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The Lua script, and what goes into it and comes out of it.

use kit::limit::{Charge, Decision, gcra};

/// The script. One round trip for all buckets of a pass, atomic in the server.
pub const TAKE: &str = include_str!("take.lua");

/// Its arguments: `now_us`, or nothing for the time of the server, then window and price of each bucket.
pub fn arguments(charges: &[Charge<'_>], now_us: Option<i64>) -> Vec<String> {
    let mut arguments = vec![now_us.map_or_else(String::new, |now| now.to_string())];
    for charge in charges {
        arguments.push(gcra::window_us(charge.rate).to_string());
        arguments.push(gcra::price_us(charge.rate, charge.cost).to_string());
    }
    arguments
}

/// The decision that it made, from the levels that it answers. `None` where these are not those of `charges`.
pub fn decision(charges: &[Charge<'_>], levels_us: &[i64]) -> Option<Decision> {
    (charges.len() == levels_us.len()).then(|| gcra::pass(charges, levels_us.iter().copied()))
}
