//! A stand-in for the Amazon Attribution API and Login with Amazon, for `dev` and tests. Its refresh tokens are good once:
//! Amazon speaks of a new one in each answer.
//!
//! An invented bakery has a profile for attribution in North America; in the other regions it has none. Some profiles are
//! never listed, since they provoke what data cannot: [`THROTTLED`], [`BROKEN`] and [`REFUSED`].

use kit::prelude::*;
use serde_json::Map;

use super::provider::{CLIENT_ID_HEADER, PROFILE_HEADER, SCOPE};
use super::tools::METRICS;

/// The profile of the seed. Larger than 64 bits, as some are.
pub(super) const PROFILE: &str = "36893488147419103235";
/// The advertiser that has campaigns.
pub(super) const ADVERTISER: &str = "58126740510231";
/// Requests for this profile answer 429, and so do those for what lies behind this cursor.
pub(super) const THROTTLED: &str = "429";
/// Requests for this one answer 500.
pub(super) const BROKEN: &str = "500";
/// Requests for this one answer 403: its account has no access to Attribution.
pub(super) const REFUSED: &str = "403";

const REQUEST: &str = "00000000-0000-4000-8000-000000000000";

pub(super) struct AttributionSandbox {
    tokens: TokenServer,
}

impl Default for AttributionSandbox {
    fn default() -> Self {
        let refusal = |status: u16, error: &str| {
            let description = "The request has an invalid parameter or an invalid credential";
            HttpResponse::json(
                status,
                &json!({"error": error, "error_description": description, "request_id": REQUEST}),
            )
        };
        Self { tokens: TokenServer::new(3_600).refusing(refusal) }
    }
}

impl Sandbox for AttributionSandbox {
    fn seed(&self) -> Seed {
        Seed { site: Some("na"), target: Some(PROFILE), ..self.tokens.seed() }
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        match (request.method, request.url.path()) {
            (Method::Get, "/ap/oa") if request.query("scope").as_deref() != Some(SCOPE) => {
                no(400, "invalid_scope", "An unknown scope was requested")
            }
            (Method::Get, "/ap/oa") => self.tokens.authorize(request),
            (Method::Post, "/auth/o2/token")
                if request.header("content-type") == Some("application/x-www-form-urlencoded") =>
            {
                self.tokens.handle(request)
            }
            (method, path) => self.api(request, method, path).unwrap_or_else(|no| no),
        }
    }
}

impl AttributionSandbox {
    fn api(&self, request: &HttpRequest, method: Method, path: &str) -> Result<HttpResponse, HttpResponse> {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.knows(token)) {
            return Err(no(401, "401", "Authentication failed"));
        }
        if request.header(CLIENT_ID_HEADER) != Some(CLIENT_ID) {
            return Err(no(401, "UNAUTHORIZED", "No matching client found"));
        }
        let here =
            !matches!(request.url.host_str(), Some("advertising-api-eu.amazon.com" | "advertising-api-fe.amazon.com"));
        if (method, path) == (Method::Get, "/v2/profiles") {
            return Ok(profiles(here));
        }
        // Unlike elsewhere in the Ads API, also the list of advertisers is for a profile.
        match request.header(PROFILE_HEADER) {
            None => return Err(no(403, "403", "Scope header is missing")),
            Some(THROTTLED) => return Err(throttled()),
            Some(BROKEN) => return Err(no(500, "500", "Internal error")),
            Some(REFUSED) => return Err(no(403, "403", "User does not have access to the resource")),
            Some(PROFILE) if here => {}
            Some(_) => return Err(no(401, "UNAUTHORIZED", "Not authorized to access scope")),
        }
        match (method, path) {
            (Method::Get, "/attribution/advertisers") => Ok(HttpResponse::json(200, &advertisers())),
            (Method::Post, "/attribution/report") if request.header("content-type") == Some("application/json") => {
                report(&request.body).ok_or_else(|| no(400, "400", "Invalid request"))
            }
            (Method::Post, "/attribution/report") => Err(no(415, "415", "Unsupported Media Type")),
            _ => Err(no(404, "404", "Could not find resource")),
        }
    }
}

fn no(status: u16, code: &str, details: &str) -> HttpResponse {
    HttpResponse::json(status, &json!({"code": code, "details": details, "requestId": REQUEST}))
}

fn throttled() -> HttpResponse {
    no(429, "429", "Too many requests").with_header("Retry-After", "2")
}

