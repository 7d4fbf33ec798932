//! `mcpkit man`.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::ui::Ui;

pub(super) fn run(folder: &Path, dry_run: bool, ui: &Ui) -> Result<Exit> {
    if dry_run {
        ui.done(&format!("would write the manual pages into `{}`", folder.display()));
        return Ok(Exit::Done);
    }
    let failed = || format!("failed to write the manual pages into `{}`", folder.display());
    std::fs::create_dir_all(folder).with_context(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(failed)?;
    ui.done(&format!("wrote the manual pages into `{}`", folder.display()));
    Ok(Exit::Done)
}
