// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! An authorization server for sandboxes: consent page, codes, tokens.
//!
//! It is as strict as the strictest real one: refresh tokens are used once, and a used one that comes again ends everything
//! that was made from it (RFC 9700 §4.14.2); a code is good once, for the address and the verifier it was asked with. One
//! thing is forgiven: a refresh token that this process has never seen begins a family. The tenants of a test all begin
//! with the same one, and `dev` goes on with what an earlier process gave.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use super::sandbox::Seed;
use crate::ports::{HttpRequest, HttpResponse, Method};
use crate::secret::Secret;

/// The client id that a [`TokenServer`] knows.
pub const CLIENT_ID: &str = "sandbox-client";
/// The client secret that a [`TokenServer`] knows.
pub const CLIENT_SECRET: &str = "sandbox-client-secret";
/// The refresh token that every connection to a [`TokenServer`] begins with.
pub const FIRST_REFRESH_TOKEN: &str = "sandbox-refresh-0";
/// An access token that a [`TokenServer`] always knows: outside clients come with it.
pub const FIRST_ACCESS_TOKEN: &str = "sandbox-access-0";
const REFRESH_PREFIX: &str = "sandbox-refresh-";
const ACCESS_PREFIX: &str = "sandbox-access-";

/// What becomes of a refresh token that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshUse {
    /// The answer has a new one, and the old one is dead.
    Rotated,
    /// The answer has none, and it stays good.
    Kept,
    /// The answer has it again, and its end stays where the consent has put it. This server has no clock: each use counts
    /// for the life of one access token.
    Repeated,
    /// There are none: access tokens do not end.
    Never,
}

/// An authorization server; see the module.
pub struct TokenServer {
    expires_in_s: Option<i64>,
    refresh: RefreshUse,
    refresh_expires_in_s: Option<i64>,
    scopes: (&'static str, &'static str),
    extra: fn(&mut Map<String, Value>),
    refusal: fn(u16, &str) -> HttpResponse,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    families: Vec<Family>,
    codes: HashMap<String, Code>,
    /// How often a refresh token was used that comes back.
    uses: HashMap<String, i64>,
    issued: u64,
    all_revoked: bool,
}

/// What came of one consent or one first refresh token.
struct Family {
    /// Access tokens that are good: the newest, and where refresh tokens stay good all that were given.
    access: Vec<String>,
    refresh: String,
    used: Vec<String>,
}

/// A code that was not exchanged yet.
struct Code {
    redirect_uri: String,
    challenge: Option<String>,
    scopes: Option<String>,
}

impl TokenServer {
    /// A server whose access tokens say that they live for `expires_in_s`, and whose refresh tokens rotate.
    pub fn new(expires_in_s: i64) -> Self {
        Self {
            expires_in_s: Some(expires_in_s),
            refresh: RefreshUse::Rotated,
            refresh_expires_in_s: None,
            scopes: ("", " "),
            extra: |_| {},
            refusal: |status, error| HttpResponse::json(status, &json!({"error": error})),
            state: Mutex::default(),
        }
    }

    /// The same, whose answers say nothing about when a token ends.
    #[must_use]
    pub fn without_expiry(mut self) -> Self {
        self.expires_in_s = None;
        self
    }

    /// The same with another use of refresh tokens.
    #[must_use]
    pub fn refresh_tokens(mut self, refresh: RefreshUse) -> Self {
        self.refresh = refresh;
        self
    }

    /// The same, whose answers have `refresh_token_expires_in`.
    #[must_use]
    pub fn refresh_life(mut self, seconds: i64) -> Self {
        self.refresh_expires_in_s = Some(seconds);
        self
    }

    /// The same, whose answers name these scopes (separated by spaces here, by `separator` there) where a consent did not
    /// leave some out.
    #[must_use]
    pub fn scopes(mut self, scopes: &'static str, separator: &'static str) -> Self {
        self.scopes = (scopes, separator);
        self
    }

    /// The same with further fields in its answers.
    #[must_use]
    pub fn with(mut self, extra: fn(&mut Map<String, Value>)) -> Self {
        self.extra = extra;
        self
    }

    /// The same with its noes in another form: of the status and the error of RFC 6749 §5.2.
    #[must_use]
    pub fn refusing(mut self, refusal: fn(u16, &str) -> HttpResponse) -> Self {
        self.refusal = refusal;
        self
    }

