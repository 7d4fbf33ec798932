// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a running server knows and its store does not: where a tenant stands with its limits, which upstreams are not asked
//! just now. Asked of the process that serves; another one would answer about itself.

use serde::Serialize;

use super::{Operator, OperatorError};
use crate::breaker::{Cause, View};
use crate::limit::traffic::Standing;

/// An open breaker in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenBreaker {
    /// Instance name of the integration.
    pub integration: String,
    /// The tenant; none for the owner's app.
    pub tenant: Option<String>,
    /// The account; none for an app.
    pub account: Option<String>,
    /// `throttled` or `failed`.
    pub cause: &'static str,
    /// Milliseconds until one request is let through to see; 0 while that is waited for.
    pub retry_after_ms: i64,
}

/// The breakers of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerList {
    /// Those that are open.
    pub open: Vec<OpenBreaker>,
    /// Breakers of connections that are kept.
    pub connections: usize,
    /// Breakers of apps that are kept.
    pub apps: usize,
    /// Requests that passed without a breaker of their own, for want of room.
    pub untracked: u64,
}

impl Operator {
    /// Where a tenant stands with its limits.
    pub async fn limits_show(&self, tenant: &str) -> Result<Standing, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let mut targets: Vec<&str> = self.registry.tools.iter().map(|tool| tool.name.as_str()).collect();
        targets.extend(self.registry.prompts.iter().map(|prompt| prompt.name.as_str()));
        targets.extend(self.registry.resources.iter().map(|resource| resource.name.as_str()));
        Ok(self.traffic.standing(&ctx, &targets).await?)
    }

    /// The breakers that are open.
    pub fn limits_breakers(&self) -> BreakerList {
        let now_us = self.clock.monotonic_us();
        let (connections, apps) = self.breakers.kept();
        let open = self.breakers.open(now_us).into_iter().map(|view| {
            let View { integration, tenant, account, cause, retry_after_us } = view;
            let cause = match cause {
                Cause::Throttled => "throttled",
                Cause::Failed => "failed",
            };
            let retry_after_ms = retry_after_us.saturating_add(999) / 1_000;
            OpenBreaker { integration, tenant, account, cause, retry_after_ms }
        });
        BreakerList { open: open.collect(), connections, apps, untracked: self.breakers.untracked() }
    }
}
