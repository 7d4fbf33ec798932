// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A sandbox: a faithful stand-in for an upstream, for `dev` and tests. It implements the answers, and [`Sandboxes`]
//! puts all of them behind the [`HttpSend`] port: no socket, and no hole in the egress guard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use url::form_urlencoded;

use crate::ports::{BoxFuture, HttpRequest, HttpResponse, HttpSend, Method, SendError};
use crate::registry::Registry;
use crate::secret::Secret;

/// A stand-in for one provider.
pub trait Sandbox: Send + Sync {
    /// What a connection to it is made from.
    fn seed(&self) -> Seed;
    /// Answers as the provider would, wrong credentials and bad requests included.
    fn handle(&self, request: &HttpRequest) -> HttpResponse;
}

/// What a connection to a sandbox is made from: what an operator would type for the real one.
pub struct Seed {
    /// The key, the token, or the refresh token.
    pub secret: Secret,
    /// Client id and secret, for shapes with an app.
    pub app: Option<(&'static str, Secret)>,
    /// Region, for the shape `lwa-profile`.
    pub region: Option<&'static str>,
    /// Profile, for the shape `lwa-profile`.
    pub target: Option<&'static str>,
}

impl From<Secret> for Seed {
    fn from(secret: Secret) -> Self {
        Self { secret, app: None, region: None, target: None }
    }
}

/// The sandboxes of all integrations that have one, by instance name.
pub struct Sandboxes(BTreeMap<String, Box<dyn Sandbox>>);

impl Sandboxes {
    /// Fresh sandboxes for everything in `registry`.
    pub fn of(registry: &Registry) -> Self {
        let made = registry
            .integrations
            .values()
            .filter_map(|integration| integration.sandbox.as_ref().map(|make| (integration.instance.clone(), make())));
        Self(made.collect())
    }

    /// Instance names with what a connection to each is made from.
    pub fn seeds(&self) -> impl Iterator<Item = (&str, Seed)> + '_ {
        self.0.iter().map(|(instance, sandbox)| (instance.as_str(), sandbox.seed()))
    }
}

impl HttpSend for Sandboxes {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        let answer = self.0.get(&request.integration).map(|sandbox| sandbox.handle(&request)).ok_or(SendError::Connect);
        Box::pin(std::future::ready(answer))
    }
}

/// The client id that a [`TokenServer`] knows.
pub const CLIENT_ID: &str = "sandbox-client";
/// The client secret that a [`TokenServer`] knows.
pub const CLIENT_SECRET: &str = "sandbox-client-secret";
/// The refresh token that every connection to a [`TokenServer`] begins with.
pub const FIRST_REFRESH_TOKEN: &str = "sandbox-refresh-0";
const REFRESH_PREFIX: &str = "sandbox-refresh-";

/// A token endpoint for sandboxes, as strict as the strictest real one: refresh tokens are used once, and a used one
/// that comes again ends everything that was made from it (RFC 9700 §4.14.2). One thing is forgiven: a refresh token that
/// this process has never seen begins a family. The tenants of a test all begin with the same one, and `dev` goes on with
/// what an earlier process gave.
pub struct TokenServer {
    /// Seconds that an access token lives.
    expires_in_s: i64,
    families: Mutex<Vec<Family>>,
    issued: AtomicU64,
}

/// What came of one first refresh token.
struct Family {
    access: String,
    refresh: String,
    used: Vec<String>,
}

impl TokenServer {
    /// A server whose access tokens say that they live for `expires_in_s`.
    pub const fn new(expires_in_s: i64) -> Self {
        Self { expires_in_s, families: Mutex::new(Vec::new()), issued: AtomicU64::new(0) }
    }

    /// What a connection is made from.
    pub fn seed(&self) -> Seed {
        let app = Some((CLIENT_ID, Secret::from(CLIENT_SECRET)));
        Seed { secret: Secret::from(FIRST_REFRESH_TOKEN), app, region: None, target: None }
    }

