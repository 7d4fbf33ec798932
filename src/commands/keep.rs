//! `mcpkit keep`: a managed file becomes the owner's. `update` still merges into it, `check` lets it pass.

use anyhow::{Result, bail};

use super::extend::{Wanted, carry_out, globs, refuse_outdated};
use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::globs::Globs;
use crate::project::Project;
use crate::render;
use crate::templates::Templates;
use crate::tree::Class;
use crate::ui::Ui;

pub(super) fn run(
    paths: &[String],
    allow_dirty: bool,
    project: &Project,
    global: &Global,
    ui: &Ui,
    templates: &Templates,
) -> Result<Exit> {
    refuse_outdated(project, templates)?;
    let mut answers = project.manifest.answers.clone();
    let rendered = render::render(templates, &answers)?;
    globs(paths, &project.base(templates)?, &rendered)?;
    for path in paths {
        let one = Globs::parse(std::slice::from_ref(path))?;
        if !rendered.iter().any(|(path, entry)| entry.class == Class::Managed && one.matches(path)) {
            let message = format!("`{path}` is yours already: `check` does not look at it");
            bail!(Failure::new(
                message,
                "`keep` is for managed files: those under `kit/`, and `src/integrations/mod.rs`"
            ));
        }
    }
    answers.keep.extend(paths.iter().map(|path| path.trim_start_matches("./").trim_end_matches('/').to_owned()));
    answers.keep.sort_unstable();
    answers.keep.dedup();
    let names = paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    let is = if paths.len() == 1 { "is" } else { "are" };
    let wanted = Wanted {
        command: "keep",
        answers: &answers,
        ours: &[],
        theirs: &[],
        allow_dirty,
        done: format!("{names} {is} yours now, see `[files] keep` in mcpkit.toml"),
        nothing: format!("nothing to do: {names} {is} yours already"),
        next: Vec::new(),
        print_registry: false,
    };
    carry_out(&wanted, project, global, ui, templates)
}
