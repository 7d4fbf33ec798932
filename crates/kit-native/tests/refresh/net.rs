//! Everything outside, in memory: authorization servers with rotation and family revocation, and APIs that take only
//! tokens which those gave. Every request is recorded. Requests take virtual time.
//!
//! A family is named after whoever consented. Its refresh tokens are `R-<name>-<n>`, its access tokens `A-<name>-<n>`;
//! number 0 of both is what the tests begin with.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kit::ports::{BoxFuture, HttpRequest, HttpResponse, HttpSend, SendError};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use url::form_urlencoded;

pub const CLIENT_ID: &str = "client";
pub const CLIENT_SECRET: &str = "CANARY-client-secret";

/// What a scripted request ends with.
#[derive(Clone)]
pub enum Reply {
    /// This answer instead.
    Give(u16, Vec<(&'static str, String)>, String),
    /// No answer, ever.
    Never,
    /// The request failed on the way.
    Fail(SendError),
    /// The server does its work, and this is changed in its answer (`null` takes a field out).
    Amend(Value),
    /// The server does its work once the semaphore gives a permit.
    Held(Arc<Semaphore>),
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Give(status, vec![("content-type", "application/json".to_owned())], body.to_string())
    }

    pub fn error(status: u16, word: &str) -> Self {
        Self::json(status, &json!({"error": word, "error_description": "CANARY-description"}))
    }

    pub fn html(status: u16) -> Self {
        Self::Give(status, vec![("content-type", "text/html".to_owned())], "<html>CANARY-page</html>".to_owned())
    }

    pub fn limit(status: u16, retry_after: &str) -> Self {
        Self::Give(status, vec![("Retry-After", retry_after.to_owned())], "{}".to_owned())
    }
}

/// Which kind of place a request went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Token,
    Revoke,
    Api,
}

/// A request as it was seen.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "all of it is printed when a test fails")]
pub struct Seen {
    pub place: Place,
    /// The number of the replica it came from.
    pub replica: usize,
    /// Milliseconds since the world began.
    pub at_ms: i64,
    /// The token it carried.
    pub token: String,
    /// Requests with the same token that were under way when it came, itself among them.
    pub together: usize,
    /// The value of the header that names a profile.
    pub profile: Option<String>,
    /// The parameters of a token request.
    pub params: BTreeMap<String, String>,
    pub url: String,
}

#[derive(Clone, Default)]
struct Family {
    number: u64,
    revoked: bool,
    /// Whether anything made by the last rotation was used.
    used: bool,
}

/// How the authorization servers behave.
#[derive(Clone)]
pub struct Manner {
    pub rotates: bool,
    /// A rotated token may be used again until its successor is (Shopify).
    pub grace: bool,
    pub expires_in: Option<i64>,
    pub refresh_expires_in: Option<i64>,
    pub client_secret: String,
    pub latency_ms: u64,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            rotates: true,
            grace: false,
            expires_in: Some(3_600),
            refresh_expires_in: None,
            client_secret: CLIENT_SECRET.to_owned(),
            latency_ms: 200,
        }
    }
}

#[derive(Default)]
struct State {
    manner: Manner,
    seen: Vec<Seen>,
    token: VecDeque<(Option<String>, Reply)>,
    api: VecDeque<Reply>,
    families: HashMap<String, Family>,
    ends_ms: HashMap<String, i64>,
    refused: Vec<String>,
    /// Codes: family, redirect address, challenge.
    codes: HashMap<String, (String, String, Option<String>)>,
    scope: Option<&'static str>,
    under_way: HashMap<(Place, String), usize>,
}

/// The outside.
pub struct Net {
    began: Instant,
    state: Mutex<State>,
}

