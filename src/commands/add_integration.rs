//! `mcpkit add-integration`.

use std::collections::BTreeMap;

use anyhow::Result;

use super::extend::{Wanted, carry_out, refuse_outdated};
use crate::cli::{AddIntegration, Global};
use crate::exit::Exit;
use crate::project::Project;
use crate::templates::Templates;
use crate::ui::Ui;
use crate::{ladder, prompt};

pub(super) fn run(
    add: &AddIntegration,
    project: &Project,
    global: &Global,
    ui: &Ui,
    templates: &Templates,
) -> Result<Exit> {
    refuse_outdated(project, templates)?;
    let recorded = &project.manifest.answers;
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let mut prompter = prompt::of(global, &environment);
    let integration = ladder::integration(add, &environment, &mut *prompter, recorded)?;
    let name = integration.instance.clone();
    let wider = recorded.with_integration(integration)?;
    let wanted = Wanted {
        command: "add-integration",
        answers: wider.as_ref().unwrap_or(recorded),
        ours: &[],
        theirs: &[],
        allow_dirty: add.allow_dirty,
        done: format!("added `{name}`"),
        nothing: format!("nothing to do: `{name}` is there already"),
        next: vec![
            format!("cargo test   # the tools of `{name}` are in src/integrations/{name}/"),
            "cargo run -- dev".to_owned(),
        ],
        print_registry: true,
    };
    carry_out(&wanted, project, global, ui, templates)
}
