// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The one executor: choose the connection → open its record → renew it if need be → check the host → sign → ask the breakers
//! → send → tell them → classify → perhaps once more. It is the only place where a secret meets a request, and the only one
//! that decides what an upstream's no means.
//!
//! A call sends at most four requests: the first; one more, once, after an answer that says nothing was done since the token
//! was refused; and two more after failures of a request that may be repeated, if [`retry`] agrees. It never refreshes twice.
//! Each of them needs a yes of both breakers, and while one is open none leaves.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::life::{self, Readiness};
use super::provider::Target;
use super::refresh::{Cause, RefreshError, Refresher};
use super::request::{Draft, Wire, set_header};
use super::{Outcome, exact, refusal, retry, sign, throttle};
use crate::breaker::{Breakers, Denied, Permit, ThrottleScope, Verdict, Who};
use crate::cache::Cache;
use crate::call::Call;
use crate::error::{ErrorKind, ToolError};
use crate::inbound::TenantCtx;
use crate::observe::names;
use crate::observe::trace::{Kind, Open, Trace};
use crate::ports::{Clock, HttpRequest, HttpResponse, HttpSend, Rng, SendError, Sleep};
use crate::registry::Mounted;
use crate::store::connections::{ConnectionRow, ConnectionState};
use crate::tenant::TenantId;
use crate::vault::credential::{Credential, fingerprint};
use crate::vault::{Held, Vault};

/// How long it is believed whose app a tenant uses: it only decides which breaker is asked.
const OWN_APP_US: i64 = 300_000_000;

/// Sends the requests of all integrations.
pub struct Executor {
    vault: Arc<Vault>,
    refresher: Arc<Refresher>,
    breakers: Arc<Breakers>,
    budgets: retry::Budgets,
    own_apps: Cache<(TenantId, String), bool>,
    send: Arc<dyn HttpSend>,
    clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
    rng: Arc<dyn Rng>,
    max_response_bytes: usize,
    server: &'static str,
}

/// Whose request it is, for what, and until when.
struct Errand<'a> {
    ctx: &'a TenantCtx,
    integration: &'a Arc<Mounted>,
    deadline_us: i64,
    /// Which of several connections.
    account: Option<&'a str>,
    /// Lists of targets are asked for while none is chosen yet.
    untargeted: bool,
    /// Where it leaves its spans; the operator's own errands leave none.
    trace: Option<&'a Trace>,
}

impl Errand<'_> {
    fn span(&self, name: &'static str) -> Option<Open> {
        Some(self.trace?.span(Kind::Internal, name))
    }
}

/// What a call has done so far.
#[derive(Default)]
struct Tries {
    refreshed: bool,
    /// Requests that left.
    sent: u32,
    repeats: u32,
    waited_us: i64,
}

/// A request that is out. Dropped when the call's time is over, it counts as one that the upstream did not answer; dropped
/// earlier, its client has left, and that is no fault of the upstream's.
struct Sent<'a> {
    permit: Option<Permit>,
    clock: &'a dyn Clock,
    deadline_us: i64,
}

impl Sent<'_> {
    /// Returns how long the next one would have to wait, if it would.
    fn came_to(mut self, verdict: Verdict, scope: ThrottleScope) -> Option<Denied> {
        self.permit.take()?.tell(verdict, scope, self.clock.monotonic_us())
    }

    /// Nothing was sent after all.
    fn did_not_leave(mut self) {
        drop(self.permit.take());
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let now_us = self.clock.monotonic_us();
        if let Some(permit) = self.permit.take().filter(|_| now_us >= self.deadline_us) {
            permit.tell(Verdict::Failed, ThrottleScope::Unsaid, now_us);
        }
    }
}

fn errand(call: &Call) -> Errand<'_> {
    let (ctx, integration, account) = (&call.0.tenant, &call.0.integration, call.0.account.as_deref());
    Errand { ctx, integration, deadline_us: call.0.deadline_us, account, untargeted: false, trace: Some(&call.0.trace) }
}

