// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The consent of a person at the provider, from the address they are sent to until the first tokens are stored (RFC 6749
//! §4.1, RFC 7636).
//!
//! A state is random, is good once and for ten minutes, and is bound to the tenant, the integration and the browser that
//! began. It is taken out of the store before anything else is done with it, so a callback that comes twice finds nothing
//! and changes nothing. The verifier of PKCE never leaves the server.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use super::Connector;
use crate::inbound::TenantCtx;
use crate::ports::{RngError, SqlError};
use crate::registry::Mounted;
use crate::secret::Secret;
use crate::store::connect_links::Stage;
use crate::store::connect_states::ConnectStateRow;
use crate::store::connections::ConnectionState;
use crate::tenant::Account;
use crate::upstream::callback_hmac;
use crate::upstream::executor::host_label;
use crate::upstream::life;
use crate::upstream::sandbox::SANDBOX_HOST;
use crate::upstream::token::{self, Grant, Refusal};
use crate::vault::credential::{Credential, Kind, Tokens};
use crate::vault::{Life, VaultError};

/// How long a consent may take.
const LIFE_MS: i64 = 600_000;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The integration is not one that a person consents to.
    NotOffered,
    /// There is no app for it.
    NoApp,
    /// The state is not known: it was used, has run out, or was never ours.
    UnknownState,
    /// Another browser began.
    OtherBrowser,
    /// The link that led here has made its connection already.
    LinkUsed,
    /// The callback was not made by the provider.
    Forged,
    /// The person said no.
    Denied,
    /// The provider refused for another reason.
    Refused,
    /// Not everything that was asked for was granted; this is missing.
    MissingScopes(Vec<String>),
    /// The authorization server did not give tokens for the code.
    NoTokens(&'static str),
    /// The store or the vault failed.
    Unavailable,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("this integration is not connected by consent"),
            Self::NoApp => f.write_str("the owner's app is missing"),
            Self::UnknownState => f.write_str("this link was used already or has run out"),
            Self::OtherBrowser => f.write_str("this link was opened in another browser than the one it began in"),
            Self::LinkUsed => f.write_str("this link has made its connection already"),
            Self::Forged => f.write_str("the provider's answer does not prove that it is the provider's"),
            Self::Denied => f.write_str("the consent was not given"),
            Self::Refused => f.write_str("the provider refused the request"),
            Self::MissingScopes(scopes) => write!(f, "the consent left out: {}", scopes.join(", ")),
            Self::NoTokens(reason) => f.write_str(reason),
            Self::Unavailable => f.write_str("the vault does not answer"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<VaultError> for ConnectError {
    fn from(_: VaultError) -> Self {
        Self::Unavailable
    }
}

impl From<SqlError> for ConnectError {
    fn from(_: SqlError) -> Self {
        Self::Unavailable
    }
}

impl From<RngError> for ConnectError {
    fn from(_: RngError) -> Self {
        Self::Unavailable
    }
}

/// What a person is sent away with.
pub struct Begun {
    /// Where to send the browser.
    pub authorize_url: Url,
    /// The state, as the callback will bring it back.
    pub state: Secret,
}

/// What a consent is for.
pub struct Start<'a> {
    /// Instance name of the integration.
    pub integration: &'a str,
    /// Account.
    pub account: &'a Account,
    /// Region or host, where the provider has several.
    pub site: Option<&'a str>,
    /// Where the browser comes back.
    pub redirect_uri: &'a str,
    /// What identifies the browser: the value of a cookie.
    pub browser: &'a str,
    /// The link that led here.
    pub link: Option<&'a str>,
}

/// What the callback brought.
pub struct Callback<'a> {
    /// The query, as the browser sent it.
    pub query: &'a [(String, String)],
    /// What identifies the browser.
    pub browser: &'a str,
}

impl Callback<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }
}

/// A connection that was just stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Instance name of the integration.
    pub integration: String,
    /// The link that led here.
    pub link: Option<String>,
    /// Whether something has to be chosen.
    pub needs_target: bool,
}

/// What is remembered of a consent under way, sealed under its tenant's key.
#[derive(Serialize, Deserialize)]
struct Pending {
    integration: String,
    account: String,
    site: Option<String>,
    redirect_uri: String,
    browser: String,
    verifier: String,
    link: Option<String>,
}

