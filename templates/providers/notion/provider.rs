//! The Notion API as data (<https://developers.notion.com/reference>).

use kit::prelude::*;

/// Notion refuses a request without this header. A version has no published end; newer ones change response shapes, so
/// raise it together with `tools.rs` and `sandbox.rs`.
pub(super) const NOTION_VERSION: &str = "2026-03-11";
/// Notion's own client sends it with requests for tokens too.
const HEADERS: &[(&str, &str)] = &[("Notion-Version", NOTION_VERSION)];

pub(super) const PROVIDER: Provider = Provider {
    id: "notion",
    title: "Notion",
    base_url: "https://api.notion.com",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://api.notion.com/v1/oauth/authorize",
            token_url: "https://api.notion.com/v1/oauth/token",
            client_auth: ClientAuth::BasicJson,
            pkce: false,
            authorize_params: &[("owner", "user")],
            headers: HEADERS,
            // An internal token, which does not end. The tokens of a consent do not say when they end: one is renewed
            // when Notion refuses it, and each refresh token is good once.
            pasted: Pasted::AccessToken,
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    headers: HEADERS,
    // About three requests a second; 429 with `Retry-After` in whole seconds.
    ..Provider::PLAIN
};