    /// What a connection is made from.
    pub fn seed(&self) -> Seed {
        let app = Some((CLIENT_ID, Secret::from(CLIENT_SECRET)));
        let secret = match self.refresh {
            RefreshUse::Rotated | RefreshUse::Kept | RefreshUse::Repeated => FIRST_REFRESH_TOKEN.to_owned(),
            RefreshUse::Never => json!({"access_token": FIRST_ACCESS_TOKEN}).to_string(),
        };
        Seed { secret: Secret::new(secret.into_bytes()), app, site: None, target: None }
    }

    /// The answer to `request`, if it is one for an authorization server: by its parameters, whatever its path.
    pub fn answer(&self, request: &HttpRequest) -> Option<HttpResponse> {
        if self.is_asked(request) {
            return Some(self.handle(request));
        }
        let visited = request.method == Method::Get && request.query("response_type").as_deref() == Some("code");
        visited.then(|| self.authorize(request))
    }

    /// Whether `request` asks for tokens.
    pub fn is_asked(&self, request: &HttpRequest) -> bool {
        request.method == Method::Post && params(request).contains_key("grant_type")
    }

    /// Whether `access` is a token that this server gave and has not replaced.
    pub fn knows(&self, access: &str) -> bool {
        let given = |family: &Family| family.access.iter().any(|one| one == access);
        let first = || access == FIRST_ACCESS_TOKEN && !self.state().all_revoked;
        first() || self.state().families.iter().any(given)
    }

    /// Ends every access token, as time does. Refresh tokens stay good.
    pub fn expire(&self) {
        self.state().families.iter_mut().for_each(|family| family.access.clear());
    }

    /// Ends every consent so far, and what connections begin with.
    pub fn revoke_all(&self) {
        let mut state = self.state();
        state.all_revoked = true;
        for family in std::mem::take(&mut state.families) {
            let used = family.used.into_iter().chain([family.refresh]).collect();
            state.families.push(Family { access: Vec::new(), refresh: String::new(), used });
        }
    }

    /// Answers a request to revoke a token (RFC 7009): the consent that an access or refresh token came of is over. A token
    /// that is not known is no error (§2.2).
    pub fn revoke(&self, request: &HttpRequest) -> HttpResponse {
        let params = params(request);
        let Some(token) = params.get("token") else { return (self.refusal)(400, "invalid_request") };
        let mut state = self.state();
        for family in &mut state.families {
            if family.refresh == *token || family.access.contains(token) {
                family.access.clear();
                let refresh = std::mem::take(&mut family.refresh);
                family.used.push(refresh);
            }
        }
        HttpResponse::json(200, &json!({}))
    }

    /// The consent page, and what its buttons do. `GET` with the parameters of RFC 6749 §4.1.1; with `decision` it sends the
    /// browser back.
    pub fn authorize(&self, request: &HttpRequest) -> HttpResponse {
        let query = |name: &str| request.query(name);
        let (Some(redirect_uri), Some(state)) = (query("redirect_uri"), query("state")) else {
            return (self.refusal)(400, "invalid_request");
        };
        let Ok(mut back) = Url::parse(&redirect_uri) else { return (self.refusal)(400, "invalid_request") };
        if query("client_id").as_deref() != Some(CLIENT_ID) {
            return (self.refusal)(401, "invalid_client");
        }
        match query("decision").as_deref() {
            Some("allow" | "narrow") => {
                let mut held = self.state();
                let code = format!("sandbox-code-{}", held.codes.len());
                let narrowed = query("decision").as_deref() == Some("narrow");
                let scopes = narrowed.then(|| self.scopes.0.split(' ').next().unwrap_or_default().to_owned());
                let entry = Code { redirect_uri, challenge: query("code_challenge"), scopes };
                held.codes.insert(code.clone(), entry);
                back.query_pairs_mut().append_pair("code", &code).append_pair("state", &state);
            }
            Some(_) => drop(back.query_pairs_mut().append_pair("error", "access_denied").append_pair("state", &state)),
            None => return page(&request.url),
        }
        HttpResponse { status: 302, headers: Vec::new(), body: Vec::new() }.with_header("Location", back.as_str())
    }

