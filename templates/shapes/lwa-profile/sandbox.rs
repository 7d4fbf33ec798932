//! A stand-in for the API and its authorization server, for `dev` and tests. Its refresh tokens are good once; a request
//! without a profile, or with one that is not this connection's, is refused with 403.

use kit::prelude::*;

use super::provider::{CLIENT_ID_HEADER, COLLECTION, PROFILE_HEADER, PROFILES};

/// Larger than 64 bits, as real ones can be.
pub(super) const PROFILE: &str = "36893488147419103232";

pub(super) struct ApiSandbox {
    tokens: TokenServer,
}

impl Default for ApiSandbox {
    fn default() -> Self {
        Self { tokens: TokenServer::new(3_600) }
    }
}

impl Sandbox for ApiSandbox {
    fn seed(&self) -> Seed {
        Seed { site: Some("default"), target: Some(PROFILE), ..self.tokens.seed() }
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if let Some(answer) = self.tokens.answer(request) {
            return answer;
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.knows(token)) || request.header(CLIENT_ID_HEADER) != Some(CLIENT_ID) {
            return HttpResponse::json(401, &json!({"code": "UNAUTHORIZED", "details": "authentication failed"}));
        }
        if request.url.path().ends_with(PROFILES) {
            return HttpResponse::json(200, &json!([{"profileId": PROFILE, "accountInfo": {"name": "Sandbox shop"}}]));
        }
        if request.header(PROFILE_HEADER) != Some(PROFILE) {
            return HttpResponse::json(403, &json!({"code": "403", "details": "not authorized for this scope"}));
        }
        // The base URL may have a path of its own in front, even one that looks like the collection.
        let Some((_, rest)) = request.url.path().rsplit_once(COLLECTION) else {
            return HttpResponse::json(404, &json!({"error": "not found"}));
        };
        match (request.method, rest.trim_matches('/')) {
            (Method::Get, "") => list(request),
            (Method::Get, id) => match items().into_iter().find(|item| item["id"] == id) {
                Some(item) => HttpResponse::json(200, &item),
                None => HttpResponse::json(404, &json!({"error": "not found"})),
            },
            _ => HttpResponse::json(405, &json!({"error": "method not allowed"})),
        }
    }
}

fn list(request: &HttpRequest) -> HttpResponse {
    let number = |name: &str, default: usize| request.query(name).map_or(Some(default), |text| text.parse().ok());
    let (Some(limit), Some(start)) = (number("limit", 20), number("cursor", 0)) else {
        return HttpResponse::json(400, &json!({"error": "limit and cursor are numbers"}));
    };
    let all = items();
    let page: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    let next = start + page.len();
    let next_cursor = (next < all.len()).then(|| next.to_string());
    HttpResponse::json(200, &json!({"items": page, "next_cursor": next_cursor}))
}

fn items() -> Vec<Value> {
    vec![
        json!({"id": "item-1", "name": "Spring campaign", "status": "active"}),
        json!({"id": "item-2", "name": "Newsletter", "status": "paused"}),
        json!({"id": "item-3", "name": "Retargeting", "status": "active"}),
    ]
}
