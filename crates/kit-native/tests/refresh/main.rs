//! Refresh, by its twenty criteria: each test is named after one. Everything is real but the network and the time: several
//! replicas share one SQLite file, the authorization server rotates tokens and ends a family whose used token comes
//! again, and the clock moves on when everything waits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/in_place.rs"]
#[allow(dead_code, reason = "other suites use other parts of it")]
mod in_place;
mod net;
mod providers;
mod sql;
mod world;

mod classes;
mod clock;
mod consent;
mod failures;
mod idle;
mod once;
mod replace;
mod requests;
mod saving;
