//! The Shopify Admin API as data (<https://shopify.dev/docs/api/admin-graphql>).

use kit::prelude::*;

pub(super) const PROVIDER: Provider = Provider {
    id: "shopify",
    title: "Shopify",
    base_url: "https://{site}/admin/api/2026-10",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://{site}/admin/oauth/authorize",
            token_url: "https://{site}/admin/oauth/access_token",
            client_auth: ClientAuth::BodyJson,
            pkce: false,
            signed_callback: true,
            scopes: "read_orders read_products",
            scope_separator: ",",
            // Without it the token would be one that never ends, which Shopify no longer accepts from public apps.
            exchange_params: &[("expiring", "1")],
            // 90 days, and each refresh begins them anew.
            refresh_life: RefreshLife::Sliding { refresh_before_days: 14 },
            ..OAuth::STANDARD
        },
        header: "X-Shopify-Access-Token",
        prefix: "",
    },
    sites: Sites::Hosts(Hosts { noun: "shop", example: "example.myshopify.com", check: is_shop }),
    // A new one each quarter, for a year. One that has ended is answered by the oldest that has not, whose fields may be
    // others: raise it here, in `base_url` and in `sandbox.rs` together.
    version: Some(ApiVersion { name: "2026-10", ends: Some("2027-10-01") }),
    classify,
    ..Provider::PLAIN
};

/// Whether `host` is a shop. The pattern is Shopify's own; a token sent to any other host would be given away.
pub(super) fn is_shop(host: &str) -> bool {
    let Some(name) = host.strip_suffix(".myshopify.com") else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) && name.bytes().all(plain)
}

/// What is read of an answer to know what it means.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    errors: Vec<Refusal>,
    extensions: Option<Extensions>,
}

#[derive(Deserialize)]
struct Refusal {
    extensions: Option<Coded>,
}

#[derive(Deserialize)]
struct Coded {
    code: Option<String>,
}

#[derive(Deserialize)]
struct Extensions {
    cost: Option<Cost>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    requested_query_cost: f64,
    throttle_status: ThrottleStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ThrottleStatus {
    currently_available: f64,
    restore_rate: f64,
}

fn classify(response: &HttpResponse) -> Outcome {
    match response.status {
        // A frozen shop, a locked one: its merchant has to act, and no other token would help.
        402 | 423 => Outcome::Forbidden,
        // `Retry-After` with a fraction. Budgets are for each shop.
        429 => Outcome::Throttled { retry_after_ms: None, scope: ThrottleScope::Account },
        200 => serde_json::from_slice(&response.body).map_or(Outcome::Ok, |answer: Answer| in_body(&answer)),
        _ => classify_status(response),
    }
}

/// GraphQL says no inside a 200.
fn in_body(answer: &Answer) -> Outcome {
    let codes = || answer.errors.iter().map(|error| error.extensions.as_ref().and_then(|coded| coded.code.as_deref()));
    if codes().any(|code| code == Some("THROTTLED")) {
        let cost = answer.extensions.as_ref().and_then(|extensions| extensions.cost.as_ref());
        return Outcome::Throttled { retry_after_ms: cost.and_then(Cost::wait_ms), scope: ThrottleScope::Account };
    }
    if codes().any(|code| code == Some("ACCESS_DENIED")) {
        return Outcome::Forbidden;
    }
    if answer.errors.is_empty() { Outcome::Ok } else { Outcome::Invalid }
}

impl Cost {
    /// Until enough has been restored for the same query.
    fn wait_ms(&self) -> Option<i64> {
        let ThrottleStatus { currently_available, restore_rate } = self.throttle_status;
        let seconds = (self.requested_query_cost - currently_available).max(0.0) / restore_rate;
        seconds_ms(&seconds.to_string())
    }
}
