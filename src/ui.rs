//! The only printer. Standard output carries data (JSON, diffs, lists), standard error everything for the person. Every
//! line reads without colour.

use std::cell::RefCell;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use serde::Serialize;
use similar::TextDiff;

use crate::cli::{Color, Global};
use crate::exit::{Cancelled, Exit, Failure};
use crate::plan::{Action, Plan};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();

/// How to print.
pub struct Ui {
    /// Report as JSON.
    pub json: bool,
    quiet: bool,
    verbose: bool,
    diff: bool,
    captured: Option<RefCell<Captured>>,
}

/// What would have been printed.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// On standard output.
    pub stdout: String,
    /// On standard error.
    pub stderr: String,
}

/// The report of a command, as `--json` prints it. The order of fields is part of the format.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Version of this format.
    pub schema: u32,
    /// The command.
    pub command: &'static str,
    /// The project's folder.
    pub root: String,
    /// mcpkit's version before and after.
    pub version: Versions,
    /// What happens to which file.
    pub changes: Vec<Line>,
    /// Files that stand in the way.
    pub conflicts: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// The commands to run next.
    pub next: Vec<String>,
}

/// mcpkit's version before and after.
#[derive(Debug, Serialize)]
pub struct Versions {
    /// The version that wrote the project before.
    pub from: Option<String>,
    /// This version.
    pub to: String,
}

/// One file of a report.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Path in the project.
    pub path: String,
    /// What happens to it.
    pub action: Action,
    /// Who changes it.
    pub class: &'static str,
}

impl Ui {
    /// Takes over the global options.
    pub fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let (json, quiet, verbose, diff) = (global.json, global.quiet, global.verbose, global.diff);
        Self { json, quiet, verbose, diff, captured: None }
    }

    /// One that prints nothing and keeps it, for [`Ui::captured`].
    pub fn capturing(global: &Global) -> Self {
        Self { captured: Some(RefCell::default()), ..Self::new(global) }
    }

    /// What was kept.
    pub fn captured(&self) -> Captured {
        self.captured.as_ref().map(|captured| captured.borrow().clone()).unwrap_or_default()
    }

    /// Text for standard output. A reader that has left is not an error; a full disk is.
    pub fn data(&self, text: &str) -> Result<()> {
        if let Some(captured) = &self.captured {
            captured.borrow_mut().stdout.push_str(text);
            return Ok(());
        }
        let mut stdout = anstream::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.context("failed to write to standard output"),
        }
    }

    /// A line for the person.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    fn say(&self, line: &str) {
        match &self.captured {
            Some(captured) => {
                captured.borrow_mut().stderr.push_str(&format!("{}\n", anstream::adapter::strip_str(line)))
            }
            None => {
                let _ = writeln!(anstream::stderr().lock(), "{line}");
            }
        }
    }

    /// A warning and what to do about it, in the form of an error.
    pub fn warn(&self, message: &str, hints: &[String]) {
        self.note(&format!("{ERROR}{message}{ERROR:#}"));
        if !hints.is_empty() {
            self.note("");
        }
        hints.iter().for_each(|hint| self.note(&format!("{HINT}hint{HINT:#}: {hint}")));
    }

    /// A line that says that something was done.
    pub fn done(&self, line: &str) {
        self.note(&format!("{GOOD}{line}{GOOD:#}"));
    }

    /// Shows a plan: with `--dry-run` a line for each file that is written, with `-v` for every file, with `--diff` unified
    /// diffs.
    pub fn plan(&self, plan: &Plan, dry_run: bool) -> Result<()> {
        if !self.json && (self.verbose || dry_run) && !self.diff {
            for change in shown(plan).filter(|change| self.verbose || change.action != Action::Unchanged) {
                let line = format!("  {} {:9} {}", change.action.glyph(), change.action.as_str(), change.path);
                self.note(&line);
            }
        }
        if self.diff && !self.json {
            for change in shown(plan).filter(|change| change.before != change.after) {
                // With the line ends that are on disk, so that the patch fits.
                let side = |text: &Option<String>| {
                    text.as_ref().map(|text| if change.crlf { text.replace('\n', "\r\n") } else { text.clone() })
                };
                let (before, after) = (side(&change.before), side(&change.after));
                self.data(&unified(change.path.as_str(), before.as_deref(), after.as_deref()))?;
            }
        }
        Ok(())
    }

    /// Prints `report` as JSON.
    pub fn report(&self, report: &Report) -> Result<()> {
        self.data(&format!("{}\n", serde_json::to_string(report)?))
    }

    /// Prints an error: `error: failed to …: cause`, a blank line, `hint: …`.
    pub fn failure(&self, error: &anyhow::Error) -> Exit {
        self.say(&format!("{ERROR}error{ERROR:#}: {error:#}"));
        if let Some(failure) = error.downcast_ref::<Failure>() {
            self.say(&format!("\n{HINT}hint{HINT:#}: {}", failure.hint()));
        }
        if error.is::<Cancelled>() { Exit::Cancelled } else { Exit::Failed }
    }
}

/// The way from one text of a file to another, as a patch that `git apply` takes. `None`: there is no file.
pub fn unified(path: &str, before: Option<&str>, after: Option<&str>) -> String {
    let name = |side: Option<&str>, prefix: &str| match side {
        Some(_) => format!("{prefix}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let (old, new) = (name(before, "a"), name(after, "b"));
    TextDiff::from_lines(before.unwrap_or(""), after.unwrap_or("")).unified_diff().header(&old, &new).to_string()
}

/// The lines of a plan without mcpkit's own bookkeeping.
fn shown(plan: &Plan) -> impl Iterator<Item = &crate::plan::Change> {
    plan.changes.iter().filter(|change| !crate::lock::is_bookkeeping(&change.path))
}

/// The lines of a plan for a report.
pub fn lines(plan: &Plan) -> Vec<Line> {
    shown(plan)
        .map(|change| Line { path: change.path.to_string(), action: change.action, class: change.class.as_str() })
        .collect()
}

/// A word as a shell takes it.
pub fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
