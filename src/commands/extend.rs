//! What the commands that change a project have in common: new answers in, a plan, the same checks for all of them, and a
//! report.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use similar::{ChangeTag, TextDiff};

use crate::answers::Answers;
use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::git::{self, Uncommitted};
use crate::globs::Globs;
use crate::merge::{Labels, MCPKIT};
use crate::plan::{Action, Base, Choices, Plan, User, plan};
use crate::project::{self, Project};
use crate::templates::Templates;
use crate::tree::{RelPath, Tree};
use crate::ui::{self, Line, Report, Ui, Versions};
use crate::{apply, interrupt, lock, manifest, render, validate};

/// The managed file that names the integrations.
pub(super) const REGISTRY: &str = "src/integrations/mod.rs";

/// What a command wants.
pub(super) struct Wanted<'a> {
    /// Its name.
    pub(super) command: &'static str,
    /// The answers that the project shall have.
    pub(super) answers: &'a Answers,
    /// Files that stay.
    pub(super) ours: &'a [String],
    /// Files that are made anew.
    pub(super) theirs: &'a [String],
    /// Whether uncommitted changes may be written over.
    pub(super) allow_dirty: bool,
    /// What to say first if something was done, and if not.
    pub(super) done: String,
    pub(super) nothing: String,
    /// What to do next if something was done.
    pub(super) next: Vec<String>,
    /// Whether lines that do not fit into the owner's registry are printed instead of merged between markers.
    pub(super) print_registry: bool,
}

/// Refuses a project that an older mcpkit wrote: adding to it would bring newer templates in as well.
pub(super) fn refuse_outdated(project: &Project, templates: &Templates) -> Result<()> {
    let (old, new) = (&project.manifest.version, &templates.version);
    if old < new {
        let message = format!("the project was written by mcpkit {old}, and this is {new}");
        bail!(Failure::new(message, "bring it up to date first: `mcpkit update`"));
    }
    Ok(())
}

/// Plans, checks, writes and reports.
pub(super) fn carry_out(
    wanted: &Wanted<'_>,
    project: &Project,
    global: &Global,
    ui: &Ui,
    templates: &Templates,
) -> Result<Exit> {
    let rendered = render::render(templates, wanted.answers)?;
    let target = lock::with_bookkeeping(&rendered, &templates.version)?;
    let base = project.base(templates)?;
    let user = project.user(&base, &target)?;
    let choices = Choices {
        ours: globs(wanted.ours, &base, &target)?,
        theirs: globs(wanted.theirs, &base, &target)?,
        labels: Labels {
            base: format!("{MCPKIT}{}", project.manifest.version),
            target: format!("{MCPKIT}{}", templates.version),
        },
        migrations: project.migrations.clone(),
    };
    project::refuse_markers(&base, &user, &choices.theirs)?;
    let mut plan = plan(&base, &user, &target, &choices)?;
    if wanted.print_registry {
        print_registry(&mut plan, &base, &user, &target)?;
    }
    ui.plan(&plan, global.dry_run)?;
    apply::check(&plan)?;
    validate::validate_plan(&plan)?;
    let mut notes = plan.notes.clone();
    let writes = plan.effective().next().is_some();
    if writes {
        let uncommitted = git::uncommitted(&project.root);
        let refused = match wanted.allow_dirty {
            true => Ok(()),
            false => refuse_uncommitted(&plan, &base, &user, &uncommitted),
        };
        match refused {
            // The plan can be looked at all the same.
            Err(refused) if global.dry_run => {
                notes.push(format!("without `--allow-dirty` it would be refused now: {refused}"))
            }
            refused => refused?,
        }
        if uncommitted == Uncommitted::NoRepository {
            notes.push("the project is in no git repository, so git cannot undo this".to_owned());
        }
    }
    if writes && !global.dry_run {
        interrupt::install();
        apply::apply(&project.root, &plan, |_| Ok(()))?;
    }
    if !ui.json {
        for path in &plan.undecided {
            ui.data(&ui::unified(path.as_str(), user.files.text(path), target.text(path)))?;
        }
    }
    tell(wanted, project, global, ui, templates, &plan, notes)
}

fn tell(
    wanted: &Wanted<'_>,
    project: &Project,
    global: &Global,
    ui: &Ui,
    templates: &Templates,
    plan: &Plan,
    notes: Vec<String>,
) -> Result<Exit> {
    let conflicts: Vec<String> = plan.conflicts().map(|change| change.path.to_string()).collect();
    let undecided: Vec<String> = plan.undecided.iter().map(ToString::to_string).collect();
    let unsettled = [&conflicts[..], &undecided[..]].concat();
    let writes = plan.effective().next().is_some();
    let changes: Vec<Line> = ui::lines(plan).into_iter().filter(|line| line.action != Action::Unchanged).collect();
    let next = match (unsettled.is_empty(), !changes.is_empty() && !global.dry_run) {
        (true, true) => wanted.next.clone(),
        _ => Vec::new(),
    };
    let report = Report {
        schema: 1,
        command: wanted.command,
        root: project.root.display().to_string(),
        version: Versions { from: Some(project.manifest.version.to_string()), to: templates.version.to_string() },
        changes,
        conflicts: unsettled.clone(),
        notes,
        next,
    };
    let exit = if unsettled.is_empty() { Exit::Done } else { Exit::Conflicts };
    if ui.json {
        ui.report(&report)?;
        return Ok(exit);
    }
    if writes {
        let count = |action: Action| report.changes.iter().filter(|line| line.action == action).count();
        let counts = [
            (count(Action::Create), "created"),
            (count(Action::Change), "changed"),
            (count(Action::Remove), "removed"),
            (count(Action::Conflict), "in conflict"),
        ];
        let counts: Vec<String> =
            counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let would = if global.dry_run { "dry run, nothing was written; without it: " } else { "" };
        let counts =
            if counts.is_empty() { "only mcpkit's record in `.mcpkit/`".to_owned() } else { counts.join(", ") };
        ui.done(&format!("{would}{}: {counts}", wanted.done));
    } else {
        ui.done(&wanted.nothing);
    }
    report.notes.iter().for_each(|note| ui.note(&format!("note: {note}")));
    if !conflicts.is_empty() {
        let hint = format!("{}; `mcpkit check` finds what is left", project::RESOLVE);
        ui.warn(&format!("\nto be resolved: {}", conflicts.join(", ")), &[hint]);
    }
    if !undecided.is_empty() {
        let hint = format!(
            "the patch above is the way from yours to mcpkit's; take over what you want, or all of it: `mcpkit update{}`",
            undecided.iter().map(|path| format!(" --theirs {}", ui::quote(path))).collect::<String>()
        );
        ui.warn(&format!("\nleft as they are, since their pristine text is lost: {}", undecided.join(", ")), &[hint]);
    }
    if !report.next.is_empty() {
        ui.note("\nnext:");
        report.next.iter().for_each(|line| ui.note(&format!("  {line}")));
    }
    Ok(exit)
}

