//! LinkedIn's Marketing API as data (<https://learn.microsoft.com/linkedin/marketing/>).

use kit::prelude::*;

/// LinkedIn refuses a request without a version. One appears each month and lives for about a year; raise it, and its end
/// below, together with `tools.rs` and `sandbox.rs`.
pub(super) const VERSION: &str = "202607";

/// What the tools need: to read accounts and to read reports. A consent is for all of it or for nothing.
pub(super) const SCOPES: &str = "r_ads r_ads_reporting";

pub(super) const PROVIDER: Provider = Provider {
    id: "linkedin",
    title: "LinkedIn",
    base_url: "https://api.linkedin.com",
    auth: AuthShape::Restli {
        oauth: OAuth {
            authorize_url: "https://www.linkedin.com/oauth/v2/authorization",
            token_url: "https://www.linkedin.com/oauth/v2/accessToken",
            // Not offered to web apps that have a secret.
            pkce: false,
            scopes: SCOPES,
            // Access tokens live for 60 days.
            refresh_before: Duration::from_secs(7 * 86_400),
            refresh_life: RefreshLife::Absolute,
            // LinkedIn calls tokens revoked (65601) for some seconds after it has issued them.
            settles_in: Duration::from_secs(60),
            ..OAuth::STANDARD
        },
        version: VERSION,
    },
    version: Some(ApiVersion { name: VERSION, ends: Some("2027-07-15") }),
    // No `Retry-After` and no headers about quotas: limits are per app and per member, of which the answer says nothing, and
    // end at midnight UTC.
    throttle: Throttle::Midnight,
    classify,
    ..Provider::PLAIN
};

/// LinkedIn uses status codes as the standard has them, but for 426, which is not about the protocol: the version has
/// ended. `Invalid` would blame the model's arguments and a dead credential the tenant, and neither can mend it.
///
/// A 401 is 65600 (not a token), 65601 (revoked) or 65602 (ended). None is `AuthDead`, not even 65601: where it is true, the
/// refresh that follows finds out, and LinkedIn says it for some seconds of tokens that it has just issued.
fn classify(response: &HttpResponse) -> Outcome {
    match response.status {
        401 if code(response) == Some(65_601) => Outcome::AuthUnsettled,
        426 => Outcome::VersionEnded,
        _ => classify_status(response),
    }
}

fn code(response: &HttpResponse) -> Option<i64> {
    serde_json::from_slice::<Value>(&response.body).ok()?["serviceErrorCode"].as_i64()
}
