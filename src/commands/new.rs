//! `mcpkit new`.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::answers::Answers;
use crate::cli::{Global, New};
use crate::exit::{Exit, Failure};
use crate::git::{self, Made};
use crate::name::ProjectName;
use crate::plan::{Action, plan};
use crate::prompt::{Never, Prompter, Tty};
use crate::tree::{Class, Entry, RelPath, Tree};
use crate::ui::{self, Report, Ui, Versions};
use crate::{apply, interrupt, ladder, lock, render, validate};

pub(super) fn run(new: &New, global: &Global, ui: &Ui) -> Result<Exit> {
    let (root, name) = place(new)?;
    let environment: BTreeMap<String, String> = std::env::vars().collect();
    let mut prompter = prompter(global, &environment);
    let raw = ladder::climb(new, &environment, &mut *prompter)?;
    let answers = Answers::check(name, &raw)?;

    let rendered = render::render(&answers)?;
    validate::validate(&rendered)?;
    let target = lock::with_bookkeeping(&rendered)?;
    let user = if new.here { existing(&root, &target)? } else { Tree::default() };
    let plan = plan(&Tree::default(), &user, &target);
    ui.plan(&plan, global.dry_run);

    let mut notes = Vec::new();
    let in_the_way: Vec<String> = plan.conflicts().map(|change| change.path.to_string()).collect();
    if !global.dry_run {
        interrupt::install();
        let mut made = None;
        let wants_git = !new.no_git && !git::is_inside(&std::path::absolute(&root)?);
        if new.here {
            apply::apply(&root, &plan)?;
            if wants_git {
                made = Some(git::init(&root)?);
            }
        } else {
            apply::create(&root, &plan, |staging| {
                if wants_git {
                    made = Some(git::init(staging)?);
                }
                Ok(())
            })?;
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
        root: root.display().to_string(),
        version: Versions { from: None, to: env!("CARGO_PKG_VERSION") },
        changes: ui::lines(&plan),
        conflicts: in_the_way,
        notes,
        next: next(new, &root, &answers),
    };
    if ui.json {
        ui.report(&report);
    } else {
        let files = report.changes.iter().filter(|line| line.action == Action::Create).count();
        tell(ui, new, global, &answers, &report, files);
    }
    Ok(Exit::Done)
}

fn tell(ui: &Ui, new: &New, global: &Global, answers: &Answers, report: &Report, files: usize) {
    let instances: Vec<&str> = answers.integrations.iter().map(|integration| integration.instance.as_str()).collect();
    let verb = if global.dry_run { "would make" } else { "made" };
    ui.done(&format!("{verb} `{}`: {files} files, integrations: {}", report.root, instances.join(", ")));
    report.notes.iter().for_each(|note| ui.note(&format!("note: {note}")));
    let place = new.path.as_deref().unwrap_or(answers.name.as_str());
    let mut command = vec!["mcpkit".to_owned(), "new".to_owned(), place.to_owned()];
    command.extend(answers.flags());
    command.extend(
        [("--here", new.here), ("--no-git", new.no_git), ("--yes", true)]
            .into_iter()
            .filter(|f| f.1)
            .map(|f| f.0.to_owned()),
    );
    let quoted: Vec<String> = command.iter().map(|word| quote(word)).collect();
    ui.note(&format!("\nthe same again, without questions:\n  {}", quoted.join(" ")));
    ui.note("\nnext:");
    report.next.iter().for_each(|line| ui.note(&format!("  {line}")));
}

fn next(new: &New, root: &Path, answers: &Answers) -> Vec<String> {
    let mut next = Vec::new();
    if !new.here {
        next.push(format!("cd {}", quote(&root.display().to_string())));
    }
    next.push("cargo run -- dev".to_owned());
    next.push("cargo test".to_owned());
    if new.here {
        next.push(format!("cargo run -- --help   # the operator's commands of {}", answers.name));
    }
    next
}

/// A word as a shell takes it.
fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whom to ask. Without a terminal, nobody: a build server must not hang at a question.
fn prompter(global: &Global, environment: &BTreeMap<String, String>) -> Box<dyn Prompter> {
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let ci = environment.get("CI").is_some_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
    if terminal && !global.yes && !ci {
        interrupt::install();
        Box::new(Tty)
    } else {
        Box::new(Never)
    }
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
    if path.components().any(|component| component == Component::ParentDir) {
        bail!(Failure::new("a path with `..` is not accepted", "give the folder itself, or use `-C FOLDER`"));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = parse(&name)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        let message = format!("there is no folder `{}`", parent.display());
        bail!(Failure::new(message, format!("make it with `mkdir -p {}`", quote(&parent.display().to_string()))));
    }
    let occupied = match std::fs::read_dir(&path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.symlink_metadata().is_ok(),
    };
    if occupied {
        let message = format!("`{}` exists and is not empty", path.display());
        bail!(Failure::new(message, "choose another name, or use `--here` inside it"));
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
fn existing(root: &Path, target: &Tree) -> Result<Tree> {
    let mut tree = Tree::default();
    for (path, _) in target.iter() {
        let text = match std::fs::read(path.under(root)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("failed to read `{path}`")),
        };
        let path = RelPath::parse(path.as_str())?;
        tree.insert(path, Entry { class: Class::Seeded, executable: false, text })?;
    }
    Ok(tree)
}
