//! A stand-in for LinkedIn's Marketing API and its authorization server, for `dev` and tests. It reads queries with the
//! strict parser of Rest.li, also those that travel in a body, and insists on every header that LinkedIn insists on.
//!
//! It serves an invented bakery with two active accounts and a draft. Reports of some other accounts, which are never
//! listed, provoke what data cannot: see `sandbox_reports.rs`.

use std::collections::BTreeMap;

use kit::prelude::*;

use super::provider::{SCOPES, VERSION};
use super::sandbox_reports::ad_analytics;

/// LinkedIn answers 414 beyond this many characters.
const MAX_QUERY: usize = 4_096;

pub(super) type Params = BTreeMap<String, Value>;

pub(super) struct LinkedInSandbox {
    tokens: TokenServer,
}

impl Default for LinkedInSandbox {
    fn default() -> Self {
        // Access for 60 days; the refresh token comes back with each answer and ends a year after the consent.
        let tokens = TokenServer::new(60 * 86_400).refresh_tokens(RefreshUse::Repeated).refresh_life(365 * 86_400);
        Self { tokens: tokens.scopes(SCOPES, ",") }
    }
}

impl Sandbox for LinkedInSandbox {
    fn seed(&self) -> Seed {
        self.tokens.seed()
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        match (request.method, request.url.path()) {
            (Method::Get, "/oauth/v2/authorization") => self.authorize(request),
            (Method::Post, "/oauth/v2/accessToken") => match request.header("content-type") {
                Some("application/x-www-form-urlencoded") => self.tokens.handle(request),
                _ => no(400, "the parameters travel as a form"),
            },
            (_, path) => self.api(request, path).unwrap_or_else(|no| no),
        }
    }
}

impl LinkedInSandbox {
    fn authorize(&self, request: &HttpRequest) -> HttpResponse {
        let scopes = request.query("scope").unwrap_or_default();
        let known = !scopes.is_empty() && scopes.split(' ').all(|scope| SCOPES.split(' ').any(|known| known == scope));
        match known && request.query("response_type").as_deref() == Some("code") {
            true => self.tokens.authorize(request),
            false => no(400, "a scope of the app and response_type=code are required"),
        }
    }

    fn api(&self, request: &HttpRequest, path: &str) -> Result<HttpResponse, HttpResponse> {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if !self.tokens.knows(token) {
            return Err(match token.starts_with("sandbox-access-") {
                true => refused(65_602, "EXPIRED_ACCESS_TOKEN", "The token used in the request has expired"),
                false => refused(65_600, "INVALID_ACCESS_TOKEN", "Invalid access token"),
            });
        }
        match request.header("linkedin-version") {
            None => return Err(no(400, "A version must be present. Please specify a LinkedIn-Version header.")),
            Some(VERSION) => {}
            Some(other) => return Err(ended(other)),
        }
        if request.header("x-restli-protocol-version") != Some("2.0.0") {
            return Err(no(400, "X-Restli-Protocol-Version 2.0.0 is required"));
        }
        // LinkedIn's own packages differ in its case, and Rest.li takes either.
        if !request.header("x-restli-method").is_some_and(|method| method.eq_ignore_ascii_case("finder")) {
            return Err(no(400, "X-RestLi-Method does not fit the request"));
        }
        let (params, fields) = query(request)?;
        match path {
            "/rest/adAccounts" => ad_accounts(&params),
            "/rest/adAnalytics" => ad_analytics(&params, &fields),
            _ => Err(no(404, &format!("No virtual resource found for {path}"))),
        }
    }
}

pub(super) fn no(status: u16, message: &str) -> HttpResponse {
    HttpResponse::json(status, &json!({"status": status, "message": message}))
}

pub(super) fn refused(code: u32, name: &str, message: &str) -> HttpResponse {
    HttpResponse::json(401, &json!({"status": 401, "serviceErrorCode": code, "code": name, "message": message}))
}

