// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Links: made by the operator, or offered by a call that found no good connection.

use std::fmt;
use std::sync::Arc;

use url::Url;

use super::Connector;
use super::consent::digest;
use crate::error::ToolError;
use crate::inbound::TenantCtx;
use crate::operator::OperatorError;
use crate::ports::{RngError, SqlError};
use crate::registry::Mounted;
use crate::store::connect_links::{LinkRow, MAX_TRIES, Stage};
use crate::tenant::{Account, TenantId};

/// A link that was sent by mail waits for its reader.
const LINK_LIFE_MS: i64 = 72 * 3_600_000;
/// A link in a tool's answer is for whoever reads it now.
const OFFER_LIFE_MS: i64 = 600_000;
/// The same offer is given again for this long, so that its code is good for a while at least.
pub(crate) const OFFER_AGAIN_US: i64 = 300_000_000;
/// Without letters and digits that look alike: eight of 31 are 39 bits, and five tries.
const CODE_ALPHABET: &[u8] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";

/// Tenant, principal, integration and account.
pub(crate) type OfferKey = (TenantId, String, String, String);

/// A link that a person connects by.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// The link. Whoever has it can connect an account for the tenant.
    pub url: Url,
    /// What the page asks for, if it asks for something: `ABCD-EFGH`.
    pub code: Option<String>,
    /// When it runs out, milliseconds since the epoch.
    pub expires_ms: i64,
}

/// A link stands for the right to connect; a log line has no need of it.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

/// Why there is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// It is not known where people reach this server.
    NoAddress,
    /// The store or the source of randomness failed.
    Unavailable,
}

impl From<SqlError> for LinkError {
    fn from(_: SqlError) -> Self {
        Self::Unavailable
    }
}

impl From<RngError> for LinkError {
    fn from(_: RngError) -> Self {
        Self::Unavailable
    }
}

impl Connector {
    /// The operator's link for the connection (`tenant`, `integration`, `account`).
    pub async fn link(&self, tenant: &str, integration: &str, account: &str) -> Result<Link, OperatorError> {
        let ctx = self.operator.act_for(tenant).await?;
        let (mounted, account) = (self.operator.integration(integration)?, self.operator.parse_account(account)?);
        self.operator.connectable(&ctx, mounted).await?;
        match self.make(&ctx, integration, &account, false).await {
            Ok(link) => Ok(link),
            Err(LinkError::NoAddress) => Err(OperatorError::Refused {
                message: "it is not known where people reach this server".into(),
                hint: "set `server.public_url` in config/server.toml".into(),
            }),
            Err(LinkError::Unavailable) => Err(SqlError::Unavailable.into()),
        }
    }

    /// A link with a code for the principal of `ctx`. The same again for some minutes: a model that tries ten times is not
    /// given ten links.
    pub(crate) async fn offer(
        &self,
        ctx: &TenantCtx,
        integration: &str,
        account: &Account,
    ) -> Result<Arc<Link>, LinkError> {
        let key: OfferKey = (
            ctx.tenant().clone(),
            ctx.principal_label().to_owned(),
            integration.to_owned(),
            account.as_str().to_owned(),
        );
        let now = self.clock.monotonic_us();
        if let Some(link) = self.offers.get(&key, now)
            && self.leads_on(&link).await?
        {
            return Ok(link);
        }
        let ticket = self.offers.ticket();
        let link = Arc::new(self.make(ctx, integration, account, true).await?);
        self.offers.put(key, link.clone(), now, ticket);
        Ok(link)
    }

    /// `error` with a link in it, if an account of `integration` can be connected by one. A call that names no account is
    /// for the only connection there is, or for the first.
    pub(crate) async fn mend(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        account: Option<&str>,
        error: ToolError,
    ) -> ToolError {
        if self.base.get().is_none() || self.operator.connectable(ctx, integration).await.is_err() {
            return error;
        }
        let only = match self.vault.connections(ctx, &integration.instance).await {
            Ok(held) => held.first().map(|held| held.row.account.clone()),
            Err(_) => return error,
        };
        let account = account.map(str::to_owned).or(only).unwrap_or_else(|| "default".to_owned());
        let Ok(account) = Account::parse(&account) else { return error };
        match self.offer(ctx, &integration.instance, &account).await {
            Ok(link) => {
                let code = link.code.clone().unwrap_or_default();
                error
                    .hint(format!("open {} and enter the code {code} there; then call again", link.url))
                    .fact("connect_url", link.url.as_str())
                    .fact("connect_code", code)
            }
            Err(_) => error,
        }
    }

    /// Whether an offer is still as it was made: not gone on with, not used, not closed.
    async fn leads_on(&self, link: &Link) -> Result<bool, SqlError> {
        let text = link.url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
        let row = self.store.link(&digest(text), self.clock.wall_ms()).await?;
        Ok(row.is_some_and(|row| row.code.is_some() && row.tries < MAX_TRIES))
    }

    async fn make(
        &self,
        ctx: &TenantCtx,
        integration: &str,
        account: &Account,
        with_code: bool,
    ) -> Result<Link, LinkError> {
        let text = crate::token::random(&*self.rng, 32)?;
        let url = self.url(&format!("/connect/{text}")).ok_or(LinkError::NoAddress)?;
        let code = with_code.then(|| self.code()).transpose()?;
        let now = self.clock.wall_ms();
        let expires_ms = now + if with_code { OFFER_LIFE_MS } else { LINK_LIFE_MS };
        let row = LinkRow {
            tenant: ctx.tenant().clone(),
            integration: integration.to_owned(),
            account: account.as_str().to_owned(),
            stage: Stage::Open,
            code: code.as_deref().map(code_digest),
            tries: 0,
            browser: None,
            expires_ms,
        };
        self.store.add_link(&digest(&text), &row, now).await?;
        Ok(Link { url, code, expires_ms })
    }

    /// `ABCD-EFGH`.
    fn code(&self) -> Result<String, RngError> {
        let mut code = String::new();
        let mut bytes = [0_u8; 32];
        while code.len() < 9 {
            self.rng.fill(&mut bytes)?;
            // What lies above the largest multiple of the alphabet's length would favour its first letters.
            let length = CODE_ALPHABET.len();
            for byte in bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 256 / length * length) {
                match code.len() {
                    4 => code.push('-'),
                    9 => break,
                    _ => {}
                }
                code.push(char::from(CODE_ALPHABET[byte % length]));
            }
        }
        Ok(code)
    }
}

/// The hash of a code as somebody types it: small letters, blanks and the hyphen do not matter.
pub(crate) fn code_digest(typed: &str) -> String {
    let plain: String = typed.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
    digest(&plain)
}
