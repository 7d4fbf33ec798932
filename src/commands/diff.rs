//! `mcpkit diff`: what the owner changed since the project was generated, and nothing that mcpkit did.

use anyhow::Result;

use super::extend::globs;
use crate::exit::Exit;
use crate::plan::Action;
use crate::project::Project;
use crate::templates::Templates;
use crate::tree::Tree;
use crate::ui::{self, Line, Report, Ui, Versions};

pub(super) fn run(paths: &[String], project: Project, ui: &Ui, templates: &Templates) -> Result<Exit> {
    let project = project.as_recorded();
    let base = project.base(templates)?;
    let user = project.user(&base, &Tree::default())?;
    let chosen = globs(paths, &base, &Tree::default())?;
    let version = &project.manifest.version;
    let mut report = Report {
        schema: 1,
        command: "diff",
        root: project.root.display().to_string(),
        version: Versions { from: Some(version.to_string()), to: version.to_string() },
        changes: Vec::new(),
        conflicts: Vec::new(),
        notes: Vec::new(),
        next: Vec::new(),
    };
    for (path, entry) in base.files.iter().filter(|(path, _)| paths.is_empty() || chosen.matches(path)) {
        let now = user.files.text(path);
        let opaque = user.opaque.get(path);
        if now == Some(entry.text.as_str()) {
            continue;
        }
        let action = if now.is_none() && opaque.is_none() { Action::Remove } else { Action::Change };
        report.changes.push(Line { path: path.to_string(), action, class: entry.class.as_str() });
        match opaque {
            Some(reason) => report.notes.push(format!("`{path}` {reason}")),
            None if !ui.json => ui.data(&ui::unified(path.as_str(), Some(&entry.text), now))?,
            None => {}
        }
    }
    for path in base.lost.iter().filter(|path| paths.is_empty() || chosen.matches(path)) {
        report.notes.push(format!("`{path}` was changed, and its pristine text is lost"));
    }
    if ui.json {
        ui.report(&report)?;
        return Ok(Exit::Done);
    }
    report.notes.iter().for_each(|note| ui.note(&format!("note: {note}")));
    if report.changes.is_empty() && report.notes.is_empty() {
        ui.done(&format!("nothing was changed since mcpkit {version} wrote it"));
    }
    Ok(Exit::Done)
}
