// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a sealed record holds: the secret of a connection and the hosts it may be sent to.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The secret of one connection.
pub enum Credential {
    /// A key that the tenant's own administrator issued at the provider.
    ApiKey {
        /// The key.
        key: Secret,
        /// Hosts (and `host:port` where the port is not the default one) that the key may be sent to. They are sealed
        /// with it, so no later change of configuration can send it elsewhere.
        hosts: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Stored {
    ApiKey { key: String, hosts: Vec<String> },
}

impl Credential {
    /// Whether it may be sent to `host`.
    pub fn permits(&self, host: &str) -> bool {
        let Self::ApiKey { hosts, .. } = self;
        hosts.iter().any(|permitted| permitted == host)
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self::ApiKey { key, hosts } = self;
        let key = key.expose_str().unwrap_or_default().to_owned();
        let stored = Stored::ApiKey { key, hosts: hosts.clone() };
        let bytes = Zeroizing::new(serde_json::to_vec(&stored).unwrap_or_default());
        let Stored::ApiKey { key, .. } = stored;
        drop(Zeroizing::new(key));
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Stored::ApiKey { key, hosts } = serde_json::from_slice(bytes).ok()?;
        Some(Self::ApiKey { key: Secret::new(key.into_bytes()), hosts })
    }
}