impl Connector {
    /// Begins a consent.
    pub async fn begin(&self, ctx: &TenantCtx, start: &Start<'_>) -> Result<Begun, ConnectError> {
        let Start { integration, account, site, redirect_uri, browser, link } = *start;
        let mounted = self.registry.integrations.get(integration).ok_or(ConnectError::NotOffered)?;
        let oauth = mounted.provider.auth.oauth().ok_or(ConnectError::NotOffered)?;
        let authorize = mounted.endpoints(site).and_then(|e| e.authorize.clone()).ok_or(ConnectError::NotOffered)?;
        let app = self.vault.app(ctx, integration).await?.ok_or(ConnectError::NoApp)?;
        let (state, verifier) = (crate::token::random(&*self.rng, 43)?, crate::token::random(&*self.rng, 64)?);
        let pending = Pending {
            integration: integration.to_owned(),
            account: account.as_str().to_owned(),
            site: site.map(str::to_owned),
            redirect_uri: redirect_uri.to_owned(),
            browser: digest(browser),
            verifier: verifier.clone(),
            link: link.map(str::to_owned),
        };
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(&pending).unwrap_or_default());
        let (id, now) = (digest(&state), self.clock.wall_ms());
        let (sealed, version) = self.vault.seal_note(ctx, &id, &plain).await?;
        let row = ConnectStateRow { tenant: ctx.tenant().clone(), sealed, version, expires_ms: now + LIFE_MS };
        self.store.add_connect_state(&id, &row, now).await?;

