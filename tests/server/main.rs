//! Generated servers as they run: real processes, real clients, real signals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod books;
mod clients;
mod connect;
mod edge;
mod harness;
mod life;
mod operator;
mod stdio;
mod telemetry;
mod throttles;
mod wire;
