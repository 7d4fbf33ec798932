// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Refresh, exactly once. Whatever wants a connection renewed (a call, the sweep) joins one flight in this process; the
//! flight takes the connection's lease, reads the row again, asks the token endpoint once, and commits what came back
//! before anybody uses it.
//!
//! What can be lost: the process dies, or is stopped for longer than its lease, between the provider's answer and our
//! commit. The next holder then tries the old refresh token once; a provider that rotates refuses it, and the connection
//! says `needs_reconnect`. Nothing else loses a credential: not a store that fails (the pair is kept in memory and
//! written again), not an answer that cannot be read, not a cancelled caller, not a second replica.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};

use super::Outcome;
use super::executor::host_label;
use super::lease::{Lease, Leases};
use super::life::{self, Readiness};
use super::provider::AuthShape;
use super::token::{self, Answer, Grant, Refusal};
use crate::flight::{Flight, Flights};
use crate::inbound::TenantCtx;
use crate::observe::{Alarm, AlarmEvent, RefreshEvent};
use crate::ports::{Clock, HttpRequest, HttpResponse, HttpSend, Rng, SendError, Sleep, Spawn, Telemetry};
use crate::registry::Mounted;
use crate::store::Store;
use crate::store::connections::{ConnectionRow, ConnectionState, Key};
use crate::tenant::TenantId;
use crate::vault::credential::{Credential, Fingerprint, Kind, fingerprint};
use crate::vault::{App, Vault, VaultError};

/// Another look at a row that somebody else refreshes.
const POLL: Duration = Duration::from_millis(25);
const LONGEST_POLL: Duration = Duration::from_millis(250);
/// After a failure the provider is left alone for this long, twice as long after each further one.
const BACK_OFF_MS: i64 = 1_000;
const LONGEST_BACK_OFF_MS: i64 = 300_000;
/// A pair that could not be written is kept and written again for this long.
const KEEP_TRYING_US: i64 = 600_000_000;

/// How long the parts of a refresh may take. The lease must outlive the token endpoint's time-out.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a holder that says nothing is believed to be at work.
    pub lease: Duration,
    /// How long the token endpoint may take.
    pub token_timeout: Duration,
    /// How long a caller waits for somebody else's refresh.
    pub wait: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(30), token_timeout: seconds(10), wait: seconds(12) }
    }
}

/// Why a refresh is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// By the clock: due or expired.
    Clock,
    /// The upstream refused the token with this fingerprint.
    Rejected(Fingerprint),
    /// The sweep's turn.
    Sweep,
}

/// Why there are no new tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefreshError {
    /// The connection is not there any more.
    Gone,
    /// A person has to connect again.
    Dead,
    /// There is no app for it.
    NoApp,
    /// The owner's app or the provider's data are wrong.
    Misconfigured(&'static str),
    /// The provider is left alone for these milliseconds more.
    CoolingDown(i64),
    /// The token endpoint gave nothing; try again later.
    Later(&'static str),
    /// Somebody else is at it and takes longer than a caller waits.
    Busy,
    /// The store or the vault does not answer.
    Unavailable,
}

impl RefreshError {
    /// The name in traces and metrics.
    pub(crate) const fn class(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Dead => "dead",
            Self::NoApp => "no_app",
            Self::Misconfigured(_) => "misconfigured",
            Self::CoolingDown(_) => "cooling_down",
            Self::Later(_) => "later",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<VaultError> for RefreshError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Rejected | VaultError::Shredded => Self::Dead,
            _ => Self::Unavailable,
        }
    }
}

impl From<crate::ports::SqlError> for RefreshError {
    fn from(_: crate::ports::SqlError) -> Self {
        Self::Unavailable
    }
}

type FlightKey = (TenantId, String, String);

/// Renews connections.
pub struct Refresher {
    pub(crate) store: Arc<Store>,
    pub(crate) vault: Arc<Vault>,
    send: Arc<dyn HttpSend>,
    clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
    spawn: Arc<dyn Spawn>,
    rng: Arc<dyn Rng>,
    telemetry: Arc<dyn Telemetry>,
    timing: Timing,
    leases: Leases,
    /// Apps that an authorization server refuses.
    refused_apps: Mutex<HashSet<AppKey>>,
    flights: Arc<Flights<FlightKey, Result<(), RefreshError>>>,
}

