//! The generator, as a user meets it and as its parts promise. One binary: linking it once is most of the time.

#[path = "../support/mod.rs"]
mod support;
