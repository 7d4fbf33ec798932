//! What our tools ask of the providers, next to what the providers' own packages ask for the same.
//!
//! The packages' requests are in tests/vendors/sent, recorded by the scripts beside it; the suite of generated servers runs
//! those scripts again and fails when a package sends something else. Every difference to ours is named here, as a
//! function with its reasons: it turns the package's request into ours, and what then still differs fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod consents;
mod requests;
