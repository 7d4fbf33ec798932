//! A stand-in for Google Ads and Google's authorization server, for `dev` and tests: it insists on the token and on the
//! customer that acts, answers queries about an invented bicycle shop, and fails in Google's words. For it, today is
//! 2026-11-22.
//!
//! | customer | what it is |
//! |---|---|
//! | 1234567890 | an account that this connection reaches directly |
//! | 2345678901 | a manager account, reached directly |
//! | 3456789012 | a client of that manager, reached through it only |
//! | 9000000001 … 9000000011 | fail, each in its own way: see [`PROVOKED`] |

use kit::prelude::*;

use super::provider::{CUSTOMER_HEADER, SCOPE};
use super::sandbox_query::search;

/// The account that connections begin with.
pub(super) const SHOP: &str = "1234567890";
/// A manager account.
pub(super) const MANAGER: &str = "2345678901";
/// Its client.
pub(super) const OUTLET: &str = "3456789012";

/// A customer, and its error: status, category, code, message, delay.
type Provoked = (&'static str, u16, &'static str, &'static str, &'static str, Option<&'static str>);

/// Customers that answer every query with an error.
const PROVOKED: [Provoked; 11] = [
    (
        "9000000001",
        401,
        "authenticationError",
        "CUSTOMER_NOT_FOUND",
        "No customer found for the provided customer id.",
        None,
    ),
    ("9000000002", 401, "authenticationError", "NOT_ADS_USER", "User in the cookie is not a valid Ads user.", None),
    (
        "9000000003",
        401,
        "authenticationError",
        "TWO_STEP_VERIFICATION_NOT_ENROLLED",
        "An account administrator changed this account's authentication settings.",
        None,
    ),
    (
        "9000000004",
        403,
        "authorizationError",
        "CUSTOMER_NOT_ENABLED",
        "The customer account can't be accessed because it is not yet enabled or has been deactivated.",
        None,
    ),
    (
        "9000000005",
        403,
        "authorizationError",
        "ACTION_NOT_PERMITTED",
        "The user does not have permission to perform this action on the resource.",
        None,
    ),
    (
        "9000000006",
        403,
        "authorizationError",
        "CLOUD_PROJECT_NOT_APPROVED_FOR_PRODUCTION",
        "The Cloud project is not approved for production access.",
        None,
    ),
    ("9000000007", 429, "quotaError", "RESOURCE_EXHAUSTED", "Too many requests.", None),
    (
        "9000000008",
        429,
        "quotaError",
        "RESOURCE_TEMPORARILY_EXHAUSTED",
        "Too many requests. Retry in 30 seconds.",
        Some("30s"),
    ),
    (
        "9000000009",
        429,
        "quotaError",
        "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION",
        "Too many requests. Retry in 1.5 seconds.",
        Some("1.5s"),
    ),
    (
        "9000000011",
        429,
        "quotaError",
        "RESOURCE_TEMPORARILY_EXHAUSTED",
        "Too many requests of this project. Retry in 90 seconds.",
        Some("90s"),
    ),
    ("9000000010", 503, "internalError", "TRANSIENT_ERROR", "A transient internal error has occurred.", None),
];

pub(super) struct GoogleAdsSandbox {
    tokens: TokenServer,
}

impl Default for GoogleAdsSandbox {
    fn default() -> Self {
        let tokens = TokenServer::new(3_599)
            .refresh_tokens(RefreshUse::Kept)
            .scopes(SCOPE, " ")
            .with(|answer| drop(answer.insert("token_type".into(), "Bearer".into())))
            .refusing(refused);
        Self { tokens }
    }
}

impl Sandbox for GoogleAdsSandbox {
    fn seed(&self) -> Seed {
        Seed { target: Some(SHOP), ..self.tokens.seed() }
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        match (request.method, request.url.path()) {
            (Method::Get, "/o/oauth2/v2/auth") => self.authorize(request),
            (Method::Post, "/token") => self.tokens.handle(request),
            (Method::Post, "/revoke") => self.tokens.revoke(request),
            _ => self.api(request),
        }
    }
}

/// The authorization server's no.
fn refused(status: u16, error: &str) -> HttpResponse {
    let description = match error {
        "invalid_grant" => "Token has been expired or revoked.",
        "invalid_client" => "The OAuth client was not found.",
        _ => "Bad Request",
    };
    HttpResponse::json(status, &json!({"error": error, "error_description": description}))
}

impl GoogleAdsSandbox {
    /// Google would go on without these and give no refresh token, which is found out an hour later. Here it is found out at
    /// once.
    fn authorize(&self, request: &HttpRequest) -> HttpResponse {
        let asked = ["access_type", "prompt", "scope"].map(|name| request.query(name).unwrap_or_default());
        if asked != ["offline", "consent", SCOPE] {
            return refused(400, "invalid_request");
        }
        self.tokens.authorize(request)
    }

    fn api(&self, request: &HttpRequest) -> HttpResponse {
        let Some(token) = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
            return failure(401, "authenticationError", "OAUTH_TOKEN_HEADER_INVALID", "The header is malformed.", None);
        };
        if !self.tokens.knows(token) {
            return failure(401, "authenticationError", "OAUTH_TOKEN_EXPIRED", "OAuth token has expired.", None);
        }
        let path: Vec<&str> = request.url.path().trim_matches('/').split('/').collect();
        match (request.method, path.as_slice()) {
            (Method::Get, ["v26", "customers:listAccessibleCustomers"]) => {
                let names = [SHOP, MANAGER].map(|id| format!("customers/{id}"));
                HttpResponse::json(200, &json!({"resourceNames": names}))
            }
            (Method::Post, ["v26", "customers", customer, "googleAds:searchStream"]) => {
                let answer = stream(request, customer);
                let wrapped: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                // A stream is an array, and so is its error.
                if answer.status == 200 { answer } else { HttpResponse::json(answer.status, &json!([wrapped])) }
            }
            _ => HttpResponse {
                status: 404,
                headers: Vec::new(),
                body: b"<!DOCTYPE html><title>Error 404</title>".into(),
            },
        }
    }
}

