// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The kit on an ordinary machine: tokio, SQLite or PostgreSQL, reqwest, and the protocol library rmcp. It implements the ports of
//! `kit` and gives the project its command line; it holds no rule that a call depends on.
//!
//! `src/main.rs` of the project calls [`run`], and that is all it does.

#[cfg(feature = "http")]
mod accept;
#[cfg(feature = "http")]
mod admin;
pub mod cli;
pub mod client_config;
#[cfg(feature = "http")]
mod client_ip;
pub mod clock;
pub mod dev;
#[cfg(feature = "http")]
mod doorkeeper;
pub mod egress;
pub mod failure;
#[cfg(feature = "kms-gcp")]
mod google_token;
pub mod host;
#[cfg(feature = "http")]
pub mod http;
pub mod kek_file;
#[cfg(feature = "kms-gcp")]
mod kek_gcp;
#[cfg(any(feature = "kms-gcp", feature = "kms-transit"))]
mod kek_remote;
pub mod kek_ring;
#[cfg(feature = "kms-transit")]
mod kek_transit;
pub mod log;
pub mod mcp;
pub mod out;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod send;
#[cfg(feature = "http")]
pub mod serve;
pub mod settings;
pub mod signal;
pub mod spill;
pub mod sqlite;
#[cfg(feature = "http")]
pub mod stand_in;
#[cfg(feature = "stdio")]
pub mod stdio;
pub mod telemetry;
pub mod testing;
mod upkeep;

pub use cli::run;
