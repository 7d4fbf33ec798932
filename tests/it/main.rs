//! The generator, as a user meets it and as its parts promise. One binary: linking it once is most of the time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod cargo_toml;
mod cli;
mod complaints;
mod disk;
mod doctor;
mod faults;
mod golden;
mod grow;
mod grown;
mod merge_git;
mod names;
mod plan_apply;
mod previews;
mod prompter;
mod prompts_pty;
mod rendered;
mod scenarios;
mod templates;
