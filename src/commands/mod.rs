//! One file for each command; none has rules of its own.

mod add_deploy;
mod add_integration;
mod check;
mod completions;
mod diff;
mod doctor;
mod extend;
mod keep;
mod list;
mod man;
mod new;
mod update;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cli::{Cli, Command};
use crate::exit::Exit;
use crate::project::Project;
use crate::templates::Templates;
use crate::ui::Ui;

/// Runs the command.
pub fn run(cli: Cli, ui: &Ui, templates: &Templates) -> Result<Exit> {
    let global = &cli.global;
    let project = || Project::find(global.directory.as_deref().unwrap_or(Path::new(".")), templates);
    // Paths that are typed count from the folder that `-C` names; the others find their project and use no such path.
    let enter = || match &global.directory {
        Some(folder) => {
            std::env::set_current_dir(folder).with_context(|| format!("failed to enter `{}`", folder.display()))
        }
        None => Ok(()),
    };
    match cli.command {
        Command::New(new) => enter().and_then(|()| new::run(&new, global, ui, templates)),
        Command::AddIntegration(add) => add_integration::run(&add, &project()?, global, ui, templates),
        Command::AddDeploy(add) => add_deploy::run(&add, &project()?, global, ui, templates),
        Command::Update(update) => update::run(&update, &project()?, global, ui, templates),
        Command::Check => check::run(project()?, ui, templates),
        Command::Keep { paths, allow_dirty } => keep::run(&paths, allow_dirty, &project()?, global, ui, templates),
        Command::Diff { paths } => diff::run(&paths, project()?, ui, templates),
        Command::Doctor => doctor::run(&project()?, ui),
        Command::List { what } => list::run(what, ui),
        Command::Completions { shell } => completions::run(shell, ui),
        Command::Man { folder } => enter().and_then(|()| man::run(&folder, global.dry_run, ui)),
    }
}
