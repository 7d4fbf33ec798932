//! A stand-in for the API, for `dev` and tests: it insists on the key and pages like the real one. Keep it as strict as
//! the API is; a forgiving sandbox hides the bugs that production finds.

use kit::prelude::*;

use super::provider::{COLLECTION, KEY_HEADER, KEY_PREFIX};

const KEY: &str = "sandbox-key-0000000000000000";

#[derive(Default)]
pub(super) struct ApiSandbox;

impl Sandbox for ApiSandbox {
    fn seed(&self) -> Seed {
        Secret::from(KEY).into()
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if request.header(KEY_HEADER) != Some(&format!("{KEY_PREFIX}{KEY}")) {
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
