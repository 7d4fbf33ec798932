// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The tenant as a type. Its constructors are visible to `inbound` alone (and, for the operator's own commands, to
//! this crate): code outside the kit cannot make one, so it cannot speak for a tenant that did not authenticate.

use std::sync::Arc;

use crate::tenant::{Account, TenantId};

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An API key, by its public id.
    ApiKey(String),
    /// The person who started this process on the command line.
    Local,
    /// The operator's own command.
    Operator,
    /// The sweep, which keeps idle connections alive.
    Sweep,
}

/// An authenticated tenant. Every store, vault and limiter call that concerns a tenant takes one.
///
/// ```compile_fail
/// // There is no way to write one down.
/// let ctx = kit::inbound::TenantCtx { inner: todo!() };
/// ```
#[derive(Clone, Debug)]
pub struct TenantCtx {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    tenant: TenantId,
    principal: Principal,
    account: Option<Account>,
    plan: Option<String>,
}

impl TenantCtx {
    pub(super) fn new(tenant: TenantId, principal: Principal) -> Self {
        Self { inner: Arc::new(Inner { tenant, principal, account: None, plan: None }) }
    }

    /// The same, whose calls are for this account only.
    #[must_use]
    pub fn bound_to(&self, account: Account) -> Self {
        Self { inner: Arc::new(Inner { account: Some(account), ..Inner::clone(&self.inner) }) }
    }

    /// The same on a plan. What it allows is the owner's configuration.
    #[must_use]
    pub(crate) fn on_plan(mut self, plan: Option<String>) -> Self {
        if plan.is_some() {
            Arc::make_mut(&mut self.inner).plan = plan;
        }
        self
    }

    /// The account that all calls are for, if the principal is bound to one.
    pub fn account(&self) -> Option<&Account> {
        self.inner.account.as_ref()
    }

    /// The name of the plan that the tenant is on.
    pub fn plan(&self) -> Option<&str> {
        self.inner.plan.as_deref()
    }

    /// The operator acting on a tenant that is known to exist. Only `operator` calls this; an `Operator` is made from
    /// the open vault, which no tool ever holds.
    pub(crate) fn for_operator(tenant: TenantId) -> Self {
        Self::new(tenant, Principal::Operator)
    }

    /// The sweep acting on a tenant whose connection is due.
    pub(crate) fn for_sweep(tenant: TenantId) -> Self {
        Self::new(tenant, Principal::Sweep)
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.inner.tenant
    }

    /// Who makes the call.
    pub fn principal(&self) -> &Principal {
        &self.inner.principal
    }

    /// The principal in logs: the public id of the key, `local`, `operator` or `sweep`.
    pub fn principal_label(&self) -> &str {
        match &self.inner.principal {
            Principal::ApiKey(id) => id,
            Principal::Local => "local",
            Principal::Operator => "operator",
            Principal::Sweep => "sweep",
        }
    }
}
