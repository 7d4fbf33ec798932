//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;

use super::arguments::{AdAccountId, CampaignState};
use super::insights::insights;
use super::provider::{AD_ACCOUNT_FIELDS, AD_ACCOUNTS};

pub(super) fn tools() -> Tools {
    Tools::new()
        .read("ad_accounts", "The Meta ad accounts that this connection may see, with state and currency.", ad_accounts)
        .read("campaigns", "The campaigns of an ad account with their states. For what they brought see `{insights}`.", campaigns)
        .read(
            "insights",
            "What the advertising of an ad account brought in a period: for the whole account, or a row for each campaign, \
             ad set or ad, in all or day by day. What had no impression has no row.",
            insights,
        )
}

/// A page of Meta's. `next` is the address of the one behind it, with the token in it; it is looked for and never read.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    pub(super) paging: Paging,
}

#[derive(Default, Deserialize)]
pub(super) struct Paging {
    cursors: Option<Cursors>,
    next: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Cursors {
    after: String,
}

impl Paging {
    /// The last page has a cursor as well, but nothing behind it.
    pub(super) fn next_cursor(self) -> Option<String> {
        self.next.and(self.cursors).map(|cursors| cursors.after)
    }
}

/// The ad account that was named, or the one that the connection is for.
pub(super) async fn path_of(call: &Call, named: Option<AdAccountId>) -> Result<String, ToolError> {
    match named {
        Some(id) => Ok(id.to_string()),
        None => call.target().await,
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AdAccounts {
    /// How many ad accounts at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

pub(super) fn default_limit() -> u32 {
    50
}

#[derive(Debug, Serialize, JsonSchema)]
struct AdAccountList {
    ad_accounts: Vec<AdAccount>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AdAccount {
    /// Give this as `ad_account_id`.
    id: String,
    name: String,
    /// `active`, `disabled`, `unsettled`, `pending_risk_review`, `pending_settlement`, `in_grace_period`,
    /// `pending_closure`, `closed` or `other`.
    status: &'static str,
    /// As ISO 4217 has it.
    currency: String,
    /// Whether this is the ad account that other tools ask about unless told otherwise.
    chosen: bool,
}

/// As Meta writes it.
#[derive(Deserialize)]
struct RawAccount {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    account_status: i64,
    #[serde(default)]
    currency: String,
}

async fn ad_accounts(call: Call, args: AdAccounts) -> Result<AdAccountList, ToolError> {
    let page: Page<RawAccount> = call
        .upstream()
        .get(AD_ACCOUNTS)
        .without_target()
        .query("fields", AD_ACCOUNT_FIELDS)
        .query("limit", args.limit)
        .query_opt("after", args.cursor)
        .json()
        .await?;
    // The list is what one needs before anything is chosen.
    let chosen = call.target().await.ok();
    let of = |raw: RawAccount| AdAccount {
        chosen: chosen.as_ref() == Some(&raw.id),
        id: raw.id,
        name: raw.name,
        status: status(raw.account_status),
        currency: raw.currency,
    };
    Ok(AdAccountList { ad_accounts: page.data.into_iter().map(of).collect(), next_cursor: page.paging.next_cursor() })
}

fn status(number: i64) -> &'static str {
    match number {
        1 => "active",
        2 => "disabled",
        3 => "unsettled",
        7 => "pending_risk_review",
        8 => "pending_settlement",
        9 => "in_grace_period",
        100 => "pending_closure",
        101 => "closed",
        _ => "other",
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Campaigns {
    /// `act_` and digits. Leave it out for the ad account that the connection was made for.
    ad_account_id: Option<AdAccountId>,
    /// Only campaigns in this state.
    state: Option<CampaignState>,
    /// How many campaigns at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CampaignList {
    campaigns: Vec<Campaign>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Campaign {
    id: String,
    name: String,
    /// What somebody set: `ACTIVE`, `PAUSED` …
    status: String,
    /// What is really the case: also `IN_PROCESS`, `WITH_ISSUES` …
    effective_status: String,
    /// `OUTCOME_SALES`, `OUTCOME_TRAFFIC` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    objective: Option<String>,
    /// ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    /// ISO 8601; absent where no end was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_time: Option<String>,
}

async fn campaigns(call: Call, args: Campaigns) -> Result<CampaignList, ToolError> {
    let page: Page<Campaign> = call
        .upstream()
        .get("/")
        .segment(path_of(&call, args.ad_account_id).await?)
        .segment("campaigns")
        .query("fields", "id,name,status,effective_status,objective,start_time,stop_time")
        .query_opt("effective_status", args.state.map(|state| json!([state])))
        .query("limit", args.limit)
        .query_opt("after", args.cursor)
        .json()
        .await?;
    Ok(CampaignList { campaigns: page.data, next_cursor: page.paging.next_cursor() })
}
