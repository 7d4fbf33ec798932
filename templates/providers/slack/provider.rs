//! The Slack Web API as data (<https://docs.slack.dev/apis/web-api>).

use kit::prelude::*;

pub(super) const PROVIDER: Provider = Provider {
    id: "slack",
    title: "Slack",
    base_url: "https://slack.com/api",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://slack.com/oauth/v2/authorize",
            token_url: "https://slack.com/api/oauth.v2.access",
            client_auth: ClientAuth::BasicForm,
            pkce: false,
            // `groups:read` is for private channels, of which the bot sees those it was invited to.
            scopes: "channels:read groups:read chat:write",
            scope_separator: ",",
            // As Slack's own libraries do, of twelve.
            refresh_before: Duration::from_secs(2 * 3_600),
            // What an administrator copies from the page of the app is a token that does not end.
            pasted: Pasted::AccessToken,
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    // The one no with a status of its own is 429, with `Retry-After` in whole seconds, for each method and workspace.
    classify,
    ..Provider::PLAIN
};

/// What is read of an answer to know what it means.
#[derive(Deserialize)]
struct Verdict {
    ok: bool,
    #[serde(default)]
    error: String,
}

/// Limits are for each workspace: one that is at its own says nothing about the others.
const LIMITED: Outcome = Outcome::Throttled { retry_after_ms: None, scope: ThrottleScope::Account };

/// Slack says no inside a 200.
fn classify(response: &HttpResponse) -> Outcome {
    match response.status {
        200 => {}
        429 => return LIMITED,
        _ => return classify_status(response),
    }
    let verdict = serde_json::from_slice(&response.body).unwrap_or(Verdict { ok: true, error: String::new() });
    match verdict.error.as_str() {
        _ if verdict.ok => Outcome::Ok,
        // Only tokens that rotate end by themselves.
        "token_expired" => Outcome::AuthExpired,
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "user_removed_from_team" => {
            Outcome::AuthDead
        }
        "missing_scope" | "not_in_channel" | "is_archived" => Outcome::Forbidden,
        "channel_not_found" => Outcome::NotFound,
        "ratelimited" => LIMITED,
        "internal_error" | "fatal_error" | "service_unavailable" => Outcome::Transient,
        _ => Outcome::Invalid,
    }
}