impl Net {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), state: Mutex::default() })
    }

    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    pub fn manner(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.state.lock().unwrap().manner);
    }

    /// The next token request ends like this.
    pub fn script_token(&self, reply: Reply) {
        self.state.lock().unwrap().token.push_back((None, reply));
    }

    /// The next token request of this family ends like this.
    pub fn script_family(&self, family: &str, reply: Reply) {
        self.state.lock().unwrap().token.push_back((Some(family.to_owned()), reply));
    }

    /// The next request to an API ends like this.
    pub fn script_api(&self, reply: Reply) {
        self.state.lock().unwrap().api.push_back(reply);
    }

    /// From now on the APIs refuse `access`.
    pub fn refuse(&self, access: &str) {
        self.state.lock().unwrap().refused.push(access.to_owned());
    }

    /// The authorization server ends the family.
    pub fn revoke(&self, family: &str) {
        self.state.lock().unwrap().families.entry(family.to_owned()).or_default().revoked = true;
    }

    /// A code as the authorize page gives it.
    pub fn consent(&self, code: &str, family: &str, redirect_uri: &str, challenge: Option<&str>) {
        let kept = (family.to_owned(), redirect_uri.to_owned(), challenge.map(str::to_owned));
        self.state.lock().unwrap().codes.insert(code.to_owned(), kept);
    }

    /// Answers to codes name these scopes.
    pub fn grant(&self, scope: &'static str) {
        self.state.lock().unwrap().scope = Some(scope);
    }

    /// All requests so far.
    pub fn seen(&self, place: Place) -> Vec<Seen> {
        self.state.lock().unwrap().seen.iter().filter(|seen| seen.place == place).cloned().collect()
    }

    /// The tokens of all requests so far.
    pub fn tokens(&self, place: Place) -> Vec<String> {
        self.seen(place).into_iter().map(|seen| seen.token).collect()
    }

    /// How many token requests and how many requests to APIs there were.
    pub fn counts(&self) -> (usize, usize) {
        (self.seen(Place::Token).len(), self.seen(Place::Api).len())
    }

    async fn handle(self: &Arc<Self>, replica: usize, request: HttpRequest) -> Result<HttpResponse, SendError> {
        let params = params(&request);
        let place = match request.url.path() {
            "/revoke" => Place::Revoke,
            "/token" | "/v26.0/oauth/access_token" => Place::Token,
            _ => Place::Api,
        };
        let token = match place {
            Place::Revoke => params.get("token"),
            Place::Token => ["refresh_token", "code", "fb_exchange_token"].iter().find_map(|name| params.get(*name)),
            Place::Api => None,
        };
        let token = token.cloned().or_else(|| bearer(&request)).unwrap_or_default();
        let _under_way = UnderWay::new(self, place, &token);
        let (reply, latency) = {
            let mut state = self.state.lock().unwrap();
            let together = state.under_way[&(place, token.clone())];
            let (at_ms, profile, url) =
                (self.now_ms(), request.header("profile").map(str::to_owned), request.url.to_string());
            state.seen.push(Seen {
                place,
                replica,
                at_ms,
                token: token.clone(),
                together,
                profile,
                params: params.clone(),
                url,
            });
            let reply = match place {
                Place::Revoke => None,
                Place::Api => state.api.pop_front(),
                Place::Token => {
                    let mine = state.token.iter().position(|(family, _)| {
                        family.as_deref().is_none_or(|family| parts(&token).is_some_and(|(name, _)| name == family))
                    });
                    mine.and_then(|index| state.token.remove(index)).map(|(_, reply)| reply)
                }
            };
            (reply, state.manner.latency_ms)
        };
        sleep(Duration::from_millis(latency)).await;
        let work = || match place {
            Place::Token => self.state.lock().unwrap().token(&params, &token, self.now_ms()),
            Place::Revoke => self.state.lock().unwrap().revoke(&token),
            Place::Api => self.state.lock().unwrap().api(&request, &token, self.now_ms()),
        };
        match reply {
            None => Ok(work()),
            Some(Reply::Never) => std::future::pending().await,
            Some(Reply::Fail(error)) => Err(error),
            Some(Reply::Held(gate)) => {
                gate.acquire().await.unwrap().forget();
                Ok(work())
            }
            Some(Reply::Amend(change)) => {
                let answer = work();
                let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
                for (name, value) in change.as_object().unwrap() {
                    match value {
                        Value::Null => drop(body.as_object_mut().unwrap().remove(name)),
                        value => body[name] = value.clone(),
                    }
                }
                Ok(HttpResponse::json(answer.status, &body))
            }
            Some(Reply::Give(status, headers, body)) => {
                let response = HttpResponse { status, headers: Vec::new(), body: body.into_bytes() };
                Ok(headers.iter().fold(response, |response, (name, value)| response.with_header(name, value)))
            }
        }
    }
}

