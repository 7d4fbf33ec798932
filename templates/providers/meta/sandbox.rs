//! A stand-in for Meta, for `dev` and tests: it insists on the token and on the proof made with the app's secret, exchanges a
//! token for the next one, pages an invented bicycle shop's advertising, and fails in Meta's words. For it, today is
//! 2026-11-22.
//!
//! The ad accounts `act_9000000000000001` and up fail, each in its own way: see [`PROVOKED`]. Those from `act_8000000000000001`
//! on answer well, as the shop's does, and say that a limit is used up: see [`FULL`]. A token that ends in `-463` (or another
//! subcode) is dead for that reason.

use std::sync::atomic::{AtomicU64, Ordering};

use kit::prelude::*;

use super::sandbox_data::{ad_accounts, campaigns, insights};

/// The ad account that connections begin with.
pub(super) const SHOP: &str = "act_1000000000000001";
/// Tokens are numbered; an exchanged one goes on working until it ends, as system-user tokens do.
pub(super) const TOKEN: &str = "EAASandboxSystemUser";
const SIXTY_DAYS_S: u64 = 5_183_944;

/// An ad account, and its error: status, code, subcode, message, header with the usage.
type Provoked = (&'static str, u16, i64, Option<i64>, &'static str, Option<(&'static str, &'static str)>);