/// Integration, client id and version of an app.
type AppKey = (String, String, i64);

fn app_key(integration: &Mounted, app: &App) -> AppKey {
    (integration.instance.clone(), app.client_id.clone(), app.version)
}

/// What a refresher works with.
pub(crate) struct RefreshPorts {
    pub(crate) send: Arc<dyn HttpSend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sleep: Arc<dyn Sleep>,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) telemetry: Arc<dyn Telemetry>,
}

impl Refresher {
    pub(crate) fn new(store: Arc<Store>, vault: Arc<Vault>, ports: RefreshPorts, timing: Timing) -> Self {
        let RefreshPorts { send, clock, sleep, spawn, rng, telemetry } = ports;
        let (leases, flights) = (Leases::new(timing.lease), Arc::new(Flights::new()));
        let refused_apps = Mutex::default();
        Self { store, vault, send, clock, sleep, spawn, rng, telemetry, timing, leases, refused_apps, flights }
    }

    /// Refreshes under way. A host that stops waits for them: each may hold a pair that is nowhere else yet.
    pub fn under_way(&self) -> usize {
        self.flights.count()
    }

    /// Begins a refresh, or joins the one under way.
    pub(crate) fn begin(
        self: &Arc<Self>,
        ctx: &TenantCtx,
        integration: &Arc<Mounted>,
        account: &str,
        cause: Cause,
    ) -> Flight<Result<(), RefreshError>> {
        let key = (ctx.tenant().clone(), integration.instance.clone(), account.to_owned());
        let work = || -> crate::ports::BoxFuture<'static, _> {
            let (this, ctx, integration, account) =
                (self.clone(), ctx.clone(), integration.clone(), account.to_owned());
            Box::pin(async move { this.fly(&ctx, &integration, &account, cause).await })
        };
        self.flights.launch(key, &*self.spawn, work)
    }

    /// Refreshes and waits for the end, within bounds.
    pub(crate) async fn refresh(
        self: &Arc<Self>,
        ctx: &TenantCtx,
        integration: &Arc<Mounted>,
        account: &str,
        cause: Cause,
    ) -> Result<(), RefreshError> {
        let flight = self.begin(ctx, integration, account, cause);
        self.within(self.timing.wait + self.timing.token_timeout, flight).await.unwrap_or(Err(RefreshError::Busy))
    }

    /// `work`, unless `limit` passes first.
    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T> + Unpin) -> Option<T> {
        match select(work, self.sleep.sleep(limit)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(((), _)) => None,
        }
    }

    async fn fly(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        account: &str,
        cause: Cause,
    ) -> Result<(), RefreshError> {
        let began = self.clock.monotonic_us();
        let mut poll = POLL;
        loop {
            let key = Key { ctx, integration: &integration.instance, account };
            let row = self.store.connection(&key).await?.ok_or(RefreshError::Gone)?;
            match row.state {
                ConnectionState::NeedsReconnect => {
                    self.vault.forget(ctx);
                    return Err(RefreshError::Dead);
                }
                ConnectionState::Misconfigured => {
                    self.vault.forget(ctx);
                    return Err(RefreshError::Misconfigured("the owner's app is missing or wrong"));
                }
                ConnectionState::Active | ConnectionState::NeedsTarget => {}
            }
            let credential = self.vault.open_row(ctx, &row).await?;
            if !self.needed(&integration.provider.auth, &row, &credential, cause) {
                // Somebody else has done it: what is cached here is older.
                self.leases.forget(ctx, &row);
                self.vault.forget(ctx);
                return Ok(());
            }
            let now = self.clock.wall_ms();
            if let Some(retry_at) = row.retry_at_ms.filter(|at| *at > now) {
                return Err(RefreshError::CoolingDown((retry_at - now).min(LONGEST_BACK_OFF_MS)));
            }
            let owner = crate::token::random(&*self.rng, 16).map_err(|_| RefreshError::Unavailable)?;
            if let Some(lease) = self.leases.take(&self.store, &*self.clock, ctx, &row, owner).await? {
                let led = self.lead(ctx, integration, row, credential, lease).await;
                let outcome = led.as_ref().map_or_else(RefreshError::class, |()| "ok");
                self.telemetry.refreshed(&RefreshEvent { integration: &integration.instance, outcome });
                return led;
            }
            let waited = Duration::from_micros((self.clock.monotonic_us() - began).unsigned_abs());
            if waited >= self.timing.wait {
                return Err(RefreshError::Busy);
            }
            self.sleep.sleep(poll).await;
            poll = (poll * 2).min(LONGEST_POLL);
        }
    }

    /// Whether `cause` still holds for what the row has now.
    fn needed(&self, shape: &AuthShape, row: &ConnectionRow, credential: &Credential, cause: Cause) -> bool {
        let now = self.clock.wall_ms();
        let stale = || life::readiness(shape, credential, row.version, now) != Readiness::Ready;
        match cause {
            Cause::Clock => stale(),
            Cause::Rejected(print) => credential.bearer().is_none_or(|secret| fingerprint(secret) == print),
            Cause::Sweep => row.refresh_at_ms.is_some_and(|at| at <= now) || stale(),
        }
    }

    /// The holder of the lease asks, and commits what comes back.
    async fn lead(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        row: ConnectionRow,
        credential: Credential,
        lease: Lease,
    ) -> Result<(), RefreshError> {
        let app = match self.vault.app(ctx, &integration.instance).await {
            Ok(Some(app)) => app,
            Ok(None) => {
                self.store.release_lease(ctx, &row, &lease.owner, None).await?;
                return Err(RefreshError::NoApp);
            }
            Err(error) => {
                self.store.release_lease(ctx, &row, &lease.owner, None).await?;
                return Err(error.into());
            }
        };
        let mut app = app;
        let mut asked = self.ask(integration, &credential, &app, &lease).await;
        if matches!(asked, Ok(Err(Refusal::Misconfigured(_))))
            && let Some(newer) = self.newer_app(ctx, integration, &app).await
        {
            app = newer;
            asked = self.ask(integration, &credential, &app, &lease).await;
        }
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                self.store.release_lease(ctx, &row, &lease.owner, None).await?;
                return Err(error);
            }
        };
        match answer {
            Ok((answer, issued_ms)) => {
                self.refused().remove(&app_key(integration, &app));
                self.commit(ctx, integration, row, &credential, answer, issued_ms, &lease).await
            }
            Err(Refusal::Dead(reason)) => self.dead(ctx, integration, &row, &credential, &lease, reason).await,
            Err(Refusal::Misconfigured(reason)) => {
                self.misconfigured(ctx, integration, &row, &credential, &app, &lease, reason).await
            }
            Err(Refusal::Later { after_ms, reason }) => {
                let wait = self.back_off_ms(row.failures).max(after_ms.unwrap_or(0));
                self.store.release_lease(ctx, &row, &lease.owner, Some(self.clock.wall_ms() + wait)).await?;
                self.vault.forget(ctx);
                Err(RefreshError::Later(reason))
            }
        }
    }

    /// Asks the token endpoint: what it gave and when the request began, on the wall clock as it is afterwards.
    async fn ask(
        &self,
        integration: &Mounted,
        credential: &Credential,
        app: &App,
        lease: &Lease,
    ) -> Result<Result<(Answer, i64), Refusal>, RefreshError> {
        let request = self
            .request(integration, credential, app)
            .ok_or(RefreshError::Misconfigured("the credential may not be sent to the token endpoint"))?;
        // This process may have been stopped since it took the lease. What is sent now must end before another may begin.
        if !lease.lasts(&*self.clock, self.timing.token_timeout) {
            return Err(RefreshError::Busy);
        }
        let sent_us = self.clock.monotonic_us();
        let asked = self.within(self.timing.token_timeout, self.send.send(request)).await;
        let answer = self.verdict(integration, credential, asked);
        // A step of the wall clock meanwhile does not make the token older or younger.
        let issued_ms = self.clock.wall_ms() - (self.clock.monotonic_us() - sent_us) / 1_000;
        Ok(answer.map(|answer| (answer, issued_ms)))
    }

    /// The app, if somebody has set another one than `used`, which may have been read seconds ago.
    async fn newer_app(&self, ctx: &TenantCtx, integration: &Mounted, used: &App) -> Option<App> {
        self.vault.forget_apps(&integration.instance);
        let now = self.vault.app(ctx, &integration.instance).await.ok().flatten();
        now.filter(|now| (now.version, &now.client_id) != (used.version, &used.client_id))
    }

    /// The authorization server refuses the app. That is its owner's business: the connection waits, and nobody has to
    /// consent again.
    #[allow(clippy::too_many_arguments, reason = "one refresh, its parts side by side")]
    async fn misconfigured(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        row: &ConnectionRow,
        credential: &Credential,
        app: &App,
        lease: &Lease,
        reason: &'static str,
    ) -> Result<(), RefreshError> {
        // Once for an app, not once for each of its connections.
        if self.refused().insert(app_key(integration, app)) {
            self.alarm(Alarm::AppRejected, ctx, row);
        }
        let now = self.clock.wall_ms();
        let readiness = life::readiness(&integration.provider.auth, credential, row.version, now);
        let usable = matches!(readiness, Readiness::Ready | Readiness::Due);
        if usable || row.state == ConnectionState::NeedsTarget {
            // What we have is good for some time yet, or not in use yet; the owner may mend the app until then.
            let retry_at = now + LONGEST_BACK_OFF_MS.min(self.back_off_ms(row.failures));
            self.store.release_lease(ctx, row, &lease.owner, Some(retry_at)).await?;
            self.vault.forget(ctx);
        } else if !self.vault.mark(ctx, row, ConnectionState::Misconfigured, reason).await? {
            self.store.release_lease(ctx, row, &lease.owner, None).await?;
        } else if self.newer_app(ctx, integration, app).await.is_some() {
            // It was set between our question and our note, and did not find the connection waiting.
            self.store.revive_misconfigured(Some(ctx.tenant()), &integration.instance, now).await?;
            self.vault.forget(ctx);
        }
        Err(RefreshError::Misconfigured(reason))
    }

    /// The apps that are known to be refused.
    fn refused(&self) -> MutexGuard<'_, HashSet<AppKey>> {
        self.refused_apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request that renews `credential`. `None` if the credential may not be sent where it would go.
    fn request(&self, integration: &Mounted, credential: &Credential, app: &App) -> Option<HttpRequest> {
        let endpoint = integration.endpoints(credential.site.as_deref())?.token.clone()?;
        if !credential.permits(&host_label(&endpoint)) {
            return None;
        }
        let (instance, timeout) = (&integration.instance, self.timing.token_timeout);
        match (&integration.provider.auth, &credential.kind) {
            (AuthShape::SystemUser(user), Kind::LongLived(token)) => {
                token::exchange_request(&user.exchange?, instance, &endpoint, app, &token.secret, timeout)
            }
            (shape, Kind::OAuth(tokens)) => {
                let grant = Grant::Refresh(tokens.refresh.as_ref()?);
                token::request(shape.oauth()?, instance, &endpoint, app, &grant, timeout)
            }
            _ => None,
        }
    }

    fn verdict(
        &self,
        integration: &Mounted,
        credential: &Credential,
        asked: Option<Result<HttpResponse, SendError>>,
    ) -> Result<Answer, Refusal> {
        let later = |reason| Err(Refusal::Later { after_ms: None, reason });
        let response = match asked {
            Some(Ok(response)) => response,
            Some(Err(SendError::Refused)) => {
                return Err(Refusal::Misconfigured(
                    "the token endpoint has an address that this server does not send to",
                ));
            }
            Some(Err(SendError::Connect)) => return later("the authorization server cannot be reached"),
            Some(Err(SendError::Timeout)) | None => return later("the authorization server did not answer in time"),
            Some(Err(SendError::Broken)) => return later("the connection to the authorization server broke"),
            Some(Err(SendError::TooLarge)) => return later("the authorization server answered too much"),
        };
        let now = self.clock.wall_ms();
        // A long-lived token is exchanged at the API itself, which says no in its own way.
        if matches!(credential.kind, Kind::LongLived(_))
            && matches!(integration.provider.outcome(&response, now), Outcome::AuthDead | Outcome::AuthExpired)
        {
            return Err(Refusal::Dead("the provider no longer accepts the token"));
        }
        token::read(&response, now)
    }

    /// The provider says that the refresh token is dead. A replica may have renewed it a moment ago and this one used the
    /// old one: what the row says now decides. Another form of the same credential is as dead.
    async fn dead(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        row: &ConnectionRow,
        old: &Credential,
        lease: &Lease,
        reason: &'static str,
    ) -> Result<(), RefreshError> {
        let key = Key { ctx, integration: &integration.instance, account: &row.account };
        let now = self.store.connection(&key).await?.ok_or(RefreshError::Gone)?;
        if now.version != row.version && !self.vault.open_row(ctx, &now).await?.renews_like(old) {
            self.vault.forget(ctx);
            return Ok(());
        }
        if self.vault.mark(ctx, &now, ConnectionState::NeedsReconnect, reason).await? {
            self.alarm(Alarm::ReconnectNeeded, ctx, row);
        } else {
            self.store.release_lease(ctx, row, &lease.owner, None).await?;
        }
        Err(RefreshError::Dead)
    }

    /// Writes the new tokens. Until that has succeeded nobody sees them; while it fails they are kept here, because the
    /// provider may have forgotten the old ones already.
    #[allow(clippy::too_many_arguments, reason = "one refresh, its parts side by side")]
    async fn commit(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        mut row: ConnectionRow,
        old: &Credential,
        answer: Answer,
        issued_ms: i64,
        lease: &Lease,
    ) -> Result<(), RefreshError> {
        let mut new = token::renewed(old, answer, issued_ms);
        let (began, mut pause, mut alarmed) = (self.clock.monotonic_us(), POLL, false);
        loop {
            match self.try_commit(ctx, integration, &row, &new, lease).await {
                Ok(true) => {
                    self.vault.forget(ctx);
                    return Ok(());
                }
                // A tenant without a data key is deleted, and its connections with it.
                Ok(false) | Err(VaultError::Shredded) => {
                    match self.displaced(ctx, integration, &row, old, &new, lease).await {
                        Ok(Some((current, merged))) => {
                            (row, new) = (current, merged);
                            continue;
                        }
                        Ok(None) => return Ok(()),
                        Err(RefreshError::Unavailable) => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(_) => {}
            }
            if !std::mem::replace(&mut alarmed, true) {
                self.alarm(Alarm::RefreshUnsaved, ctx, &row);
            }
            if self.clock.monotonic_us() - began > KEEP_TRYING_US {
                return Err(RefreshError::Unavailable);
            }
            self.sleep.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn try_commit(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        row: &ConnectionRow,
        new: &Credential,
        lease: &Lease,
    ) -> Result<bool, VaultError> {
        let shape = &integration.provider.auth;
        let renewed = ConnectionRow {
            reason: None,
            refresh_at_ms: life::sweep_ms(shape, new, self.clock.wall_ms()),
            ends_ms: life::ends_ms(shape, new),
            ..row.clone()
        };
        let (sealed, dek_id) = self.vault.seal_into(ctx, &renewed, new).await?;
        Ok(self.store.commit_refresh(ctx, &sealed, row.version, &lease.owner, &dek_id).await?)
    }

    /// The row is not the one that was read. If it holds the new tokens already, an earlier attempt was written and not
    /// heard of. If it is the same credential in another form (another target, another data key) and the lease is still
    /// ours, the new tokens go into that. If the connection was replaced or removed they are discarded, and revoked where
    /// the provider offers that. If another replica has overtaken us they are discarded alone: to revoke them would end
    /// what that one got from the same grant.
    async fn displaced(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        row: &ConnectionRow,
        old: &Credential,
        new: &Credential,
        lease: &Lease,
    ) -> Result<Option<(ConnectionRow, Credential)>, RefreshError> {
        let key = Key { ctx, integration: &integration.instance, account: &row.account };
        let current = self.store.connection(&key).await?;
        self.vault.forget(ctx);
        let Some(current) = current else {
            self.revoke(ctx, integration, new).await;
            return Err(RefreshError::Gone);
        };
        if current.version == row.version {
            self.alarm(Alarm::LeaseLost, ctx, row);
            return Err(RefreshError::Busy);
        }
        let mut stored = self.vault.open_row(ctx, &current).await?;
        if stored.bearer().map(fingerprint) == new.bearer().map(fingerprint) {
            return Ok(None);
        }
        if current.grant_version != row.grant_version {
            // The result of this refresh is revoked, and never the token it began with: some providers end a whole consent
            // with it, also the one that has just been given anew.
            if !new.renews_like(old) && !new.renews_like(&stored) {
                self.revoke(ctx, integration, new).await;
            }
            return Ok(None);
        }
        if current.lease_owner.as_deref() != Some(&lease.owner) || !stored.renews_like(old) {
            self.alarm(Alarm::LeaseLost, ctx, row);
            return Err(RefreshError::Busy);
        }
        match (&mut stored.kind, &new.kind) {
            (Kind::OAuth(tokens), Kind::OAuth(fresh)) => *tokens = fresh.clone(),
            (Kind::LongLived(token), Kind::LongLived(fresh)) => *token = fresh.clone(),
            _ => return Err(RefreshError::Gone),
        }
        Ok(Some((current, stored)))
    }

    /// Revokes tokens that nobody will use (RFC 7009). Best effort: they end by themselves as well.
    async fn revoke(&self, ctx: &TenantCtx, integration: &Mounted, credential: &Credential) {
        let endpoints = integration.endpoints(credential.site.as_deref());
        let (Some(url), Some(token), Some(oauth)) = (
            endpoints.and_then(|endpoints| endpoints.revoke.clone()),
            credential.tokens().and_then(|tokens| tokens.refresh.as_ref()),
            integration.provider.auth.oauth(),
        ) else {
            return;
        };
        let Ok(Some(app)) = self.vault.app(ctx, &integration.instance).await else { return };
        let request = token::revoke_request(oauth, &integration.instance, &url, &app, token, self.timing.token_timeout);
        if let Some(request) = request.filter(|request| credential.permits(&host_label(&request.url))) {
            let _ = self.within(self.timing.token_timeout, self.send.send(request)).await;
        }
    }

    /// How long the provider is left alone after one more failure, with up to a quarter more at random.
    fn back_off_ms(&self, failures: i64) -> i64 {
        let base = BACK_OFF_MS.saturating_mul(1 << failures.clamp(0, 16)).min(LONGEST_BACK_OFF_MS);
        let mut byte = [0];
        // Without randomness all wait the same.
        let _ = self.rng.fill(&mut byte);
        base + base / 4 * i64::from(byte[0]) / 255
    }

    /// A fresh token was refused as well: the provider is not asked for another one for some time.
    pub(crate) async fn hold_off(&self, ctx: &TenantCtx, row: &ConnectionRow) {
        let retry_at = self.clock.wall_ms() + 30_000;
        // If the note cannot be written, the next call finds out for itself.
        let _ = self.store.hold_off(ctx, row, retry_at).await;
        self.vault.forget(ctx);
    }

    /// The upstream refused a credential that nothing renews.
    pub(crate) async fn mark_dead(&self, ctx: &TenantCtx, row: &ConnectionRow, reason: &str) {
        if self.vault.mark(ctx, row, ConnectionState::NeedsReconnect, reason).await == Ok(true) {
            self.alarm(Alarm::ReconnectNeeded, ctx, row);
        }
    }

    fn alarm(&self, alarm: Alarm, ctx: &TenantCtx, row: &ConnectionRow) {
        let (tenant, integration, account) = (ctx.tenant(), row.integration.as_str(), row.account.as_str());
        self.telemetry.alarm(&AlarmEvent { alarm, tenant, integration, account });
    }
}
