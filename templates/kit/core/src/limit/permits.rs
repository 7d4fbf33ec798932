// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! How many calls a tenant, and the server, have under way. A permit is given back when it is dropped: by an answer, an error,
//! a panic, or a client that has left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::tenant::TenantId;

/// Calls under way, by tenant. A tenant without any takes no room.
#[derive(Default)]
pub struct Permits {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: u32,
    by_tenant: HashMap<TenantId, u32>,
}

/// One call under way.
pub struct Permit {
    permits: Arc<Permits>,
    tenant: TenantId,
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The tenant's own.
    Tenant,
    /// The server's.
    Server,
}

impl Permits {
    /// A permit for `tenant`, if it has fewer than `most` and the server fewer than `most_in_all`.
    pub fn take(
        self: &Arc<Self>,
        tenant: &TenantId,
        most: Option<u32>,
        most_in_all: Option<u32>,
    ) -> Result<Permit, Full> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // The tenant's own bound first: a tenant at its limit is told so, not that the server is busy.
        let own = held.by_tenant.get(tenant).copied().unwrap_or(0);
        if most.is_some_and(|most| own >= most) {
            return Err(Full::Tenant);
        }
        if most_in_all.is_some_and(|most| held.all >= most) {
            return Err(Full::Server);
        }
        held.all += 1;
        *held.by_tenant.entry(tenant.clone()).or_insert(0) += 1;
        Ok(Permit { permits: self.clone(), tenant: tenant.clone() })
    }

    /// Calls of `tenant` under way.
    pub fn of(&self, tenant: &TenantId) -> u32 {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).by_tenant.get(tenant).copied().unwrap_or(0)
    }

    /// All calls under way.
    pub fn all(&self) -> u32 {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.permits.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(1);
        let left = held.by_tenant.get(&self.tenant).copied().unwrap_or(0).saturating_sub(1);
        match left {
            0 => held.by_tenant.remove(&self.tenant),
            left => held.by_tenant.insert(self.tenant.clone(), left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn a_permit_that_is_dropped_makes_room_and_leaves_nothing() {
        let permits = Arc::new(Permits::default());
        let one = permits.take(&tenant("a"), Some(1), None).ok().unwrap();
        assert_eq!(permits.take(&tenant("a"), Some(1), None).err(), Some(Full::Tenant));
        let other = permits.take(&tenant("b"), Some(1), None).ok().unwrap();
        let two = permits.take(&tenant("a"), Some(2), None).ok().unwrap();
        assert_eq!((permits.all(), permits.of(&tenant("a")), permits.of(&tenant("b"))), (3, 2, 1));
        drop((other, two));
        assert_eq!((permits.all(), permits.of(&tenant("a")), permits.of(&tenant("b"))), (1, 1, 0));
        drop(one);
        assert!(permits.take(&tenant("a"), Some(1), None).is_ok());
        assert_eq!((permits.all(), permits.held.lock().unwrap().by_tenant.len()), (0, 0));
    }

    #[test]
    fn a_panic_gives_the_permit_back() {
        let permits = Arc::new(Permits::default());
        let inside = permits.clone();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _permit = inside.take(&tenant("a"), None, None).ok().unwrap();
            panic!("a tool");
        }));
        assert!(result.is_err());
        assert_eq!(permits.all(), 0);
    }

    #[test]
    fn the_servers_bound_holds_over_all_tenants() {
        let permits = Arc::new(Permits::default());
        let _one = permits.take(&tenant("a"), None, Some(1)).ok().unwrap();
        assert_eq!(permits.take(&tenant("b"), None, Some(1)).err(), Some(Full::Server));
    }
}
