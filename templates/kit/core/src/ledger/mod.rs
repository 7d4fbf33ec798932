// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What happened, for whoever pays for it.

pub mod usage;