    /// Answers a request for tokens: id and secret in the body or in HTTP Basic.
    pub fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let params = params(request);
        let param = |name: &str| params.get(name).map(String::as_str);
        if (param("client_id"), param("client_secret")) != (Some(CLIENT_ID), Some(CLIENT_SECRET)) {
            return (self.refusal)(401, "invalid_client");
        }
        let granted = match param("grant_type").unwrap_or("authorization_code") {
            "authorization_code" => self.redeem(&params),
            "refresh_token" => self.renew(param("refresh_token").unwrap_or_default()),
            _ => return (self.refusal)(400, "unsupported_grant_type"),
        };
        let Some((access, refresh, scopes)) = granted else { return (self.refusal)(400, "invalid_grant") };
        let mut answer = Map::new();
        answer.insert("access_token".into(), access.into());
        answer.insert("token_type".into(), "bearer".into());
        if let Some(seconds) = self.expires_in_s {
            answer.insert("expires_in".into(), seconds.into());
        }
        if let Some(refresh) = refresh {
            let left = self.refresh_left_s(&refresh);
            answer.insert("refresh_token".into(), refresh.into());
            answer.extend(left.map(|seconds| ("refresh_token_expires_in".to_owned(), seconds.into())));
        }
        let scopes = scopes.unwrap_or_else(|| self.scopes.0.to_owned());
        if !scopes.is_empty() {
            answer.insert("scope".into(), scopes.replace(' ', self.scopes.1).into());
        }
        (self.extra)(&mut answer);
        HttpResponse::json(200, &Value::Object(answer))
    }

    /// Access token, refresh token and narrowed scopes for a code.
    fn redeem(&self, params: &BTreeMap<String, String>) -> Option<(String, Option<String>, Option<String>)> {
        let mut state = self.state();
        let code = state.codes.remove(params.get("code")?)?;
        // A code of Shopify's is not bound to an address.
        if params.get("redirect_uri").is_some_and(|uri| *uri != code.redirect_uri) {
            return None;
        }
        if let Some(challenge) = &code.challenge {
            let verifier = params.get("code_verifier")?;
            if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != *challenge {
                return None;
            }
        }
        let (access, refresh) = state.next();
        let given = (self.refresh != RefreshUse::Never).then(|| refresh.clone());
        state.families.push(Family { access: vec![access.clone()], refresh, used: Vec::new() });
        Some((access, given, code.scopes))
    }

    /// The same for a refresh token.
    fn renew(&self, presented: &str) -> Option<(String, Option<String>, Option<String>)> {
        let mut state = self.state();
        if presented == FIRST_REFRESH_TOKEN && state.all_revoked {
            return None;
        }
        let replayed = state.families.iter().position(|family| family.used.iter().any(|used| used == presented));
        if let Some(index) = replayed {
            let family = &mut state.families[index];
            family.access.clear();
            let refresh = std::mem::take(&mut family.refresh);
            family.used.push(refresh);
            return None;
        }
        if self.refresh == RefreshUse::Repeated {
            *state.uses.entry(presented.to_owned()).or_default() += 1;
            if self.left_s(&state, presented).is_some_and(|seconds| seconds <= 0) {
                return None;
            }
        }
        // Numbers go on behind those of an earlier process, so that no token is given twice.
        let earlier: u64 = presented.strip_prefix(REFRESH_PREFIX)?.parse().unwrap_or_default();
        state.issued = state.issued.max(earlier);
        let (access, refresh) = state.next();
        let rotated = self.refresh == RefreshUse::Rotated;
        let kept = if rotated { refresh.clone() } else { presented.to_owned() };
        match state.families.iter_mut().find(|family| family.refresh == presented) {
            Some(family) => {
                let old = std::mem::replace(&mut family.refresh, kept);
                if rotated {
                    family.used.push(old);
                    family.access.clear();
                }
                family.access.push(access.clone());
            }
            None => {
                // Every tenant's first token is the same text, so that one alone may come again.
                let used =
                    if presented == FIRST_REFRESH_TOKEN || !rotated { Vec::new() } else { vec![presented.to_owned()] };
                state.families.push(Family { access: vec![access.clone()], refresh: kept, used });
            }
        }
        let given = match self.refresh {
            RefreshUse::Rotated => Some(refresh),
            RefreshUse::Repeated => Some(presented.to_owned()),
            RefreshUse::Kept | RefreshUse::Never => None,
        };
        Some((access, given, None))
    }

    /// How long `refresh` still lives, where this server says so.
    fn refresh_left_s(&self, refresh: &str) -> Option<i64> {
        self.left_s(&self.state(), refresh)
    }

    fn left_s(&self, state: &State, refresh: &str) -> Option<i64> {
        let uses = state.uses.get(refresh).copied().unwrap_or_default();
        Some(self.refresh_expires_in_s? - uses * self.expires_in_s.unwrap_or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A new pair.
    fn next(&mut self) -> (String, String) {
        self.issued += 1;
        (format!("{ACCESS_PREFIX}{}", self.issued), format!("{REFRESH_PREFIX}{}", self.issued))
    }
}

/// Three buttons; each asks for the same address with a decision. The addresses are relative, so the page works wherever it is
/// served.
fn page(url: &Url) -> HttpResponse {
    let button = |decision: &str, label: &str| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.extend_pairs(url.query_pairs()).append_pair("decision", decision).finish();
        let href = query.replace('&', "&amp;").replace('"', "&quot;");
        format!("<p><a id=\"{decision}\" href=\"?{href}\">{label}</a></p>")
    };
    let buttons =
        [("allow", "Allow"), ("narrow", "Allow a part"), ("deny", "Deny")].map(|(d, l)| button(d, l)).concat();
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sandbox</title><main><h1>Sandbox</h1>\
         <p>A stand-in for the provider's consent page.</p>{buttons}</main></html>"
    );
    HttpResponse { status: 200, headers: Vec::new(), body: html.into_bytes() }
        .with_header("Content-Type", "text/html; charset=utf-8")
}

