//! `mcpkit check`: whether managed files are what this version and these answers produce. It compares with a whole rendering,
//! not with the last change, so that a file which has once diverged is named every time.

use anyhow::Result;

use crate::exit::Exit;
use crate::globs::Globs;
use crate::plan::Action;
use crate::project::{Project, RESOLVE, with_markers};
use crate::templates::Templates;
use crate::tree::Class;
use crate::ui::{self, Line, Report, Ui, Versions, quote};
use crate::{lock, render};

pub(super) fn run(project: Project, ui: &Ui, templates: &Templates) -> Result<Exit> {
    let version = project.manifest.version.clone();
    let current = version == templates.version;
    // Of an older version only what it recorded can be compared; what is new waits for `update`.
    let project = if current { project } else { project.as_recorded() };
    let base = project.base(templates)?;
    let target = if current { render::render(templates, &project.manifest.answers)? } else { base.files.clone() };
    let user = project.user(&base, &target)?;
    let keep = Globs::parse(&project.manifest.answers.keep)?;

    let (mut restore, mut stuck, mut pending) = (Vec::new(), Vec::new(), false);
    let mut report = Report {
        schema: 1,
        command: "check",
        root: project.root.display().to_string(),
        version: Versions { from: Some(version.to_string()), to: templates.version.to_string() },
        changes: Vec::new(),
        conflicts: with_markers(&base, &user).iter().map(ToString::to_string).collect(),
        notes: Vec::new(),
        next: Vec::new(),
    };
    let managed = target.iter().filter(|(_, entry)| entry.class == Class::Managed);
    for (path, entry) in managed {
        let now = user.files.text(path);
        if now == Some(entry.text.as_str()) {
            continue;
        }
        if keep.matches(path) {
            report.notes.push(format!("`{path}` is kept as you have it"));
            continue;
        }
        let opaque = user.opaque.get(path);
        let action = if now.is_none() && opaque.is_none() { Action::Remove } else { Action::Change };
        report.changes.push(Line { path: path.to_string(), action, class: entry.class.as_str() });
        if opaque.is_some() {
            stuck.push(format!("`{path}`"));
        }
        if base.files.text(path) == Some(entry.text.as_str()) {
            restore.push(path.to_string());
        } else {
            pending = true;
        }
        match opaque {
            Some(reason) => report.notes.push(format!("`{path}` {reason}")),
            None if !ui.json => ui.data(&ui::unified(path.as_str(), Some(&entry.text), now))?,
            None => {}
        }
    }
    for path in base.lost.iter().filter(|path| target.get(path).is_none() && !current) {
        report.notes.push(format!("`{path}` cannot be compared: its pristine text is lost"));
    }
    if current {
        let recorded = lock::with_bookkeeping(&target, &templates.version)?;
        for (path, entry) in recorded.iter().filter(|(path, _)| lock::is_bookkeeping(path)) {
            let now = project.bookkeeping().text(path);
            if now != Some(entry.text.as_str()) {
                let action = if now.is_none() { Action::Remove } else { Action::Change };
                report.changes.push(Line { path: path.to_string(), action, class: entry.class.as_str() });
                pending = true;
            }
        }
    } else {
        report.notes.push(format!(
            "mcpkit {version} wrote this project, and it was compared with what that one recorded; `mcpkit update` brings \
             {} in",
            templates.version
        ));
    }

    let mut hints = Vec::new();
    if !report.conflicts.is_empty() {
        hints.push(RESOLVE.to_owned());
    }
    if pending {
        hints.push("`mcpkit update` brings the project up to date".to_owned());
    }
    if !stuck.is_empty() {
        hints.push(format!(
            "mcpkit cannot write in the place of {}: move away what stands there first",
            stuck.join(", ")
        ));
    }
    if !restore.is_empty() {
        let (them, those) = if restore.len() == 1 { ("it", "it was") } else { ("them", "they were") };
        let theirs: String = restore.iter().map(|path| format!(" --theirs {}", quote(path))).collect();
        let paths: String = restore.iter().map(|path| format!(" {}", quote(path))).collect();
        hints.push(format!("`mcpkit update{theirs}` puts {them} back as {those} generated"));
        hints.push(format!("`mcpkit keep{paths}` makes {them} yours"));
    }
    report.next.clone_from(&hints);
    let clean = report.changes.is_empty() && report.conflicts.is_empty();
    let exit = if clean { Exit::Done } else { Exit::Drift };
    if ui.json {
        ui.report(&report)?;
        return Ok(exit);
    }
    report.notes.iter().for_each(|note| ui.note(&format!("note: {note}")));
    if clean {
        ui.done(&format!("managed files are as mcpkit {version} generated them"));
        return Ok(exit);
    }
    let mut told = Vec::new();
    if !report.conflicts.is_empty() {
        told.push(format!("conflict markers are left in: {}", report.conflicts.join(", ")));
    }
    if !report.changes.is_empty() {
        let all = report.changes.iter().map(|line| line.path.as_str());
        let (record, mut paths): (Vec<&str>, Vec<&str>) = all.partition(|path| path.starts_with(".mcpkit/"));
        let whole = format!("{} files of mcpkit's record in .mcpkit/", record.len());
        paths.extend(if record.len() > 1 { vec![whole.as_str()] } else { record });
        let shown = match paths.as_slice() {
            few if few.len() <= 10 => few.join(", "),
            many => format!("{} and {} more", many[..10].join(", "), many.len() - 10),
        };
        told.push(format!("not as mcpkit {version} generates it: {shown}"));
    }
    ui.warn(&told.join("\n"), &hints);
    Ok(exit)
}
