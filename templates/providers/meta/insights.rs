//! The figures of an ad account.

use kit::prelude::*;

use super::arguments::{AdAccountId, Day, Level, Period, days};
use super::tools::{Page, default_limit, path_of};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Insights {
    /// `act_` and digits. Leave it out for the ad account that the connection was made for.
    ad_account_id: Option<AdAccountId>,
    /// What a row is about.
    #[serde(default)]
    level: Level,
    /// A row for each day instead of one for the whole period.
    #[serde(default)]
    by_day: bool,
    /// Days to count; without it and without `from` the last 30 days.
    period: Option<Period>,
    /// First day to count, `YYYY-MM-DD`, together with `to`.
    from: Option<Day>,
    /// Last day to count, `YYYY-MM-DD`.
    to: Option<Day>,
    /// How many rows at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there. Keep the other arguments as they were.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InsightList {
    rows: Vec<Insight>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One row; it names what its level has.
#[derive(Debug, Serialize, JsonSchema)]
struct Insight {
    #[serde(flatten)]
    about: About,
    /// First day that it counts, `YYYY-MM-DD`.
    date_from: String,
    /// Last day that it counts, `YYYY-MM-DD`.
    date_to: String,
    impressions: u64,
    clicks: u64,
    /// How many people saw it at least once; not to be added up over rows.
    reach: u64,
    /// In `currency`.
    cost: f64,
    /// As ISO 4217 has it.
    currency: String,
}

/// What a row is about, in Meta's names.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct About {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    campaign_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    campaign_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adset_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adset_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ad_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ad_name: Option<String>,
}

/// As Meta writes it: numbers are texts, and one that is nought may be missing.
#[derive(Deserialize)]
struct RawInsight {
    #[serde(flatten)]
    about: About,
    date_start: String,
    date_stop: String,
    #[serde(default)]
    impressions: String,
    #[serde(default)]
    clicks: String,
    #[serde(default)]
    reach: String,
    #[serde(default)]
    spend: String,
    #[serde(default)]
    account_currency: String,
}

pub(super) async fn insights(call: Call, args: Insights) -> Result<InsightList, ToolError> {
    let (days_param, days) = days(args.period, args.from, args.to)?;
    let fields = format!("{}account_currency,impressions,clicks,reach,spend", args.level.fields());
    let page: Page<RawInsight> = call
        .upstream()
        .get("/")
        .segment(path_of(&call, args.ad_account_id).await?)
        .segment("insights")
        .query("level", args.level.name())
        .query("fields", fields)
        .query(days_param, days)
        .query_opt("time_increment", args.by_day.then_some(1))
        .query("limit", args.limit)
        .query_opt("after", args.cursor)
        .json()
        .await?;
    let count = |text: &str| text.parse().unwrap_or_default();
    let of = |raw: RawInsight| Insight {
        about: raw.about,
        date_from: raw.date_start,
        date_to: raw.date_stop,
        impressions: count(&raw.impressions),
        clicks: count(&raw.clicks),
        reach: count(&raw.reach),
        cost: raw.spend.parse().unwrap_or_default(),
        currency: raw.account_currency,
    };
    Ok(InsightList { rows: page.data.into_iter().map(of).collect(), next_cursor: page.paging.next_cursor() })
}
