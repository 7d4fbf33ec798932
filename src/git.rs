//! A repository with a first commit, and what was not committed since, through the user's own git. Without git there is
//! none, and a note says so.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::exit::Failure;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A repository with a commit.
    Committed,
    /// The folder lies in a repository already.
    Inside,
    /// There is no git here.
    NoGit,
}

/// Whether `folder` lies in a repository.
pub fn is_inside(folder: &Path) -> bool {
    folder.ancestors().any(|path| path.join(".git").exists())
}

/// What git has no committed copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncommitted {
    /// These paths.
    Paths(BTreeSet<String>),
    /// Everything: there is no repository.
    NoRepository,
    /// There is a repository, and git cannot say. This is why.
    Unknown(String),
}

impl Uncommitted {
    /// Whether an uncommitted change of `path` could get lost. Without a repository nobody expects git to have a copy.
    pub fn may_hold(&self, path: &str) -> bool {
        match self {
            Self::Paths(paths) => paths.contains(path),
            Self::NoRepository => false,
            Self::Unknown(_) => true,
        }
    }
}

/// The paths under `root`, relative to it, that git has no committed copy of as they are now.
pub fn uncommitted(root: &Path) -> Uncommitted {
    if !is_inside(root) {
        return Uncommitted::NoRepository;
    }
    paths(root).map_or_else(Uncommitted::Unknown, Uncommitted::Paths)
}

fn paths(root: &Path) -> Result<BTreeSet<String>, String> {
    let prefix = read(root, &["rev-parse", "--show-prefix"])?;
    let prefix = prefix.trim_end_matches('\n');
    // Paths in this format are those of the repository, whatever the user has set.
    let flags = ["--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", "."];
    let status = read(root, &[&["--no-optional-locks", "status"], &flags[..]].concat())?;
    let path = |row: &str| Some(row.get(3..)?.strip_prefix(prefix)?.to_owned());
    Ok(status.split('\0').filter_map(path).collect())
}

/// What git prints, or the first line of what it complains of.
fn read(folder: &Path, args: &[&str]) -> Result<String, String> {
    let output = command(folder, args).stdout(Stdio::piped()).output().map_err(|error| format!("git: {error}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(complaint.lines().next().unwrap_or("it said nothing").to_owned()),
    }
}

/// Makes a repository in `folder` and commits `paths` in it. A failure leaves no repository.
pub fn init(folder: &Path, paths: &[&str]) -> Result<Made> {
    let made = commit(folder, paths);
    if made.is_err() {
        let _ = std::fs::remove_dir_all(folder.join(".git"));
    }
    made
}

fn commit(folder: &Path, paths: &[&str]) -> Result<Made> {
    match git(folder, &["-c", "init.defaultBranch=main", "init", "--quiet"]) {
        Err(_) => return Ok(Made::NoGit),
        Ok(Some(error)) => return Err(failure("init", &error)),
        Ok(None) => {}
    }
    // What the user ignores everywhere is a part of this project all the same.
    let add = ["-c", "core.autocrlf=false", "-c", "core.safecrlf=false", "-c", "core.looseCompression=0"];
    if let Some(error) = git(folder, &[&add[..], &["-c", "core.excludesFile=/dev/null", "add", "--"], paths].concat())?
    {
        return Err(failure("add", &error));
    }
    // Hooks and signing are for the owner's commits, not for this one; a repository of one commit needs no upkeep.
    let plain = ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "maintenance.auto=false"];
    let commit = ["commit", "--quiet", "--message", "Generate the project with mcpkit"];
    // The owner's own name if git knows one; where it knows none it refuses the first.
    if git(folder, &[&plain[..], &["-c", "user.useConfigOnly=true"], &commit].concat())?.is_some() {
        let named = ["-c", "user.name=mcpkit", "-c", "user.email=mcpkit@localhost"];
        if let Some(error) = git(folder, &[&plain[..], &named, &commit].concat())? {
            return Err(failure("commit", &error));
        }
    }
    Ok(Made::Committed)
}

fn failure(step: &str, error: &str) -> anyhow::Error {
    let cause = error.lines().next().unwrap_or("it said nothing");
    Failure::new(format!("failed to run `git {step}`: {cause}"), "mend it, or make no repository with `--no-git`")
        .into()
}

/// Runs git: `None` if it succeeded, else what it said. An error means that it cannot be run at all.
fn git(folder: &Path, args: &[&str]) -> Result<Option<String>> {
    let output = command(folder, args).output().context("failed to run git")?;
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // A repository elsewhere must not catch these: hooks and rebase run with such variables set.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command
}
