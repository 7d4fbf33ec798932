//! The circuit breaker: one of them, both levels, and a model check of each.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod levels;
mod machine;
mod model;
