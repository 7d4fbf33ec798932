//! mcpkit scaffolds production MCP servers.
//!
//! ```text
//! flags, answers file, environment, prompts ─▶ Answers ──render──▶ target Tree ─┐
//!                                .mcpkit/base ─────────────────▶ base Tree ─────┼─▶ plan() ─▶ Plan ─▶ apply
//!                                the project's files ──────────▶ user Tree ─────┘          └▶ shown by -n, --diff
//! ```
//!
//! `render`, `plan` and `tree` do no I/O; `apply` is the only module that writes; `prompt` alone knows dialoguer, `ui`
//! alone prints, `manifest` alone knows toml_edit, `render` alone knows minijinja. ARCHITECTURE.md has the whole map.

pub mod answers;
pub mod apply;
pub mod cargo_lock;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod embed;
pub mod exit;
pub mod git;
pub mod interrupt;
pub mod ladder;
pub mod lock;
pub mod manifest;
pub mod name;
pub mod plan;
pub mod prompt;
pub mod render;
pub mod tree;
pub mod ui;
pub mod validate;

use std::ffi::OsString;

use clap::Parser as _;

use exit::Exit;

/// Runs the command line `args` and says how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    match cli::Cli::try_parse_from(args) {
        Ok(cli) => {
            let ui = ui::Ui::new(&cli.global);
            commands::run(cli, &ui).unwrap_or_else(|error| ui.failure(&error))
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