impl Executor {
    /// `server` is the name of the binary, for the commands in hints.
    #[allow(clippy::too_many_arguments, reason = "the parts of an executor, each once")]
    pub(crate) fn new(
        refresher: Arc<Refresher>,
        breakers: Arc<Breakers>,
        send: Arc<dyn HttpSend>,
        clock: Arc<dyn Clock>,
        sleep: Arc<dyn Sleep>,
        rng: Arc<dyn Rng>,
        max_response_bytes: usize,
        server: &'static str,
    ) -> Self {
        let (vault, budgets) = (refresher.vault.clone(), retry::Budgets::default());
        let own_apps = Cache::new(10_000, OWN_APP_US);
        Self { vault, refresher, breakers, budgets, own_apps, send, clock, sleep, rng, max_response_bytes, server }
    }

    pub(crate) async fn execute(&self, call: &Call, draft: Draft) -> Result<HttpResponse, ToolError> {
        let untargeted = draft.untargeted;
        self.run(&Errand { untargeted, ..errand(call) }, draft).await
    }

    /// What requests of the connection (`ctx`, `integration`, `account`) can be for. Empty where nothing is chosen.
    pub(crate) async fn targets(
        &self,
        ctx: &TenantCtx,
        integration: &Arc<Mounted>,
        account: &str,
    ) -> Result<Vec<Target>, ToolError> {
        let Some(targets) = &integration.provider.targets else { return Ok(Vec::new()) };
        let deadline_us = self.clock.monotonic_us() + 30_000_000;
        let errand = Errand { ctx, integration, deadline_us, account: Some(account), untargeted: true, trace: None };
        let response = self.run(&errand, Draft::get(targets.path).with_query(targets.query)).await?;
        let list = exact::parse(&response.body)
            .map_err(|_| ToolError::upstream(format!("{} answered in an unknown form", integration.provider.title)))?;
        Ok((targets.discover)(&list))
    }

    /// What the requests of `call` are for.
    pub(crate) async fn target(&self, call: &Call) -> Result<String, ToolError> {
        let errand = errand(call);
        let Errand { ctx, integration, .. } = errand;
        let rows = self.vault.connections(ctx, &integration.instance).await.map_err(refusal::of_vault)?;
        let held = self.choose(&rows, &errand)?;
        let credential = self.vault.open(ctx, held).await.map_err(refusal::of_vault)?;
        credential.target.ok_or_else(|| self.needs_target(ctx.tenant(), integration, &held.row))
    }

