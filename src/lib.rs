//! mcpkit scaffolds production MCP servers.
//!
//! ```text
//! flags, answers file, environment, prompts ─▶ Answers ──render──▶ target Tree ─┐
//!                                .mcpkit/base ─────────────────▶ base Tree ─────┼─▶ plan() ─▶ Plan ─▶ apply
//!                                the project's files ──────────▶ user Tree ─────┘          └▶ shown by -n, --diff
//! ```
//!
//! `render`, `plan`, `merge` and `tree` do no I/O; `apply` is the only module that writes; `prompt` alone knows dialoguer,
//! `ui` alone prints, `manifest` and `cargo_toml` alone know toml_edit, `render` alone knows minijinja. ARCHITECTURE.md has
//! the whole map.

pub mod answers;
pub mod apply;
pub mod cargo_lock;
pub mod cargo_toml;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod embed;
pub mod exit;
pub mod git;
pub mod globs;
pub mod interrupt;
pub mod ladder;
pub mod lock;
pub mod manifest;
pub mod merge;
pub mod migrate;
pub mod name;
pub mod plan;
pub mod project;
pub mod prompt;
pub mod render;
pub mod templates;
pub mod tree;
pub mod ui;
pub mod validate;

use std::ffi::OsString;

use clap::Parser as _;

use exit::Exit;

/// Runs the command line `args` with the templates of this binary, and says how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    match cli::Cli::try_parse_from(args) {
        Ok(cli) => {
            let ui = ui::Ui::new(&cli.global);
            run_with(cli, &ui, &templates::Templates::embedded())
        }
        Err(error) => {
            // Help and version are data, a misused flag is an error; clap knows which.
            let code = error.exit_code();
            match (error.print(), code) {
                (_, 0) => Exit::Done,
                _ => Exit::Usage,
            }
        }
    }
}

/// Runs a command with these templates, and prints on `ui`.
pub fn run_with(cli: cli::Cli, ui: &ui::Ui, templates: &templates::Templates) -> Exit {
    commands::run(cli, ui, templates).unwrap_or_else(|error| ui.failure(&error))
}
