// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The locks of what is tested under a scheduler: a test that compiles such a module by itself puts that scheduler's locks
//! here, and no switch in the source says so.

pub(crate) use std::sync::{Arc, Mutex, PoisonError};
