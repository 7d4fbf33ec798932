//! A stand-in for the Amazon Ads API and Login with Amazon, for `dev` and tests. Its refresh tokens are good once: Amazon
//! speaks of a new one in each answer.
//!
//! An invented bakery advertises in North America with two profiles and in Europe with one; in the Far East it has none.
//! A profile of another region, or of nobody, is refused. Two more are good in each region but are never listed, since
//! they provoke what data cannot: [`THROTTLED`] and [`BROKEN`].

use kit::prelude::*;

use super::provider::{CLIENT_ID_HEADER, PROFILE_HEADER, SCOPE};
use super::tools::CAMPAIGN_TYPE;

/// The profile of the seed. Larger than 64 bits, as some are.
pub(super) const PROFILE: &str = "36893488147419103233";
/// A profile in Europe.
pub(super) const PROFILE_EU: &str = "1410234508830042";
/// Requests for this profile answer 429, and so do those for what lies behind this cursor.
pub(super) const THROTTLED: &str = "429";
/// Requests for this one answer 500.
pub(super) const BROKEN: &str = "500";

pub(super) struct AmazonAdsSandbox {
    tokens: TokenServer,
}

impl Default for AmazonAdsSandbox {
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

const REQUEST: &str = "00000000-0000-4000-8000-000000000000";

impl Sandbox for AmazonAdsSandbox {
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
                if media(request, "content-type") == "application/x-www-form-urlencoded" =>
            {
                self.tokens.handle(request)
            }
            (method, path) => self.api(request, method, path).unwrap_or_else(|no| no),
        }
    }
}

impl AmazonAdsSandbox {
    fn api(&self, request: &HttpRequest, method: Method, path: &str) -> Result<HttpResponse, HttpResponse> {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.knows(token)) {
            return Err(no(401, "401", "Authentication failed"));
        }
        if request.header(CLIENT_ID_HEADER) != Some(CLIENT_ID) {
            return Err(no(401, "UNAUTHORIZED", "No matching client found"));
        }
        let profiles = profiles(request.url.host_str().unwrap_or_default());
        if (method, path) == (Method::Get, "/v2/profiles") {
            return Ok(listed(profiles));
        }
        match request.header(PROFILE_HEADER) {
            None => return Err(no(403, "403", "Scope header is missing")),
            Some(THROTTLED) => return Err(throttled()),
            Some(BROKEN) => return Err(no(500, "500", "Internal error")),
            Some(profile) if profiles.iter().any(|(id, ..)| *id == profile) => {}
            Some(_) => return Err(no(401, "UNAUTHORIZED", "Not authorized to access scope")),
        }
        match (method, path) {
            (Method::Post, "/sp/campaigns/list") => campaigns(request),
            (Method::Post, "/adsApi/v1/query/campaigns") => campaigns_v1(request),
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

/// The form of version 3.
fn no_v3(status: u16, message: &str) -> HttpResponse {
    HttpResponse::json(status, &json!({"message": message}))
}

fn media<'a>(request: &'a HttpRequest, header: &str) -> &'a str {
    request.header(header).unwrap_or_default()
}

/// Id, country, currency and kind, by region.
type Profile = (&'static str, &'static str, &'static str, &'static str);

fn profiles(host: &str) -> &'static [Profile] {
    match host {
        "advertising-api-eu.amazon.com" => &[(PROFILE_EU, "DE", "EUR", "vendor")],
        "advertising-api-fe.amazon.com" => &[],
        _ => &[(PROFILE, "US", "USD", "seller"), ("3425973802606848", "CA", "CAD", "seller")],
    }
}