fn stream(request: &HttpRequest, customer: &str) -> HttpResponse {
    if let Some((_, status, category, code, message, delay)) = PROVOKED.iter().find(|row| row.0 == customer) {
        return failure(*status, category, code, message, *delay);
    }
    let acting = request.header(CUSTOMER_HEADER).unwrap_or(customer);
    if acting.len() != 10 || !acting.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "The login customer ID could not be validated.";
        return failure(400, "headerError", "INVALID_LOGIN_CUSTOMER_ID", message, None);
    }
    if !matches!((acting, customer), (SHOP, SHOP) | (MANAGER, MANAGER | OUTLET)) {
        let message = "User doesn't have permission to access customer. Note: If you're accessing a client customer, the \
                       manager's customer id must be set in the 'login-customer-id' header. See \
                       https://developers.google.com/google-ads/api/docs/concepts/call-structure#cid";
        return failure(403, "authorizationError", "USER_PERMISSION_DENIED", message, None);
    }
    let json = request.header("content-type").is_some_and(|value| value.starts_with("application/json"));
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let alone = body.as_object().is_some_and(|object| object.len() == 1);
    let Some(query) = body["query"].as_str().filter(|_| json && alone) else {
        return failure(400, "requestError", "REQUIRED_FIELD_MISSING", "The required field was not present.", None);
    };
    match search(customer, query) {
        Ok(batches) => HttpResponse::json(200, &batches).with_header("request-id", REQUEST_ID),
        Err((code, message)) => failure(400, "queryError", code, &message, None),
    }
}

pub(super) const REQUEST_ID: &str = "sandbox-request";

fn failure(status: u16, category: &str, code: &str, message: &str, delay: Option<&str>) -> HttpResponse {
    let (word, summary) = match status {
        400 => ("INVALID_ARGUMENT", "Request contains an invalid argument."),
        401 => ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
        403 => ("PERMISSION_DENIED", "The caller does not have permission"),
        429 => ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        _ => ("UNAVAILABLE", "The service is currently unavailable."),
    };
    let mut error = json!({"errorCode": {category: code}, "message": message});
    if let Some(delay) = delay {
        let (scope, name) = match message.contains("project") {
            true => ("DEVELOPER", "Requests per project"),
            false => ("ACCOUNT", "Requests per account"),
        };
        let quota = json!({"rateScope": scope, "rateName": name, "retryDelay": delay});
        error["details"] = json!({"quotaErrorDetails": quota});
    }
    let kind = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure";
    let details = json!([{"@type": kind, "errors": [error], "requestId": REQUEST_ID}]);
    let body = json!({"error": {"code": status, "status": word, "message": summary, "details": details}});
    HttpResponse::json(status, &body).with_header("request-id", REQUEST_ID)
}
