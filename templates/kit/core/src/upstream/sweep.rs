// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The sweep: what has to be done for connections that nobody uses. It renews those whose refresh token or long-lived
//! token would otherwise end, and warns before a day that no renewal moves. Any number of replicas may sweep: what one does
//! the others find done, because each renewal takes the same way as a call's.

use std::sync::Arc;

use crate::inbound::TenantCtx;
use crate::observe::{Alarm, AlarmEvent};
use crate::ports::{Clock, SqlError, Telemetry};
use crate::registry::Registry;
use crate::store::connections::Due;

use super::life;
use super::refresh::{Cause, Refresher};

/// Connections that one pass takes up. The rest, if there is any, waits for the next one: a provider that hears from us
/// ten thousand times in a minute answers with a limit.
const BATCH: i64 = 200;
/// What could not be renewed waits for this long, so that it does not keep others out of a pass.
const POSTPONED_MS: i64 = 600_000;
const DAY_MS: i64 = 86_400_000;

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Connections renewed.
    pub renewed: usize,
    /// Connections that could not be.
    pub failed: usize,
    /// Warnings given.
    pub warned: usize,
}

/// Looks after idle connections.
pub struct Sweeper {
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

impl Sweeper {
    /// One pass.
    pub async fn pass(&self) -> Result<Swept, SqlError> {
        let mut swept = Swept::default();
        let store = &self.refresher.store;
        for due in store.due_for_refresh(self.clock.wall_ms(), BATCH).await? {
            let ctx = TenantCtx::for_sweep(due.tenant.clone());
            // An integration that was taken out of the project leaves its connections behind.
            let Some(integration) = self.registry.integrations.get(&due.integration) else {
                store.postpone(&ctx, &due, self.clock.wall_ms() + DAY_MS).await?;
                continue;
            };
            match self.refresher.refresh(&ctx, integration, &due.account, Cause::Sweep).await {
                Ok(()) => swept.renewed += 1,
                Err(_) => {
                    swept.failed += 1;
                    store.postpone(&ctx, &due, self.clock.wall_ms() + POSTPONED_MS).await?;
                }
            }
        }
        for days in [3, 14, 30] {
            let now = self.clock.wall_ms();
            for due in store.ending(now + days * DAY_MS, days, BATCH).await? {
                swept.warned += usize::from(self.warn(&due, now).await?);
            }
        }
        Ok(swept)
    }

    async fn warn(&self, due: &Due, now: i64) -> Result<bool, SqlError> {
        let Some(days) = due.ends_ms.and_then(|end| life::warning_days(end - now)) else { return Ok(false) };
        let ctx = TenantCtx::for_sweep(due.tenant.clone());
        if !self.refresher.store.warned(&ctx, due, days).await? {
            return Ok(false);
        }
        let (tenant, integration, account) = (&due.tenant, due.integration.as_str(), due.account.as_str());
        self.telemetry.alarm(&AlarmEvent { alarm: Alarm::EndsSoon { days }, tenant, integration, account });
        Ok(true)
    }
}