impl State {
    fn token(&mut self, params: &BTreeMap<String, String>, presented: &str, now_ms: i64) -> HttpResponse {
        let no = |status: u16, error: &str| {
            HttpResponse::json(status, &json!({"error": error, "error_description": "CANARY-description"}))
        };
        let client = (params.get("client_id").map(String::as_str), params.get("client_secret"));
        if client != (Some(CLIENT_ID), Some(&self.manner.client_secret)) {
            return no(401, "invalid_client");
        }
        let mut scope = None;
        let name = match params.get("grant_type").map(String::as_str) {
            Some("authorization_code") => {
                let Some((family, redirect_uri, challenge)) = self.codes.remove(presented) else {
                    return no(400, "invalid_grant");
                };
                let proof = params.get("code_verifier").map(|v| URL_SAFE_NO_PAD.encode(Sha256::digest(v.as_bytes())));
                if proof != challenge || params.get("redirect_uri") != Some(&redirect_uri) {
                    return no(400, "invalid_grant");
                }
                scope = self.scope;
                family
            }
            Some("refresh_token" | "fb_exchange_token") => {
                let Some((name, number)) = parts(presented) else { return no(400, "invalid_grant") };
                let manner = self.manner.clone();
                let family = self.families.entry(name.clone()).or_default();
                let stale = manner.rotates && number != family.number;
                let again = manner.grace && !family.used && number + 1 == family.number;
                if family.revoked || (stale && !again) {
                    // A used token that comes again ends the family.
                    family.revoked = true;
                    return no(400, "invalid_grant");
                }
                name
            }
            _ => return no(400, "unsupported_grant_type"),
        };
        let manner = self.manner.clone();
        let family = self.families.entry(name.clone()).or_default();
        family.number += 1;
        family.used = false;
        let access = format!("A-{name}-{}", family.number);
        let mut answer = json!({"access_token": access, "token_type": "bearer"});
        if manner.rotates && !presented.starts_with("A-") {
            answer["refresh_token"] = format!("R-{name}-{}", family.number).into();
        }
        if let Some(seconds) = manner.expires_in {
            answer["expires_in"] = seconds.into();
            self.ends_ms.insert(access, now_ms + seconds * 1_000);
        }
        if let Some(seconds) = manner.refresh_expires_in {
            answer["refresh_token_expires_in"] = seconds.into();
        }
        if let Some(scope) = scope {
            answer["scope"] = scope.into();
        }
        HttpResponse::json(200, &answer)
    }

    fn revoke(&mut self, presented: &str) -> HttpResponse {
        if let Some((name, _)) = parts(presented) {
            self.families.entry(name).or_default().revoked = true;
        }
        HttpResponse { status: 200, headers: Vec::new(), body: Vec::new() }
    }

    fn api(&mut self, request: &HttpRequest, token: &str, now_ms: i64) -> HttpResponse {
        let Some((name, number)) = parts(token) else {
            return HttpResponse::json(401, &json!({"error": "CANARY-unauthorized"}));
        };
        let family = self.families.entry(name.clone()).or_default();
        let ended = self.ends_ms.get(token).is_some_and(|end| *end <= now_ms);
        if family.revoked || ended || number > family.number || self.refused.iter().any(|refused| refused == token) {
            return HttpResponse::json(401, &json!({"error": "CANARY-unauthorized"}));
        }
        family.used |= number == family.number;
        if request.url.path() == "/v2/profiles" {
            return HttpResponse::json(
                200,
                &json!([{"profileId": 11, "name": "One"}, {"profileId": 22, "name": "Two"}]),
            );
        }
        HttpResponse::json(200, &json!({"who": name}))
    }
}

/// `A-<name>-<n>` and `R-<name>-<n>`.
fn parts(token: &str) -> Option<(String, u64)> {
    let (name, number) = token.get(2..)?.rsplit_once('-')?;
    Some((name.to_owned(), number.parse().ok()?))
}

fn bearer(request: &HttpRequest) -> Option<String> {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    bearer.or_else(|| request.header("x-shop-access-token")).map(str::to_owned)
}

fn params(request: &HttpRequest) -> BTreeMap<String, String> {
    let kind = request.header("content-type").unwrap_or_default();
    let mut params: BTreeMap<String, String> = match kind {
        "application/json" => serde_json::from_slice::<BTreeMap<String, Value>>(&request.body)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect(),
        "application/x-www-form-urlencoded" => form_urlencoded::parse(&request.body).into_owned().collect(),
        _ => request.url.query_pairs().into_owned().collect(),
    };
    if let Some(basic) = request.header("authorization").and_then(|value| value.strip_prefix("Basic ")) {
        let pair = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
        let (id, secret) = pair.split_once(':').unwrap();
        params.insert("client_id".to_owned(), id.to_owned());
        params.insert("client_secret".to_owned(), secret.to_owned());
    }
    params
}

/// Counts a request while it is under way, also when it is dropped.
struct UnderWay<'a>(&'a Net, (Place, String));

impl<'a> UnderWay<'a> {
    fn new(net: &'a Net, place: Place, token: &str) -> Self {
        let key = (place, token.to_owned());
        *net.state.lock().unwrap().under_way.entry(key.clone()).or_default() += 1;
        Self(net, key)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.state.lock().unwrap().under_way.get_mut(&self.1).unwrap() -= 1;
    }
}

/// The way out of one replica.
pub struct Way {
    pub net: Arc<Net>,
    pub replica: usize,
}

impl HttpSend for Way {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        assert!(request.timeout >= Duration::from_millis(100), "{:?} is no time for {}", request.timeout, request.url);
        Box::pin(self.net.handle(self.replica, request))
    }
}
