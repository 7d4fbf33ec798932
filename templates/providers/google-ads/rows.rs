//! What Google Ads answers to a query, and what the model gets of it.

use kit::prelude::*;

use super::gaql::CustomerId;

/// What every query asks for, and [`Figures`] tells.
pub(super) const METRICS: &str = "metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions";

/// What advertising brought.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Figures {
    impressions: u64,
    clicks: u64,
    /// In `currency`.
    cost: f64,
    /// Not always whole: a conversion can be shared between campaigns.
    conversions: f64,
}

/// One row. A part that was not asked for stays empty.
#[derive(Deserialize)]
pub(super) struct Row {
    #[serde(default)]
    pub(super) customer: Customer,
    #[serde(default)]
    pub(super) campaign: Campaign,
    #[serde(default)]
    pub(super) segments: Segments,
    #[serde(default)]
    pub(super) metrics: Metrics,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Customer {
    pub(super) currency_code: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Campaign {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) advertising_channel_type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Segments {
    pub(super) date: String,
}

/// Numbers of 64 bits travel as text, others as numbers.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metrics {
    impressions: String,
    clicks: String,
    cost_micros: String,
    conversions: f64,
}

impl From<Metrics> for Figures {
    fn from(metrics: Metrics) -> Self {
        let count = |text: &str| text.parse().unwrap_or_default();
        let micros: f64 = metrics.cost_micros.parse().unwrap_or_default();
        Self {
            impressions: count(&metrics.impressions),
            clicks: count(&metrics.clicks),
            cost: micros / 1_000_000.0,
            conversions: metrics.conversions,
        }
    }
}

/// A part of a stream. A stream that breaks off says so in its last part.
#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    results: Vec<Row>,
    error: Option<IgnoredAny>,
}

/// The first `limit` rows that `query` finds for `customer` (or for the one that the connection is for), and whether there
/// are more; the query asks for one more than `limit` to find that out.
pub(super) async fn ask(
    call: &Call,
    customer: Option<CustomerId>,
    query: &str,
    limit: usize,
) -> Result<(Vec<Row>, bool), ToolError> {
    let customer = match customer {
        Some(id) => id.to_string(),
        None => call.target().await?,
    };
    let stream = call.upstream().post("/customers").segment(customer).segment("googleAds:searchStream");
    let batches: Vec<Batch> = stream.body(&json!({"query": query})).safe().json().await?;
    if batches.iter().any(|batch| batch.error.is_some()) {
        return Err(ToolError::upstream("Google Ads broke its answer off; try again"));
    }
    let mut rows: Vec<Row> = batches.into_iter().flat_map(|batch| batch.results).collect();
    let more = rows.len() > limit;
    rows.truncate(limit);
    Ok((rows, more))
}
