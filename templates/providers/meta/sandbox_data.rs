//! What the sandbox tells: the advertising of an invented bicycle shop, with figures for the first three weeks of a
//! November.

use kit::prelude::*;

use super::sandbox::{SHOP, missing, refused};

/// Id, name, state, currency.
const AD_ACCOUNTS: [(&str, &str, i64, &str); 3] = [
    (SHOP, "Kestrel Bicycles", 1, "EUR"),
    ("act_1000000000000002", "Kestrel Bicycles Outlet", 1, "GBP"),
    ("act_1000000000000003", "Kestrel, old shop", 101, "EUR"),
];

/// Ids and names of an ad, its ad set and its campaign; how much it is shown, and until which day of the month.
struct Ad {
    ad: (&'static str, &'static str),
    adset: (&'static str, &'static str),
    campaign: (&'static str, &'static str),
    weight: u64,
    last_day: u64,
}

const WINTER: (&str, &str) = ("23000000000000001", "Winter collection");
const TEST_RIDES: (&str, &str) = ("23000000000000002", "Test rides");
const SUMMER: (&str, &str) = ("23000000000000003", "Summer sale");
const LIGHTS: (&str, &str) = ("24000000000000001", "Lights and locks");

const ADS: [Ad; 4] = [
    Ad { ad: ("25000000000000001", "Lights, video"), adset: LIGHTS, campaign: WINTER, weight: 9, last_day: 21 },
    Ad { ad: ("25000000000000002", "Lights, carousel"), adset: LIGHTS, campaign: WINTER, weight: 4, last_day: 21 },
    Ad {
        ad: ("25000000000000003", "Jackets"),
        adset: ("24000000000000002", "Clothing"),
        campaign: WINTER,
        weight: 6,
        last_day: 12,
    },
    Ad {
        ad: ("25000000000000004", "Book a ride"),
        adset: ("24000000000000003", "Near the shop"),
        campaign: TEST_RIDES,
        weight: 5,
        last_day: 21,
    },
];

pub(super) fn ad_accounts(request: &HttpRequest, token: &str) -> HttpResponse {
    let accounts = AD_ACCOUNTS.map(
        |(id, name, status, currency)| json!({"id": id, "name": name, "account_status": status, "currency": currency}),
    );
    page(request, token, &["id"], &accounts)
}

pub(super) fn campaigns(request: &HttpRequest, account: &str, token: &str) -> HttpResponse {
    let campaign = |(id, name): (&str, &str), state: (&str, &str), objective: &str| {
        json!({"id": id, "name": name, "status": state.0, "effective_status": state.1, "objective": objective,
               "start_time": "2026-10-01T00:00:00+0200"})
    };
    let mut summer = campaign(SUMMER, ("PAUSED", "PAUSED"), "OUTCOME_SALES");
    summer["stop_time"] = "2026-10-31T23:59:59+0100".into();
    let all = match account_of(account) {
        None => return missing(account),
        Some((SHOP, ..)) => vec![
            campaign(WINTER, ("ACTIVE", "ACTIVE"), "OUTCOME_SALES"),
            campaign(TEST_RIDES, ("ACTIVE", "WITH_ISSUES"), "OUTCOME_TRAFFIC"),
            summer,
        ],
        Some(_) => Vec::new(),
    };
    let states: Vec<String> = match request.query("effective_status").map(|text| serde_json::from_str(&text)) {
        None => Vec::new(),
        Some(Ok(states)) => states,
        Some(Err(_)) => return refused(100, "(#100) param effective_status must be an array."),
    };
    const STATES: [&str; 6] = ["ACTIVE", "ARCHIVED", "DELETED", "IN_PROCESS", "PAUSED", "WITH_ISSUES"];
    if let Some(state) = states.iter().find(|state| !STATES.contains(&state.as_str())) {
        return refused(100, &format!("(#100) param effective_status[0] must be one of {STATES:?}, not {state}"));
    }
    let kept = |one: &Value| states.is_empty() || states.iter().any(|state| one["effective_status"] == **state);
    page(request, token, &["id"], &all.into_iter().filter(kept).collect::<Vec<_>>())
}

