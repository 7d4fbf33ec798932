// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The one executor: choose the connection → open its record → check the host → sign → send → classify. It is the only
//! place where a secret meets a request, and the only one that decides what an upstream's no means.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::Outcome;
use super::request::Draft;
use crate::call::Call;
use crate::error::{ErrorKind, ToolError};
use crate::ports::{Clock, HttpRequest, HttpResponse, HttpSend, SendError};
use crate::registry::Mounted;
use crate::store::connections::{ConnectionRow, ConnectionState};
use crate::tenant::TenantId;
use crate::vault::{Held, Vault, VaultError};

/// Sends the requests of all integrations.
pub struct Executor {
    vault: Arc<Vault>,
    send: Arc<dyn HttpSend>,
    clock: Arc<dyn Clock>,
    max_response_bytes: usize,
    server: &'static str,
}

impl Executor {
    /// `server` is the name of the binary, for the commands in hints.
    pub fn new(
        vault: Arc<Vault>,
        send: Arc<dyn HttpSend>,
        clock: Arc<dyn Clock>,
        max_response_bytes: usize,
        server: &'static str,
    ) -> Self {
        Self { vault, send, clock, max_response_bytes, server }
    }

    pub(crate) async fn execute(&self, call: &Call, draft: Draft) -> Result<HttpResponse, ToolError> {
        let (ctx, integration) = (&call.0.tenant, &call.0.integration);
        let rows = self.vault.connections(ctx, &integration.instance).await.map_err(vault_error)?;
        let held = self.choose(&rows, ctx.tenant(), integration)?;
        let credential = self.vault.open(ctx, held).await.map_err(vault_error)?;

        let url = draft.url(&integration.base_url)?;
        if !credential.permits(&host_label(&url)) {
            return Err(self.host_refused(ctx.tenant(), integration));
        }
        let signature = integration.provider.sign(&credential).ok_or_else(|| self.misconfigured(integration))?;
        drop(credential);

        let mut headers: Vec<(String, String)> = integration
            .provider
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        headers.extend(draft.headers);
        headers.push(signature);
        let left = call.0.deadline_us.saturating_sub(self.clock.monotonic_us()).max(1);
        let request = HttpRequest {
            integration: integration.instance.clone(),
            method: draft.method,
            url,
            headers,
            body: draft.body,
            timeout: Duration::from_micros(left.unsigned_abs()),
            max_response_bytes: self.max_response_bytes,
        };
        let title = integration.provider.title;
        let response = self.send.send(request).await.map_err(|error| send_error(error, title))?;
        match integration.provider.outcome(&response) {
            Outcome::Ok => Ok(response),
            Outcome::AuthDead => {
                // If the note cannot be written, the next call finds out for itself; this one fails the same way.
                let _ = self.vault.mark_dead(ctx, &held.row, "the provider refused the credential").await;
                Err(self.reconnect(ctx.tenant(), integration, &held.row))
            }
            outcome => Err(refusal(outcome, title, response.status)),
        }
    }

    /// The only connection there is, or an error: never a guess, never somebody else's.
    fn choose<'a>(&self, rows: &'a [Held], tenant: &TenantId, integration: &Mounted) -> Result<&'a Held, ToolError> {
        let usable: Vec<&Held> = rows.iter().filter(|held| held.row.state == ConnectionState::Active).collect();
        match (usable.as_slice(), rows) {
            ([held], _) => Ok(held),
            ([], [dead, ..]) => Err(self.reconnect(tenant, integration, &dead.row)),
            ([], []) => {
                let (instance, title) = (&integration.instance, integration.provider.title);
                let message = format!("tenant `{tenant}` has no {title} connection for the integration `{instance}`");
                Err(ToolError::new(ErrorKind::NoCredentials, message)
                    .hint(self.set_command(tenant, instance, "default"))
                    .fact("integration", instance.as_str()))
            }
            (several, _) => {
                let accounts: Vec<&str> = several.iter().map(|held| held.row.account.as_str()).collect();
                let message =
                    format!("several {} connections are active: {}", integration.provider.title, accounts.join(", "));
                Err(ToolError::new(ErrorKind::Misconfigured, message)
                    .hint(format!(
                        "keep one: `{} connection remove {} --tenant {tenant} --account ACCOUNT`",
                        self.server, integration.instance
                    ))
                    .fact("integration", integration.instance.as_str())
                    .fact("accounts", accounts))
            }
        }
    }

    fn reconnect(&self, tenant: &TenantId, integration: &Mounted, row: &ConnectionRow) -> ToolError {
        let message = format!("{} no longer accepts the credential of this connection", integration.provider.title);
        ToolError::new(ErrorKind::ReconnectRequired, message)
            .hint(self.set_command(tenant, &integration.instance, &row.account))
            .fact("integration", integration.instance.as_str())
            .fact("account", row.account.as_str())
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

    fn set_command(&self, tenant: &TenantId, instance: &str, account: &str) -> String {
        let account = if account == "default" { String::new() } else { format!(" --account {account}") };
        format!("the operator runs `{} connection set {instance} --tenant {tenant}{account}`", self.server)
    }
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
        Outcome::Transient | Outcome::Ok | Outcome::AuthDead => {
            ToolError::upstream(format!("{title} failed with status {status}"))
        }
    }
}
