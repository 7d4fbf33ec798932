// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The way to a key-encryption key that lives elsewhere: a bounded exchange, and a gate in front of it, so that a keeper
//! that is down costs a bounded amount. While it is down it is asked once in a second, by one caller; everybody else gets
//! the last answer at once, and the vault goes on with the data keys that are open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kit::ports::{Clock, HttpRequest, HttpResponse, HttpSend as _, KeyWrapError, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use url::Url;
use zeroize::Zeroizing;

use crate::egress::Egress;
use crate::send::NetworkSend;

/// A keeper that failed is not asked again before this.
const COOL_DOWN_US: i64 = 1_000_000;
/// Requests under way at once: what a keeper that begins to hang can cost before the first of them tells.
const AT_ONCE: usize = 4;
/// A longer answer is none of a keeper's.
const MAX_ANSWER: usize = 64 << 10;

/// The keeper of one key-encryption key.
pub(crate) struct Remote {
    id: String,
    send: NetworkSend,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    places: Semaphore,
    state: Mutex<State>,
}

/// What the last exchange told.
#[derive(Default)]
struct State {
    failed: Option<KeyWrapError>,
    ask_again_us: i64,
    probing: bool,
}

/// An answer whose body may hold a key.
pub(crate) struct Answer {
    head: HttpResponse,
    body: Zeroizing<Vec<u8>>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// The body, if it is JSON of this form.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    #[cfg(feature = "kms-gcp")]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}

impl Remote {
    /// `id` names the key in the log.
    pub(crate) fn new(id: &str, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let places = Semaphore::new(AT_ONCE);
        let send = NetworkSend::new(Egress::KEEPERS);
        Self { id: id.to_owned(), send, clock, timeout, places, state: Mutex::default() }
    }

    #[cfg(feature = "kms-gcp")]
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Runs `exchange` with the keeper, unless the last one failed a moment ago.
    pub(crate) async fn guarded<T>(
        &self,
        exchange: impl Future<Output = Result<T, KeyWrapError>>,
    ) -> Result<T, KeyWrapError> {
        let probe = self.admit()?;
        // The semaphore is never closed.
        let _place = self.places.acquire().await.map_err(|_| KeyWrapError::Unavailable)?;
        if probe.is_none()
            && let Some(error) = self.state().failed
        {
            // It failed for somebody else while this caller waited for a place.
            return Err(error);
        }
        let result = exchange.await;
        self.tell(result.as_ref().err().copied());
        drop(probe);
        result
    }

    fn admit(&self) -> Result<Option<Probe<'_>>, KeyWrapError> {
        let mut state = self.state();
        match state.failed {
            None => Ok(None),
            Some(error) if state.probing || self.clock.monotonic_us() < state.ask_again_us => Err(error),
            Some(_) => {
                state.probing = true;
                Ok(Some(Probe(self)))
            }
        }
    }

    fn tell(&self, error: Option<KeyWrapError>) {
        let id = &self.id;
        let mut state = self.state();
        match error {
            Some(error @ (KeyWrapError::Unavailable | KeyWrapError::Denied)) => {
                state.failed = Some(error);
                state.ask_again_us = self.clock.monotonic_us().saturating_add(COOL_DOWN_US);
                tracing::warn!(kek = id, reason = %error, "the key-encryption key cannot be used");
            }
            // A wrapped key that it rejects says nothing against the keeper.
            Some(KeyWrapError::Rejected | KeyWrapError::NotLoaded) | None => {
                if state.failed.take().is_some() {
                    tracing::info!(kek = id, "the key-encryption key can be used again");
                }
            }
        }
    }

    /// Sends JSON.
    pub(crate) async fn post(
        &self,
        url: &Url,
        headers: Vec<(String, String)>,
        body: &impl Serialize,
    ) -> Result<Answer, KeyWrapError> {
        let body = serde_json::to_vec(body).map_err(|_| KeyWrapError::Unavailable)?;
        self.exchange(Method::Post, url, headers, "application/json", body).await
    }

    /// One bounded exchange. What went wrong in it is a class, never a text: a text could hold what was sent.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        url: &Url,
        mut headers: Vec<(String, String)>,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, KeyWrapError> {
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), content_type.to_owned()));
        }
        let request = HttpRequest {
            integration: self.id.clone(),
            method,
            url: url.clone(),
            headers,
            body,
            timeout: self.timeout,
            max_response_bytes: MAX_ANSWER,
        };
        let mut head = self.send.send(request).await.map_err(|error| {
            tracing::debug!(kek = self.id, host = url.host_str(), reason = ?error, "no answer");
            KeyWrapError::Unavailable
        })?;
        let body = Zeroizing::new(std::mem::take(&mut head.body));
        Ok(Answer { head, body })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one caller that asks a keeper which failed. A caller that leaves gives the place back.
struct Probe<'a>(&'a Remote);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.probing = false;
        if state.failed.is_some() {
            state.ask_again_us = self.0.clock.monotonic_us().saturating_add(COOL_DOWN_US);
        }
    }
}