/// Written by hand: the ids are numbers, also those that no number type holds.
fn listed(profiles: &[Profile]) -> HttpResponse {
    let profile = |(id, country, currency, kind): &Profile| {
        format!(
            r#"{{"profileId":{id},"countryCode":"{country}","currencyCode":"{currency}","dailyBudget":10.0,
                "timezone":"America/Los_Angeles","accountInfo":{{"marketplaceStringId":"ATVPDKIKX0DER",
                "id":"ENTITY1KORNBLUME","type":"{kind}","name":"Kornblume Bakery","validPaymentMethod":true}}}}"#
        )
    };
    let list: Vec<String> = profiles.iter().map(profile).collect();
    HttpResponse { body: format!("[{}]", list.join(",")).into_bytes(), ..HttpResponse::json(200, &Value::Null) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filters {
    state_filter: Option<Include>,
    ad_product_filter: Option<Include>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Include {
    include: Vec<String>,
}

impl Filters {
    fn has_state(&self, campaign: &Value) -> bool {
        self.state_filter.as_ref().is_none_or(|filter| filter.include.iter().any(|state| campaign["state"] == **state))
    }

    /// The page of `all` that is asked for. `None` if that cannot be told.
    fn page(&self, all: &[Value], sizes: std::ops::RangeInclusive<usize>) -> Option<HttpResponse> {
        let states = self.state_filter.iter().flat_map(|filter| &filter.include);
        let known = states.into_iter().all(|state| ["ENABLED", "PAUSED", "ARCHIVED"].contains(&state.as_str()));
        let size = self.max_results.or(Some(100)).filter(|size| known && sizes.contains(size))?;
        let start: usize = match &self.next_token {
            Some(token) => token.strip_prefix("token-")?.parse().ok()?,
            None => 0,
        };
        let page: Vec<&Value> = all.iter().skip(start).take(size).collect();
        let next = start + page.len();
        let mut body = json!({"campaigns": page, "totalResults": all.len()});
        if next < all.len() {
            body["nextToken"] = format!("token-{next}").into();
        }
        Some(HttpResponse::json(200, &body))
    }
}

fn campaigns(request: &HttpRequest) -> Result<HttpResponse, HttpResponse> {
    if [media(request, "content-type"), media(request, "accept")] != [CAMPAIGN_TYPE; 2] {
        return Err(no_v3(415, "Unsupported Media Type"));
    }
    let filters: Filters = serde_json::from_slice(&request.body).map_err(|_| no_v3(400, "Cannot parse request"))?;
    if filters.next_token.as_deref() == Some(THROTTLED) {
        return Err(throttled());
    }
    let ids = if filters.ad_product_filter.is_some() { Vec::new() } else { (1..=12).collect() };
    let all: Vec<Value> = ids.into_iter().map(campaign).filter(|one| filters.has_state(one)).collect();
    filters.page(&all, 10..=100).ok_or_else(|| no_v3(400, "Malformed request"))
}

fn campaigns_v1(request: &HttpRequest) -> Result<HttpResponse, HttpResponse> {
    if [media(request, "content-type"), media(request, "accept")] != ["application/json"; 2] {
        return Err(no_v3(415, "Unsupported Media Type"));
    }
    let filters: Filters = serde_json::from_slice(&request.body).map_err(|_| no_v3(400, "Cannot parse request"))?;
    if filters.next_token.as_deref() == Some(THROTTLED) {
        return Err(throttled());
    }
    let products = filters.ad_product_filter.as_ref().map(|filter| filter.include.as_slice());
    let all: Vec<Value> = match products {
        Some([product]) if product == "SPONSORED_PRODUCTS" => (1..=12).map(campaign).map(unified).collect(),
        Some([_, ..]) => Vec::new(),
        _ => return Err(no_v3(400, "adProductFilter is required")),
    };
    let all: Vec<Value> = all.into_iter().filter(|one| filters.has_state(one)).collect();
    filters.page(&all, 1..=1_000).ok_or_else(|| no_v3(400, "Malformed request"))
}

fn campaign(number: u64) -> Value {
    let (state, targeting) = if number.is_multiple_of(4) { ("PAUSED", "MANUAL") } else { ("ENABLED", "AUTO") };
    json!({"campaignId": (281_474_976_710_000 + number).to_string(), "name": format!("Rye bread {number}"), "state": state,
           "targetingType": targeting, "budget": {"budgetType": "DAILY", "budget": 10.5}, "startDate": "2026-10-01"})
}

fn unified(campaign: Value) -> Value {
    json!({"campaignId": campaign["campaignId"], "name": campaign["name"], "state": campaign["state"],
           "adProduct": "SPONSORED_PRODUCTS"})
}
