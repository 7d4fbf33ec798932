//! `mcpkit new`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::answers::Answers;
use crate::cli::{Global, New};
use crate::exit::{Exit, Failure};
use crate::git::{self, Made};
use crate::name::ProjectName;
use crate::plan::{Action, Base, Choices, User, plan};
use crate::templates::Templates;
use crate::tree::{Class, Entry, Tree};
use crate::ui::{self, Report, Ui, Versions, quote};
use crate::{apply, interrupt, ladder, lock, prompt, render, validate};

pub(super) fn run(new: &New, global: &Global, ui: &Ui, templates: &Templates) -> Result<Exit> {
    let (root, name) = place(new)?;
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let mut prompter = prompt::of(global, &environment);
    let raw = ladder::climb(new, &environment, &mut *prompter)?;
    let answers = Answers::check(name, &raw)?;

    let rendered = render::render(templates, &answers)?;
    validate::validate(&rendered)?;
    let target = lock::with_bookkeeping(&rendered, &templates.version)?;
    let user = if new.here { existing(&root, &target)? } else { User::default() };
    let plan = plan(&Base::default(), &user, &target, &Choices::default())?;
    ui.plan(&plan, global.dry_run)?;

    let mut notes = Vec::new();
    if global.dry_run {
        apply::check(&plan)?;
    } else {
        interrupt::install();
        let mut made = None;
        let wants_git = !new.no_git && !git::is_inside(&std::path::absolute(&root)?);
        let repository = |folder: &Path| {
            if wants_git {
                let paths: Vec<&str> = plan.effective().map(|change| change.path.as_str()).collect();
                made = Some(git::init(folder, &paths)?);
            }
            Ok(())
        };
        if new.here {
            apply::apply(&root, &plan, repository)?;
        } else {
            apply::create(&root, &plan, repository)?;
        }
        if !new.no_git {
            match made.unwrap_or(Made::Inside) {
                Made::Committed => {}
                Made::Inside => {
                    notes.push("the folder lies in a git repository already; nothing was committed".to_owned())
                }
                Made::NoGit => notes.push("there is no git here, so there is no repository".to_owned()),
            }
        }
    }
    let report = Report {
        schema: 1,
        command: "new",
        root: std::path::absolute(&root)?.display().to_string(),
        version: Versions { from: None, to: templates.version.to_string() },
        changes: ui::lines(&plan),
        conflicts: Vec::new(),
        notes,
        next: next(new, global, &root, &answers),
    };
    if ui.json {
        ui.report(&report)?;
    } else {
        tell(ui, new, global, &answers, &root, &report);
    }
    Ok(Exit::Done)
}

fn tell(ui: &Ui, new: &New, global: &Global, answers: &Answers, root: &Path, report: &Report) {
    let instances: Vec<&str> = answers.integrations.iter().map(|integration| integration.instance.as_str()).collect();
    let files = report.changes.iter().filter(|line| line.action == Action::Create).count();
    let verb = if global.dry_run { "would make" } else { "made" };
    ui.done(&format!("{verb} `{}`: {files} files, integrations: {}", root.display(), instances.join(", ")));
    report.notes.iter().for_each(|note| ui.note(&format!("note: {note}")));
    let mut command = vec!["mcpkit".to_owned()];
    if let Some(folder) = &global.directory {
        command.extend(["-C".to_owned(), folder.display().to_string()]);
    }
    command.extend(["new".to_owned(), new.path.clone().unwrap_or_else(|| answers.name.to_string())]);
    command.extend(answers.flags());
    let switches = [("--here", new.here), ("--no-git", new.no_git), ("--yes", true)];
    command.extend(switches.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()));
    let quoted: Vec<String> = command.iter().map(|word| quote(word)).collect();
    ui.note(&format!("\nthe same again, without questions:\n  {}", quoted.join(" ")));
    ui.note("\nnext:");
    report.next.iter().for_each(|line| ui.note(&format!("  {line}")));
}

fn next(new: &New, global: &Global, root: &Path, answers: &Answers) -> Vec<String> {
    let mut next = Vec::new();
    // Seen from where the command was typed, not from the folder that `-C` led into.
    let place = match (&global.directory, new.here) {
        (Some(folder), true) => Some(folder.clone()),
        (Some(folder), false) => Some(folder.join(root)),
        (None, false) => Some(root.to_owned()),
        (None, true) => None,
    };
    next.extend(place.map(|place| format!("cd {}", quote(&place.display().to_string()))));
    next.extend(["cargo run -- dev", "cargo test"].map(str::to_owned));
    if next.len() < 3 {
        next.push(format!("cargo run -- --help   # the operator's commands of {}", answers.name));
    }
    next
}

/// The folder of the project and its name.
fn place(new: &New) -> Result<(PathBuf, ProjectName)> {
    let current = || std::env::current_dir().context("failed to find the current folder");
    let path = match (&new.path, new.here) {
        (Some(path), false) => PathBuf::from(path),
        (Some(path), true) if path.contains(['/', '\\']) => {
            bail!(Failure::new("`--here` takes a name, not a path", "go to the folder with `-C FOLDER`"));
        }
        (Some(name), true) => return Ok((current()?, parse(name)?)),
        (None, true) => {
            let folder = current()?;
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return Ok((folder, parse(&name)?));
        }
        (None, false) => bail!(Failure::new("the project has no name", "for example `mcpkit new acme-ads`")),
    };
    if path.file_name().is_none() && !path.components().any(|component| component == Component::ParentDir) {
        bail!(Failure::new("the project has no name", "give one, or use `--here` to fill this folder"));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        bail!(Failure::new("a path with `..` is not accepted", "give the folder itself, or use `-C FOLDER`"));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = parse(&name)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| parent.exists() && !parent.is_dir()) {
        let message = format!("`{}` is a file, not a folder", parent.display());
        bail!(Failure::new(message, "give a path whose folders exist"));
    }
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        let message = format!("there is no folder `{}`", parent.display());
        bail!(Failure::new(message, format!("make it with `mkdir -p {}`", quote(&parent.display().to_string()))));
    }
    match std::fs::read_dir(&path).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            let message = format!("`{}` exists and is not empty", path.display());
            bail!(Failure::new(message, "choose another name, or use `--here` inside it"));
        }
        Err(_) if path.symlink_metadata().is_ok() => {
            let message = format!("`{}` exists and is not a folder", path.display());
            bail!(Failure::new(message, "choose another name, or move it away"));
        }
        _ => {}
    }
    Ok((path, name))
}

fn parse(text: &str) -> Result<ProjectName> {
    Ok(ProjectName::parse(text).map_err(|error| {
        let hint =
            error.suggestion().map_or_else(|| "for example `acme-ads`".to_owned(), |name| format!("try `{name}`"));
        Failure::new(error.to_string(), hint)
    })?)
}

/// The files of `root` that the plan touches.
fn existing(root: &Path, target: &Tree) -> Result<User> {
    let mut user = User::default();
    for (path, _) in target.iter() {
        let text = match std::fs::read(path.under(root)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let message = format!("failed to read `{path}`: {error}");
                bail!(Failure::new(message, "move away what stands in its place, or choose an empty folder"));
            }
        };
        // Bookkeeping of another project is not to be replaced either.
        if lock::is_bookkeeping(path) && target.get(path).is_some_and(|entry| entry.text != text) {
            user.opaque.insert(path.clone(), "exists already and was not written by mcpkit");
        } else {
            user.files.insert(path.clone(), Entry { class: Class::Seeded, executable: false, text })?;
        }
    }
    Ok(user)
}
