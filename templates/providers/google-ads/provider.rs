//! The Google Ads API as data (<https://developers.google.com/google-ads/api/rest/overview>).

use kit::prelude::*;

/// The right to read and change everything in the accounts; Google has no smaller one.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/adwords";

/// The header with the customer that acts: the account itself, or the manager through which a client is reached.
pub(super) const CUSTOMER_HEADER: &str = "login-customer-id";

/// Path of the customers that the person who consented can reach without a manager.
pub(super) const CUSTOMERS: &str = "/customers:listAccessibleCustomers";

pub(super) const PROVIDER: Provider = Provider {
    id: "google-ads",
    title: "Google Ads",
    base_url: "https://googleads.googleapis.com/v26",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://accounts.google.com/o/oauth2/v2/auth",
            token_url: "https://oauth2.googleapis.com/token",
            revoke_url: Some("https://oauth2.googleapis.com/revoke"),
            scopes: SCOPE,
            // Without both, a second consent of the same person brings no refresh token.
            authorize_params: &[("access_type", "offline"), ("prompt", "consent")],
            // A refresh brings no new refresh token; the old one ends after six months without use.
            refresh_life: RefreshLife::Idle { refresh_after_days: 150 },
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    targets: Some(Targets { noun: "customer", header: Some(CUSTOMER_HEADER), path: CUSTOMERS, query: &[], discover }),
    // Each version lives for about a year. Raise it here and in `base_url`, and read what the new one changes.
    version: Some(ApiVersion { name: "v26", ends: Some("2027-11-01") }),
    // How long to wait stands in the body.
    throttle: Throttle::Silent,
    classify,
    ..Provider::PLAIN
};

/// Reads `{"resourceNames": ["customers/1234567890"]}`. There are no names in it, so people get the number as Google's own
/// pages write it.
pub(super) fn discover(list: &Value) -> Vec<Target> {
    let names = list["resourceNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
    names
        .filter_map(|name| name.strip_prefix("customers/"))
        .map(|id| Target { id: id.into(), label: dashed(id) })
        .collect()
}

/// `123-456-7890`.
fn dashed(id: &str) -> String {
    match (id.get(..3), id.get(3..6), id.get(6..)) {
        (Some(area), Some(middle), Some(rest)) => format!("{area}-{middle}-{rest}"),
        _ => id.to_owned(),
    }
}

/// Reads the first error of a `GoogleAdsFailure`, which a stream wraps in an array. The status alone would take an account
/// without Google Ads (401) for a token that has ended.
fn classify(response: &HttpResponse) -> Outcome {
    let plain = classify_status(response);
    if plain == Outcome::Ok {
        return plain;
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let error = body.get(0).unwrap_or(&body).get("error");
    let details = error.and_then(|error| error["details"].as_array()).into_iter().flatten();
    let Some(first) = details.filter_map(|detail| detail["errors"].get(0)).next() else { return plain };
    let code = |category: &str| first["errorCode"][category].as_str();
    match (code("quotaError"), code("authorizationError"), code("authenticationError")) {
        (Some("ACCESS_PROHIBITED"), ..) => Outcome::Forbidden,
        (Some(code), ..) => throttled(code, &first["details"]["quotaErrorDetails"]),
        // Mostly a client account without its manager in the header: a fresh token would not help.
        (_, Some(_), _) => Outcome::Forbidden,
        (.., Some("CUSTOMER_NOT_FOUND")) => Outcome::NotFound,
        (.., Some("NOT_ADS_USER" | "TWO_STEP_VERIFICATION_NOT_ENROLLED")) => Outcome::Forbidden,
        // A revoked token too: whether the consent itself is over, the token endpoint says.
        _ => plain,
    }
}

/// `retryDelay` is a duration: `"30s"`, `"1.5s"`. `rateScope` is the account's or that of the project behind your app.
fn throttled(code: &str, quota: &Value) -> Outcome {
    let retry_after_ms = quota["retryDelay"].as_str().and_then(duration_ms).or(match code {
        // What may be asked for in a day is used up. Google does not say when that day ends; asking each hour is enough.
        "RESOURCE_EXHAUSTED" => Some(3_600_000),
        _ => None,
    });
    let scope = match quota["rateScope"].as_str() {
        Some("ACCOUNT") => ThrottleScope::Account,
        Some("DEVELOPER") => ThrottleScope::App,
        _ => ThrottleScope::Unsaid,
    };
    Outcome::Throttled { retry_after_ms, scope }
}