/// Patterns, each of which must match a file that is or was generated: a typing error must not pass for a choice.
pub(super) fn globs(patterns: &[String], base: &Base, target: &Tree) -> Result<Globs> {
    for pattern in patterns {
        let one = Globs::parse(std::slice::from_ref(pattern))?;
        let known =
            base.files.iter().map(|(path, _)| path).chain(&base.lost).chain(target.iter().map(|(path, _)| path));
        if !known.filter(|path| !lock::is_bookkeeping(path)).any(|path| one.matches(path)) {
            let hint = "paths count from the project's folder; `mcpkit diff` names what was changed";
            bail!(Failure::new(format!("no file that mcpkit generates matches `{pattern}`"), hint));
        }
    }
    Ok(Globs::parse(patterns)?)
}

/// Lines that the owner's own registry cannot take in are printed: nothing is written between its lines that would keep it
/// from compiling.
fn print_registry(plan: &mut Plan, base: &Base, user: &User, target: &Tree) -> Result<()> {
    let path = RelPath::parse(REGISTRY)?;
    let (Some(old), Some(new)) = (base.files.get(&path), target.get(&path)) else { return Ok(()) };
    let place = plan.changes.iter().position(|change| change.path == path);
    let stuck = match place {
        Some(place) => plan.changes[place].action == Action::Conflict,
        None => user.files.get(&path).is_none(),
    };
    if old.text == new.text {
        // Asked for again, although it was added before: the lines that were printed then may have been forgotten.
        if let Some(now) = user.files.text(&path)
            && plan.effective().next().is_none()
        {
            let has = |line: &str| now.lines().any(|other| other.trim() == line.trim());
            let missing: String =
                new.text.lines().filter(|line| !has(line)).map(|line| format!("\n    {}", line.trim())).collect();
            if !missing.is_empty() {
                plan.notes.push(format!("`{path}` lacks lines; if they are nowhere else, add them:{missing}"));
            }
        }
        return Ok(());
    }
    if !stuck {
        return Ok(());
    }
    if let Some(place) = place {
        plan.changes.remove(place);
    }
    let diff = TextDiff::from_lines(&old.text, &new.text);
    let lines: String = diff
        .iter_all_changes()
        .filter(|change| change.tag() == ChangeTag::Insert)
        .map(|change| format!("\n    {}", change.value().trim()))
        .collect();
    plan.notes.retain(|note| !note.starts_with(&format!("`{path}` ")));
    plan.notes.push(match place {
        Some(_) => format!("`{path}` stays as you changed it; add to it yourself:{lines}"),
        None => format!("`{path}` is not there; where you register integrations now, add yourself:{lines}"),
    });
    Ok(())
}

/// Refuses to write over what git has no copy of. What is still as mcpkit itself wrote it can be made again and is no reason.
fn refuse_uncommitted(plan: &Plan, base: &Base, user: &User, uncommitted: &Uncommitted) -> Result<()> {
    let on_disk = |path: &RelPath| user.moved_from.get(path).unwrap_or(path).to_string();
    let pristine: BTreeMap<String, bool> = plan
        .effective()
        .filter(|change| !lock::is_bookkeeping(&change.path) && change.before.is_some())
        .map(|change| {
            let recorded = base.files.get(&change.path).map(|entry| &entry.text);
            (on_disk(&change.path), recorded == change.before.as_ref())
        })
        .collect();
    // One key more in the manifest, and nothing else: there is no line of the owner's that this could cost.
    if pristine.keys().all(|path| path == manifest::PATH) {
        return Ok(());
    }
    let touched: Vec<String> = pristine
        .into_iter()
        .filter(|(path, pristine)| !pristine && uncommitted.may_hold(path))
        .map(|(path, _)| format!("`{path}`"))
        .collect();
    if touched.is_empty() {
        return Ok(());
    }
    let touched = touched.join(", ");
    bail!(match uncommitted {
        Uncommitted::Unknown(error) => Failure::new(
            format!("failed to ask git whether changes are uncommitted in what would be written, {touched}: {error}"),
            "make `git status` work here, or go on with `--allow-dirty`"
        ),
        _ => Failure::new(
            format!("there are uncommitted changes in what would be written: {touched}"),
            "commit or stash them, or go on with `--allow-dirty`"
        ),
    })
}
