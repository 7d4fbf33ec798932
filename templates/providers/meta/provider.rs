//! Meta's Graph and Marketing API as data (<https://developers.facebook.com/docs/marketing-api>).

use kit::prelude::*;

/// Path of the ad accounts that the system user may see, and what is asked of each.
pub(super) const AD_ACCOUNTS: &str = "/me/adaccounts";
pub(super) const AD_ACCOUNT_FIELDS: &str = "id,name,account_status,currency";

pub(super) const PROVIDER: Provider = Provider {
    id: "meta",
    title: "Meta",
    base_url: "https://graph.facebook.com/v26.0",
    auth: AuthShape::SystemUser(SystemUser {
        // In a header, so that no URL holds it.
        header: "Authorization",
        prefix: "Bearer ",
        proof_param: Some("appsecret_proof"),
        // Only while the old one is good; a token that never ends is never exchanged.
        exchange: Some(Exchange {
            url: "https://graph.facebook.com/v26.0/oauth/access_token",
            token_param: "fb_exchange_token",
            params: &[("grant_type", "fb_exchange_token"), ("set_token_expires_in_60_days", "true")],
            refresh_before: Duration::from_secs(10 * 86_400),
        }),
    }),
    targets: Some(Targets {
        noun: "ad account",
        // It stands in the path.
        header: None,
        path: AD_ACCOUNTS,
        query: &[("fields", AD_ACCOUNT_FIELDS), ("limit", "200")],
        discover,
    }),
    // Meta has named no end yet. The Marketing API ends its versions long before the Graph API does.
    version: Some(ApiVersion { name: "v26.0", ends: None }),
    // How long to wait stands in a usage header.
    throttle: Throttle::Silent,
    classify,
    usage,
    ..Provider::PLAIN
};

/// Reads `{"data": [{"id": "act_1", "name": "…", "currency": "EUR"}]}`.
fn discover(list: &Value) -> Vec<Target> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = |account: &Value| {
        let label = format!("{} ({})", text(&account["name"]), text(&account["currency"]));
        Target { id: text(&account["id"]), label }
    };
    list["data"].as_array().into_iter().flatten().map(target).collect()
}

#[derive(Deserialize)]
struct Failure {
    error: Option<GraphError>,
}

#[derive(Deserialize)]
struct GraphError {
    code: i64,
    error_subcode: Option<i64>,
    #[serde(default)]
    is_transient: bool,
}

/// The code decides, never the status: nearly every no of Meta's is a 400, that of a dead token too.
fn classify(response: &HttpResponse) -> Outcome {
    let failure: Option<Failure> = serde_json::from_slice(&response.body).ok();
    let Some(GraphError { code, error_subcode, is_transient }) = failure.and_then(|failure| failure.error) else {
        return match classify_status(response) {
            // Whatever stands between us and Meta cannot know that a token is dead.
            Outcome::AuthExpired => Outcome::Invalid,
            plain => plain,
        };
    };
    match code {
        102 | 190 => Outcome::AuthDead,
        // Limits of the app, whoever it acts for; then those of a user, a page, an ad account.
        4 | 341 => Outcome::Throttled { retry_after_ms: regain_ms(response), scope: ThrottleScope::App },
        17 | 32 | 613 | 80_000..=80_014 => {
            Outcome::Throttled { retry_after_ms: regain_ms(response), scope: ThrottleScope::Account }
        }
        10 | 200..=299 => Outcome::Forbidden,
        1 | 2 | 368 => Outcome::Transient,
        _ if is_transient => Outcome::Transient,
        // The object is not there, or not for this token; Meta does not tell the two apart.
        100 if error_subcode == Some(33) => Outcome::NotFound,
        _ => Outcome::Invalid,
    }
}

/// What Meta says of limits in its headers, on a refusal and on a good answer alike. They are for the app, for an ad account,
/// or for one kind of use of an account: a connection has one breaker, so the fullest of these stops all of it.
fn usage(response: &HttpResponse) -> Vec<LimitHint> {
    let json = |name| serde_json::from_str::<Value>(response.header(name)?).ok();
    let percent = |of: &Value, names: &[&str]| names.iter().filter_map(|name| of[*name].as_f64()).fold(0.0, f64::max);
    let hint = |used_percent, regain_ms, scope| LimitHint { used_percent, regain_ms, scope };
    let each = ["call_count", "total_time", "total_cputime"];
    let mut hints = Vec::new();
    // `{"call_count": 28, "total_time": 25, "total_cputime": 25}`
    hints.extend(json("x-app-usage").map(|app| hint(percent(&app, &each), None, ThrottleScope::App)));
    // `{"acc_id_util_pct": 9.67, "reset_time_duration": 100}`, which is in seconds.
    hints.extend(json("x-ad-account-usage").map(|account| {
        let regain_ms = account["reset_time_duration"].as_i64().map(|seconds| seconds.saturating_mul(1_000));
        hint(percent(&account, &["acc_id_util_pct"]), regain_ms, ThrottleScope::Account)
    }));
    // `{"app_id_util_pct": 1.5, "acc_id_util_pct": 9.67}`
    if let Some(insights) = json("x-fb-ads-insights-throttle") {
        hints.push(hint(percent(&insights, &["app_id_util_pct"]), None, ThrottleScope::App));
        hints.push(hint(percent(&insights, &["acc_id_util_pct"]), None, ThrottleScope::Account));
    }
    // `{"<account>": [{"type": "ads_insights", "call_count": 95, …, "estimated_time_to_regain_access": 5}]}`, which is in minutes.
    let uses = json("x-business-use-case-usage").unwrap_or_default();
    for one in uses.as_object().into_iter().flat_map(|uses| uses.values()).filter_map(Value::as_array).flatten() {
        let minutes = one["estimated_time_to_regain_access"].as_i64();
        let regain_ms = minutes.map(|minutes| minutes.saturating_mul(60_000));
        hints.push(hint(percent(one, &each), regain_ms, ThrottleScope::Account));
    }
    hints
}

/// The longest wait that a refusal's headers speak of.
fn regain_ms(response: &HttpResponse) -> Option<i64> {
    usage(response).into_iter().filter_map(|hint| hint.regain_ms).max().filter(|ms| *ms > 0)
}
