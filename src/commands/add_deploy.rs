//! `mcpkit add-deploy`.

use std::collections::BTreeMap;

use anyhow::Result;

use super::extend::{Wanted, carry_out, refuse_outdated};
use crate::cli::{AddDeploy, Global};
use crate::exit::Exit;
use crate::project::Project;
use crate::templates::Templates;
use crate::ui::Ui;
use crate::{ladder, prompt};

pub(super) fn run(add: &AddDeploy, project: &Project, global: &Global, ui: &Ui, templates: &Templates) -> Result<Exit> {
    refuse_outdated(project, templates)?;
    let recorded = &project.manifest.answers;
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let mut prompter = prompt::of(global, &environment);
    let targets = ladder::targets(add, &mut *prompter, recorded)?;
    let wider = recorded.with_deploy(&targets)?;
    let names = targets.iter().map(|target| format!("`{target}`")).collect::<Vec<_>>().join(", ");
    let wanted = Wanted {
        command: "add-deploy",
        answers: &wider,
        ours: &[],
        theirs: &[],
        allow_dirty: add.allow_dirty,
        done: format!("added {names}"),
        nothing: match names.as_str() {
            "" => "nothing to do: no target was chosen".to_owned(),
            _ if targets.len() == 1 => format!("nothing to do: {names} is there already"),
            _ => format!("nothing to do: {names} are there already"),
        },
        next: targets.iter().map(|target| format!("read deploy/{target}/README.md")).collect(),
        print_registry: true,
    };
    carry_out(&wanted, project, global, ui, templates)
}
