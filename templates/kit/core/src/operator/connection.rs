// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Connections as the operator makes them: from a secret that was typed or read from a file, without a consent page.

use serde::Deserialize;
use serde_json::json;

use super::app::bad_secret;
use super::{Operator, OperatorError};
use crate::connect::{hosts_of, life_of};
use crate::error::ToolError;
use crate::inbound::TenantCtx;
use crate::registry::Mounted;
use crate::secret::Secret;
use crate::store::connections::{ConnectionState, Key};
use crate::upstream::oauth::{Pasted, Region};
use crate::upstream::provider::{self, AuthShape, Sites, Target};
use crate::vault::credential::{Credential, Kind, Token, Tokens};

/// A connection to be stored.
pub struct NewConnection<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// Instance name of the integration.
    pub integration: &'a str,
    /// Account.
    pub account: &'a str,
    /// The secret; what it is depends on the shape, see [`SecretForm`].
    pub secret: Secret,
    /// Where at the provider, if it has regions or a host for each tenant.
    pub site: Option<&'a str>,
    /// What requests are for, if the provider asks for that.
    pub target: Option<&'a str>,
}

impl<'a> NewConnection<'a> {
    /// The connection of `tenant` to `integration` under the account `default`, without site and target.
    pub fn new(tenant: &'a str, integration: &'a str, secret: Secret) -> Self {
        Self { tenant, integration, account: "default", secret, site: None, target: None }
    }
}

/// What a connection's secret is, by auth shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// The key.
    Key,
    /// The token, or `{"access_token", "expires_in"}` where it ends.
    Token,
    /// The refresh token, or the whole answer of the token endpoint: `{"access_token", "refresh_token", "expires_in", …}`.
    Tokens,
    /// An access token that does not end, for which no app is needed, or the whole answer of the token endpoint.
    AccessToken,
}

/// The answer of a token endpoint, as somebody may have kept it.
#[derive(Deserialize)]
struct Kept {
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<i64>,
    refresh_token_expires_in: Option<i64>,
}

impl Operator {
    /// What the secret of a connection to `integration` is.
    pub fn secret_form(&self, integration: &str) -> Result<SecretForm, OperatorError> {
        Ok(form(&self.integration(integration)?.provider.auth))
    }

    /// Whether a person can connect an account to `mounted` by a link.
    pub(crate) async fn connectable(&self, ctx: &TenantCtx, mounted: &Mounted) -> Result<(), OperatorError> {
        let has_app = self.vault.app(ctx, &mounted.instance).await?.is_some();
        crate::connect::way(mounted, has_app).map(drop).ok_or_else(|| {
            OperatorError::refused(
                format!("{} has no app yet", mounted.provider.title),
                format!("give it one first: `{} app set {} --client-id ID`", self.server, mounted.instance),
            )
        })
    }

    /// Stores a connection, sealed, and bound to the hosts that the integration calls now.
    pub async fn connection_set(&self, new: NewConnection<'_>) -> Result<(), OperatorError> {
        let ctx = self.act_for(new.tenant).await?;
        let (mounted, account) = (self.integration(new.integration)?, self.parse_account(new.account)?);
        let site = site(mounted, new.site)?;
        if new.target.is_some() && mounted.provider.targets.is_none() {
            return Err(no_target(mounted));
        }
        let target = new.target.map(target).transpose()?;
        let now = self.clock.wall_ms();
        let kind = match form(&mounted.provider.auth) {
            SecretForm::Key => Kind::ApiKey(checked(new.secret)?),
            SecretForm::Token => Kind::LongLived(token(&new.secret, now)?),
            SecretForm::Tokens | SecretForm::AccessToken => Kind::OAuth(tokens(&new.secret, mounted, now)?),
        };
        let details =
            json!({"account": account.as_str(), "integration": new.integration, "site": site, "target": target});
        self.audit(Some(ctx.tenant()), "connection set", details).await?;
        let credential = Credential { hosts: hosts_of(mounted, site.as_deref()), site, target, kind };
        let life = life_of(mounted, &credential, now);
        Ok(self.vault.put(&ctx, new.integration, &account, &credential, life).await?)
    }

    /// What requests of a connection can be for, as the provider lists it.
    pub async fn connection_targets(
        &self,
        tenant: &str,
        integration: &str,
        account: &str,
    ) -> Result<Vec<Target>, OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let (mounted, account) = (self.integration(integration)?, self.parse_account(account)?);
        if mounted.provider.targets.is_none() {
            return Err(no_target(mounted));
        }
        self.executor.targets(&ctx, mounted, account.as_str()).await.map_err(of_tool)
    }

    /// Chooses what the requests of a connection are for. Its tokens stay as they are, also those that are being renewed
    /// at this moment.
    pub async fn connection_target(
        &self,
        tenant: &str,
        integration: &str,
        account: &str,
        id: &str,
    ) -> Result<(), OperatorError> {
        let ctx = self.act_for(tenant).await?;
        let (mounted, account) = (self.integration(integration)?, self.parse_account(account)?);
        if mounted.provider.targets.is_none() {
            return Err(no_target(mounted));
        }
        let chosen = target(id)?;
        let details = json!({"account": account.as_str(), "integration": integration, "target": chosen});
        self.audit(Some(ctx.tenant()), "connection target", details).await?;
        // A refresh may commit between our read and our write; then there is a newer form to choose for.
        for _ in 0..5 {
            if self.choose_target(&ctx, mounted, account.as_str(), &chosen).await? {
                return Ok(());
            }
        }
        Err(crate::vault::VaultError::Conflict.into())
    }

    async fn choose_target(
        &self,
        ctx: &TenantCtx,
        mounted: &Mounted,
        account: &str,
        chosen: &str,
    ) -> Result<bool, OperatorError> {
        let key = Key { ctx, integration: &mounted.instance, account };
        let Some(mut row) = self.store.connection(&key).await? else {
            let (tenant, server) = (ctx.tenant(), self.server);
            return Err(OperatorError::refused(
                format!("tenant `{tenant}` has no such connection"),
                format!("see `{server} connection list --tenant {tenant}`"),
            ));
        };
        let mut credential = self.vault.open_row(ctx, &row).await?;
        credential.target = Some(chosen.to_owned());
        let old = row.version;
        if row.state == ConnectionState::NeedsTarget {
            row.state = ConnectionState::Active;
        }
        let (new, dek_id) = self.vault.seal_into(ctx, &row, &credential).await?;
        let stored = self.store.amend_connection(ctx, &new, old, &dek_id).await?;
        self.vault.forget(ctx);
        Ok(stored)
    }
}

