// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Connections as the operator makes them: from a secret that was typed or read from a file, without a consent page.

use serde::Deserialize;

use super::app::bad_secret;
use super::{Operator, OperatorError};
use crate::error::ToolError;
use crate::inbound::TenantCtx;
use crate::registry::Mounted;
use crate::secret::Secret;
use crate::store::connections::{ConnectionState, Key};
use crate::upstream::connect::{hosts_of, life_of};
use crate::upstream::oauth::Target;
use crate::upstream::provider::{self, AuthShape};
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
    /// Region, for the shape `lwa-profile`.
    pub region: Option<&'a str>,
    /// What requests are for, for the shape `lwa-profile`.
    pub target: Option<&'a str>,
}

impl<'a> NewConnection<'a> {
    /// The connection of `tenant` to `integration` under the account `default`, without region and target.
    pub fn new(tenant: &'a str, integration: &'a str, secret: Secret) -> Self {
        Self { tenant, integration, account: "default", secret, region: None, target: None }
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

    /// Stores a connection, sealed, and bound to the hosts that the integration calls now.
    pub async fn connection_set(&self, new: NewConnection<'_>) -> Result<(), OperatorError> {
        let ctx = self.act_for(new.tenant).await?;
        let (mounted, account) = (self.integration(new.integration)?, self.parse_account(new.account)?);
        let region = self.region(mounted, new.region)?;
        let now = self.clock.wall_ms();
        let kind = match (&mounted.provider.auth, region) {
            (AuthShape::ApiKey { .. }, _) => Kind::ApiKey(checked(new.secret)?),
            (AuthShape::SystemUser(_), _) => Kind::LongLived(token(&new.secret, now)?),
            (AuthShape::OAuth2Refresh { .. } | AuthShape::Restli { .. }, _) => Kind::OAuth(tokens(&new.secret, now)?),
            (AuthShape::LwaProfile(_), region) => Kind::Scoped {
                tokens: tokens(&new.secret, now)?,
                region: region.unwrap_or_default().to_owned(),
                target: new.target.map(target).transpose()?,
            },
        };
        if new.target.is_some() && !matches!(kind, Kind::Scoped { .. }) {
            return Err(no_target(mounted));
        }
        let credential = Credential { hosts: hosts_of(mounted, region), kind };
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
        if !matches!(mounted.provider.auth, AuthShape::LwaProfile(_)) {
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
        let chosen = target(id)?;
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
        let Kind::Scoped { target, .. } = &mut credential.kind else { return Err(no_target(mounted)) };
        *target = Some(chosen.to_owned());
        let old = row.version;
        if row.state == ConnectionState::NeedsTarget {
            row.state = ConnectionState::Active;
        }
        let (new, dek_id) = self.vault.seal_into(ctx, &row, &credential).await?;
        let stored = self.store.amend_connection(ctx, &new, old, &dek_id).await?;
        self.vault.forget(ctx);
        Ok(stored)
    }

    /// The region that was named, or the only one there is.
    fn region<'a>(&self, mounted: &'a Mounted, named: Option<&str>) -> Result<Option<&'a str>, OperatorError> {
        let known: Vec<&str> = mounted.all_endpoints().map(|(region, _)| region).filter(|r| !r.is_empty()).collect();
        match (known.as_slice(), named) {
            ([], None) => Ok(None),
            ([only], None) => Ok(Some(only)),
            ([], Some(_)) => Err(OperatorError::refused(
                format!("{} has no regions", mounted.provider.title),
                "leave `--region` out",
            )),
            (known, named) => {
                let found = known.iter().copied().find(|region| named == Some(region));
                found.map(Some).ok_or_else(|| {
                    OperatorError::refused(
                        format!("{} needs a region", mounted.provider.title),
                        format!("give `--region` with one of: {}", known.join(", ")),
                    )
                })
            }
        }
    }
}

fn form(shape: &AuthShape) -> SecretForm {
    match shape {
        AuthShape::ApiKey { .. } => SecretForm::Key,
        AuthShape::SystemUser(_) => SecretForm::Token,
        AuthShape::OAuth2Refresh { .. } | AuthShape::LwaProfile(_) | AuthShape::Restli { .. } => SecretForm::Tokens,
    }
}

fn checked(secret: Secret) -> Result<Secret, OperatorError> {
    if provider::checked(&secret).is_some() { Ok(secret) } else { Err(bad_secret()) }
}

/// Ids go into a header, and into nothing else.
fn target(id: &str) -> Result<String, OperatorError> {
    let fits = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let hint = "give an id as `connection targets` lists it";
    if fits { Ok(id.to_owned()) } else { Err(OperatorError::refused("that is not the id of a profile", hint)) }
}

fn no_target(mounted: &Mounted) -> OperatorError {
    let message = format!("connections to {} have no profile to choose", mounted.provider.title);
    OperatorError::refused(message, "only integrations of the shape `lwa-profile` have one")
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

fn tokens(secret: &Secret, now: i64) -> Result<Tokens, OperatorError> {
    let Some(kept) = kept(secret)? else {
        return Ok(Tokens { refresh: Some(checked(secret.clone())?), ..Tokens::default() });
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
