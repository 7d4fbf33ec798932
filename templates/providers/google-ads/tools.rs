//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;

use super::gaql::{CampaignId, CustomerId, Day, Period, Status, days};
use super::provider::{CUSTOMERS, discover};
use super::rows::{Figures, METRICS, Row, ask};

pub(super) fn tools() -> Tools {
    Tools::new()
        .read(
            "customers",
            "The Google Ads customers that this connection reaches without a manager in between, by id.",
            customers,
        )
        .read(
            "campaigns",
            "Campaigns of a customer with state, channel and what they brought in a period, in order of their ids. A manager \
             account has none of its own: name one of its clients in `customer_id`.",
            campaigns,
        )
        .read(
            "report",
            "What a customer's advertising brought in a period: by day, or by campaign with the most expensive first. \
             Campaign ids are those of `{campaigns}`.",
            report,
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Serialize, JsonSchema)]
struct Customers {
    customers: Vec<Customer>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Customer {
    /// Give this as `customer_id`.
    id: String,
    /// Whether this is the customer that other tools ask about unless told otherwise.
    chosen: bool,
}

async fn customers(call: Call, _: Nothing) -> Result<Customers, ToolError> {
    let list: Value = call.upstream().get(CUSTOMERS).without_target().json().await?;
    // The list is what one needs before anything is chosen.
    let chosen = call.target().await.ok();
    let of = |target: Target| Customer { chosen: chosen.as_ref() == Some(&target.id), id: target.id };
    let customers = discover(&list).into_iter().map(of).collect();
    Ok(Customers { customers })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Campaigns {
    /// Ten digits. Leave it out for the customer that the connection was made for.
    customer_id: Option<CustomerId>,
    /// Which campaigns.
    #[serde(default)]
    status: Status,
    /// Days to count; without it and without `from` the last 30 days.
    period: Option<Period>,
    /// First day to count, `YYYY-MM-DD`, together with `to`.
    from: Option<Day>,
    /// Last day to count, `YYYY-MM-DD`.
    to: Option<Day>,
    /// How many campaigns at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: usize,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

fn default_limit() -> usize {
    50
}

#[derive(Debug, Serialize, JsonSchema)]
struct CampaignList {
    /// Currency of every `cost`, as ISO 4217 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    campaigns: Vec<Campaign>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Campaign {
    id: String,
    name: String,
    /// `ENABLED`, `PAUSED` or `REMOVED`.
    status: String,
    /// `SEARCH`, `DISPLAY`, `SHOPPING`, `VIDEO`, `PERFORMANCE_MAX` …
    channel: String,
    #[serde(flatten)]
    figures: Figures,
}

async fn campaigns(call: Call, args: Campaigns) -> Result<CampaignList, ToolError> {
    // A stream has no pages, so each call asks for the ids behind the last one it gave.
    let after = args.cursor.map(CampaignId::try_from).transpose().map_err(|_| bad_cursor())?;
    let behind = after.map_or_else(String::new, |id| format!(" AND campaign.id > {id}"));
    let query = format!(
        "SELECT customer.currency_code, campaign.id, campaign.name, campaign.status, campaign.advertising_channel_type, \
         {METRICS} FROM campaign WHERE {} AND {}{behind} ORDER BY campaign.id LIMIT {}",
        args.status.condition(),
        days(args.period, args.from.as_ref(), args.to.as_ref())?,
        args.limit + 1,
    );
    let (rows, more) = ask(&call, args.customer_id, &query, args.limit).await?;
    let currency = rows.first().map(|row| row.customer.currency_code.clone());
    let of = |row: Row| Campaign {
        id: row.campaign.id,
        name: row.campaign.name,
        status: row.campaign.status,
        channel: row.campaign.advertising_channel_type,
        figures: row.metrics.into(),
    };
    let campaigns: Vec<Campaign> = rows.into_iter().map(of).collect();
    let next_cursor = campaigns.last().filter(|_| more).map(|last| last.id.clone());
    Ok(CampaignList { currency, campaigns, next_cursor })
}

fn bad_cursor() -> ToolError {
    ToolError::invalid("`cursor` is not the `next_cursor` of an answer")
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    Day,
    Campaign,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    /// Ten digits. Leave it out for the customer that the connection was made for.
    customer_id: Option<CustomerId>,
    /// One row a day, or one row a campaign.
    by: By,
    /// Only this campaign.
    campaign_id: Option<CampaignId>,
    /// Days to count; without it and without `from` the last 30 days.
    period: Option<Period>,
    /// First day to count, `YYYY-MM-DD`, together with `to`.
    from: Option<Day>,
    /// Last day to count, `YYYY-MM-DD`.
    to: Option<Day>,
    /// How many rows at most.
    #[serde(default = "default_rows")]
    #[schemars(range(min = 1, max = 400))]
    limit: usize,
}

fn default_rows() -> usize {
    100
}

#[derive(Debug, Serialize, JsonSchema)]
struct ReportRows {
    /// Currency of every `cost`, as ISO 4217 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    rows: Vec<ReportRow>,
    /// Whether there is more than `limit` allows. Raise it, or ask for fewer days.
    truncated: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ReportRow {
    /// `YYYY-MM-DD`, by day. Days without an impression have no row.
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    /// By campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_id: Option<String>,
    /// By campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    campaign_name: Option<String>,
    #[serde(flatten)]
    figures: Figures,
}

async fn report(call: Call, args: Report) -> Result<ReportRows, ToolError> {
    let (fields, resource, order) = match (args.by, &args.campaign_id) {
        (By::Day, None) => ("segments.date", "customer", "segments.date"),
        (By::Day, Some(_)) => ("segments.date", "campaign", "segments.date"),
        (By::Campaign, _) => ("campaign.id, campaign.name", "campaign", "metrics.cost_micros DESC, campaign.id"),
    };
    let only = args.campaign_id.map_or_else(String::new, |id| format!(" AND campaign.id = {id}"));
    let query = format!(
        "SELECT customer.currency_code, {fields}, {METRICS} FROM {resource} WHERE {}{only} ORDER BY {order} LIMIT {}",
        days(args.period, args.from.as_ref(), args.to.as_ref())?,
        args.limit + 1,
    );
    let (rows, truncated) = ask(&call, args.customer_id, &query, args.limit).await?;
    let currency = rows.first().map(|row| row.customer.currency_code.clone());
    let given = |text: String| (!text.is_empty()).then_some(text);
    let of = |row: Row| ReportRow {
        date: given(row.segments.date),
        campaign_id: given(row.campaign.id),
        campaign_name: given(row.campaign.name),
        figures: row.metrics.into(),
    };
    Ok(ReportRows { currency, rows: rows.into_iter().map(of).collect(), truncated })
}
