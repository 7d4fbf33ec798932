//! Generated servers as they run: real processes, real clients, real signals.

#[path = "../support/mod.rs"]
mod support;
