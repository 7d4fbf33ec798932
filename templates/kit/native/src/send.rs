// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The way out over reqwest: rustls, no redirects, no proxy from the environment, only to addresses that [`Egress`]
//! permits, a cap on what is read.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kit::ports::{BoxFuture, HttpRequest, HttpResponse, HttpSend, Method, SendError};
use reqwest::Client;
use reqwest::header::HeaderValue;

use crate::egress::{Egress, Guarded, Refused};

/// Sends over the network. The client is made at the first request: loading the system's roots takes longer than the
/// whole rest of a start.
#[derive(Default)]
pub struct NetworkSend {
    egress: Egress,
    client: OnceLock<Option<Client>>,
}

impl NetworkSend {
    /// Sends where `egress` permits.
    pub fn new(egress: Egress) -> Self {
        Self { egress, client: OnceLock::new() }
    }

    fn client(&self) -> Option<&Client> {
        let make = || {
            Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .dns_resolver(Arc::new(Guarded(self.egress)))
                .connect_timeout(Duration::from_secs(3))
                .read_timeout(Duration::from_secs(10))
                .pool_idle_timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(8)
                .build()
                .ok()
        };
        self.client.get_or_init(make).as_ref()
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, SendError> {
        // The resolver is not asked about an address.
        if !self.egress.permits_url(&request.url) {
            return Err(SendError::Refused);
        }
        let client = self.client().ok_or(SendError::Connect)?;
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut outgoing = client.request(method, request.url).timeout(request.timeout);
        for (name, value) in request.headers {
            let mut value = HeaderValue::try_from(value).map_err(|_| SendError::Connect)?;
            // One of them is the credential: none is kept in a compression table or shown by a log of the client's.
            value.set_sensitive(true);
            outgoing = outgoing.header(name, value);
        }
        if !request.body.is_empty() {
            outgoing = outgoing.body(request.body);
        }
        let mut incoming = outgoing.send().await.map_err(|error| failure(&error))?;
        let headers = incoming
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let status = incoming.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = incoming.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > request.max_response_bytes {
                return Err(SendError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse { status, headers, body })
    }
}

impl HttpSend for NetworkSend {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        Box::pin(self.exchange(request))
    }
}

/// The class of a failure. Its text stays here: it holds the URL.
fn failure(error: &reqwest::Error) -> SendError {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.downcast_ref::<Refused>().is_some() {
            return SendError::Refused;
        }
        source = inner.source();
    }
    if error.is_timeout() {
        SendError::Timeout
    } else if error.is_connect() || error.is_builder() {
        SendError::Connect
    } else {
        SendError::Broken
    }
}
