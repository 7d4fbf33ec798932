//! A stand-in for Notion and its authorization server, for `dev` and tests: it insists on the token and the version
//! header, filters and pages as Notion does, and fails in Notion's words. It begins with an internal token; people can
//! consent as well.
//!
//! Three ids show what else a page can answer: `restricted` (403), `conflict` (409), `throttled` (429).

use kit::prelude::*;

const TOKEN: &str = "ntn_sandbox_0000000000000000000000000000000000";

pub(super) struct NotionSandbox {
    tokens: TokenServer,
}

impl Default for NotionSandbox {
    fn default() -> Self {
        let tokens = TokenServer::new(0).without_expiry().with(|answer| {
            let rest = json!({
                "bot_id": "9a1d0001-0000-4000-8000-000000000000", "workspace_id": "9a1d0002-0000-4000-8000-000000000000",
                "workspace_name": "Sandbox workspace", "owner": {"type": "user"}, "duplicated_template_id": null,
            });
            answer.extend(rest.as_object().cloned().unwrap_or_default());
        });
        Self { tokens }
    }
}

impl Sandbox for NotionSandbox {
    fn seed(&self) -> Seed {
        Secret::from(TOKEN).into()
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        match (request.method, request.url.path()) {
            (Method::Get, "/v1/oauth/authorize") => return self.authorize(request),
            (Method::Post, "/v1/oauth/token") => return self.token(request),
            _ => {}
        }
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| token == TOKEN || self.tokens.knows(token)) {
            return error(401, "unauthorized", "API token is invalid.");
        }
        if request.header("notion-version") != Some(super::provider::NOTION_VERSION) {
            return error(400, "missing_version", "Notion-Version header should be a supported version.");
        }
        let path: Vec<&str> = request.url.path().trim_matches('/').split('/').collect();
        match (request.method, path.as_slice()) {
            (Method::Post, ["v1", "search"]) => search(&request.body),
            (Method::Get, ["v1", "pages", "restricted"]) => {
                error(403, "restricted_resource", "Insufficient permissions for this endpoint.")
            }
            (Method::Get, ["v1", "pages", "conflict"]) => {
                error(409, "conflict_error", "Conflict occurred while saving. Please try again.")
            }
            (Method::Get, ["v1", "pages", "throttled"]) => {
                error(429, "rate_limited", "You have been rate limited. Please try again in a few minutes.")
                    .with_header("Retry-After", "2")
            }
            (Method::Get, ["v1", "pages", id]) => {
                match objects().into_iter().find(|o| o["id"] == **id && o["object"] == "page") {
                    Some(page) => HttpResponse::json(200, &page),
                    None => error(404, "object_not_found", "Could not find page with this id."),
                }
            }
            (Method::Get, ["v1", "blocks", id, "children"]) => children(id, request.query("start_cursor").as_deref()),
            (Method::Get, ["v1", "users", "me"]) => HttpResponse::json(200, &me()),
            _ => error(400, "invalid_request_url", "Invalid request URL."),
        }
    }
}

impl NotionSandbox {
    fn authorize(&self, request: &HttpRequest) -> HttpResponse {
        if request.query("owner").as_deref() != Some("user") {
            return error(400, "validation_error", "The owner should be `user`.");
        }
        self.tokens.authorize(request)
    }

    /// Notion takes id and secret in HTTP Basic only, and the rest as JSON.
    fn token(&self, request: &HttpRequest) -> HttpResponse {
        let begins = |name: &str, with: &str| request.header(name).is_some_and(|value| value.starts_with(with));
        if !begins("authorization", "Basic ") {
            return HttpResponse::json(401, &json!({"error": "invalid_client"}));
        }
        if !begins("content-type", "application/json") {
            return HttpResponse::json(400, &json!({"error": "invalid_request"}));
        }
        self.tokens.handle(request)
    }
}

fn error(status: u16, code: &str, message: &str) -> HttpResponse {
    let request_id = "00000000-0000-4000-8000-000000000000";
    let body = json!({"object": "error", "status": status, "code": code, "message": message, "request_id": request_id});
    HttpResponse::json(status, &body)
}

fn search(body: &[u8]) -> HttpResponse {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return error(400, "invalid_json", "Error parsing JSON body.");
    };
    let query = body["query"].as_str().unwrap_or_default().to_lowercase();
    let kind = body["filter"]["value"].as_str();
    if kind.is_some_and(|kind| !matches!(kind, "page" | "data_source")) {
        return error(400, "validation_error", "body.filter.value should be `page` or `data_source`.");
    }
    let found: Vec<Value> = objects()
        .into_iter()
        .filter(|object| kind.is_none_or(|kind| object["object"] == kind))
        .filter(|object| object.to_string().to_lowercase().contains(&query))
        .collect();
    let size = body["page_size"].as_u64().map_or(100, |size| size.clamp(1, 100) as usize);
    list(&found, size, body["start_cursor"].as_str())
}

fn children(id: &str, cursor: Option<&str>) -> HttpResponse {
    if !objects().iter().any(|object| object["id"] == id) {
        return error(404, "object_not_found", "Could not find block with this id.");
    }
    let paragraph = |text: &str| json!({"object": "block", "type": "paragraph", "paragraph": {"rich_text": [{"type": "text", "plain_text": text}]}});
    let blocks = [
        json!({"object": "block", "type": "heading_2", "heading_2": {"rich_text": [{"type": "text", "plain_text": "Goals"}]}}),
        paragraph("Grow returning customers by a tenth before the summer."),
        paragraph("Spend at most 40,000 a month, two thirds of it on search."),
    ];
    list(&blocks, 100, cursor)
}

/// One part of `all`. The cursor is the number of objects before it.
fn list(all: &[Value], size: usize, cursor: Option<&str>) -> HttpResponse {
    let Ok(start) = cursor.unwrap_or("0").parse::<usize>() else {
        return error(400, "validation_error", "The start_cursor provided is invalid.");
    };
    let part: Vec<&Value> = all.iter().skip(start).take(size).collect();
    let next = start + part.len();
    let has_more = next < all.len();
    let next_cursor = has_more.then(|| next.to_string());
    HttpResponse::json(
        200,
        &json!({"object": "list", "results": part, "has_more": has_more, "next_cursor": next_cursor}),
    )
}

fn me() -> Value {
    json!({"object": "user", "id": "9a1d0001-0000-4000-8000-000000000000", "type": "bot", "name": "Reporting",
           "bot": {"workspace_name": "Sandbox workspace"}})
}

fn objects() -> Vec<Value> {
    let page = |id: &str, title: &str, edited: &str| {
        json!({"object": "page", "id": id, "url": format!("https://www.notion.so/{id}"), "last_edited_time": edited,
               "in_trash": false,
               "properties": {"Name": {"id": "title", "type": "title", "title": [{"type": "text", "plain_text": title}]}}})
    };
    let id = "5f2c0003-0000-4000-8000-000000000000";
    vec![
        page("5f2c0001-0000-4000-8000-000000000000", "Media plan 2027", "2026-11-20T09:30:00.000Z"),
        page("5f2c0002-0000-4000-8000-000000000000", "Weekly report, week 46", "2026-11-16T16:00:00.000Z"),
        json!({"object": "data_source", "id": id, "url": format!("https://www.notion.so/{id}"), "in_trash": false,
               "last_edited_time": "2026-11-12T08:00:00.000Z",
               "title": [{"type": "text", "plain_text": "Campaigns"}], "properties": {}}),
    ]
}