pub(super) fn insights(request: &HttpRequest, account: &str, token: &str) -> HttpResponse {
    let Some((id, _, _, currency)) = account_of(account) else { return missing(account) };
    let level = request.query("level").unwrap_or_else(|| "account".to_owned());
    let key: fn(&Ad) -> &str = match level.as_str() {
        "account" => |_| "",
        "campaign" => |ad| ad.campaign.0,
        "adset" => |ad| ad.adset.0,
        "ad" => |ad| ad.ad.0,
        _ => return refused(100, "(#100) level must be one of the following values: ad, adset, campaign, account"),
    };
    let Some((first, last)) = days(request) else { return refused(100, "(#100) Must be a valid time range") };
    let spans: Vec<(String, String)> = match request.query("time_increment").as_deref() {
        None => vec![(first, last)],
        Some("1") => {
            (1..=30).map(date).filter(|day| *day >= first && *day <= last).map(|day| (day.clone(), day)).collect()
        }
        Some(_) => return refused(100, "(#100) Invalid time_increment"),
    };
    let mut keys: Vec<&str> = ADS.iter().filter(|_| id == SHOP).map(key).collect();
    keys.dedup();
    let mut rows = Vec::new();
    for group in keys {
        for (first, last) in &spans {
            let ads = || ADS.iter().filter(|ad| key(ad) == group);
            let days =
                |ad: &Ad| (1..=ad.last_day).filter(|day| (first..=last).contains(&&date(*day))).collect::<Vec<u64>>();
            let sum =
                |of: fn(&Ad, u64) -> u64| ads().flat_map(|ad| days(ad).into_iter().map(|day| of(ad, day))).sum::<u64>();
            let impressions = sum(|ad, day| ad.weight * 80 + day);
            let clicks = sum(|ad, _| ad.weight);
            let Some(ad) = ads().next().filter(|_| impressions > 0) else { continue };
            rows.push(json!({
                "account_id": id.trim_start_matches("act_"), "account_currency": currency,
                "campaign_id": ad.campaign.0, "campaign_name": ad.campaign.1,
                "adset_id": ad.adset.0, "adset_name": ad.adset.1, "ad_id": ad.ad.0, "ad_name": ad.ad.1,
                "impressions": impressions.to_string(), "clicks": clicks.to_string(),
                "reach": (impressions / 2).to_string(), "spend": format!("{}.{:02}", clicks * 37 / 100, clicks * 37 % 100),
                "date_start": first, "date_stop": last,
            }));
        }
    }
    page(request, token, &["date_start", "date_stop"], &rows)
}

fn account_of(id: &str) -> Option<(&'static str, &'static str, i64, &'static str)> {
    AD_ACCOUNTS.into_iter().find(|account| account.0 == id)
}

/// The first and the last day that are asked for.
fn days(request: &HttpRequest) -> Option<(String, String)> {
    if let Some(text) = request.query("time_range") {
        let range: Value = serde_json::from_str(&text).ok()?;
        let (first, last) = (range["since"].as_str()?.to_owned(), range["until"].as_str()?.to_owned());
        return (first.len() == 10 && last.len() == 10 && first <= last).then_some((first, last));
    }
    let (first, last) = match request.query("date_preset").as_deref().unwrap_or("last_30d") {
        "today" => ("2026-11-22", "2026-11-22"),
        "yesterday" => ("2026-11-21", "2026-11-21"),
        "last_7d" => ("2026-11-15", "2026-11-21"),
        "last_14d" => ("2026-11-08", "2026-11-21"),
        "last_30d" => ("2026-10-23", "2026-11-21"),
        "last_90d" => ("2026-08-24", "2026-11-21"),
        "this_month" => ("2026-11-01", "2026-11-22"),
        "last_month" => ("2026-10-01", "2026-10-31"),
        _ => return None,
    };
    Some((first.to_owned(), last.to_owned()))
}

fn date(day: u64) -> String {
    format!("2026-11-{day:02}")
}

/// One page of `all`, with the fields that were asked for and those that come `always`. As Meta does, it gives a cursor with
/// the last page too, and the whole address of the next page, token and all.
fn page(request: &HttpRequest, token: &str, always: &[&str], all: &[Value]) -> HttpResponse {
    let asked = request.query("fields").unwrap_or_default();
    let mut fields: Vec<&str> = asked.split(',').filter(|field| !field.is_empty()).collect();
    fields.extend(always);
    let known =
        |field: &&&str| all.iter().any(|row| row.get(**field).is_some()) || **field == "stop_time" || all.is_empty();
    if let Some(field) = fields.iter().find(|field| !known(field)) {
        return refused(100, &format!("(#100) Tried accessing nonexisting field ({field})"));
    }
    let limit = request.query("limit").map_or(Ok(25), |text| text.parse::<usize>());
    let start = request.query("after").map_or(Some(0), |text| text.strip_prefix("QVFI")?.parse::<usize>().ok());
    let (Ok(limit @ 1..), Some(start)) = (limit, start) else { return refused(100, "(#100) Invalid parameter") };
    let rows: Vec<Value> = all
        .iter()
        .skip(start)
        .take(limit)
        .map(|row| fields.iter().filter_map(|field| Some(((*field).to_owned(), row.get(field)?.clone()))).collect())
        .collect();
    let end = start + rows.len();
    let mut paging = json!({});
    if !rows.is_empty() {
        paging["cursors"] = json!({"before": format!("QVFI{start}"), "after": format!("QVFI{end}")});
    }
    if end < all.len() {
        let path = request.url.path();
        paging["next"] =
            format!("https://graph.facebook.com{path}?access_token={token}&limit={limit}&after=QVFI{end}").into();
    }
    HttpResponse::json(200, &json!({"data": rows, "paging": paging}))
}
