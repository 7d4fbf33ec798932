// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What the operator learns of usage, gives out to be billed, and compares with the audit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{DAY_MS, Operator, OperatorError};
use crate::calendar;
use crate::day::Day;
use crate::ledger::call_id;
use crate::ledger::export::{self, Format, UsageRow};
use crate::ledger::usage::HOUR_MS;
use crate::ports::SqlError;
use crate::store::exports::{Billed, Span};

/// Rows of a batch at most.
const BATCH: i64 = 5_000;
/// Stripe takes no event that is older.
const STRIPE_DAYS: i64 = 35;

/// Which days, and whose.
#[derive(Clone, Debug, Default)]
pub struct Period {
    /// The first day; the first of this month where nothing is said.
    pub from: Option<Day>,
    /// The first day behind it; none for until now.
    pub to: Option<Day>,
    /// One tenant; none for all.
    pub tenant: Option<String>,
}

/// What usage is added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Tenant.
    Tenant,
    /// Tenant and tool.
    Tool,
    /// Day.
    Day,
}

/// Usage, added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsageLine {
    /// The tenant, if it was added up by that.
    pub tenant: Option<String>,
    /// The tool, if it was added up by that.
    pub tool: Option<String>,
    /// The day, if it was added up by that.
    pub day: Option<String>,
    /// Calls.
    pub calls: i64,
    /// What they cost.
    pub units: i64,
    /// Those of them that failed.
    pub failed: i64,
}

/// A program that called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientLine {
    /// Its name; empty where it did not say.
    pub client: String,
    /// Its version.
    pub version: String,
    /// The version of this server that it called.
    pub server: String,
    /// Tenants that used it.
    pub tenants: i64,
    /// Calls.
    pub calls: i64,
    /// The day of the last one.
    pub last: String,
}

/// Somebody who still calls a deprecated tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeprecatedLine {
    /// The tool.
    pub tool: String,
    /// What to call instead.
    pub successor: String,
    /// The day on which it goes.
    pub ends: String,
    /// The tenant.
    pub tenant: String,
    /// The program, with its version.
    pub client: String,
    /// Calls.
    pub calls: i64,
    /// The day of the last one.
    pub last: String,
}

/// A batch of usage to be billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageBatch {
    /// Its number, to acknowledge it with.
    pub batch: i64,
    /// Milliseconds since the epoch at which it was made; earlier than now if it was given out before.
    pub made_ms: i64,
    /// Whether it was given out before.
    pub again: bool,
    /// Its rows.
    pub rows: Vec<UsageRow>,
}

/// An hour in which usage and audit differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The tenant.
    pub tenant: String,
    /// The tool.
    pub tool: String,
    /// Class of the answer.
    pub outcome: String,
    /// Hours since the Unix epoch.
    pub hour: i64,
    /// Calls and units in usage.
    pub usage: (i64, i64),
    /// Calls and units in the audit.
    pub audit: (i64, i64),
}

impl Operator {
    /// Usage by `by`.
    pub async fn usage_report(&self, period: &Period, by: By) -> Result<Vec<UsageLine>, OperatorError> {
        let span = self.span(period);
        let line = |numbers: &[i64]| UsageLine {
            tenant: None,
            tool: None,
            day: None,
            calls: number(numbers, 0),
            units: number(numbers, 1),
            failed: number(numbers, 2),
        };
        if by == By::Day {
            let rows = self.store.usage_by_day(span).await?;
            let day = |row: &Vec<i64>| UsageLine { day: Some(day_of(number(row, 0) * 24)), ..line(&row[1..]) };
            return Ok(rows.iter().map(day).collect());
        }
        let columns: &[&str] = if by == By::Tool { &["tenant_id", "tool"] } else { &["tenant_id"] };
        let rows = self.store.usage_by(span, columns).await?;
        Ok(rows
            .into_iter()
            .map(|(names, numbers)| {
                let mut names = names.into_iter();
                UsageLine { tenant: names.next(), tool: names.next(), ..line(&numbers) }
            })
            .collect())
    }

    /// Which programs called, the busiest first.
    pub async fn usage_clients(&self, period: &Period) -> Result<Vec<ClientLine>, OperatorError> {
        let rows = self.store.usage_of_clients(self.span(period)).await?;
        Ok(rows
            .into_iter()
            .map(|(names, numbers)| {
                let [client, version, server] = three(names);
                let (tenants, calls, last) = (number(&numbers, 0), number(&numbers, 1), day_of(number(&numbers, 2)));
                ClientLine { client, version, server, tenants, calls, last }
            })
            .collect())
    }

