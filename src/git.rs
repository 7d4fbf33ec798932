//! A repository with a first commit, through the user's own git. Without git there is none, and a note says so.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

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

/// Makes a repository in `folder` and commits everything in it.
pub fn init(folder: &Path) -> Result<Made> {
    if !git(folder, &["--version"]) {
        return Ok(Made::NoGit);
    }
    // The user's own name if git knows one; hooks and signing are for their commits, not for this one.
    let known = git(folder, &["var", "GIT_AUTHOR_IDENT"]);
    let mut commit = vec!["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"];
    if !known {
        commit.extend(["-c", "user.name=mcpkit", "-c", "user.email=mcpkit@localhost"]);
    }
    commit.extend(["commit", "--quiet", "--message", "Generate the project with mcpkit"]);
    let steps: [&[&str]; 3] = [
        &["-c", "init.defaultBranch=main", "init", "--quiet"],
        &["-c", "core.autocrlf=false", "-c", "core.safecrlf=false", "add", "--all"],
        &commit,
    ];
    match steps.iter().find(|step| !git(folder, step)) {
        None => Ok(Made::Committed),
        Some(step) => anyhow::bail!("failed to run `git {}`", step.join(" ")),
    }
}

fn git(folder: &Path, args: &[&str]) -> bool {
    // A repository elsewhere must not catch these: hooks and rebase run with such variables set.
    let mut command = Command::new("git");
    command.current_dir(folder).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.status().is_ok_and(|status| status.success())
}