    /// Whether `request` asks for tokens.
    pub fn is_asked(&self, request: &HttpRequest) -> bool {
        request.method == Method::Post && params(request).contains_key("grant_type")
    }

    /// Whether `access` is a token that this server gave and has not replaced.
    pub fn knows(&self, access: &str) -> bool {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        families.iter().any(|family| family.access == access)
    }

    /// Answers a request for tokens: `grant_type=refresh_token`, id and secret in the body or in HTTP Basic.
    pub fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let params = params(request);
        let param = |name: &str| params.get(name).map(String::as_str);
        let no = |status: u16, error: &str| HttpResponse::json(status, &json!({"error": error}));
        if (param("client_id"), param("client_secret")) != (Some(CLIENT_ID), Some(CLIENT_SECRET)) {
            return no(401, "invalid_client");
        }
        if param("grant_type") != Some("refresh_token") {
            return no(400, "unsupported_grant_type");
        }
        let presented = param("refresh_token").unwrap_or_default();
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let replayed = families.iter().position(|family| family.used.iter().any(|used| used == presented));
        if let Some(index) = replayed {
            families.remove(index);
            return no(400, "invalid_grant");
        }
        // Numbers go on behind those of an earlier process, so that no token is given twice.
        let Some(earlier) = presented.strip_prefix(REFRESH_PREFIX) else { return no(400, "invalid_grant") };
        let earlier: u64 = earlier.parse().unwrap_or_default();
        self.issued.fetch_max(earlier, Ordering::Relaxed);
        let number = self.issued.fetch_add(1, Ordering::Relaxed) + 1;
        let (access, refresh) = (format!("sandbox-access-{number}"), format!("{REFRESH_PREFIX}{number}"));
        match families.iter_mut().find(|family| family.refresh == presented) {
            Some(family) => {
                family.used.push(std::mem::replace(&mut family.refresh, refresh.clone()));
                family.access.clone_from(&access);
            }
            None => {
                // Every tenant's first token is the same text, so that one alone may come again.
                let used = if presented == FIRST_REFRESH_TOKEN { Vec::new() } else { vec![presented.to_owned()] };
                families.push(Family { access: access.clone(), refresh: refresh.clone(), used });
            }
        }
        let answer = json!({
            "access_token": access, "token_type": "bearer", "expires_in": self.expires_in_s, "refresh_token": refresh,
        });
        HttpResponse::json(200, &answer)
    }
}

/// The parameters of a token request, wherever they travel.
fn params(request: &HttpRequest) -> BTreeMap<String, String> {
    let json = request.header("content-type").is_some_and(|value| value.starts_with("application/json"));
    let mut params: BTreeMap<String, String> = if json {
        serde_json::from_slice(&request.body).unwrap_or_default()
    } else {
        form_urlencoded::parse(&request.body).into_owned().collect()
    };
    let basic = request.header("authorization").and_then(|value| value.strip_prefix("Basic ")).and_then(|text| {
        use base64::Engine as _;
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
    });
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
    use serde_json::Value;

    fn refresh(server: &TokenServer, token: &str) -> Value {
        let body = format!(
            "grant_type=refresh_token&refresh_token={token}&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"
        );
        let request = HttpRequest {
            integration: "a".into(),
            method: Method::Post,
            url: url::Url::parse("https://auth.test/token").unwrap(),
            headers: vec![("content-type".into(), "application/x-www-form-urlencoded".into())],
            body: body.into_bytes(),
            timeout: std::time::Duration::from_secs(1),
            max_response_bytes: 1,
        };
        serde_json::from_slice(&server.handle(&request).body).unwrap()
    }

    #[test]
    fn what_an_earlier_process_gave_is_good_once() {
        let server = TokenServer::new(60);
        let next = refresh(&server, "sandbox-refresh-7");
        assert_eq!(next["refresh_token"], "sandbox-refresh-8");
        assert_eq!(refresh(&server, "sandbox-refresh-7"), json!({"error": "invalid_grant"}));
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
}