/// Written by hand: the ids are numbers, also those that no number type holds.
fn profiles(here: bool) -> HttpResponse {
    let profile = format!(
        r#"{{"profileId":{PROFILE},"countryCode":"US","currencyCode":"USD","timezone":"America/Los_Angeles",
            "accountInfo":{{"marketplaceStringId":"ATVPDKIKX0DER","id":"ENTITY1KORNBLUME","type":"vendor",
            "name":"Kornblume Bakery","subType":"AMAZON_ATTRIBUTION","validPaymentMethod":false}}}}"#
    );
    let list = if here { format!("[{profile}]") } else { "[]".to_owned() };
    HttpResponse { body: list.into_bytes(), ..HttpResponse::json(200, &Value::Null) }
}

fn advertisers() -> Value {
    json!({"advertisers": [
        {"advertiserName": "Kornblume Bakery", "advertiserId": ADVERTISER},
        {"advertiserName": "Kornblume Catering", "advertiserId": "58126740510232"},
    ]})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    report_type: Option<String>,
    advertiser_ids: String,
    start_date: String,
    end_date: String,
    group_by: Option<String>,
    metrics: Option<String>,
    count: Option<usize>,
    cursor_id: Option<String>,
}

/// `None` if the request is not what Amazon documents.
fn report(body: &[u8]) -> Option<HttpResponse> {
    let asked: Asked = serde_json::from_slice(body).ok()?;
    let is_day = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    if asked.cursor_id.as_deref() == Some(THROTTLED) {
        return Some(throttled());
    }
    let range = asked.start_date.as_str()..=asked.end_date.as_str();
    let known = advertisers();
    let known = |id: &str| known["advertisers"].as_array().into_iter().flatten().any(|one| one["advertiserId"] == id);
    let metrics: Vec<&str> = asked.metrics.as_deref().map_or(METRICS.to_vec(), |list| list.split(',').collect());
    let depth = match asked.group_by.as_deref() {
        Some("CAMPAIGN") => 1,
        Some("ADGROUP") => 2,
        None | Some("CREATIVE") => 3,
        Some(_) => return None,
    };
    let fits = asked.report_type.is_none_or(|kind| kind == "PERFORMANCE")
        && asked.advertiser_ids.split(',').all(known)
        && is_day(range.start())
        && is_day(range.end())
        && !range.is_empty()
        && metrics.iter().all(|metric| METRICS.contains(metric));
    let count = asked.count.or(Some(5_000)).filter(|count| fits && (1..=5_000).contains(count))?;
    // A cursor holds quotes, as Amazon's do, so that a client that does not escape them is found out.
    let start: usize = match asked.cursor_id.as_deref() {
        None | Some("") => 0,
        Some(cursor) => cursor.strip_prefix("{\"after\":")?.strip_suffix('}')?.parse().ok()?,
    };
    let has = asked.advertiser_ids.split(',').any(|id| id == ADVERTISER);
    let rows: Vec<&Fact> = FACTS.iter().filter(|(date, ..)| has && range.contains(date)).collect();
    let page: Vec<Value> = rows.iter().skip(start).take(count).map(|row| entry(row, depth, &metrics).into()).collect();
    let next = start + page.len();
    let cursor = (next < rows.len()).then(|| format!("{{\"after\":{next}}}"));
    Some(HttpResponse::json(200, &json!({"size": page.len(), "reports": page, "cursorId": cursor})))
}

/// Day; campaign, ad group, creative; the metrics, as text.
type Fact = (&'static str, [&'static str; 3], [&'static str; 5]);

const FACTS: [Fact; 3] = [
    ("20261001", ["autumn", "autumn-rye", "autumn-rye-1"], ["4", "3", "1", "2", "19.80"]),
    ("20261002", ["autumn", "autumn-rye", "autumn-rye-1"], ["6", "5", "2", "2", "19.80"]),
    ("20261003", ["winter", "winter-stollen", "winter-stollen-1"], ["2", "1", "0", "0", "0.00"]),
];

fn entry((date, ids, numbers): &Fact, depth: usize, metrics: &[&str]) -> Map<String, Value> {
    let names = ["campaignId", "adGroupId", "creativeId"];
    let wanted = METRICS.iter().zip(numbers).filter(|(metric, _)| metrics.contains(metric));
    let mut entry: Map<String, Value> = names
        .iter()
        .zip(ids)
        .take(depth)
        .chain(wanted)
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    entry.insert("date".into(), (*date).into());
    entry.insert("advertiserName".into(), "Kornblume Bakery".into());
    if depth > 1 {
        entry.insert("publisher".into(), "Google Ads".into());
    }
    entry
}
