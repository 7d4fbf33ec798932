//! What the suites share. Each suite uses a part of it.
#![allow(dead_code, reason = "every suite compiles this module and uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod frozen;
pub mod grow;
pub mod presets;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use presets::Preset;

/// The mcpkit binary under test.
pub fn mcpkit() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpkit"));
    // Nothing of the developer's own environment decides a test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MCPKIT_") || name == "CI") {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Runs `command` and fails the test with all its output if it fails.
pub fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    output
}

/// Folder for build output and generated projects that outlive one test: outside the clone, so that a fresh clone finds
/// what an earlier one has built.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let base = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    std::env::var_os("MCPKIT_CACHE").map_or_else(|| base.join("mcpkit"), PathBuf::from)
}

/// A generated project whose files have been on disk since they last changed, so that cargo builds only what is new.
pub struct Project {
    pub name: &'static str,
    pub folder: PathBuf,
}

impl Project {
    /// Generates `preset` into the cache.
    pub fn of(preset: &Preset) -> Self {
        let name = preset.name;
        let presets = cache().join("presets");
        std::fs::create_dir_all(&presets).unwrap();
        let fresh = tempfile::tempdir_in(&presets).unwrap();
        must(mcpkit().current_dir(fresh.path()).args(["new", name, "--yes", "--quiet"]).args(preset.flags));
        let folder = presets.join(name);
        replace(&fresh.path().join(name), &folder);
        Self { name, folder }
    }

    /// Cargo in the project, with the build folder that all projects share.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.folder).args(args).env("CARGO_TARGET_DIR", target()).stdin(Stdio::null());
        for name in ["CARGO_MANIFEST_DIR", "RUSTFLAGS", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command
    }

    /// Builds the server and returns its path.
    pub fn build(&self) -> PathBuf {
        must(&mut self.cargo(&["build", "--locked", "--quiet"]));
        target().join("debug").join(self.name)
    }
}

/// The build folder of generated projects.
pub fn target() -> PathBuf {
    cache().join("target-presets")
}

/// Makes `old` equal to `new`, touching only what differs: an untouched file keeps its time, and cargo its work.
pub fn replace(new: &Path, old: &Path) {
    std::fs::create_dir_all(old).unwrap();
    let names = |folder: &Path| -> Vec<std::ffi::OsString> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    for name in names(old).into_iter().filter(|name| !new.join(name).exists()) {
        let gone = old.join(name);
        if gone.is_dir() { std::fs::remove_dir_all(gone).unwrap() } else { std::fs::remove_file(gone).unwrap() }
    }
    for name in names(new) {
        let (from, to) = (new.join(&name), old.join(&name));
        if name == ".git" {
            let _ = std::fs::remove_dir_all(&to);
            std::fs::rename(from, to).unwrap();
        } else if from.is_dir() {
            replace(&from, &to);
        } else if std::fs::read(&to).ok() != Some(std::fs::read(&from).unwrap()) {
            std::fs::copy(from, to).unwrap();
        }
    }
}
