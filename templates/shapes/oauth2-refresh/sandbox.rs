//! A stand-in for the API and its authorization server, for `dev` and tests. Its refresh tokens are good once, and a used
//! one that comes again ends the connection, as the strictest real servers have it: a forgiving sandbox hides the bugs
//! that production finds.

use kit::prelude::*;

use super::provider::{COLLECTION, TOKEN_HEADER, TOKEN_PREFIX};

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
        self.tokens.seed()
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if let Some(answer) = self.tokens.answer(request) {
            return answer;
        }
        let token = request.header(TOKEN_HEADER).and_then(|value| value.strip_prefix(TOKEN_PREFIX));
        if !token.is_some_and(|token| self.tokens.knows(token)) {
            return HttpResponse::json(401, &json!({"error": "unauthorized"}));
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
