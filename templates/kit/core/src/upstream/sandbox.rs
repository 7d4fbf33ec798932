// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A sandbox: a faithful stand-in for an upstream, for `dev` and tests. It implements the answers, and [`Sandboxes`]
//! puts all of them behind the [`HttpSend`] port: no socket, and no hole in the egress guard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use super::token_server::TokenServer;
use crate::ports::{BoxFuture, HttpRequest, HttpResponse, HttpSend, Method, SendError};
use crate::registry::Registry;
use crate::secret::Secret;

/// The parameter of a consent page's address on this machine that says whose page it stands in for.
pub const SANDBOX_HOST: &str = "sandbox_host";
/// The header by which a sandbox learns what time it is, in seconds since the epoch: it has no clock of its own.
pub const SANDBOX_NOW: &str = "x-sandbox-now";

/// A stand-in for one provider.
pub trait Sandbox: Send + Sync {
    /// What a connection to it is made from.
    fn seed(&self) -> Seed;
    /// Answers as the provider would, wrong credentials and bad requests included.
    fn handle(&self, request: &HttpRequest) -> HttpResponse;
    /// Its authorization server, if it has one: there tokens can be ended, as time and people do.
    fn tokens(&self) -> Option<&TokenServer> {
        None
    }
}

/// What a connection to a sandbox is made from: what an operator would type for the real one.
pub struct Seed {
    /// The key, the token, or the refresh token.
    pub secret: Secret,
    /// Client id and secret, for shapes with an app.
    pub app: Option<(&'static str, Secret)>,
    /// Region or host, where the provider has several.
    pub site: Option<&'static str>,
    /// What requests are for, where the provider asks for that.
    pub target: Option<&'static str>,
}

impl From<Secret> for Seed {
    fn from(secret: Secret) -> Self {
        Self { secret, app: None, site: None, target: None }
    }
}

/// The sandboxes of all integrations that have one, by instance name.
pub struct Sandboxes {
    by_instance: BTreeMap<String, Box<dyn Sandbox>>,
    refusing: Mutex<BTreeSet<String>>,
}

impl Sandboxes {
    /// Fresh sandboxes for everything in `registry`.
    pub fn of(registry: &Registry) -> Self {
        let made = registry
            .integrations
            .values()
            .filter_map(|integration| integration.sandbox.as_ref().map(|make| (integration.instance.clone(), make())));
        Self { by_instance: made.collect(), refusing: Mutex::default() }
    }

    /// The authorization server of one of them.
    pub fn tokens(&self, integration: &str) -> Option<&TokenServer> {
        self.by_instance.get(integration)?.tokens()
    }

    /// Makes one of them refuse every bearer token as a wrong one, or no longer: what a withdrawn key looks like.
    pub fn refuse(&self, integration: &str, refuse: bool) {
        let mut refusing = self.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        match refuse {
            true => drop(refusing.insert(integration.to_owned())),
            false => drop(refusing.remove(integration)),
        }
    }

    /// What a browser sees at `url` of one of them, at `now_s` since the epoch.
    pub fn visit(&self, integration: &str, url: Url, now_s: i64) -> Option<HttpResponse> {
        let request = HttpRequest {
            integration: integration.to_owned(),
            method: Method::Get,
            url,
            headers: vec![(SANDBOX_NOW.to_owned(), now_s.to_string())],
            body: Vec::new(),
            timeout: Duration::from_secs(1),
            max_response_bytes: 1 << 20,
        };
        Some(self.by_instance.get(integration)?.handle(&request))
    }

    /// Instance names with what a connection to each is made from.
    pub fn seeds(&self) -> impl Iterator<Item = (&str, Seed)> + '_ {
        self.by_instance.iter().map(|(instance, sandbox)| (instance.as_str(), sandbox.seed()))
    }
}

impl HttpSend for Sandboxes {
    fn send(&self, mut request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        if self.refusing.lock().unwrap_or_else(PoisonError::into_inner).contains(&request.integration) {
            let tokens = request.headers.iter_mut().filter(|(_, value)| value.starts_with("Bearer "));
            tokens.for_each(|(_, value)| value.push_str("-withdrawn"));
        }
        let sandbox = self.by_instance.get(&request.integration);
        let answer = sandbox.map(|sandbox| sandbox.handle(&request)).ok_or(SendError::Connect);
        Box::pin(std::future::ready(answer))
    }
}
