//! A generated project that its owner has committed, what a command says in it, and what it does there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::disk::{self, Disk};
use crate::support::{mcpkit, must};

/// The markers of a conflict that an update has left.
pub const CONFLICT: &str = "<<<<<<< yours\nmine\n||||||| mcpkit 0.1.0\nold\n=======\nnew\n>>>>>>> mcpkit 0.2.0\n";

/// A project `acme` in a folder of its own.
pub struct Grown {
    parent: TempDir,
    root: PathBuf,
}

impl Grown {
    /// Generates it with Notion and these flags, and a first commit.
    pub fn new(flags: &[&str]) -> Self {
        Self::generated(&[&["--quiet"], flags].concat())
    }

    /// The same without a repository.
    pub fn without_git() -> Self {
        Self::generated(&["--quiet", "--no-git"])
    }

    fn generated(flags: &[&str]) -> Self {
        let parent = tempfile::tempdir().unwrap();
        must(mcpkit().current_dir(parent.path()).args(["new", "acme", "--yes"]).args(flags));
        let root = parent.path().join("acme");
        Self { parent, root }
    }

    /// The project that mcpkit 0.1.0 wrote, committed.
    pub fn of_0_1_0() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/project-0.1.0.tar.xz");
        must(Command::new("tar").current_dir(parent.path()).arg("-xf").arg(archive));
        let root = parent.path().join("acme-ads");
        let grown = Self { parent, root };
        grown.git(&["-c", "init.defaultBranch=main", "init", "--quiet"]);
        grown.commit();
        grown
    }

    /// Moves it into the folder `inside` of a repository that has more than it.
    pub fn in_a_larger_repository(inside: &str) -> Self {
        let mut grown = Self::without_git();
        let root = grown.parent.path().join(inside).join("acme");
        fs::create_dir_all(root.parent().unwrap()).unwrap();
        fs::rename(&grown.root, &root).unwrap();
        must(Command::new("git").current_dir(grown.parent.path()).args(["init", "--quiet"]));
        grown.root = root;
        fs::write(grown.parent.path().join("README.md"), "other\n").unwrap();
        must(Command::new("git").current_dir(grown.parent.path()).args(["add", "--all"]));
        grown.commit();
        grown
    }

    pub fn parent(&self) -> &Path {
        self.parent.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Writes a file, and the folders that it needs.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// Puts `to` in the place of `from`, which is there once.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {path}:\n{text}");
        self.write(path, text.replace(from, to));
    }

    pub fn append(&self, path: &str, text: &str) {
        self.write(path, self.read(path) + text);
    }

    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::create_dir_all(self.path(to).parent().unwrap()).unwrap();
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub fn git(&self, args: &[&str]) -> String {
        let output = must(Command::new("git").current_dir(&self.root).args(args));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Commits everything, in the name of somebody else than whoever runs the tests.
    pub fn commit(&self) {
        self.git(&["-c", "core.safecrlf=false", "add", "--all"]);
        let who = ["-c", "user.name=Owner", "-c", "user.email=owner@localhost", "-c", "commit.gpgsign=false"];
        self.git(&[&who[..], &["commit", "--quiet", "--message", "Own changes"]].concat());
    }

    /// Puts CRLF at the end of every line of every file, and commits them so.
    pub fn make_crlf(&self) {
        for (path, state) in self.disk() {
            if state.starts_with("file") {
                self.write(&path, self.read(&path).replace('\n', "\r\n"));
            }
        }
        // So that git takes them as they are.
        self.write(".git/info/attributes", "* -text\n");
        self.commit();
    }

    /// The project as it is on disk.
    pub fn disk(&self) -> Disk {
        disk::read(&self.root)
    }

    /// Paths that are not as they were, without mcpkit's record.
    pub fn changed_since(&self, before: &Disk) -> Vec<String> {
        let after = self.disk();
        let changed = disk::differences(before, &after);
        let mut paths: Vec<String> = changed.into_iter().filter(|path| !path.starts_with(".mcpkit")).cloned().collect();
        paths.sort();
        paths
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.run_in(&self.root, args)
    }

    fn run_in(&self, folder: &Path, args: &[&str]) -> Output {
        mcpkit().current_dir(folder).args(args).output().unwrap()
    }

    /// Runs a command that must succeed; what it printed on standard output.
    pub fn must(&self, args: &[&str]) -> String {
        String::from_utf8(must(mcpkit().current_dir(&self.root).args(args)).stdout).unwrap()
    }

    /// A command line and all that came of it, without what differs from run to run.
    pub fn says(&self, args: &[&str]) -> String {
        self.shown(args, &self.run(args))
    }

    /// The same in another folder of the project.
    pub fn says_in(&self, folder: &str, args: &[&str]) -> String {
        self.shown(args, &self.run_in(&self.path(folder), args))
    }

    /// The same of several, none of which may change anything.
    pub fn says_and_changes_nothing(&self, command_lines: &[&[&str]]) -> String {
        let before = (self.disk(), disk::names(self.parent()));
        let transcripts: Vec<String> = command_lines.iter().map(|args| self.says(args)).collect();
        let after = (self.disk(), disk::names(self.parent()));
        assert_eq!((disk::differences(&before.0, &after.0), before.1), (Vec::new(), after.1));
        transcripts.join("\n")
    }

    fn shown(&self, args: &[&str], output: &Output) -> String {
        let quoted =
            |arg: &&str| if arg.is_empty() || arg.contains(' ') { format!("'{arg}'") } else { (*arg).to_owned() };
        let mut text = format!("$ mcpkit {}\n", args.iter().map(quoted).collect::<Vec<_>>().join(" "));
        for (name, stream) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            let stream = String::from_utf8(stream.clone()).unwrap();
            if !stream.is_empty() {
                text.push_str(&format!("--- {name}\n{}\n", stream.trim_end()));
            }
        }
        text.push_str(&format!("--- exit {}\n", output.status.code().unwrap()));
        let text =
            text.replace(self.parent().to_str().unwrap(), "<FOLDER>").replace(env!("CARGO_PKG_VERSION"), "<VERSION>");
        text.lines().map(|line| format!("{}\n", uncounted(line))).collect()
    }
}

/// A line without what changes whenever the kit does: how many files there are, and where in one of them a line is.
fn uncounted(line: &str) -> String {
    const RECORD: &str = " files of mcpkit's record";
    match line.split_once(RECORD) {
        Some((head, rest)) => {
            format!("{}<COUNT>{RECORD}{rest}", head.trim_end_matches(|digit: char| digit.is_ascii_digit()))
        }
        None if line.starts_with("@@ -") => "@@".to_owned(),
        None => line.to_owned(),
    }
}

/// Compares with `snapshots/grow/<name>.snap`.
pub fn is_recorded(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/grow"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn no_snapshot_has_outlived_its_test() {
    let tests = [include_str!("bad_input.rs"), include_str!("previews.rs")].concat();
    let snapshots = disk::names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/grow"));
    for name in snapshots.iter().filter_map(|name| name.strip_suffix(".snap")) {
        assert!(tests.contains(&format!("\"{name}\"")), "no test compares snapshots/grow/{name}.snap");
    }
}