    /// Who still calls tools that are deprecated.
    pub async fn usage_deprecated(&self, period: &Period) -> Result<Vec<DeprecatedLine>, OperatorError> {
        let mut lines = Vec::new();
        for tool in &self.registry.tools {
            let Some(deprecation) = &tool.deprecated else { continue };
            for (names, numbers) in self.store.usage_of_tool(self.span(period), &tool.name).await? {
                let [tenant, client, version] = three(names);
                lines.push(DeprecatedLine {
                    tool: tool.name.clone(),
                    successor: deprecation.successor.clone(),
                    ends: deprecation.ends.to_owned(),
                    tenant,
                    client: format!("{client} {version}").trim().to_owned(),
                    calls: number(&numbers, 0),
                    last: day_of(number(&numbers, 1)),
                });
            }
        }
        Ok(lines)
    }

    /// The next batch for `destination`: the one that was not acknowledged yet, or what has come since, up to the hour that is
    /// over. `None` if there is nothing.
    pub async fn usage_export(
        &self,
        destination: &str,
        format: Format,
        outcomes: &[String],
    ) -> Result<Option<UsageBatch>, OperatorError> {
        let now = self.clock.wall_ms();
        let this_hour = now.div_euclid(HOUR_MS);
        // Before the look at what is pending: a batch that somebody else makes in between has these rows, and is found.
        let rows = self.store.unbilled(destination, this_hour, outcomes, BATCH).await?;
        if let Some(pending) = self.store.pending_batch(destination).await? {
            let rows = self.store.batch_rows(destination, pending.batch).await?;
            let rows = self.named(rows, format).await?;
            return Ok(Some(UsageBatch { batch: pending.batch, made_ms: pending.made_ms, again: true, rows }));
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let billed = self.named(rows.clone(), format).await?;
        if format == Format::Stripe {
            self.in_time(&rows, this_hour)?;
        }
        let batch = self.store.last_batch(destination).await? + 1;
        match self.store.add_batch(destination, batch, &rows, now).await {
            Ok(()) => Ok(Some(UsageBatch { batch, made_ms: now, again: false, rows: billed })),
            Err(SqlError::Constraint) => Err(OperatorError::refused(
                format!("somebody else exports to `{destination}` just now"),
                "run the command again: it gives out the batch that the other has made",
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that a batch has arrived where it is billed: it is not given out again.
    pub async fn usage_ack(&self, destination: &str, batch: i64) -> Result<(), OperatorError> {
        if self.store.ack_batch(destination, batch).await? {
            return Ok(());
        }
        let hint = match self.store.pending_batch(destination).await? {
            Some(pending) => format!("the batch {} waits for it", pending.batch),
            None => format!("make one with `{} usage export`", self.server),
        };
        Err(OperatorError::refused(format!("no batch {batch} for `{destination}` waits to be acknowledged"), hint))
    }

    /// Sets what the billing system calls a tenant: a customer of Stripe, a subscription of Lago.
    pub async fn tenant_billing(&self, tenant: &str, id: Option<&str>) -> Result<(), OperatorError> {
        let fits = |id: &str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(id) = id.filter(|id| !fits(id)) {
            let message = format!("an id of {} characters is not one of a billing system", id.chars().count());
            return Err(OperatorError::refused(message, "give 1 to 128 printable characters without spaces"));
        }
        let ctx = self.act_for(tenant).await?;
        Ok(self.store.set_billing_id(ctx.tenant(), id, self.clock.wall_ms()).await?)
    }

    /// Compares usage with the audit, hour by hour, as far as the audit's rows are still there. The hour that goes on is left
    /// out.
    pub async fn usage_reconcile(&self, period: &Period) -> Result<Vec<Difference>, OperatorError> {
        self.reconcile(self.span(period)).await
    }

    /// The same for the last `hours` that are over.
    pub async fn usage_reconcile_last(&self, hours: i64) -> Result<Vec<Difference>, OperatorError> {
        let to = self.clock.wall_ms().div_euclid(HOUR_MS);
        self.reconcile(Span { from: to - hours, to, tenant: None }).await
    }

    async fn reconcile(&self, mut span: Span<'_>) -> Result<Vec<Difference>, OperatorError> {
        span.to = span.to.min(self.clock.wall_ms().div_euclid(HOUR_MS));
        if !self.store.tombstones().await?.is_empty() {
            // Of the hour in which the oldest row is, others may be gone.
            let oldest = self.store.oldest_row_ms().await?.unwrap_or(i64::MAX);
            span.from = span.from.max(oldest.div_euclid(HOUR_MS).saturating_add(1));
        }
        if span.from >= span.to {
            return Ok(Vec::new());
        }
        let mut found: BTreeMap<Key, [(i64, i64); 2]> = BTreeMap::new();
        for (names, numbers) in self.store.usage_rows(span).await? {
            let [tenant, tool, outcome] = three(names);
            let entry = found.entry((tenant, tool, outcome, number(&numbers, 0))).or_default();
            entry[0] = (number(&numbers, 1), number(&numbers, 2));
        }
        let (from_ms, to_ms) = (span.from * HOUR_MS, span.to * HOUR_MS);
        let mut after = (call_id::first_at(from_ms), String::new(), 0);
        loop {
            let page = self.store.audit_between(&after, &call_id::first_at(to_ms)).await?;
            let Some(last) = page.last() else { break };
            after = (last.call.clone(), last.stream.clone(), last.seq);
            let wanted = |tenant: &str| span.tenant.is_none_or(|only| only == tenant);
            for row in page.iter().filter(|row| wanted(&row.tenant)) {
                let Ok(record) = serde_json::from_str::<Value>(&row.record) else { continue };
                let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                let (Some(units), "call") = (record["units"].as_i64(), text("kind").as_str()) else { continue };
                let key = (row.tenant.clone(), text("tool"), text("outcome"), row.at_ms.div_euclid(HOUR_MS));
                let entry = found.entry(key).or_default();
                entry[1] = (entry[1].0 + 1, entry[1].1 + units);
            }
        }
        let differs = found.into_iter().filter(|(_, [usage, audit])| usage != audit);
        Ok(differs
            .map(|((tenant, tool, outcome, hour), [usage, audit])| Difference {
                tenant,
                tool,
                outcome,
                hour,
                usage,
                audit,
            })
            .collect())
    }

    fn span<'a>(&self, period: &'a Period) -> Span<'a> {
        let now_ms = self.clock.wall_ms();
        let (year, month) = calendar::month_of(now_ms.div_euclid(DAY_MS));
        let this_month = calendar::days_from_civil(year, month, 1) * 24;
        let hour = |day: Day| calendar::days_from_civil(day.year().into(), day.month().into(), day.day().into()) * 24;
        Span {
            from: period.from.map_or(this_month, hour),
            to: period.to.map_or(now_ms.div_euclid(HOUR_MS) + 1, hour),
            tenant: period.tenant.as_deref(),
        }
    }

    /// Rows under the names that the billing system has for the tenants.
    async fn named(&self, rows: Vec<Billed>, format: Format) -> Result<Vec<UsageRow>, OperatorError> {
        let ids: BTreeMap<String, String> = self.store.billing_ids().await?.into_iter().collect();
        if format == Format::Stripe {
            let mut without: Vec<&str> =
                rows.iter().map(|row| row.tenant.as_str()).filter(|tenant| !ids.contains_key(*tenant)).collect();
            without.dedup();
            without.sort_unstable();
            without.dedup();
            if let Some(first) = without.first() {
                let message = format!("Stripe knows no tenants, and these have no customer: {}", without.join(", "));
                let hint = format!("`{} tenant billing {first} cus_…`", self.server);
                return Err(OperatorError::refused(message, hint));
            }
        }
        let named = |row: Billed| UsageRow {
            id: export::id(&row.tenant, &row.tool, row.hour, &row.outcome, row.revision),
            billing_id: ids.get(&row.tenant).unwrap_or(&row.tenant).clone(),
            tenant: row.tenant,
            tool: row.tool,
            hour: row.hour,
            outcome: row.outcome,
            revision: row.revision,
            calls: row.calls,
            units: row.units,
        };
        Ok(rows.into_iter().map(named).collect())
    }

    /// Refuses what Stripe would refuse.
    fn in_time(&self, rows: &[Billed], this_hour: i64) -> Result<(), OperatorError> {
        let oldest = this_hour - STRIPE_DAYS * 24;
        let late = rows.iter().filter(|row| row.hour <= oldest).count();
        if late == 0 {
            return Ok(());
        }
        let message = format!("{late} rows are older than the {STRIPE_DAYS} days that Stripe takes");
        let hint = format!(
            "bill them by hand from `{0} usage export --format csv --to stripe`, then acknowledge that batch; the next \
             one is in time",
            self.server
        );
        Err(OperatorError::refused(message, hint))
    }
}

/// Tenant, tool, outcome, hour.
type Key = (String, String, String, i64);

fn number(numbers: &[i64], index: usize) -> i64 {
    numbers.get(index).copied().unwrap_or_default()
}

fn three(names: Vec<String>) -> [String; 3] {
    let mut names = names.into_iter();
    std::array::from_fn(|_| names.next().unwrap_or_default())
}

/// The day that an hour is in: `2026-11-23`.
fn day_of(hour: i64) -> String {
    let mut moment = crate::day::moment(hour.saturating_mul(HOUR_MS));
    moment.truncate(10);
    moment
}
