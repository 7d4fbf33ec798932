//! Arguments that take more than a type of the language: what does not read as one of these never leaves the server.

use std::fmt;

use kit::prelude::*;

/// An ad account: `act_` and digits, or the digits alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct AdAccountId(String);

impl TryFrom<String> for AdAccountId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("act_").unwrap_or(&text);
        let fits = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(digits.to_owned())) } else { Err("an ad account id is `act_` and digits".to_owned()) }
    }
}

impl fmt::Display for AdAccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "act_{}", self.0)
    }
}

/// A day, as `YYYY-MM-DD`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct Day(String);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let part =
            |range: std::ops::Range<usize>| text.get(range).and_then(|part| part.parse::<u8>().ok()).unwrap_or(0);
        let fits = shape == "0000-00-00" && (1..=12).contains(&part(5..7)) && (1..=31).contains(&part(8..10));
        if fits { Ok(Self(text)) } else { Err("a day is written as YYYY-MM-DD".to_owned()) }
    }
}

/// A span of days that moves along with today, in the time zone of the ad account.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Period {
    Today,
    Yesterday,
    #[serde(rename = "last_7d")]
    Last7d,
    #[serde(rename = "last_14d")]
    Last14d,
    #[serde(rename = "last_30d")]
    Last30d,
    #[serde(rename = "last_90d")]
    Last90d,
    ThisMonth,
    LastMonth,
}

/// Name and value of the query parameter for the days that the arguments name: a period, or from one day to another; else
/// the last 30 days.
pub(super) fn days(
    period: Option<Period>,
    from: Option<Day>,
    to: Option<Day>,
) -> Result<(&'static str, String), ToolError> {
    match (period, from, to) {
        (None, Some(from), Some(to)) if from.0 <= to.0 => {
            Ok(("time_range", json!({"since": from, "until": to}).to_string()))
        }
        (None, Some(_), Some(_)) => Err(ToolError::invalid("`from` lies after `to`")),
        (period, None, None) => {
            let preset = json!(period.unwrap_or(Period::Last30d));
            Ok(("date_preset", preset.as_str().unwrap_or_default().to_owned()))
        }
        (Some(_), ..) => Err(ToolError::invalid("give either `period`, or `from` and `to`")),
        (None, ..) => Err(ToolError::invalid("`from` and `to` go together")),
    }
}

/// Which campaigns, by what they really do: a campaign that is switched on may still be in review.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case", serialize = "SCREAMING_SNAKE_CASE"))]
pub(super) enum CampaignState {
    Active,
    Paused,
    InProcess,
    WithIssues,
    Archived,
    Deleted,
}

/// What a row of figures is about.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Account,
    #[default]
    Campaign,
    Adset,
    Ad,
}

impl Level {
    /// Its name, as Meta takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Campaign => "campaign",
            Self::Adset => "adset",
            Self::Ad => "ad",
        }
    }

    /// The fields that say what a row is about, each with its comma.
    pub(super) fn fields(self) -> &'static str {
        match self {
            Self::Account => "",
            Self::Campaign => "campaign_id,campaign_name,",
            Self::Adset => "campaign_id,campaign_name,adset_id,adset_name,",
            Self::Ad => "campaign_id,campaign_name,adset_id,adset_name,ad_id,ad_name,",
        }
    }
}
