// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The one executor: choose the connection → open its record → renew it if need be → check the host → sign → send → classify
//! → at most once more. It is the only place where a secret meets a request, and the only one that decides what an
//! upstream's no means.
//!
//! A call sends at most two requests, of which the second follows an answer that says nothing was done (the token was
//! refused), or a failure of a request that may be repeated. It never refreshes twice.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::life::{self, Readiness};
use super::provider::Target;
use super::refresh::{Cause, RefreshError, Refresher};
use super::request::{Draft, Wire, set_header};
use super::{Outcome, exact, sign};
use crate::call::Call;
use crate::error::{ErrorKind, ToolError};
use crate::inbound::TenantCtx;
use crate::ports::{Clock, HttpRequest, HttpResponse, HttpSend, Rng, SendError};
use crate::registry::Mounted;
use crate::store::connections::{ConnectionRow, ConnectionState};
use crate::tenant::TenantId;
use crate::vault::credential::{Credential, fingerprint};
use crate::vault::{Held, Vault, VaultError};

/// Sends the requests of all integrations.
pub struct Executor {
    vault: Arc<Vault>,
    refresher: Arc<Refresher>,
    send: Arc<dyn HttpSend>,
    clock: Arc<dyn Clock>,
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
}

fn errand(call: &Call) -> Errand<'_> {
    let (ctx, integration, account) = (&call.0.tenant, &call.0.integration, call.0.account.as_deref());
    Errand { ctx, integration, deadline_us: call.0.deadline_us, account, untargeted: false }
}

impl Executor {
    /// `server` is the name of the binary, for the commands in hints.
    pub(crate) fn new(
        refresher: Arc<Refresher>,
        send: Arc<dyn HttpSend>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        max_response_bytes: usize,
        server: &'static str,
    ) -> Self {
        Self { vault: refresher.vault.clone(), refresher, send, clock, rng, max_response_bytes, server }
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
        let errand = Errand { ctx, integration, deadline_us, account: Some(account), untargeted: true };
        let response = self.run(&errand, Draft::get(targets.path).with_query(targets.query)).await?;
        let list = exact::parse(&response.body)
            .map_err(|_| ToolError::upstream(format!("{} answered in an unknown form", integration.provider.title)))?;
        Ok((targets.discover)(&list))
    }

    /// What the requests of `call` are for.
    pub(crate) async fn target(&self, call: &Call) -> Result<String, ToolError> {
        let errand = errand(call);
        let Errand { ctx, integration, .. } = errand;
        let rows = self.vault.connections(ctx, &integration.instance).await.map_err(vault_error)?;
        let held = self.choose(&rows, &errand)?;
        let credential = self.vault.open(ctx, held).await.map_err(vault_error)?;
        credential.target.ok_or_else(|| self.needs_target(ctx.tenant(), integration, &held.row))
    }

    async fn run(&self, errand: &Errand<'_>, draft: Draft) -> Result<HttpResponse, ToolError> {
        let Errand { ctx, integration, .. } = errand;
        let title = integration.provider.title;
        let (mut refreshed, mut resent) = (false, false);
        loop {
            let rows = self.vault.connections(ctx, &integration.instance).await.map_err(vault_error)?;
            let held = self.choose(&rows, errand)?;
            let mut credential = self.vault.open(ctx, held).await.map_err(vault_error)?;
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
                    let cooling = held.row.retry_at_ms.is_some_and(|at| at > self.clock.wall_ms());
                    if !cooling {
                        drop(self.refresher.begin(ctx, integration, &held.row.account, Cause::Clock));
                    }
                }
                Readiness::Expired if !refreshed => {
                    refreshed = true;
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
            let response = match self.send.send(request).await {
                Ok(response) => response,
                Err(error) => {
                    // Where nothing was sent, or what was sent may be sent twice, a broken connection is tried once more.
                    let again = error == SendError::Connect || (error == SendError::Broken && draft.is_safe());
                    if again && !std::mem::replace(&mut resent, true) {
                        continue;
                    }
                    return Err(send_error(error, title));
                }
            };
            match (integration.provider.outcome(&response, self.clock.wall_ms()), used) {
                (Outcome::Ok, _) => return Ok(response),
                (Outcome::AuthUnsettled, _) if let Some(ms) = settling_ms => {
                    let message = format!("{title} does not know this connection's new token yet");
                    return Err(ToolError::unavailable(message).fact("retry_after_ms", ms));
                }
                (Outcome::AuthExpired | Outcome::AuthUnsettled, Some(print)) if renewable && !refreshed && !resent => {
                    (refreshed, resent) = (true, true);
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
                (outcome, _) => return Err(refusal(outcome, title, response.status)),
            }
        }
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
            true => Some(self.vault.app(ctx, &integration.instance).await.map_err(vault_error)?)
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
        let failed = match self.refresher.refresh(ctx, integration, &row.account, cause).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
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
        let rows = self.vault.connections(ctx, &integration.instance).await.map_err(vault_error)?;
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

fn account_flag(account: &str) -> String {
    if account == "default" { String::new() } else { format!(" --account {account}") }
}

/// `host`, or `host:port` where the port is not the scheme's own. Credentials are bound to this text.
pub fn host_label(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn vault_error(error: VaultError) -> ToolError {
    match error {
        VaultError::Rejected | VaultError::Shredded => {
            ToolError::new(ErrorKind::ReconnectRequired, "the stored credential does not open")
        }
        _ => ToolError::unavailable("the vault does not answer"),
    }
}

fn send_error(error: SendError, title: &str) -> ToolError {
    match error {
        SendError::Refused => {
            let message = format!("{title} has an address that this server does not send to");
            ToolError::new(ErrorKind::Misconfigured, message)
                .hint("an upstream in a private network needs `egress.private = true` in config/server.toml")
        }
        SendError::Connect => ToolError::upstream(format!("{title} cannot be reached")),
        SendError::Timeout => ToolError::new(ErrorKind::Timeout, format!("{title} did not answer in time")),
        SendError::Broken => ToolError::upstream(format!("the connection to {title} broke")),
        SendError::TooLarge => ToolError::upstream(format!("{title} answered more than a call may read")),
    }
}

fn refusal(outcome: Outcome, title: &str, status: u16) -> ToolError {
    match outcome {
        Outcome::Forbidden => {
            ToolError::new(ErrorKind::Forbidden, format!("this connection may not do that at {title}"))
        }
        Outcome::NotFound => {
            ToolError::not_found(format!("{title} has no such object, or it is not shared with this connection"))
        }
        Outcome::Throttled { retry_after_ms } => {
            let wait =
                retry_after_ms.map_or_else(String::new, |ms| format!(": it asks to wait {} s", (ms + 999) / 1_000));
            let error = ToolError::new(ErrorKind::UpstreamRateLimited, format!("{title} limits its requests{wait}"));
            retry_after_ms.into_iter().fold(error, |error, ms| error.fact("retry_after_ms", ms))
        }
        Outcome::Invalid => ToolError::upstream(format!("{title} refused the request with status {status}")),
        Outcome::Transient
        | Outcome::Ok
        | Outcome::AuthUnsettled
        | Outcome::AuthExpired
        | Outcome::AuthDead
        | Outcome::VersionEnded => ToolError::upstream(format!("{title} failed with status {status}")),
    }
}
