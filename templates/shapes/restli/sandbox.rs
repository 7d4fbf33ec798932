//! A stand-in for the API and its authorization server, for `dev` and tests. It reads queries with the strict parser of
//! Rest.li, also those that travel in a body, and refuses a version that is not the one it speaks.

use kit::prelude::*;

use super::provider::{COLLECTION, VERSION};

pub(super) struct ApiSandbox {
    tokens: TokenServer,
}

impl Default for ApiSandbox {
    fn default() -> Self {
        // Sixty days.
        Self { tokens: TokenServer::new(60 * 86_400) }
    }
}

impl Sandbox for ApiSandbox {
    fn seed(&self) -> Seed {
        self.tokens.seed()
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let no =
            |status: u16, message: &str| HttpResponse::json(status, &json!({"status": status, "message": message}));
        if let Some(answer) = self.tokens.answer(request) {
            return answer;
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.knows(token)) {
            return no(401, "invalid access token");
        }
        if request.header("linkedin-version") != Some(VERSION) {
            return no(426, "this version has ended");
        }
        if request.header("x-restli-protocol-version") != Some("2.0.0") {
            return no(400, "a protocol version is missing");
        }
        // The base URL may have a path of its own in front, even one that looks like the collection.
        let Some((_, rest)) = request.url.path().rsplit_once(COLLECTION) else { return no(404, "no such resource") };
        match (request.header("x-restli-method"), rest.trim_matches('/')) {
            (Some("finder"), "") => match query(request) {
                Some(query) => search(&query),
                None => no(400, "the query cannot be read"),
            },
            (Some("get"), id) => match items().into_iter().find(|item| item["id"].as_u64() == id.parse().ok()) {
                Some(item) => HttpResponse::json(200, &item),
                None => no(404, "no such item"),
            },
            _ => no(400, "no such method here"),
        }
    }
}

/// The parameters of a query, each decoded. A query that is too long for a URL comes as a form.
fn query(request: &HttpRequest) -> Option<Vec<(String, Value)>> {
    let tunnelled = request.header("x-http-method-override").is_some();
    let text = if tunnelled { String::from_utf8(request.body.clone()).ok()? } else { request.url.query()?.to_owned() };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.to_owned(), restli::decode(value).ok()?))
    };
    text.split('&').map(pair).collect()
}

fn search(query: &[(String, Value)]) -> HttpResponse {
    let param = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let number = |name: &str, default: usize| {
        param(name).and_then(Value::as_str).map_or(Some(default), |text| text.parse().ok())
    };
    let (Some(size), Some(start)) = (number("pageSize", 20), number("pageToken", 0)) else {
        return HttpResponse::json(400, &json!({"status": 400, "message": "pageSize and pageToken are numbers"}));
    };
    let wanted = param("search").and_then(|search| search["status"]["values"].as_array());
    let all: Vec<Value> =
        items().into_iter().filter(|item| wanted.is_none_or(|wanted| wanted.contains(&item["status"]))).collect();
    let page: Vec<&Value> = all.iter().skip(start).take(size).collect();
    let next = start + page.len();
    let metadata = if next < all.len() { json!({"nextPageToken": next.to_string()}) } else { json!({}) };
    HttpResponse::json(200, &json!({"elements": page, "metadata": metadata}))
}

fn items() -> Vec<Value> {
    vec![
        json!({"id": 502_840_441, "name": "Spring campaign", "status": "ACTIVE"}),
        json!({"id": 502_840_442, "name": "Newsletter", "status": "PAUSED"}),
        json!({"id": 502_840_443, "name": "Retargeting", "status": "ACTIVE"}),
    ]
}