pub(super) fn ended(version: &str) -> HttpResponse {
    let message = format!("Requested version {version}01 is not active");
    HttpResponse::json(426, &json!({"status": 426, "code": "NONEXISTENT_VERSION", "message": message}))
}

/// The parameters of a query, each decoded, and its projection. A query that is too long for a URL comes as a form.
pub(super) fn query(request: &HttpRequest) -> Result<(Params, Vec<String>), HttpResponse> {
    let tunnelled = request.header("x-http-method-override");
    let text = match (tunnelled, request.method, request.header("content-type")) {
        (None, Method::Get, Some("application/json")) => request.url.query().unwrap_or_default().to_owned(),
        (Some("GET"), Method::Post, Some("application/x-www-form-urlencoded")) => {
            String::from_utf8(request.body.clone()).map_err(|_| no(400, "the query is not text"))?
        }
        _ => return Err(no(400, "the method, its override and the content type do not fit")),
    };
    if tunnelled.is_none() && text.len() > MAX_QUERY {
        return Err(no(414, "Request URI is too long"));
    }
    let (mut params, mut fields) = (Params::new(), Vec::new());
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| no(400, "a parameter has no value"))?;
        if name == "fields" {
            fields.extend(value.split(',').map(str::to_owned));
            continue;
        }
        let value = restli::decode(value).map_err(|_| no(400, &format!("Invalid value for param: {name}")))?;
        if params.insert(name.to_owned(), value).is_some() {
            return Err(no(400, &format!("Parameter {name} is given twice")));
        }
    }
    Ok((params, fields))
}

pub(super) fn only(params: &Params, known: &[&str]) -> Result<(), HttpResponse> {
    match params.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(no(400, &format!("Query parameters not allowed: [{name}]"))),
        None => Ok(()),
    }
}

pub(super) fn text<'a>(params: &'a Params, name: &str) -> Result<&'a str, HttpResponse> {
    params.get(name).and_then(Value::as_str).ok_or_else(|| no(400, &format!("Invalid value for param: {name}")))
}

fn ad_accounts(params: &Params) -> Result<HttpResponse, HttpResponse> {
    only(params, &["q", "search", "pageSize", "pageToken"])?;
    if text(params, "q")? != "search" {
        return Err(no(400, "No such finder"));
    }
    let bad = |name: &str| no(400, &format!("Invalid value for param: {name}"));
    let size = params.get("pageSize").map_or(Some(100), |size| size.as_str()?.parse::<usize>().ok());
    let size = size.filter(|size| (1..=1_000).contains(size)).ok_or_else(|| bad("pageSize"))?;
    let token = params.get("pageToken").map_or(Some(0), |token| token.as_str()?.strip_prefix("page-")?.parse().ok());
    let start: usize = token.ok_or_else(|| bad("pageToken"))?;
    let wanted = match params.get("search") {
        Some(search) => Some(search["status"]["values"].as_array().ok_or_else(|| bad("search"))?),
        None => None,
    };
    let all: Vec<Value> =
        accounts().into_iter().filter(|one| wanted.is_none_or(|w| w.contains(&one["status"]))).collect();
    let page: Vec<&Value> = all.iter().skip(start).take(size).collect();
    let next = start + page.len();
    let metadata = if next < all.len() { json!({"nextPageToken": format!("page-{next}")}) } else { json!({}) };
    Ok(HttpResponse::json(200, &json!({"metadata": metadata, "elements": page})))
}

fn accounts() -> Vec<Value> {
    let account = |id: u64, name: &str, status: &str| {
        json!({"id": id, "name": name, "status": status, "type": "BUSINESS", "currency": "EUR",
               "reference": "urn:li:organization:2414183", "test": false})
    };
    vec![
        account(502_840_441, "Kornblume Bakery", "ACTIVE"),
        account(502_840_442, "Kornblume Catering", "ACTIVE"),
        account(502_840_443, "Kornblume Franchise", "DRAFT"),
    ]
}