/// The parameters of a token request, wherever they travel.
fn params(request: &HttpRequest) -> BTreeMap<String, String> {
    let json = request.header("content-type").is_some_and(|value| value.starts_with("application/json"));
    let mut params: BTreeMap<String, String> = if json {
        serde_json::from_slice(&request.body).unwrap_or_default()
    } else {
        form_urlencoded::parse(&request.body).into_owned().collect()
    };
    let basic = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    if let Some((id, secret)) = basic.as_deref().and_then(|pair| pair.split_once(':')) {
        let decode = |text: &str| {
            let pair = format!("v={text}");
            form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        params.insert("client_id".to_owned(), decode(id));
        params.insert("client_secret".to_owned(), decode(secret));
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: String) -> HttpRequest {
        HttpRequest {
            integration: "a".into(),
            method: Method::Post,
            url: url::Url::parse("https://auth.test/token").unwrap(),
            headers: vec![("content-type".into(), "application/x-www-form-urlencoded".into())],
            body: body.into_bytes(),
            timeout: std::time::Duration::from_secs(1),
            max_response_bytes: 1,
        }
    }

    fn refresh(server: &TokenServer, token: &str) -> Value {
        let body = format!(
            "grant_type=refresh_token&refresh_token={token}&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"
        );
        serde_json::from_slice(&server.handle(&form(body)).body).unwrap()
    }

    #[test]
    fn what_an_earlier_process_gave_is_good_once() {
        let server = TokenServer::new(60);
        let next = refresh(&server, "sandbox-refresh-7");
        assert_eq!(next["refresh_token"], "sandbox-refresh-8");
        assert_eq!(refresh(&server, "sandbox-refresh-7"), json!({"error": "invalid_grant"}));
    }

    #[test]
    fn a_refresh_token_that_comes_back_ends_where_it_would_have_ended() {
        let server = TokenServer::new(60).refresh_tokens(RefreshUse::Repeated).refresh_life(150);
        for left in [90, 30] {
            let next = refresh(&server, FIRST_REFRESH_TOKEN);
            assert_eq!(
                (&next["refresh_token"], &next["refresh_token_expires_in"]),
                (&FIRST_REFRESH_TOKEN.into(), &left.into())
            );
        }
        assert_eq!(refresh(&server, FIRST_REFRESH_TOKEN), json!({"error": "invalid_grant"}));
    }

    #[test]
    fn a_used_refresh_token_ends_its_family() {
        let server = TokenServer::new(60);
        let one = refresh(&server, FIRST_REFRESH_TOKEN);
        let two = refresh(&server, one["refresh_token"].as_str().unwrap());
        let access = two["access_token"].as_str().unwrap();
        assert!(server.knows(access));
        assert_eq!(refresh(&server, one["refresh_token"].as_str().unwrap()), json!({"error": "invalid_grant"}));
        assert!(!server.knows(access));
    }
    #[test]
    fn where_refresh_tokens_stay_good_so_do_the_access_tokens_before() {
        let server = TokenServer::new(60).refresh_tokens(RefreshUse::Kept);
        let [one, two] = [0, 1].map(|_| refresh(&server, FIRST_REFRESH_TOKEN));
        assert_eq!((one.get("refresh_token"), two.get("refresh_token")), (None, None));
        assert!([one, two].iter().all(|answer| server.knows(answer["access_token"].as_str().unwrap())));
    }

    #[test]
    fn a_revoked_token_ends_what_came_of_its_consent() {
        let server = TokenServer::new(60);
        let given = refresh(&server, FIRST_REFRESH_TOKEN);
        let (access, newest) = (given["access_token"].as_str().unwrap(), given["refresh_token"].as_str().unwrap());
        assert_eq!(server.revoke(&form(format!("token={newest}"))).status, 200);
        assert!(!server.knows(access));
        assert_eq!(refresh(&server, newest), json!({"error": "invalid_grant"}));
        assert_eq!(server.revoke(&form("token=unknown".into())).status, 200);
    }
}
