//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;

/// Version 3 has a media type of its own for each kind of thing, and answers 415 to any other.
pub(super) const CAMPAIGN_TYPE: &str = "application/vnd.spCampaign.v3+json";

pub(super) fn tools() -> Tools {
    Tools::new()
        .read(
            "campaigns",
            "List the Sponsored Products campaigns of this Amazon Ads profile with budget, targeting and dates.",
            campaigns,
        )
        .read(
            "campaigns_v1",
            "List the campaigns of one Amazon ad product: Sponsored Brands, Display, Television, Products or the DSP. For \
             Sponsored Products, `{campaigns}` says more.",
            campaigns_v1,
        )
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum State {
    Enabled,
    Paused,
    Archived,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Campaigns {
    /// Only campaigns in one of these states; all if empty.
    #[serde(default)]
    states: Vec<State>,
    /// How many campaigns at most.
    #[serde(default = "hundred")]
    #[schemars(range(min = 10, max = 100))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

fn hundred() -> u32 {
    100
}

/// The body that both versions take.
fn filters(states: &[State], limit: u32, cursor: Option<String>) -> Value {
    let mut body = json!({"maxResults": limit});
    if !states.is_empty() {
        body["stateFilter"] = json!({"include": states});
    }
    // Models give an empty string for a field that they leave out.
    if let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) {
        body["nextToken"] = cursor.into();
    }
    body
}

#[derive(Debug, Serialize, JsonSchema)]
struct Found<T> {
    campaigns: Vec<T>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What Amazon answers, as far as the tools read it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    campaigns: Vec<T>,
    next_token: Option<String>,
}

impl<T> Page<T> {
    fn found<U>(self, read: impl Fn(T) -> U) -> Found<U> {
        let next_cursor = self.next_token.filter(|token| !token.is_empty());
        Found { campaigns: self.campaigns.into_iter().map(read).collect(), next_cursor }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Campaign {
    id: String,
    name: String,
    /// `ENABLED`, `PAUSED` or `ARCHIVED`.
    state: String,
    /// `AUTO` or `MANUAL`.
    targeting: String,
    /// In the currency of the profile, for the time that `budget_type` says.
    budget: f64,
    /// `DAILY`.
    budget_type: String,
    /// YYYY-MM-DD.
    start_date: String,
    /// YYYY-MM-DD; absent if it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpCampaign {
    campaign_id: String,
    name: String,
    state: String,
    targeting_type: String,
    budget: Budget,
    start_date: String,
    end_date: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Budget {
    budget_type: String,
    budget: f64,
}

async fn campaigns(call: Call, args: Campaigns) -> Result<Found<Campaign>, ToolError> {
    let body = filters(&args.states, args.limit, args.cursor);
    let request = call.upstream().post("/sp/campaigns/list").body(&body).safe();
    let request = request.header("Content-Type", CAMPAIGN_TYPE).header("Accept", CAMPAIGN_TYPE);
    let page: Page<SpCampaign> = request.json().await?;
    Ok(page.found(|campaign| Campaign {
        id: campaign.campaign_id,
        name: campaign.name,
        state: campaign.state,
        targeting: campaign.targeting_type,
        budget: campaign.budget.budget,
        budget_type: campaign.budget.budget_type,
        start_date: campaign.start_date,
        end_date: campaign.end_date,
    }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CampaignsV1 {
    /// Whose campaigns.
    ad_product: AdProduct,
    /// Only campaigns in one of these states; all if empty.
    #[serde(default)]
    states: Vec<State>,
    /// How many campaigns at most.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum AdProduct {
    SponsoredProducts,
    SponsoredBrands,
    SponsoredDisplay,
    SponsoredTelevision,
    AmazonDsp,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AnyCampaign {
    id: String,
    name: String,
    /// `ENABLED`, `PAUSED` or `ARCHIVED`.
    state: String,
    ad_product: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V1Campaign {
    campaign_id: String,
    name: String,
    state: String,
    ad_product: String,
}

async fn campaigns_v1(call: Call, args: CampaignsV1) -> Result<Found<AnyCampaign>, ToolError> {
    let mut body = filters(&args.states, args.limit, args.cursor);
    body["adProductFilter"] = json!({"include": [args.ad_product]});
    let page: Page<V1Campaign> = call.upstream().post("/adsApi/v1/query/campaigns").body(&body).safe().json().await?;
    Ok(page.found(|campaign| AnyCampaign {
        id: campaign.campaign_id,
        name: campaign.name,
        state: campaign.state,
        ad_product: campaign.ad_product,
    }))
}
