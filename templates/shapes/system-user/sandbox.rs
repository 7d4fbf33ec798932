//! A stand-in for the API, for `dev` and tests: it insists on the token, on the proof where there is one, and exchanges a
//! token that ends for the next. Keep it as strict as the API is; a forgiving sandbox hides the bugs that production finds.

use std::sync::atomic::{AtomicU64, Ordering};

use kit::prelude::*;

use super::provider::{COLLECTION, EXCHANGE, PROOF_PARAM, PROVIDER, TOKEN_HEADER, TOKEN_PREFIX};

/// Tokens are numbered; an exchanged one goes on working until it ends, as system-user tokens do.
const TOKEN: &str = "sandbox-system-token-";
const SIXTY_DAYS_S: u64 = 60 * 86_400;

#[derive(Default)]
pub(super) struct ApiSandbox {
    exchanged: AtomicU64,
}

impl Sandbox for ApiSandbox {
    fn seed(&self) -> Seed {
        let token = format!("{TOKEN}0");
        let secret = match EXCHANGE {
            Some(_) => json!({"access_token": token, "expires_in": SIXTY_DAYS_S}).to_string(),
            None => token,
        };
        let app = PROVIDER.auth.needs_app().then(|| (CLIENT_ID, Secret::from(CLIENT_SECRET)));
        Seed { app, ..Secret::from(secret.as_str()).into() }
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if let Some(token) = EXCHANGE.and_then(|exchange| request.query(exchange.token_param)) {
            return self.exchange(request, &token);
        }
        let token = request.header(TOKEN_HEADER).and_then(|value| value.strip_prefix(TOKEN_PREFIX)).unwrap_or_default();
        if !token.starts_with(TOKEN) {
            return HttpResponse::json(401, &json!({"error": "unauthorized"}));
        }
        let expected = proof(&Secret::from(CLIENT_SECRET), &Secret::from(token));
        if PROOF_PARAM.is_some_and(|param| request.query(param) != Some(expected)) {
            return HttpResponse::json(400, &json!({"error": "invalid proof"}));
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

impl ApiSandbox {
    fn exchange(&self, request: &HttpRequest, token: &str) -> HttpResponse {
        let app = (request.query("client_id"), request.query("client_secret"));
        if app != (Some(CLIENT_ID.to_owned()), Some(CLIENT_SECRET.to_owned())) {
            return HttpResponse::json(400, &json!({"error": "invalid_client"}));
        }
        if !token.starts_with(TOKEN) {
            return HttpResponse::json(400, &json!({"error": "invalid_grant"}));
        }
        let next = format!("{TOKEN}{}", self.exchanged.fetch_add(1, Ordering::Relaxed) + 1);
        HttpResponse::json(200, &json!({"access_token": next, "token_type": "bearer", "expires_in": SIXTY_DAYS_S}))
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