/// Ad accounts that answer everything with an error.
const PROVOKED: [Provoked; 17] = [
    (
        "act_9000000000000001",
        403,
        4,
        None,
        "(#4) Application request limit reached",
        Some(("X-App-Usage", r#"{"call_count":100,"total_time":25,"total_cputime":25}"#)),
    ),
    (
        "act_9000000000000002",
        400,
        17,
        Some(2_446_079),
        "(#17) User request limit reached",
        Some(("X-Ad-Account-Usage", r#"{"acc_id_util_pct":100}"#)),
    ),
    ("act_9000000000000003", 400, 32, None, "(#32) Page request limit reached", None),
    ("act_9000000000000004", 400, 341, None, "(#341) Application limit reached", None),
    (
        "act_9000000000000005",
        400,
        613,
        Some(1_487_742),
        "(#613) There have been too many calls from this ad-account. Wait a bit and try again.",
        None,
    ),
    (
        "act_9000000000000006",
        400,
        80_000,
        Some(2_446_079),
        "(#80000) There have been too many calls from this ad-account. Wait a bit and try again.",
        Some((
            "X-Business-Use-Case-Usage",
            r#"{"9000000000000006":[{"type":"ads_insights","call_count":100,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":5},{"type":"ads_management","call_count":10,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":0}]}"#,
        )),
    ),
    (
        "act_9000000000000007",
        400,
        80_004,
        Some(2_446_079),
        "(#80004) There have been too many calls to this ad-account. Wait a bit and try again.",
        Some((
            "X-Business-Use-Case-Usage",
            r#"{"9000000000000007":[{"type":"ads_management","call_count":100,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":0}]}"#,
        )),
    ),
    (
        "act_9000000000000008",
        400,
        80_014,
        None,
        "(#80014) There have been too many calls. Wait a bit and try again.",
        None,
    ),
    ("act_9000000000000009", 400, 10, None, "(#10) Application does not have permission for this action", None),
    (
        "act_9000000000000010",
        403,
        200,
        None,
        "(#200) Ad account owner has NOT granted ads_management or ads_read permission.",
        None,
    ),
    (
        "act_9000000000000011",
        400,
        273,
        None,
        "(#273) This Ads API call requires the user to be admin of the ad account. User is not admin on ad account",
        None,
    ),
    ("act_9000000000000012", 500, 1, None, "An unknown error occurred", None),
    ("act_9000000000000013", 400, 2, None, "Service temporarily unavailable", None),
    (
        "act_9000000000000014",
        400,
        368,
        None,
        "The action attempted has been deemed abusive or is otherwise disallowed",
        None,
    ),
    // A code of no meaning that says of itself that it will pass.
    ("act_9000000000000015", 400, TRANSIENT, None, "Please retry your request later.", None),
    ("act_9000000000000016", 400, 102, None, "(#102) Session key invalid or no longer valid", None),
    ("act_9000000000000017", 400, 99, None, "(#99) An error that is in no list", None),
];
const TRANSIENT: i64 = 960;

/// Ad accounts whose limits are nearly used up, with the header that says so.
const FULL: [(&str, &str, &str); 5] = [
    ("act_8000000000000001", "X-App-Usage", r#"{"call_count":28,"total_time":96,"total_cputime":25}"#),
    ("act_8000000000000002", "X-Ad-Account-Usage", r#"{"acc_id_util_pct":95.4,"reset_time_duration":100}"#),
    ("act_8000000000000003", "X-Ad-Account-Usage", r#"{"acc_id_util_pct":94.9,"reset_time_duration":100}"#),
    ("act_8000000000000004", "X-FB-Ads-Insights-Throttle", r#"{"app_id_util_pct":1.5,"acc_id_util_pct":97}"#),
    (
        "act_8000000000000005",
        "X-Business-Use-Case-Usage",
        r#"{"8000000000000005":[{"type":"ads_insights","call_count":95,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":3}]}"#,
    ),
];

#[derive(Default)]
pub(super) struct MetaSandbox {
    exchanged: AtomicU64,
}

impl Sandbox for MetaSandbox {
    fn seed(&self) -> Seed {
        let secret = json!({"access_token": format!("{TOKEN}0"), "expires_in": SIXTY_DAYS_S}).to_string();
        let app = Some((CLIENT_ID, Secret::from(CLIENT_SECRET)));
        Seed { app, target: Some(SHOP), ..Secret::from(secret.as_str()).into() }
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let path: Vec<&str> = request.url.path().trim_matches('/').split('/').collect();
        if path == ["v26.0", "oauth", "access_token"] {
            return self.exchange(request);
        }
        // In a header, or as the parameter that Meta's own packages send.
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        let Some(token) = bearer.or_else(|| request.query("access_token")) else {
            return refused(104, "An access token is required to request this resource.");
        };
        let token = token.as_str();
        if let Err(dead) = alive(token) {
            return dead;
        }
        let method_error = |message| error(400, "GraphMethodException", 100, None, message);
        match request.query("appsecret_proof") {
            None => return method_error("API calls from the server require an appsecret_proof argument"),
            Some(given) if given != proof(&Secret::from(CLIENT_SECRET), &Secret::from(token)) => {
                return method_error("Invalid appsecret_proof provided in the API argument");
            }
            Some(_) => {}
        }
        let path: Vec<&str> = match (request.method, path.as_slice()) {
            (Method::Get, ["v26.0", rest @ ..]) => rest.to_vec(),
            _ => return unknown(request),
        };
        if let Some((_, status, code, subcode, message, usage)) =
            PROVOKED.iter().find(|row| path.first() == Some(&row.0))
        {
            let answer = error(*status, "OAuthException", *code, *subcode, message);
            return match usage {
                Some((name, value)) => answer.with_header(name, value),
                None => answer,
            };
        }
        let full = FULL.iter().find(|row| path.first() == Some(&row.0));
        let account = if full.is_some() { SHOP } else { path.first().copied().unwrap_or_default() };
        let answer = match path.as_slice() {
            ["me", "adaccounts"] => ad_accounts(request, token),
            [_, "campaigns"] => campaigns(request, account, token),
            [_, "insights"] => insights(request, account, token),
            _ => return unknown(request),
        };
        let idle = json!({"type": "ads_management", "call_count": 1, "total_cputime": 1, "total_time": 1,
                          "estimated_time_to_regain_access": 0});
        let usage = json!({account.trim_start_matches("act_"): [idle]}).to_string();
        match full {
            Some((_, name, value)) => answer.with_header(name, value),
            None => answer.with_header("X-Business-Use-Case-Usage", &usage),
        }
    }
}

impl MetaSandbox {
    /// An app's own token endpoint: a good token for one that lives for sixty days more.
    fn exchange(&self, request: &HttpRequest) -> HttpResponse {
        let query = |name: &str| request.query(name).unwrap_or_default();
        let asked = ["grant_type", "set_token_expires_in_60_days", "client_id"].map(query);
        if request.method != Method::Get || asked != ["fb_exchange_token", "true", CLIENT_ID] {
            return refused(100, "Invalid parameter");
        }
        if query("client_secret") != CLIENT_SECRET {
            return refused(1, "Error validating client secret.");
        }
        if let Err(dead) = alive(&query("fb_exchange_token")) {
            return dead;
        }
        let next = format!("{TOKEN}{}", self.exchanged.fetch_add(1, Ordering::Relaxed) + 1);
        HttpResponse::json(200, &json!({"access_token": next, "token_type": "bearer", "expires_in": SIXTY_DAYS_S}))
    }
}

/// Whether `token` is good; else what Meta says of it.
fn alive(token: &str) -> Result<(), HttpResponse> {
    let number = token.strip_prefix(TOKEN).unwrap_or("-467");
    let subcode = match number.strip_prefix('-').map(str::parse) {
        None if number.bytes().all(|byte| byte.is_ascii_digit()) => return Ok(()),
        Some(Ok(subcode)) => subcode,
        None | Some(Err(_)) => 467,
    };
    let reason = match subcode {
        458 => "The user has not authorized application.",
        459 | 464 => "The session is invalid because the user is in a checkpoint.",
        460 => "The session has been invalidated because the user changed their password.",
        463 => "Session has expired.",
        _ => "The access token is invalid.",
    };
    let message = format!("Error validating access token: {reason}");
    Err(error(400, "OAuthException", 190, Some(subcode), &message))
}

fn unknown(request: &HttpRequest) -> HttpResponse {
    refused(2_500, &format!("Unknown path components: {}", request.url.path()))
}

/// The plainest no.
pub(super) fn refused(code: i64, message: &str) -> HttpResponse {
    error(400, "OAuthException", code, None, message)
}

/// No such object, or none for this token.
pub(super) fn missing(id: &str) -> HttpResponse {
    let message = format!(
        "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does \
         not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api"
    );
    error(400, "GraphMethodException", 100, Some(33), &message)
}

fn error(status: u16, kind: &str, code: i64, subcode: Option<i64>, message: &str) -> HttpResponse {
    let transient = matches!(code, 2 | 4 | TRANSIENT);
    let mut error = json!({"message": message, "type": kind, "code": code, "is_transient": transient,
                           "fbtrace_id": "SandboxTrace"});
    if let Some(subcode) = subcode {
        error["error_subcode"] = subcode.into();
    }
    HttpResponse::json(status, &json!({"error": error}))
}
