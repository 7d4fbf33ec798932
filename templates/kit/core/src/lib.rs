// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The kit: what every tool call of this server passes through, in pure Rust.
//!
//! Nothing in this crate opens a socket or a file, reads a clock or the environment, or knows a runtime. What it needs
//! from the outside it asks for through [`ports`]; `kit-native` answers with tokio, SQLite and reqwest. That is what
//! lets the same source run in a Worker and lets every test hold time in its hand.
//!
//! Where to start reading: [`pipeline`] is the one path of every call, [`inbound`] decides who is calling, [`vault`]
//! keeps the credentials, [`upstream`] sends the signed requests.

pub mod app;
pub mod boot;
pub mod breaker;
pub mod cache;
pub(crate) mod calendar;
pub mod call;
pub mod connect;
pub mod day;
pub mod error;
mod flight;
mod guard;
pub mod inbound;
pub mod ledger;
pub mod limit;
pub mod observe;
pub mod operator;
pub mod pipeline;
pub mod ports;
pub mod prelude;
pub mod prompt;
pub mod registry;
pub mod resource;
pub mod restli;
pub mod schema;
pub mod secret;
pub mod store;
mod sync;
pub mod tenant;
pub mod token;
pub mod tool;
pub mod upstream;
pub mod vault;

pub use app::{App, Integration};
