//! One file for each command; none has rules of its own.

mod completions;
mod list;
mod man;
mod new;

use anyhow::{Context as _, Result};

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::ui::Ui;

/// Runs the command.
pub fn run(cli: Cli, ui: &Ui) -> Result<Exit> {
    if let Some(folder) = &cli.global.directory {
        std::env::set_current_dir(folder).with_context(|| format!("failed to enter `{}`", folder.display()))?;
    }
    match cli.command {
        Command::New(new) => new::run(&new, &cli.global, ui),
        Command::List { what } => list::run(what, ui),
        Command::Completions { shell } => completions::run(shell, ui),
        Command::Man { folder } => man::run(&folder, cli.global.dry_run, ui),
    }
}
