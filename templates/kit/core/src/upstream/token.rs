// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The token endpoint: what is sent there, and what its answers mean. Pure; [`refresh`](super::refresh) and
//! [`connect`](crate::connect) do the sending.
//!
//! What an answer means is decided in favour of the credential: only words that say so make a connection dead or the app
//! wrong. Everything else (a page of HTML, half a body, a status alone) means to try again later. Nothing of an answer
//! is ever shown.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::oauth::{ClientAuth, Exchange, OAuth};
use super::throttle;
use crate::ports::{HttpRequest, HttpResponse, Method};
use crate::secret::Secret;
use crate::vault::App;
use crate::vault::credential::{Credential, Kind, Token, Tokens, fingerprint};

/// No token answer is longer.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// A token that claims to live longer than ten years has no known end.
const LONGEST_LIFE_S: i64 = 10 * 365 * 86_400;

/// What is asked for.
pub(crate) enum Grant<'a> {
    /// New tokens for a refresh token.
    Refresh(&'a Secret),
    /// First tokens for the code of a consent.
    Code {
        /// The code.
        code: &'a Secret,
        /// The address that the consent was sent back to.
        redirect_uri: &'a str,
        /// What the challenge was made from (RFC 7636).
        verifier: Option<&'a Secret>,
    },
}

/// What an authorization server gave.
pub(crate) struct Answer {
    pub(crate) access: Secret,
    pub(crate) expires_in_s: Option<i64>,
    pub(crate) refresh: Option<Secret>,
    pub(crate) refresh_expires_in_s: Option<i64>,
    pub(crate) scopes: Option<Vec<String>>,
}

/// Why it gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The refresh token is dead; a person has to consent again.
    Dead(&'static str),
    /// The app is wrong; the owner has to mend it, and no tenant is to blame.
    Misconfigured(&'static str),
    /// Its own trouble, or something it does not explain.
    Later {
        /// How long it asks to wait.
        after_ms: Option<i64>,
        /// What happened, for a person.
        reason: &'static str,
    },
}

/// The request for `grant`. `None` if something does not fit into it.
pub(crate) fn request(
    oauth: &OAuth,
    integration: &str,
    endpoint: &url::Url,
    app: &App,
    grant: &Grant<'_>,
    timeout: Duration,
) -> Option<HttpRequest> {
    let mut params: Vec<(&str, &str)> = match grant {
        Grant::Refresh(token) => vec![("grant_type", "refresh_token"), ("refresh_token", token.expose_str()?)],
        Grant::Code { code, redirect_uri, verifier } => {
            let mut params = vec![
                ("grant_type", "authorization_code"),
                ("code", code.expose_str()?),
                ("redirect_uri", redirect_uri),
            ];
            if let Some(verifier) = verifier {
                params.push(("code_verifier", verifier.expose_str()?));
            }
            params
        }
    };
    params.extend(match grant {
        Grant::Refresh(_) => oauth.refresh_params,
        Grant::Code { .. } => oauth.exchange_params,
    });
    authenticated(oauth, integration, endpoint, app, params, timeout)
}

/// The request that revokes a refresh token (RFC 7009).
pub(crate) fn revoke_request(
    oauth: &OAuth,
    integration: &str,
    endpoint: &url::Url,
    app: &App,
    token: &Secret,
    timeout: Duration,
) -> Option<HttpRequest> {
    let params = vec![("token", token.expose_str()?), ("token_type_hint", "refresh_token")];
    authenticated(oauth, integration, endpoint, app, params, timeout)
}

/// `params` in a request by which the app proves itself.
fn authenticated<'a>(
    oauth: &OAuth,
    integration: &str,
    endpoint: &url::Url,
    app: &'a App,
    mut params: Vec<(&'a str, &'a str)>,
    timeout: Duration,
) -> Option<HttpRequest> {
    let (id, secret) = (app.client_id.as_str(), app.client_secret.expose_str()?);
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    headers.extend(oauth.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    match oauth.client_auth {
        ClientAuth::BodyForm | ClientAuth::BodyJson => params.extend([("client_id", id), ("client_secret", secret)]),
        // RFC 6749 §2.3.1 wants both form-encoded before they are joined.
        ClientAuth::BasicForm | ClientAuth::BasicJson => {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
            headers.push(("authorization".to_owned(), format!("Basic {pair}")));
        }
    }
    let (media_type, body) = match oauth.client_auth {
        ClientAuth::BodyForm | ClientAuth::BasicForm => {
            let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&params).finish();
            ("application/x-www-form-urlencoded", form)
        }
        ClientAuth::BodyJson | ClientAuth::BasicJson => {
            let object: Map<String, Value> =
                params.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            ("application/json", Value::Object(object).to_string())
        }
    };
    headers.push(("content-type".to_owned(), media_type.to_owned()));
    Some(HttpRequest {
        integration: integration.to_owned(),
        method: Method::Post,
        url: endpoint.clone(),
        headers,
        body: body.into_bytes(),
        timeout,
        max_response_bytes: MAX_ANSWER_BYTES,
    })
}