    async fn run(&self, errand: &Errand<'_>, draft: Draft) -> Result<HttpResponse, ToolError> {
        let Errand { ctx, integration, .. } = errand;
        let title = integration.provider.title;
        let mut tries = Tries::default();
        self.budgets.called(&integration.instance, self.clock.monotonic_us());
        loop {
            let mut span = errand.span(names::SPAN_VAULT);
            let rows = self.vault.connections(ctx, &integration.instance).await.map_err(refusal::of_vault);
            let rows = noted(&mut span, rows)?;
            let held = noted(&mut span, self.choose(&rows, errand))?;
            let opened = self.vault.open(ctx, held).await.map_err(refusal::of_vault);
            let mut credential = noted(&mut span, opened)?;
            close(span, None);
            if errand.untargeted {
                credential.target = None;
            } else if integration.provider.targets.is_some() && credential.target.is_none() {
                return Err(self.needs_target(ctx.tenant(), integration, &held.row));
            }
            let (shape, now) = (&integration.provider.auth, self.clock.wall_ms());
            match life::readiness(shape, &credential, held.row.version, now) {
                Readiness::Ready => {}
                Readiness::Due => {
                    // It is good for this call. Whoever comes after its end finds a new one.
                    if !cooling(held.row.retry_at_ms, self.clock.wall_ms()) {
                        drop(self.refresher.begin(ctx, integration, &held.row.account, Cause::Clock));
                    }
                }
                Readiness::Expired if !tries.refreshed => {
                    tries.refreshed = true;
                    self.refresh(errand, &held.row, Cause::Clock).await?;
                    continue;
                }
                Readiness::Expired => {
                    return Err(ToolError::unavailable("the connection could not be renewed in time"));
                }
                Readiness::Ended => {
                    self.mark_dead(ctx, &held.row, "its token has ended and cannot be renewed").await;
                    return Err(self.reconnect(ctx.tenant(), integration, &held.row));
                }
            }
            let request = self.request(errand, &draft, &credential).await?;
            let used = credential.bearer().map(fingerprint);
            let renewable = credential.tokens().is_some_and(|tokens| tokens.refresh.is_some());
            let settling_ms = life::settling_ms(shape, &credential, self.clock.wall_ms());
            drop(credential);
            let mut span = outward(errand, &draft, &request, &tries);
            let sent = match self.permit(errand, &held.row.account).await {
                Ok(sent) => sent,
                Err(error) => {
                    if let Some(span) = &mut span {
                        span.set(names::BREAKER_STATE, "open");
                    }
                    close(span, Some(error.kind().as_str()));
                    return Err(error);
                }
            };
            let is_probe = sent.permit.as_ref().is_some_and(Permit::is_probe);
            tries.sent += 1;
            let answered = self.send.send(request).await;
            told(span, is_probe, &answered);
            let response = match answered {
                Ok(response) => response,
                Err(error) => {
                    let closed = match error {
                        SendError::Refused => {
                            sent.did_not_leave();
                            None
                        }
                        // It did answer, only too much.
                        SendError::TooLarge => sent.came_to(Verdict::Fine, ThrottleScope::Unsaid),
                        SendError::Connect | SendError::Timeout | SendError::Broken => {
                            sent.came_to(Verdict::Failed, ThrottleScope::Unsaid)
                        }
                    };
                    // Where nothing was sent, or what was sent may be sent twice.
                    let again = match error {
                        SendError::Connect => true,
                        SendError::Timeout | SendError::Broken => draft.is_safe(),
                        SendError::Refused | SendError::TooLarge => false,
                    };
                    if again && closed.is_none() && self.pause(errand, &mut tries, None).await {
                        continue;
                    }
                    return Err(refusal::of_send(error, title));
                }
            };
            let outcome = integration.provider.outcome(&response, self.clock.wall_ms());
            let (verdict, scope) = match verdict(outcome) {
                (Verdict::Fine, scope) => spent(integration, &response).unwrap_or((Verdict::Fine, scope)),
                other => other,
            };
            let closed = sent.came_to(verdict, scope);
            let again = match outcome {
                Outcome::Transient => Some(None),
                Outcome::Throttled { retry_after_ms: Some(ms), .. } if ms <= retry::PATIENCE_MS => Some(Some(ms)),
                _ => None,
            };
            if let Some(asked_ms) = again.filter(|_| draft.is_safe() && closed.is_none())
                && self.pause(errand, &mut tries, asked_ms).await
            {
                continue;
            }
            match (outcome, used) {
                (Outcome::Ok, _) => return Ok(response),
                (Outcome::AuthUnsettled, _) if let Some(ms) = settling_ms => {
                    let message = format!("{title} does not know this connection's new token yet");
                    return Err(ToolError::unavailable(message).fact("retry_after_ms", ms));
                }
                (Outcome::AuthExpired | Outcome::AuthUnsettled, Some(print)) if renewable && !tries.refreshed => {
                    tries.refreshed = true;
                    self.refresh(errand, &held.row, Cause::Rejected(print)).await?;
                }
                (Outcome::AuthExpired | Outcome::AuthUnsettled, _) if renewable => {
                    self.refresher.hold_off(ctx, &held.row).await;
                    return Err(ToolError::upstream(format!("{title} refused a credential that was just renewed")));
                }
                (Outcome::AuthExpired | Outcome::AuthUnsettled | Outcome::AuthDead, _) => {
                    self.mark_dead(ctx, &held.row, "the provider refused the credential").await;
                    return Err(self.reconnect(ctx.tenant(), integration, &held.row));
                }
                (Outcome::VersionEnded, _) => return Err(self.version_ended(integration)),
                (Outcome::Throttled { retry_after_ms, .. }, _) => {
                    // Where this answer has opened a breaker, whoever comes back before it lets one pass is too early.
                    let wait_ms = closed.map(refusal::ms_of).or(retry_after_ms);
                    return Err(refusal::of_limit(title, wait_ms, self.clock.wall_ms()));
                }
                (outcome, _) => return Err(refusal::of_outcome(outcome, title, response.status)),
            }
        }
    }

