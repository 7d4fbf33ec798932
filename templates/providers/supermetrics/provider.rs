//! The Supermetrics API as data (<https://docs.supermetrics.com>).

use kit::prelude::*;

pub(super) const PROVIDER: Provider = Provider {
    id: "supermetrics",
    title: "Supermetrics",
    base_url: "https://api.supermetrics.com",
    // The key is also taken as the parameter `api_key`, where it would end up in logs: it stays in the header.
    auth: AuthShape::ApiKey { header: "Authorization", prefix: "Bearer " },
    headers: &[("Accept", "application/json")],
    // 429 with `Retry-After`.
    classify,
    ..Provider::PLAIN
};

/// The body says whether the key is dead, with whatever status: `{"error": {"code": "ACCESS_TOKEN_EXPIRED"}}`.
fn classify(response: &HttpResponse) -> Outcome {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    match (response.status, body["error"]["code"].as_str().unwrap_or_default()) {
        (400..=499, "UNAUTHORIZED" | "ACCESS_TOKEN_INVALID" | "ACCESS_TOKEN_EXPIRED" | "INVALID_TOKEN") => {
            Outcome::AuthDead
        }
        (400..=499, code) if code.starts_with("OAUTH_") => Outcome::AuthDead,
        _ => classify_status(response),
    }
}