/// The request that exchanges a long-lived token for another.
pub(crate) fn exchange_request(
    exchange: &Exchange,
    integration: &str,
    endpoint: &url::Url,
    app: &App,
    token: &Secret,
    timeout: Duration,
) -> Option<HttpRequest> {
    let mut url = endpoint.clone();
    url.query_pairs_mut()
        .extend_pairs(exchange.params)
        .append_pair("client_id", &app.client_id)
        .append_pair("client_secret", app.client_secret.expose_str()?)
        .append_pair(exchange.token_param, token.expose_str()?);
    Some(HttpRequest {
        integration: integration.to_owned(),
        method: Method::Get,
        url,
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: Vec::new(),
        timeout,
        max_response_bytes: MAX_ANSWER_BYTES,
    })
}

/// What `response` means.
pub(crate) fn read(response: &HttpResponse, now_ms: i64) -> Result<Answer, Refusal> {
    let body: Option<Map<String, Value>> = serde_json::from_slice(&response.body).ok();
    let later = |reason| Err(Refusal::Later { after_ms: throttle::retry_after_ms(response, now_ms), reason });
    let word = body.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str).unwrap_or_default();
    // Some servers say no with status 200 and `ok: false`, so the words are looked at first.
    match word {
        "invalid_grant" => return Err(Refusal::Dead("the authorization server no longer accepts the refresh token")),
        "invalid_refresh_token" | "token_revoked" | "token_expired" | "invalid_auth" | "account_inactive" => {
            return Err(Refusal::Dead("the authorization server no longer accepts the token"));
        }
        "invalid_client" | "unauthorized_client" | "bad_client_secret" | "invalid_client_id" => {
            return Err(Refusal::Misconfigured("the authorization server refuses the app's id or secret"));
        }
        "unsupported_grant_type" | "invalid_scope" | "invalid_request" => {
            return Err(Refusal::Misconfigured("the authorization server refuses the app's request"));
        }
        _ => {}
    }
    match response.status {
        200..=299 => {}
        401 => return Err(Refusal::Misconfigured("the authorization server refuses the app's id or secret")),
        429 => return later("the authorization server limits its requests"),
        500..=599 => return later("the authorization server failed"),
        _ => return later("the authorization server refused without saying why"),
    }
    let Some(body) = body else { return later("the authorization server answered something that is not JSON") };
    let usable = |name: &str| {
        let secret = body.get(name).and_then(Value::as_str).map(Secret::from)?;
        super::provider::checked(&secret).is_some().then_some(secret)
    };
    let Some(access) = usable("access_token") else {
        return later("the authorization server answered without an access token");
    };
    let scopes = body.get("scope").and_then(Value::as_str).map(|text| {
        // Asked for with spaces, some servers answer with commas.
        text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    });
    Ok(Answer {
        access,
        expires_in_s: life(body.get("expires_in")),
        refresh: usable("refresh_token"),
        refresh_expires_in_s: life(body.get("refresh_token_expires_in")),
        scopes,
    })
}

/// Seconds to live. Zero and less mean that the server does not know: a token that had ended when it was issued would be
/// refreshed for ever.
fn life(value: Option<&Value>) -> Option<i64> {
    let seconds = match value? {
        #[allow(clippy::cast_possible_truncation, reason = "bounded below")]
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64))?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (1..=LONGEST_LIFE_S).contains(&seconds).then_some(seconds)
}

/// `old` with what `answer` brings. `issued_ms` is when the request began. An answer without a refresh token keeps the
/// old one; one with a refresh token replaces it, for every provider.
pub(crate) fn renewed(old: &Credential, answer: Answer, issued_ms: i64) -> Credential {
    let end = |seconds: i64| issued_ms.saturating_add(seconds.saturating_mul(1_000));
    let token = Token { secret: answer.access, issued_ms, expires_ms: answer.expires_in_s.map(end) };
    let kind = match &old.kind {
        Kind::LongLived(_) => Kind::LongLived(token),
        Kind::ApiKey(key) => Kind::ApiKey(key.clone()),
        Kind::OAuth(tokens) => {
            // The same token once more is the old one, with the end that it had.
            let replaced = answer
                .refresh
                .as_ref()
                .is_some_and(|new| tokens.refresh.as_ref().map(fingerprint) != Some(fingerprint(new)));
            let kept = tokens.refresh_expires_ms.filter(|_| !replaced);
            let tokens = Tokens {
                access: Some(token),
                refresh: answer.refresh.or_else(|| tokens.refresh.clone()),
                refresh_expires_ms: answer.refresh_expires_in_s.map(end).or(kept),
                scopes: answer.scopes.unwrap_or_else(|| tokens.scopes.clone()),
            };
            Kind::OAuth(tokens)
        }
    };
    Credential { kind, ..old.clone() }
}
