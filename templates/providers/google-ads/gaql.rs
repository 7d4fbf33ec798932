//! What goes into queries. The Google Ads query language has no parameters, so nothing that a model wrote gets into a query
//! but through these types: words of our own, digits, dates.

use std::fmt;

use kit::prelude::*;

/// A customer: ten digits, also as `123-456-7890`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct CustomerId(String);

impl TryFrom<String> for CustomerId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.replace('-', "");
        let fits = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { Ok(Self(digits)) } else { Err("a customer id has ten digits".to_owned()) }
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A campaign: a number, as text because some readers of JSON round large ones.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct CampaignId(u64);

impl TryFrom<String> for CampaignId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain).map(Self).ok_or_else(|| "a campaign id has digits only".to_owned())
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A day, as `YYYY-MM-DD`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct Day(String);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        let part = |range: std::ops::Range<usize>| {
            text.get(range).and_then(|digits| digits.parse::<u8>().ok()).unwrap_or_default()
        };
        let fits = shape == "0000-00-00" && (1..=12).contains(&part(5..7)) && (1..=31).contains(&part(8..10));
        if fits { Ok(Self(text)) } else { Err("a day is written as YYYY-MM-DD".to_owned()) }
    }
}

/// A span of days that moves along with today, in the time zone of the account. Only `today`, `this_month` include today.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(super) enum Period {
    #[serde(rename = "today")]
    Today,
    #[serde(rename = "yesterday")]
    Yesterday,
    #[serde(rename = "last_7_days")]
    Last7Days,
    #[serde(rename = "last_14_days")]
    Last14Days,
    #[serde(rename = "last_30_days")]
    Last30Days,
    #[serde(rename = "this_month")]
    ThisMonth,
    #[serde(rename = "last_month")]
    LastMonth,
}

/// The condition that keeps to the days which the arguments name: a period, or from one day to another; else the last 30
/// days.
pub(super) fn days(period: Option<Period>, from: Option<&Day>, to: Option<&Day>) -> Result<String, ToolError> {
    let literal = match (period, from, to) {
        (None, Some(Day(from)), Some(Day(to))) if from <= to => {
            return Ok(format!("segments.date BETWEEN '{from}' AND '{to}'"));
        }
        (None, Some(_), Some(_)) => return Err(ToolError::invalid("`from` lies after `to`")),
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return Err(ToolError::invalid("give either `period`, or `from` and `to`"));
        }
        (None, Some(_), None) | (None, None, Some(_)) => {
            return Err(ToolError::invalid("`from` and `to` go together"));
        }
        (Some(Period::Today), None, None) => "TODAY",
        (Some(Period::Yesterday), None, None) => "YESTERDAY",
        (Some(Period::Last7Days), None, None) => "LAST_7_DAYS",
        (Some(Period::Last14Days), None, None) => "LAST_14_DAYS",
        (Some(Period::Last30Days) | None, None, None) => "LAST_30_DAYS",
        (Some(Period::ThisMonth), None, None) => "THIS_MONTH",
        (Some(Period::LastMonth), None, None) => "LAST_MONTH",
    };
    Ok(format!("segments.date DURING {literal}"))
}

/// Which campaigns, by their state.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Enabled,
    Paused,
    Removed,
    /// Enabled and paused.
    #[default]
    NotRemoved,
}

impl Status {
    /// The condition that keeps to them.
    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Enabled => "campaign.status IN ('ENABLED')",
            Self::Paused => "campaign.status IN ('PAUSED')",
            Self::Removed => "campaign.status IN ('REMOVED')",
            Self::NotRemoved => "campaign.status IN ('ENABLED', 'PAUSED')",
        }
    }
}
