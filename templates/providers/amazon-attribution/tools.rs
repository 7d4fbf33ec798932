//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;
use serde_json::Map;

pub(super) fn tools() -> Tools {
    Tools::new().read("advertisers", "List the advertisers of this Amazon Attribution profile.", advertisers).read(
        "report",
        "What advertising outside of Amazon (Google Ads, social media, mail) achieved on Amazon, by day and campaign: \
             clicks, detail page views, purchases and sales within 14 days of the click. Advertiser ids come from \
             `{advertisers}`.",
        report,
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Advertisers {
    advertisers: Vec<Advertiser>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Advertiser {
    #[serde(rename(deserialize = "advertiserId"))]
    id: String,
    #[serde(rename(deserialize = "advertiserName"))]
    name: String,
}

async fn advertisers(call: Call, _: Nothing) -> Result<Advertisers, ToolError> {
    call.upstream().get("/attribution/advertisers").json().await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    /// Ids of advertisers.
    #[schemars(length(min = 1, max = 100))]
    advertisers: Vec<String>,
    /// First day.
    start: Day,
    /// Last day, included.
    end: Day,
    /// How fine the rows are.
    #[serde(default)]
    group_by: GroupBy,
    /// How many rows at most.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there; the other arguments must stay the same.
    cursor: Option<String>,
}

fn two_hundred() -> u32 {
    200
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum GroupBy {
    #[default]
    Campaign,
    AdGroup,
    Creative,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Found {
    rows: Vec<Row>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    /// The day of the events, not of the click.
    date: Day,
    advertiser: String,
    campaign_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ad_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creative_id: Option<String>,
    /// Where the advertising was: `Google Ads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    clicks: u64,
    detail_page_views: u64,
    purchases: u64,
    units_sold: u64,
    /// In the currency of the profile.
    sales: f64,
}

// Amazon's names of the metrics.
const CLICKS: &str = "Click-throughs";
const DETAIL_PAGE_VIEWS: &str = "attributedDetailPageViewsClicks14d";
const PURCHASES: &str = "attributedPurchases14d";
const UNITS_SOLD: &str = "unitsSold14d";
const SALES: &str = "attributedSales14d";

pub(super) const METRICS: [&str; 5] = [CLICKS, DETAIL_PAGE_VIEWS, PURCHASES, UNITS_SOLD, SALES];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    reports: Vec<Entry>,
    cursor_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    date: String,
    #[serde(default)]
    advertiser_name: String,
    #[serde(default)]
    campaign_id: String,
    ad_group_id: Option<String>,
    creative_id: Option<String>,
    publisher: Option<String>,
    #[serde(flatten)]
    metrics: Map<String, Value>,
}

async fn report(call: Call, args: Report) -> Result<Found, ToolError> {
    if args.end < args.start {
        return Err(ToolError::invalid("`end` lies before `start`"));
    }
    if args.advertisers.iter().any(|id| id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return Err(ToolError::invalid("an advertiser id holds letters and digits only"));
    }
    let body = json!({
        "reportType": "PERFORMANCE",
        "advertiserIds": args.advertisers.join(","),
        "startDate": args.start.compact(),
        "endDate": args.end.compact(),
        "groupBy": args.group_by,
        "metrics": METRICS.join(","),
        "count": args.limit,
        // Empty at the beginning; left out, Amazon does not page.
        "cursorId": args.cursor.unwrap_or_default(),
    });
    let page: Page = call.upstream().post("/attribution/report").body(&body).safe().json().await?;
    let rows: Option<Vec<Row>> = page.reports.into_iter().map(Entry::into_row).collect();
    let rows =
        rows.ok_or_else(|| ToolError::upstream("Amazon Attribution answered a row that this tool does not know"))?;
    Ok(Found { rows, next_cursor: page.cursor_id.filter(|cursor| !cursor.is_empty()) })
}

impl Entry {
    /// `None` if it is not what Amazon documents. Numbers come as text.
    fn into_row(self) -> Option<Row> {
        let text = |name: &str| match self.metrics.get(name) {
            None | Some(Value::Null) => "0".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        let count = |name: &str| text(name).parse().ok();
        let (year, rest) = self.date.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        Some(Row {
            date: Day::parse(&[year, month, day].join("-"))?,
            clicks: count(CLICKS)?,
            detail_page_views: count(DETAIL_PAGE_VIEWS)?,
            purchases: count(PURCHASES)?,
            units_sold: count(UNITS_SOLD)?,
            sales: text(SALES).parse().ok()?,
            advertiser: self.advertiser_name,
            campaign_id: self.campaign_id,
            ad_group_id: self.ad_group_id,
            creative_id: self.creative_id,
            publisher: self.publisher,
        })
    }
}
