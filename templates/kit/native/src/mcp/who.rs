// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Whose request this is, for each transport. Over HTTP it was decided before the protocol library saw the request; on
//! stdio it is what the process was started for.

use std::collections::BTreeMap;

use kit::boot::Kit;
use kit::inbound::TenantCtx;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value};

/// How callers are told apart.
pub enum Who {
    /// By what the HTTP edge verified and put into the request.
    Verified,
    /// All requests are this tenant's.
    One(TenantCtx),
    /// Each call names one of these in its argument `tenant`.
    Choice(BTreeMap<String, TenantCtx>),
}

impl Who {
    /// The values of the argument `tenant`, if calls have one.
    pub(super) fn choices(&self) -> Option<Vec<String>> {
        match self {
            Self::Choice(tenants) => Some(tenants.keys().cloned().collect()),
            Self::Verified | Self::One(_) => None,
        }
    }

    /// The accounts that the caller has to choose from, by integration. Where each call names its tenant they are all of
    /// theirs, and the call is checked.
    pub(super) async fn accounts(
        &self,
        kit: &Kit,
        ctx: &RequestContext<RoleServer>,
    ) -> Result<BTreeMap<String, Vec<String>>, ErrorData> {
        let failed = |error: kit::error::ToolError| ErrorData::internal_error(error.to_string(), None);
        match self {
            Self::Verified => kit.pipeline.accounts(&verified(ctx)?).await.map_err(failed),
            Self::One(tenant) => kit.pipeline.accounts(tenant).await.map_err(failed),
            Self::Choice(tenants) => {
                let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
                for tenant in tenants.values() {
                    for (integration, accounts) in kit.pipeline.accounts(tenant).await.map_err(failed)? {
                        all.entry(integration).or_default().extend(accounts);
                    }
                }
                all.values_mut().for_each(|accounts| {
                    accounts.sort();
                    accounts.dedup();
                });
                Ok(all)
            }
        }
    }

    /// The tenant of this request. `arguments` are those of a tool call; the argument `tenant` is taken out of them.
    pub(super) async fn identify(
        &self,
        kit: &Kit,
        ctx: &RequestContext<RoleServer>,
        arguments: Option<&mut Map<String, Value>>,
    ) -> Result<TenantCtx, ErrorData> {
        let tenant = match self {
            Self::Verified => return verified(ctx),
            Self::One(tenant) => tenant,
            Self::Choice(tenants) => {
                let named = arguments.and_then(|arguments| arguments.remove("tenant"));
                let known = || tenants.keys().cloned().collect::<Vec<_>>().join(", ");
                named.as_ref().and_then(Value::as_str).and_then(|name| tenants.get(name)).ok_or_else(|| {
                    ErrorData::invalid_params(format!("the argument `tenant` must be one of: {}", known()), None)
                })?
            }
        };
        let refused = |error| ErrorData::internal_error(format!("tenant `{}`: {error}", tenant.tenant()), None);
        kit.authenticator.still_active(tenant).await.map_err(refused)?;
        Ok(tenant.clone())
    }
}

#[cfg(feature = "http")]
fn verified(ctx: &RequestContext<RoleServer>) -> Result<TenantCtx, ErrorData> {
    ctx.extensions
        .get::<axum::http::request::Parts>()
        .and_then(|parts| parts.extensions.get::<TenantCtx>().cloned())
        .ok_or_else(|| ErrorData::internal_error("the request was not authenticated", None))
}

#[cfg(not(feature = "http"))]
fn verified(_: &RequestContext<RoleServer>) -> Result<TenantCtx, ErrorData> {
    Err(ErrorData::internal_error("the request was not authenticated", None))
}
