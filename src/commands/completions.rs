//! `mcpkit completions`.

use anyhow::Result;
use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::ui::Ui;

pub(super) fn run(shell: clap_complete::Shell, ui: &Ui) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mcpkit", &mut script);
    ui.data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
