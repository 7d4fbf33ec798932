// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! How a person connects an account: a link, a page of ours, the provider's consent, and the choice of what the connection
//! is for.
//!
//! ```text
//! link ──▶ page (whose, to what) ──▶ provider ──▶ callback ──▶ choose ──▶ done
//!            └── a key is pasted ────────────────────────────────▲
//! ```
//!
//! A link is a random text that is good for three days and for one connection. The browser that goes on first keeps it: to
//! whoever opens it elsewhere it is closed. A link that came from a tool's answer leads on only with the code that stood in
//! the same answer, so who is sent such a link by somebody else connects nothing. Everything here is plain functions from
//! requests to replies ([`web`]); the HTTP edge, or a Worker, carries them.

mod consent;
mod link;
mod page;
pub mod web;

pub use consent::{Begun, Callback, ConnectError, Finished, Start};
pub(crate) use consent::{hosts_of, life_of};
pub use link::{Link, LinkError};
pub(crate) use web::way;

use std::sync::{Arc, OnceLock};

use url::Url;

use crate::cache::Cache;
use crate::operator::Operator;
use crate::ports::{Clock, HttpSend, Rng};
use crate::registry::Registry;
use crate::store::Store;
use crate::upstream::refresh::Timing;
use crate::vault::Vault;

/// Carries out connections that a person makes.
pub struct Connector {
    pub(crate) store: Arc<Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) operator: Arc<Operator>,
    pub(crate) send: Arc<dyn HttpSend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) timing: Timing,
    /// Whether the upstreams are stand-ins, whose consent pages are on this server.
    pub(crate) sandboxed: bool,
    /// Where people reach this server.
    pub(crate) base: OnceLock<Url>,
    /// Links that calls have offered a moment ago: the next failed call gives the same one.
    pub(crate) offers: Cache<link::OfferKey, Arc<Link>>,
}

impl Connector {
    /// Says where people reach this server, unless that is known already: links are made under it.
    pub fn reached_at(&self, base: Url) {
        drop(self.base.set(base));
    }

    /// `path` under the address where people reach this server.
    fn url(&self, path: &str) -> Option<Url> {
        let mut url = self.base.get()?.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    }
}

/// Room for the offers of calls.
pub(crate) fn offers() -> Cache<link::OfferKey, Arc<Link>> {
    Cache::new(10_000, link::OFFER_AGAIN_US)
}
