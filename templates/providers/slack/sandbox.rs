//! A stand-in for Slack and its authorization server, for `dev` and tests: tokens rotate, pages come short of their limit
//! where archived channels were left out, and every no but one is a 200 with `ok: false`.
//!
//! What the data alone cannot provoke has reserved names: a `channel` or a `cursor` that is the name of one of Slack's
//! errors (`missing_scope`, `internal_error` …) is answered with it, and so is a token; `ratelimited` comes as a 429.

use kit::prelude::*;

const ERRORS: [&str; 10] = [
    "token_expired",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "user_removed_from_team",
    "missing_scope",
    "ratelimited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
];

pub(super) struct SlackSandbox {
    tokens: TokenServer,
}

impl Default for SlackSandbox {
    fn default() -> Self {
        let tokens = TokenServer::new(12 * 3_600)
            .scopes("channels:read groups:read chat:write", ",")
            .refusing(|_, error| {
                refusal(match error {
                    "invalid_client" => "bad_client_secret",
                    "invalid_grant" => "invalid_refresh_token",
                    "unsupported_grant_type" => "invalid_grant_type",
                    other => other,
                })
            })
            .with(|answer| {
                let rest = json!({
                    "ok": true, "token_type": "bot", "bot_user_id": "U0LANTERN01", "app_id": "A0LANTERN01",
                    "team": {"id": "T0LANTERN01", "name": "Little Lantern"}, "enterprise": null,
                    "authed_user": {"id": "U0LANTERN02"}, "is_enterprise_install": false,
                });
                answer.extend(rest.as_object().cloned().unwrap_or_default());
            });
        Self { tokens }
    }
}

impl Sandbox for SlackSandbox {
    /// A plain text would be a token that does not end; this way `dev` sees one renewed.
    fn seed(&self) -> Seed {
        let secret = json!({"refresh_token": FIRST_REFRESH_TOKEN}).to_string();
        Seed { secret: Secret::new(secret.into_bytes()), ..self.tokens.seed() }
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        match (request.method, request.url.path()) {
            (Method::Get, "/oauth/v2/authorize") => self.authorize(request),
            (Method::Post, "/api/oauth.v2.access") => self.token(request),
            (_, path) => match self.refuses(request) {
                Some(error) => refusal(error),
                None => api(request, path),
            },
        }
    }
}

fn refusal(error: &str) -> HttpResponse {
    let mut body = json!({"ok": false, "error": error});
    if error == "ratelimited" {
        return HttpResponse::json(429, &body).with_header("Retry-After", "30");
    }
    if error == "missing_scope" {
        (body["needed"], body["provided"]) = ("groups:read".into(), "channels:read,chat:write".into());
    }
    HttpResponse::json(200, &body)
}

/// The error that `name` stands for.
fn reserved(name: &str) -> Option<&'static str> {
    ERRORS.into_iter().find(|error| *error == name)
}

impl SlackSandbox {
    fn authorize(&self, request: &HttpRequest) -> HttpResponse {
        match request.query("scope") {
            Some(scopes) if !scopes.is_empty() && !scopes.contains(' ') => self.tokens.authorize(request),
            _ => refusal("invalid_scope"),
        }
    }

    fn token(&self, request: &HttpRequest) -> HttpResponse {
        let form = "application/x-www-form-urlencoded";
        if !request.header("content-type").is_some_and(|value| value.starts_with(form)) {
            return refusal("invalid_form_data");
        }
        self.tokens.handle(request)
    }

    /// What is wrong with the token of `request`.
    fn refuses(&self, request: &HttpRequest) -> Option<&'static str> {
        let Some(token) = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
            return Some("not_authed");
        };
        if self.tokens.knows(token) {
            return None;
        }
        // One that this server has given before has been replaced or has ended.
        let given = token.starts_with("sandbox-access-").then_some("token_expired");
        given.or(reserved(token)).or(Some("invalid_auth"))
    }
}

fn api(request: &HttpRequest, path: &str) -> HttpResponse {
    let answer = match (request.method, path) {
        (Method::Get | Method::Post, "/api/conversations.list") => list(request),
        (Method::Post, "/api/chat.postMessage") => post(request),
        _ => Err("unknown_method"),
    };
    answer.map_or_else(refusal, |body| HttpResponse::json(200, &body))
}