    /// A yes of both breakers, or the answer of a call whose request does not leave.
    async fn permit(&self, errand: &Errand<'_>, account: &str) -> Result<Sent<'_>, ToolError> {
        let Errand { ctx, integration, deadline_us, .. } = errand;
        let own_app = self.own_app(ctx, integration).await;
        let who = Who { integration: &integration.instance, tenant: ctx.tenant().as_str(), account, own_app };
        match self.breakers.ask(&who, self.clock.monotonic_us()) {
            Ok(permit) => Ok(Sent { permit: Some(permit), clock: &*self.clock, deadline_us: *deadline_us }),
            Err(denied) => Err(refusal::of_breaker(denied, integration.provider.title, self.clock.wall_ms())),
        }
    }

    /// Whether the tenant has an app of its own there, which has limits of its own.
    async fn own_app(&self, ctx: &TenantCtx, integration: &Mounted) -> bool {
        if !integration.provider.auth.needs_app() {
            return false;
        }
        let (key, now_us) = ((ctx.tenant().clone(), integration.instance.clone()), self.clock.monotonic_us());
        if let Some(own) = self.own_apps.get(&key, now_us) {
            return own;
        }
        let ticket = self.own_apps.ticket();
        // Without the store, the call goes on under the owner's: it is the more careful of the two.
        let Ok(own) = self.vault.has_own_app(ctx, &integration.instance).await else { return false };
        self.own_apps.put(key, own, now_us, ticket);
        own
    }

    /// Waits, if the request may be sent once more: after a failure, or after a limit of which the upstream says that it ends
    /// in `asked_ms`.
    async fn pause(&self, errand: &Errand<'_>, tries: &mut Tries, asked_ms: Option<i64>) -> bool {
        let now_us = self.clock.monotonic_us();
        let wait_us = retry::wait_us(&*self.rng, tries.waited_us).max(asked_ms.unwrap_or(0).saturating_mul(1_000));
        let after = if asked_ms.is_some() { retry::After::Limit } else { retry::After::Failure };
        let in_time = now_us.saturating_add(wait_us).saturating_add(retry::LEAST_LEFT_US) <= errand.deadline_us;
        if tries.repeats >= retry::REPEATS || !in_time {
            return false;
        }
        if !self.budgets.take(&errand.integration.instance, after, now_us) {
            return false;
        }
        (tries.repeats, tries.waited_us) = (tries.repeats + 1, wait_us);
        self.sleep.sleep(Duration::from_micros(wait_us.unsigned_abs())).await;
        true
    }

    /// The signed request. Whatever a model wrote into `draft`, host and credential are not its business.
    async fn request(
        &self,
        errand: &Errand<'_>,
        draft: &Draft,
        credential: &Credential,
    ) -> Result<HttpRequest, ToolError> {
        let Errand { ctx, integration, .. } = errand;
        let provider = &integration.provider;
        let endpoints =
            integration.endpoints(credential.site.as_deref()).ok_or_else(|| self.misconfigured(integration))?;
        let boundary = crate::token::random(&*self.rng, 32).unwrap_or_default();
        let Wire { method, mut url, headers: written, body } = draft.wire(&endpoints.api, &boundary)?;
        if !credential.permits(&host_label(&url)) {
            return Err(self.host_refused(ctx.tenant(), integration));
        }
        let app = match sign::uses_app(&provider.auth) {
            true => Some(self.vault.app(ctx, &integration.instance).await.map_err(refusal::of_vault)?)
                .map(|app| app.ok_or_else(|| self.no_app(integration)))
                .transpose()?,
            false => None,
        };
        let signature =
            sign::sign(provider, credential, app.as_ref()).ok_or_else(|| self.misconfigured(integration))?;
        if let Some((name, value)) = &signature.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        // A tool may say otherwise than the provider's data, and neither of the two than the signature.
        let mut headers = Vec::with_capacity(provider.headers.len() + written.len() + signature.headers.len());
        headers.extend(provider.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        for (name, value) in written.into_iter().chain(signature.headers) {
            set_header(&mut headers, name, value);
        }
        let left = errand.deadline_us.saturating_sub(self.clock.monotonic_us()).max(1);
        Ok(HttpRequest {
            integration: integration.instance.clone(),
            method,
            url,
            headers,
            body,
            timeout: Duration::from_micros(left.unsigned_abs()),
            max_response_bytes: self.max_response_bytes,
        })
    }

    async fn refresh(&self, errand: &Errand<'_>, row: &ConnectionRow, cause: Cause) -> Result<(), ToolError> {
        let Errand { ctx, integration, .. } = errand;
        let title = integration.provider.title;
        let span = errand.span(names::SPAN_REFRESH);
        let refreshed = self.refresher.refresh(ctx, integration, &row.account, cause).await;
        close(span, refreshed.as_ref().err().map(RefreshError::class));
        let Err(failed) = refreshed else { return Ok(()) };
        Err(match failed {
            RefreshError::Gone => self.no_credentials(ctx.tenant(), integration, errand.account),
            RefreshError::Dead => self.reconnect(ctx.tenant(), integration, row),
            RefreshError::NoApp => self.no_app(integration),
            RefreshError::Misconfigured(reason) => self.wrong_app(integration, reason),
            RefreshError::CoolingDown(ms) => {
                let message = format!("the connection to {title} cannot be renewed just now");
                ToolError::unavailable(message).fact("retry_after_ms", ms)
            }
            RefreshError::Later(reason) => {
                ToolError::unavailable(format!("the connection to {title} could not be renewed: {reason}"))
            }
            RefreshError::Busy => ToolError::unavailable(format!("the connection to {title} is being renewed")),
            RefreshError::Unavailable => ToolError::unavailable("the vault does not answer"),
        })
    }

    async fn mark_dead(&self, ctx: &TenantCtx, row: &ConnectionRow, reason: &str) {
        // If the note cannot be written, the next call finds out for itself; this one fails the same way.
        self.refresher.mark_dead(ctx, row, reason).await;
    }

    /// The accounts that `ctx` has to choose from, sorted: of its connections in whatever state, where there are several.
    /// Empty otherwise; every call asks, and most have but one.
    pub(crate) async fn accounts(&self, ctx: &TenantCtx, integration: &Mounted) -> Result<Vec<String>, ToolError> {
        let rows = self.vault.connections(ctx, &integration.instance).await.map_err(refusal::of_vault)?;
        if rows.len() < 2 {
            return Ok(Vec::new());
        }
        let mut accounts: Vec<String> = rows.iter().map(|held| held.row.account.clone()).collect();
        accounts.sort();
        Ok(accounts)
    }

    /// The connection of the account that was named, or the only one there is, or an error: never a guess, never somebody
    /// else's.
    fn choose<'a>(&self, rows: &'a [Held], errand: &Errand<'_>) -> Result<&'a Held, ToolError> {
        let (tenant, integration) = (errand.ctx.tenant(), errand.integration);
        let wanted = |held: &&Held| errand.account.is_none_or(|account| held.row.account == account);
        let found: Vec<&Held> = rows.iter().filter(wanted).collect();
        let held = match found.as_slice() {
            [] => return Err(self.no_credentials(tenant, integration, errand.account)),
            [held] => held,
            several => return Err(self.several(tenant, integration, several)),
        };
        match held.row.state {
            ConnectionState::Active => Ok(held),
            ConnectionState::NeedsTarget if errand.untargeted => Ok(held),
            ConnectionState::NeedsTarget => Err(self.needs_target(tenant, integration, &held.row)),
            ConnectionState::Misconfigured => {
                Err(self.wrong_app(integration, "the authorization server refuses the app's id or secret"))
            }
            ConnectionState::NeedsReconnect => Err(self.reconnect(tenant, integration, &held.row)),
        }
    }

    /// Prompts and resources have no argument that could name an account.
    fn several(&self, tenant: &TenantId, integration: &Mounted, several: &[&Held]) -> ToolError {
        let accounts: Vec<&str> = several.iter().map(|held| held.row.account.as_str()).collect();
        let message = format!("there are several {} connections: {}", integration.provider.title, accounts.join(", "));
        ToolError::new(ErrorKind::Misconfigured, message)
            .hint(format!(
                "the operator makes a key for one: `{} key create --tenant {tenant} --account ACCOUNT`",
                self.server
            ))
            .fact("integration", integration.instance.as_str())
            .fact("accounts", accounts)
    }

    fn no_credentials(&self, tenant: &TenantId, integration: &Mounted, account: Option<&str>) -> ToolError {
        let (instance, title) = (&integration.instance, integration.provider.title);
        let of = account.map(|account| format!(" of the account `{account}`")).unwrap_or_default();
        let message = format!("tenant `{tenant}` has no {title} connection{of} for the integration `{instance}`");
        ToolError::new(ErrorKind::NoCredentials, message)
            .hint(self.set_command(tenant, instance, account.unwrap_or("default")))
            .fact("integration", instance.as_str())
    }

    fn reconnect(&self, tenant: &TenantId, integration: &Mounted, row: &ConnectionRow) -> ToolError {
        let message = format!("{} no longer accepts the credential of this connection", integration.provider.title);
        ToolError::new(ErrorKind::ReconnectRequired, message)
            .hint(self.set_command(tenant, &integration.instance, &row.account))
            .fact("integration", integration.instance.as_str())
            .fact("account", row.account.as_str())
    }

    fn needs_target(&self, tenant: &TenantId, integration: &Mounted, row: &ConnectionRow) -> ToolError {
        let (instance, account) = (&integration.instance, account_flag(&row.account));
        let (title, noun) = (integration.provider.title, integration.provider.targets.map_or("target", |t| t.noun));
        let message = format!("nobody has chosen the {title} {noun} that this connection is for");
        ToolError::new(ErrorKind::NeedsTarget, message)
            .hint(format!(
                "the operator runs `{} connection targets {instance} --tenant {tenant}{account}` and then the same with \
                 `target` and `--id ID`",
                self.server
            ))
            .fact("integration", instance.as_str())
            .fact("account", row.account.as_str())
    }

    fn no_app(&self, integration: &Mounted) -> ToolError {
        self.wrong_app(integration, "the owner's app is missing")
    }

    fn wrong_app(&self, integration: &Mounted, reason: &str) -> ToolError {
        let (instance, title) = (&integration.instance, integration.provider.title);
        ToolError::new(ErrorKind::Misconfigured, format!("{title} cannot be reached: {reason}"))
            .hint(format!("the operator runs `{} app set {instance} --client-id ID`", self.server))
            .fact("integration", instance.as_str())
    }

    fn host_refused(&self, tenant: &TenantId, integration: &Mounted) -> ToolError {
        let message = "this connection's credential was stored for another host than the integration now calls";
        ToolError::new(ErrorKind::Misconfigured, message)
            .hint(self.set_command(tenant, &integration.instance, "default"))
            .fact("integration", integration.instance.as_str())
    }

    fn misconfigured(&self, integration: &Mounted) -> ToolError {
        ToolError::new(ErrorKind::Misconfigured, "the request or the stored key cannot be put on the wire")
            .hint(format!("run `{} config check`", self.server))
            .fact("integration", integration.instance.as_str())
    }

    fn version_ended(&self, integration: &Mounted) -> ToolError {
        let (instance, title) = (integration.instance.as_str(), integration.provider.title);
        let name = integration.provider.version.map(|version| format!(" {}", version.name)).unwrap_or_default();
        ToolError::new(ErrorKind::Misconfigured, format!("{title} has ended version{name} of its API"))
            .hint(format!(
                "the owner raises the version in the files of the integration `{instance}` and deploys again"
            ))
            .fact("integration", instance)
    }

    fn set_command(&self, tenant: &TenantId, instance: &str, account: &str) -> String {
        let account = account_flag(account);
        format!("the operator runs `{} connection set {instance} --tenant {tenant}{account}`", self.server)
    }
}

/// Whether a renewal that failed is not to be tried again yet.
fn cooling(retry_at_ms: Option<i64>, now_ms: i64) -> bool {
    retry_at_ms.is_some_and(|at| at > now_ms)
}

fn account_flag(account: &str) -> String {
    if account == "default" { String::new() } else { format!(" --account {account}") }
}

/// The span of a request that is about to leave, as far as its caller may know it.
fn outward(errand: &Errand<'_>, draft: &Draft, request: &HttpRequest, tries: &Tries) -> Option<Open> {
    let template = draft.template();
    let mut span = errand.trace?.span(Kind::Client, format!("{} {template}", request.method.as_str()));
    span.set(names::INTEGRATION, errand.integration.instance.clone());
    span.set(names::HTTP_METHOD, request.method.as_str());
    span.set(names::URL_TEMPLATE, template);
    span.set(names::SERVER_ADDRESS, host_label(&request.url));
    if tries.sent > 0 {
        span.set(names::HTTP_RESEND, i64::from(tries.sent));
    }
    Some(span)
}

/// Ends it with what came back.
fn told(span: Option<Open>, is_probe: bool, answered: &Result<HttpResponse, SendError>) {
    let Some(mut span) = span else { return };
    span.set(names::BREAKER_STATE, if is_probe { "probe" } else { "closed" });
    match answered {
        Ok(response) => {
            span.set(names::HTTP_STATUS, i64::from(response.status));
            if let Some(id) = request_id(response) {
                span.set(names::UPSTREAM_REQUEST_ID, id);
            }
            span.end((response.status >= 400).then_some("http_status"));
        }
        Err(error) => span.end(Some(error.class())),
    }
}

/// Ends the span where `result` is an error.
fn noted<T>(span: &mut Option<Open>, result: Result<T, ToolError>) -> Result<T, ToolError> {
    if let Err(error) = &result {
        close(span.take(), Some(error.kind().as_str()));
    }
    result
}

fn close(span: Option<Open>, error: Option<&'static str>) {
    if let Some(span) = span {
        span.end(error);
    }
}

/// Headers in which providers say what they call a request.
const REQUEST_IDS: [&str; 6] =
    ["x-request-id", "request-id", "x-amzn-requestid", "x-amz-request-id", "x-fb-trace-id", "x-li-uuid"];

/// What the provider calls the request, if it reads as an id.
fn request_id(response: &HttpResponse) -> Option<String> {
    let fits = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+/.:".contains(&byte))
    };
    REQUEST_IDS.iter().find_map(|name| response.header(name)).filter(fits).map(str::to_owned)
}

/// What an answer says about the upstream and its limits: every other no is about the request or its credential.
fn verdict(outcome: Outcome) -> (Verdict, ThrottleScope) {
    match outcome {
        Outcome::Throttled { retry_after_ms, scope } => {
            (Verdict::Throttled { retry_after_us: retry_after_ms.map(|ms| ms.saturating_mul(1_000)) }, scope)
        }
        Outcome::Transient => (Verdict::Failed, ThrottleScope::Unsaid),
        _ => (Verdict::Fine, ThrottleScope::Unsaid),
    }
}

/// What an answer that is no refusal says of limits that are all but used up.
fn spent(integration: &Mounted, response: &HttpResponse) -> Option<(Verdict, ThrottleScope)> {
    let (ms, scope) = throttle::spent(&(integration.provider.usage)(response))?;
    Some((Verdict::Spent { retry_after_us: ms.saturating_mul(1_000) }, scope))
}

/// `host`, or `host:port` where the port is not the scheme's own. Credentials are bound to this text.
pub fn host_label(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::cooling;

    #[test]
    fn a_failed_renewal_is_tried_again_from_the_moment_that_was_set() {
        assert!(!cooling(None, 5));
        assert!(cooling(Some(6), 5));
        assert!(!cooling(Some(5), 5));
        assert!(!cooling(Some(4), 5));
    }
}
