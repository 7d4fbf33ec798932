//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;

pub(super) fn tools() -> Tools {
    Tools::new().read("ad_accounts", "List the LinkedIn ad accounts that this connection can see.", ad_accounts).read(
        "analytics",
        "Impressions, clicks and cost of LinkedIn ad accounts, by account, campaign group, campaign or creative. Account \
         ids come from `{ad_accounts}`. There are no rows where nothing was shown, and none for an account that this \
         connection may not read.",
        analytics,
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AdAccounts {
    /// Whether to leave out accounts that are not active: drafts, cancelled ones.
    #[serde(default = "yes")]
    active_only: bool,
    /// How many accounts at most.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

fn yes() -> bool {
    true
}

fn hundred() -> u32 {
    100
}

#[derive(Debug, Serialize, JsonSchema)]
struct Accounts {
    accounts: Vec<Account>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Account {
    id: u64,
    #[serde(default)]
    name: String,
    /// `ACTIVE`, `DRAFT`, ….
    status: String,
    /// `BUSINESS` or `ENTERPRISE`.
    #[serde(rename(deserialize = "type"))]
    kind: String,
    /// The currency of its costs, as ISO 4217 has it.
    #[serde(default)]
    currency: String,
    /// URN of whom it advertises for.
    #[serde(rename(deserialize = "reference"), skip_serializing_if = "Option::is_none")]
    advertiser: Option<String>,
    /// Whether it is for tests only: nothing of it is ever shown.
    #[serde(default)]
    test: bool,
}

async fn ad_accounts(call: Call, args: AdAccounts) -> Result<Accounts, ToolError> {
    let mut params = vec![("q", json!("search")), ("pageSize", json!(args.limit))];
    if args.active_only {
        params.push(("search", json!({"status": {"values": ["ACTIVE"]}})));
    }
    // Models give an empty string for a field that they leave out.
    params.extend(args.cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| ("pageToken", json!(cursor))));
    let page: Page<Account> =
        call.upstream().restli(RestMethod::Finder, "/rest/adAccounts", &params, None).json().await?;
    Ok(Accounts { accounts: page.elements, next_cursor: page.metadata.next_page_token })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Analytics {
    /// Ids of ad accounts.
    #[schemars(length(min = 1, max = 100))]
    accounts: Vec<u64>,
    /// First day.
    start: Day,
    /// Last day, included.
    end: Day,
    /// What a row is about.
    #[serde(default)]
    pivot: Pivot,
    /// What time a row covers; `ALL` is one row for the whole time.
    #[serde(default)]
    granularity: Granularity,
    /// How many rows at most.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

fn two_hundred() -> usize {
    200
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Pivot {
    Account,
    CampaignGroup,
    #[default]
    Campaign,
    Creative,
}

#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Granularity {
    #[default]
    All,
    Daily,
    Monthly,
    Yearly,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    rows: Vec<Row>,
    /// How many rows more there are than `limit`. To see them, ask for fewer days, fewer accounts or a coarser granularity.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    /// URN of the account, campaign group, campaign or creative.
    entity: String,
    /// First day of the row.
    start: Day,
    /// Last day of the row.
    end: Day,
    impressions: u64,
    clicks: u64,
    /// In the currency of the account.
    cost: f64,
}

async fn analytics(call: Call, args: Analytics) -> Result<Report, ToolError> {
    if args.end < args.start {
        return Err(ToolError::invalid("`end` lies before `start`"));
    }
    let account = |id: &u64| format!("urn:li:sponsoredAccount:{id}");
    let day = |day: Day| json!({"year": day.year(), "month": day.month(), "day": day.day()});
    let params = [
        ("q", json!("analytics")),
        ("accounts", args.accounts.iter().map(account).collect()),
        ("dateRange", json!({"start": day(args.start), "end": day(args.end)})),
        ("pivot", json!(args.pivot)),
        ("timeGranularity", json!(args.granularity)),
    ];
    // Without a projection LinkedIn gives impressions and clicks only. It does not page this answer.
    let fields = Some("impressions,clicks,costInLocalCurrency,dateRange,pivotValues");
    let found: Page<Element> =
        call.upstream().restli(RestMethod::Finder, "/rest/adAnalytics", &params, fields).json().await?;
    let left_out = found.elements.len().saturating_sub(args.limit);
    let rows: Option<Vec<Row>> = found.elements.into_iter().take(args.limit).map(Element::into_row).collect();
    let rows = rows.ok_or_else(|| ToolError::upstream("LinkedIn answered a row that this tool does not know"))?;
    Ok(Report { rows, left_out: (left_out > 0).then_some(left_out) })
}

// What LinkedIn answers, as far as the tools read it.

#[derive(Deserialize)]
struct Page<T> {
    elements: Vec<T>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    #[serde(default)]
    impressions: u64,
    #[serde(default)]
    clicks: u64,
    cost_in_local_currency: Option<String>,
    date_range: DateRange,
    #[serde(default)]
    pivot_values: Vec<String>,
}

#[derive(Deserialize)]
struct DateRange {
    start: Date,
    end: Date,
}

#[derive(Deserialize)]
struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    fn day(&self) -> Option<Day> {
        Day::new(self.year, self.month, self.day)
    }
}

impl Element {
    fn into_row(self) -> Option<Row> {
        Some(Row {
            entity: self.pivot_values.into_iter().next()?,
            start: self.date_range.start.day()?,
            end: self.date_range.end.day()?,
            impressions: self.impressions,
            clicks: self.clicks,
            cost: self.cost_in_local_currency.map_or(Some(0.0), |text| text.parse().ok())?,
        })
    }
}