/// The site that was named, or the only one there is.
pub(crate) fn site(mounted: &Mounted, named: Option<&str>) -> Result<Option<String>, OperatorError> {
    let title = mounted.provider.title;
    let names = |regions: &[Region]| regions.iter().map(|region| region.name).collect::<Vec<_>>().join(", ");
    let (found, message, hint) = match mounted.provider.sites {
        Sites::One if named.is_none() => return Ok(None),
        Sites::One => (None, format!("{title} is at one place for all"), "leave `--site` out".to_owned()),
        Sites::Regions([only]) if named.is_none() => return Ok(Some(only.name.to_owned())),
        Sites::Regions(regions) => {
            let found = regions.iter().find(|region| named == Some(region.name)).map(|region| region.name);
            (found, format!("{title} needs a region"), format!("give `--site` with one of: {}", names(regions)))
        }
        Sites::Hosts(hosts) => {
            let found = named.filter(|named| hosts.permits(named));
            (found, format!("{title} needs a {}", hosts.noun), format!("give `--site` like `{}`", hosts.example))
        }
    };
    found.map(|found| Some(found.to_owned())).ok_or_else(|| OperatorError::refused(message, hint))
}

fn form(shape: &AuthShape) -> SecretForm {
    match shape {
        AuthShape::ApiKey { .. } => SecretForm::Key,
        AuthShape::SystemUser(_) => SecretForm::Token,
        shape => match shape.oauth().map(|oauth| oauth.pasted) {
            Some(Pasted::AccessToken) => SecretForm::AccessToken,
            _ => SecretForm::Tokens,
        },
    }
}

fn checked(secret: Secret) -> Result<Secret, OperatorError> {
    if provider::checked(&secret).is_some() { Ok(secret) } else { Err(bad_secret()) }
}

/// Ids go into a header, and into nothing else.
fn target(id: &str) -> Result<String, OperatorError> {
    let fits = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let hint = "give an id as `connection targets` lists it";
    if fits { Ok(id.to_owned()) } else { Err(OperatorError::refused("that is not the id of a target", hint)) }
}

fn no_target(mounted: &Mounted) -> OperatorError {
    let message = format!("a connection to {} has nothing to choose", mounted.provider.title);
    OperatorError::refused(message, "leave the target out")
}

/// The kept answer of a token endpoint, if `secret` is one.
fn kept(secret: &Secret) -> Result<Option<Kept>, OperatorError> {
    if secret.expose().first() != Some(&b'{') {
        return Ok(None);
    }
    serde_json::from_slice(secret.expose()).map(Some).map_err(|_| {
        OperatorError::refused(
            "the secret begins like JSON and is none",
            "give the token itself, or the whole answer of the token endpoint",
        )
    })
}

fn ends(now: i64, seconds: Option<i64>) -> Option<i64> {
    seconds.filter(|seconds| *seconds > 0).map(|seconds| now.saturating_add(seconds.saturating_mul(1_000)))
}

fn token(secret: &Secret, now: i64) -> Result<Token, OperatorError> {
    let (text, seconds) = match kept(secret)? {
        Some(kept) => (Secret::from(kept.access_token.unwrap_or_default().as_str()), kept.expires_in),
        None => (secret.clone(), None),
    };
    Ok(Token { secret: checked(text)?, issued_ms: now, expires_ms: ends(now, seconds) })
}

fn tokens(secret: &Secret, mounted: &Mounted, now: i64) -> Result<Tokens, OperatorError> {
    let Some(kept) = kept(secret)? else {
        let secret = checked(secret.clone())?;
        return Ok(match mounted.provider.auth.oauth().map(|oauth| oauth.pasted) {
            Some(Pasted::AccessToken) => {
                Tokens { access: Some(Token { secret, issued_ms: now, expires_ms: None }), ..Tokens::default() }
            }
            _ => Tokens { refresh: Some(secret), ..Tokens::default() },
        });
    };
    let text = |text: Option<String>| text.map(|text| checked(Secret::new(text.into_bytes()))).transpose();
    let (access, refresh) = (text(kept.access_token)?, text(kept.refresh_token)?);
    if access.is_none() && refresh.is_none() {
        return Err(OperatorError::refused(
            "there is neither an access token nor a refresh token in it",
            "give the refresh token, or the whole answer of the token endpoint",
        ));
    }
    let expires_ms = ends(now, kept.expires_in);
    Ok(Tokens {
        access: access.map(|secret| Token { secret, issued_ms: now, expires_ms }),
        refresh,
        refresh_expires_ms: ends(now, kept.refresh_token_expires_in),
        scopes: Vec::new(),
    })
}

/// A call that the operator made to a provider.
fn of_tool(error: ToolError) -> OperatorError {
    OperatorError::refused(error.message(), error.hint_text().unwrap_or("try again later"))
}
