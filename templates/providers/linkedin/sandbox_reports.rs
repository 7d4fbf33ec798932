//! The reports of the sandbox: facts of a few days, added up by what is asked for.
//!
//! Some account ids provoke what data cannot: [`REFUSED`], [`REVOKED`], [`ENDED`], [`THROTTLED`], [`BROKEN`].

use std::collections::BTreeMap;

use kit::prelude::*;

use super::provider::VERSION;
use super::sandbox::{Params, ended, no, only, refused, text};

/// Reports of this account answer 403.
pub(super) const REFUSED: u64 = 403_000_000;
/// They answer 401 with 65601, whatever the token.
pub(super) const REVOKED: u64 = 401_000_000;
/// They answer as if the version had ended.
pub(super) const ENDED: u64 = 426_000_000;
/// They answer 429.
pub(super) const THROTTLED: u64 = 429_000_000;
/// They answer 500.
pub(super) const BROKEN: u64 = 500_000_000;

const FIELDS: [&str; 5] = ["impressions", "clicks", "costInLocalCurrency", "dateRange", "pivotValues"];

pub(super) fn ad_analytics(params: &Params, fields: &[String]) -> Result<HttpResponse, HttpResponse> {
    only(params, &["q", "accounts", "dateRange", "pivot", "timeGranularity"])?;
    if text(params, "q")? != "analytics" {
        return Err(no(400, "No such finder"));
    }
    let bad = |name: &str| no(400, &format!("Invalid value for param: {name}"));
    let range = |end: &str| day(&params.get("dateRange")?[end]);
    let (start, end) = range("start").zip(range("end")).filter(|(s, e)| s <= e).ok_or_else(|| bad("dateRange"))?;
    let pivot = ["ACCOUNT", "CAMPAIGN_GROUP", "CAMPAIGN", "CREATIVE"];
    let wanted = text(params, "pivot")?;
    let pivot = pivot.iter().position(|one| *one == wanted).ok_or_else(|| bad("pivot"))?;
    let granularity = text(params, "timeGranularity")?;
    if !["ALL", "DAILY", "MONTHLY", "YEARLY"].contains(&granularity) {
        return Err(bad("timeGranularity"));
    }
    if let Some(unknown) = fields.iter().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(no(400, &format!("Invalid field in projection: {unknown}")));
    }
    let mut rows: BTreeMap<(Day, String), Totals> = BTreeMap::new();
    for account in params.get("accounts").and_then(Value::as_array).ok_or_else(|| bad("accounts"))? {
        let id = account.as_str().and_then(|urn| urn.strip_prefix("urn:li:sponsoredAccount:")?.parse::<u64>().ok());
        let id = id.ok_or_else(|| bad("accounts"))?;
        reserved(id)?;
        for (on, urns, numbers) in FACTS.iter().filter(|(_, urns, _)| urns[0] == id) {
            let Some(on) = Day::parse(on).filter(|on| (start..=end).contains(on)) else { continue };
            let first = |month, day| Day::new(on.year(), month, day).unwrap_or(on).max(start);
            let (from, to) = match granularity {
                "DAILY" => (on, on),
                "MONTHLY" => (first(on.month(), 1), last_of_month(on).min(end)),
                "YEARLY" => (first(1, 1), Day::new(on.year(), 12, 31).unwrap_or(on).min(end)),
                _ => (start, end),
            };
            let kind = ["Account", "CampaignGroup", "Campaign", "Creative"][pivot];
            let row =
                rows.entry((from, format!("urn:li:sponsored{kind}:{}", urns[pivot]))).or_insert(Totals(to, [0; 3]));
            row.1.iter_mut().zip(numbers).for_each(|(total, number)| *total += number);
        }
    }
    // Without a projection there are impressions and clicks only.
    let wanted =
        |field: &str| fields.iter().any(|one| one == field) || fields.is_empty() && FIELDS[..2].contains(&field);
    let elements: Vec<Value> = rows.iter().map(|((from, urn), totals)| element(*from, urn, totals, wanted)).collect();
    Ok(HttpResponse::json(200, &json!({"elements": elements, "paging": {"start": 0, "count": 10, "links": []}})))
}

/// Last day of a row, and impressions, clicks and cents.
struct Totals(Day, [u64; 3]);

fn element(
    from: Day,
    urn: &str,
    Totals(to, [impressions, clicks, cents]): &Totals,
    wanted: impl Fn(&str) -> bool,
) -> Value {
    let date = |day: Day| json!({"year": day.year(), "month": day.month(), "day": day.day()});
    let mut element = json!({
        "impressions": impressions, "clicks": clicks,
        "costInLocalCurrency": format!("{}.{:02}", cents / 100, cents % 100),
        "dateRange": {"start": date(from), "end": date(*to)}, "pivotValues": [urn],
    });
    if let Some(fields) = element.as_object_mut() {
        fields.retain(|name, _| wanted(name));
    }
    element
}

fn day(value: &Value) -> Option<Day> {
    let number = |name: &str| value[name].as_str()?.parse().ok();
    Day::new(value["year"].as_str()?.parse().ok()?, number("month")?, number("day")?)
}

fn last_of_month(day: Day) -> Day {
    (28..=31).rev().find_map(|last| Day::new(day.year(), day.month(), last)).unwrap_or(day)
}

fn reserved(account: u64) -> Result<(), HttpResponse> {
    let message = match account {
        REVOKED => {
            let message = "The token used in the request has been revoked by the user";
            return Err(refused(65_601, "REVOKED_ACCESS_TOKEN", message));
        }
        ENDED => return Err(ended(VERSION)),
        REFUSED => "Not enough permissions to access: adAnalytics.FINDER-analytics.20260701",
        THROTTLED => "Resource level throttle limit for calls to this resource is reached.",
        BROKEN => "Internal Server Error",
        _ => return Ok(()),
    };
    Err(no((account / 1_000_000) as u16, message))
}

/// Day; account, campaign group, campaign, creative; impressions, clicks, cents.
const FACTS: [(&str, [u64; 4], [u64; 3]); 4] = [
    ("2026-10-01", [502_840_441, 610, 710, 810], [120, 4, 1_234]),
    ("2026-10-01", [502_840_441, 610, 720, 820], [80, 1, 450]),
    ("2026-10-02", [502_840_441, 610, 710, 811], [200, 9, 2_766]),
    ("2026-11-05", [502_840_442, 620, 730, 830], [50, 2, 900]),
];
