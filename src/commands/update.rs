//! `mcpkit update`.

use anyhow::Result;

use super::extend::{Wanted, carry_out};
use crate::cli::{Global, Update};
use crate::exit::Exit;
use crate::project::Project;
use crate::templates::Templates;
use crate::ui::Ui;

pub(super) fn run(update: &Update, project: &Project, global: &Global, ui: &Ui, templates: &Templates) -> Result<Exit> {
    let (old, new) = (&project.manifest.version, &templates.version);
    let done = if old == new {
        format!("brought in line with mcpkit {new} and `mcpkit.toml`")
    } else {
        format!("updated from mcpkit {old} to {new}")
    };
    let wanted = Wanted {
        command: "update",
        answers: &project.manifest.answers,
        ours: &update.ours,
        theirs: &update.theirs,
        allow_dirty: update.allow_dirty,
        done,
        nothing: format!("nothing to do: the project is up to date with mcpkit {new}"),
        next: vec!["git diff".to_owned(), "cargo test".to_owned()],
        print_registry: false,
    };
    carry_out(&wanted, project, global, ui, templates)
}