        let here = || self.url(&format!("/sandbox/{integration}{}", authorize.path()));
        let mut url = self.sandboxed.then(here).flatten().unwrap_or(authorize.clone());
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &app.client_id)
                .append_pair("redirect_uri", redirect_uri)
                .append_pair("state", &state);
            let scopes: Vec<&str> = oauth.scopes.split_whitespace().collect();
            if !scopes.is_empty() {
                query.append_pair("scope", &scopes.join(oauth.scope_separator));
            }
            if oauth.pkce {
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
                query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
            }
            query.extend_pairs(oauth.authorize_params);
            if let (true, Some(host)) = (self.sandboxed, authorize.host_str()) {
                query.append_pair(SANDBOX_HOST, host);
            }
        }
        Ok(Begun { authorize_url: url, state: Secret::new(state.into_bytes()) })
    }

    /// Ends a consent: exchanges the code, once, and stores the connection.
    pub async fn finish(&self, callback: &Callback<'_>) -> Result<Finished, ConnectError> {
        let id = digest(callback.param("state").ok_or(ConnectError::UnknownState)?);
        let row = self.store.take_connect_state(&id).await?.ok_or(ConnectError::UnknownState)?;
        if row.expires_ms <= self.clock.wall_ms() {
            return Err(ConnectError::UnknownState);
        }
        let ctx = TenantCtx::for_operator(row.tenant);
        let plain = self.vault.open_note(&ctx, &id, row.version, &row.sealed).await?;
        let pending: Pending = serde_json::from_slice(&plain).map_err(|_| ConnectError::Unavailable)?;
        if !bool::from(digest(callback.browser).as_bytes().ct_eq(pending.browser.as_bytes())) {
            return Err(ConnectError::OtherBrowser);
        }
        let mounted = self.registry.integrations.get(&pending.integration).ok_or(ConnectError::NotOffered)?;
        if mounted.provider.auth.oauth().is_some_and(|oauth| oauth.signed_callback) {
            self.signed(&ctx, &pending, callback).await?;
        }
        match callback.param("error") {
            None => {}
            Some("access_denied" | "user_cancelled_login" | "user_cancelled_authorize") => {
                return Err(ConnectError::Denied);
            }
            Some(_) => return Err(ConnectError::Refused),
        }
        let code = Secret::from(callback.param("code").ok_or(ConnectError::Denied)?);
        let credential = self.exchange(&ctx, mounted, &pending, &code).await?;
        let account = Account::parse(&pending.account).map_err(|_| ConnectError::Unavailable)?;
        let life = life_of(mounted, &credential, self.clock.wall_ms());
        let link = pending.link.as_deref().map(digest);
        if let Some(link) = &link
            && !self.store.move_link(link, &pending.browser, Stage::Open, Stage::Choosing).await?
        {
            self.discard(&ctx, mounted, &credential).await;
            return Err(ConnectError::LinkUsed);
        }
        let stored = self.vault.put(&ctx, &pending.integration, &account, &credential, life).await;
        let needs_target = life.state == ConnectionState::NeedsTarget;
        match (&link, &stored) {
            (Some(link), Ok(())) if !needs_target => self.store.end_link(link).await?,
            (Some(link), Err(_)) => {
                self.store.move_link(link, &pending.browser, Stage::Choosing, Stage::Open).await?;
            }
            _ => {}
        }
        stored?;
        Ok(Finished { integration: pending.integration, link: pending.link, needs_target })
    }

    /// That the callback is signed with the app's secret, and for the host that the person named.
    async fn signed(&self, ctx: &TenantCtx, pending: &Pending, callback: &Callback<'_>) -> Result<(), ConnectError> {
        let app = self.vault.app(ctx, &pending.integration).await?.ok_or(ConnectError::NoApp)?;
        let now_s = self.clock.wall_ms() / 1_000;
        let good = callback_hmac::verify(callback.query, &app.client_secret, now_s)
            && callback.param("shop") == pending.site.as_deref();
        if good { Ok(()) } else { Err(ConnectError::Forged) }
    }

    /// Revokes tokens that are not stored (RFC 7009). Best effort.
    async fn discard(&self, ctx: &TenantCtx, mounted: &Mounted, credential: &Credential) {
        let endpoints = mounted.endpoints(credential.site.as_deref());
        let (Some(oauth), Some(url), Some(token)) = (
            mounted.provider.auth.oauth(),
            endpoints.and_then(|endpoints| endpoints.revoke.clone()),
            credential.tokens().and_then(|tokens| tokens.refresh.as_ref()),
        ) else {
            return;
        };
        let Ok(Some(app)) = self.vault.app(ctx, &mounted.instance).await else { return };
        let request = token::revoke_request(oauth, &mounted.instance, &url, &app, token, self.timing.token_timeout);
        if let Some(request) = request {
            let _ = self.send.send(request).await;
        }
    }

    async fn exchange(
        &self,
        ctx: &TenantCtx,
        mounted: &Mounted,
        pending: &Pending,
        code: &Secret,
    ) -> Result<Credential, ConnectError> {
        let oauth = mounted.provider.auth.oauth().ok_or(ConnectError::NotOffered)?;
        let endpoints = mounted.endpoints(pending.site.as_deref()).ok_or(ConnectError::NotOffered)?;
        let endpoint = endpoints.token.as_ref().ok_or(ConnectError::NotOffered)?;
        let app = self.vault.app(ctx, &mounted.instance).await?.ok_or(ConnectError::NoApp)?;
        let verifier = Secret::from(pending.verifier.as_str());
        let verifier = oauth.pkce.then_some(&verifier);
        let grant = Grant::Code { code, redirect_uri: &pending.redirect_uri, verifier };
        let request = token::request(oauth, &mounted.instance, endpoint, &app, &grant, self.timing.token_timeout)
            .ok_or(ConnectError::NoApp)?;
        let issued_ms = self.clock.wall_ms();
        let response = self
            .send
            .send(request)
            .await
            .map_err(|_| ConnectError::NoTokens("the authorization server cannot be reached"))?;
        let answer = token::read(&response, issued_ms).map_err(|refusal| match refusal {
            Refusal::Dead(_) => ConnectError::NoTokens("the authorization server does not accept the code"),
            Refusal::Misconfigured(reason) | Refusal::Later { reason, .. } => ConnectError::NoTokens(reason),
        })?;
        let granted = answer.scopes.clone();
        let hosts = hosts_of(mounted, pending.site.as_deref());
        let empty = Credential { site: pending.site.clone(), ..Credential::new(hosts, Kind::OAuth(Tokens::default())) };
        let credential = token::renewed(&empty, answer, issued_ms);
        // People can untick what they do not like. An answer without scopes means that all were granted (RFC 6749 §5.1).
        let granted = granted.unwrap_or_else(|| oauth.scopes.split_whitespace().map(str::to_owned).collect());
        let missing: Vec<String> = oauth
            .scopes
            .split_whitespace()
            .filter(|scope| !granted.iter().any(|one| one == scope))
            .map(str::to_owned)
            .collect();
        if missing.is_empty() {
            return Ok(credential);
        }
        self.discard(ctx, mounted, &credential).await;
        Err(ConnectError::MissingScopes(missing))
    }
}

/// The hosts that a credential of this integration may be sent to.
pub(crate) fn hosts_of(mounted: &Mounted, site: Option<&str>) -> Vec<String> {
    let Some(endpoints) = mounted.endpoints(site) else { return Vec::new() };
    let urls = [Some(&endpoints.api), endpoints.token.as_ref(), endpoints.revoke.as_ref()];
    let mut hosts: Vec<String> = urls.into_iter().flatten().map(host_label).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// What a new credential means for its connection.
pub(crate) fn life_of(mounted: &Mounted, credential: &Credential, now: i64) -> Life {
    let shape = &mounted.provider.auth;
    let waits = mounted.provider.targets.is_some() && credential.target.is_none();
    let state = if waits { ConnectionState::NeedsTarget } else { ConnectionState::Active };
    Life { state, refresh_at_ms: life::sweep_ms(shape, credential, now), ends_ms: life::ends_ms(shape, credential) }
}

/// What the store knows a secret text by.
pub(crate) fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}
