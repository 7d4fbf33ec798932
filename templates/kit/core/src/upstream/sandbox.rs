// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A sandbox: a faithful stand-in for an upstream, for `dev` and tests. It implements the answers, and [`Sandboxes`]
//! puts all of them behind the [`HttpSend`] port: no socket, and no hole in the egress guard.

use std::collections::BTreeMap;

use crate::ports::{BoxFuture, HttpRequest, HttpResponse, HttpSend, SendError};
use crate::registry::Registry;
use crate::secret::Secret;

/// A stand-in for one provider.
pub trait Sandbox: Send + Sync {
    /// The credential that it accepts.
    fn credential(&self) -> Secret;
    /// Answers as the provider would, wrong credentials and bad requests included.
    fn handle(&self, request: &HttpRequest) -> HttpResponse;
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

    /// Instance names with the credential that each accepts.
    pub fn credentials(&self) -> impl Iterator<Item = (&str, Secret)> + '_ {
        self.0.iter().map(|(instance, sandbox)| (instance.as_str(), sandbox.credential()))
    }
}

impl HttpSend for Sandboxes {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        let answer = self.0.get(&request.integration).map(|sandbox| sandbox.handle(&request)).ok_or(SendError::Connect);
        Box::pin(std::future::ready(answer))
    }
}