/// An argument of a method that only reads: from the address, or from a form, as Slack's own packages send it.
fn argument(request: &HttpRequest, name: &str) -> Option<String> {
    let is_form = |value: &str| value.starts_with("application/x-www-form-urlencoded");
    let mut form = request.url.clone();
    if request.method == Method::Post && request.header("content-type").is_some_and(is_form) {
        form.set_query(std::str::from_utf8(&request.body).ok());
    }
    form.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn list(request: &HttpRequest) -> Result<Value, &'static str> {
    let types = argument(request, "types").unwrap_or_else(|| "public_channel".into());
    if !types.split(',').all(|kind| matches!(kind, "public_channel" | "private_channel" | "mpim" | "im")) {
        return Err("invalid_types");
    }
    let limit = argument(request, "limit").map_or(Ok(100), |text| text.parse::<usize>());
    let limit = limit.ok().filter(|limit| (1..1_000).contains(limit)).ok_or("invalid_limit")?;
    let cursor = argument(request, "cursor").filter(|cursor| !cursor.is_empty());
    let start = match cursor.as_deref() {
        None => 0,
        Some(cursor) => match reserved(cursor) {
            Some(error) => return Err(error),
            None => cursor.strip_prefix("sandbox-").and_then(|text| text.parse().ok()).ok_or("invalid_cursor")?,
        },
    };
    let wanted = |channel: &Value| {
        let kind = if channel["is_private"] == true { "private_channel" } else { "public_channel" };
        // A bot is not told of private channels that it is not in.
        types.split(',').any(|one| one == kind) && (kind == "public_channel" || channel["is_member"] == true)
    };
    let all: Vec<Value> = channels().into_iter().filter(wanted).collect();
    let end = (start + limit).min(all.len());
    // Archived channels are left out of the page after it was cut.
    let all_kept = argument(request, "exclude_archived").is_none_or(|value| !matches!(value.as_str(), "true" | "1"));
    let kept = |channel: &&Value| all_kept || channel["is_archived"] == false;
    let page: Vec<&Value> = all.iter().skip(start).take(limit).filter(kept).collect();
    let next = if end < all.len() { format!("sandbox-{end}") } else { String::new() };
    Ok(json!({"ok": true, "channels": page, "response_metadata": {"next_cursor": next}}))
}

fn post(request: &HttpRequest) -> Result<Value, &'static str> {
    if !request.header("content-type").is_some_and(|value| value.starts_with("application/json")) {
        return Err("invalid_form_data");
    }
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| "invalid_json")?;
    let id = body["channel"].as_str().unwrap_or_default();
    if let Some(error) = reserved(id) {
        return Err(error);
    }
    let channel = channels().into_iter().find(|channel| channel["id"] == id).ok_or("channel_not_found")?;
    match (channel["is_archived"] == true, channel["is_member"] == true, channel["is_private"] == true) {
        (true, ..) => return Err("is_archived"),
        (_, false, true) => return Err("channel_not_found"),
        (_, false, false) => return Err("not_in_channel"),
        _ => {}
    }
    let text = body["text"].as_str().filter(|text| !text.is_empty()).ok_or("no_text")?;
    let mut message = json!({"type": "message", "user": "U0LANTERN01", "text": text, "ts": "1763894400.000100"});
    if body["thread_ts"].is_string() {
        message["thread_ts"] = body["thread_ts"].clone();
    }
    Ok(json!({"ok": true, "channel": id, "ts": message["ts"], "message": message}))
}

fn channels() -> Vec<Value> {
    let channel = |id: &str, name: &str, topic: &str, members: u64, [private, archived, member]: [bool; 3]| {
        json!({"id": id, "name": name, "is_channel": !private, "is_group": private, "is_private": private,
               "is_archived": archived, "is_member": member, "num_members": members,
               "topic": {"value": topic}, "purpose": {"value": ""}})
    };
    vec![
        channel("C0LANTERN01", "general", "News for everybody", 9, [false, false, true]),
        channel("C0LANTERN02", "orders", "What came in, what went out", 4, [false, false, true]),
        channel("C0LANTERN03", "summer-sale", "", 6, [false, true, true]),
        channel("C0LANTERN04", "kitchen", "Who has the good kettle", 7, [false, false, false]),
        channel("C0LANTERN05", "agency", "Reports and budgets", 3, [true, false, true]),
        channel("C0LANTERN06", "board", "", 2, [true, false, false]),
    ]
}
