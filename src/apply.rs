//! The only module that writes. All or nothing: a new project is built beside its place and moved there by one rename; an
//! existing folder gets temporary files first, then renames, and is put back as it was when any step fails.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

use crate::exit::{Cancelled, Failure};
use crate::interrupt::{self, Writing};
use crate::plan::{Action, Change, Plan};

/// Builds a new folder at `root` from `plan`. `finish` runs on it before it is moved into place, for the repository.
pub fn create(root: &Path, plan: &Plan, finish: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let _writing = Writing::begin();
    let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staging = tempfile::Builder::new()
        .prefix(".mcpkit-")
        .tempdir_in(parent)
        // The library's own text names the temporary folder, which means nothing to anybody.
        .map_err(|error| std::io::Error::from(error.kind()))
        .with_context(|| format!("failed to write in `{}`", parent.display()))?;
    for change in plan.effective() {
        stop_if_asked()?;
        let path = change.path.under(staging.path());
        write_new(&path, change).with_context(|| format!("failed to write `{}`", change.path))?;
    }
    finish(staging.path())?;
    stop_if_asked()?;
    // A folder made by tempfile is its owner's alone; a project is as open as the umask says.
    let mode = folder_mode(parent)?;
    set_mode(staging.path(), mode)?;
    fs::rename(staging.path(), root).with_context(|| format!("failed to move the project to `{}`", root.display()))?;
    // It lives at `root` now; there is nothing left to remove.
    let _ = staging.keep();
    Ok(())
}

/// Applies `plan` to the folder `root`. Refuses when files of the owner's stand in the way. `finish` is part of it: when
/// it fails, the folder is put back as well.
pub fn apply(root: &Path, plan: &Plan, finish: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    check(plan)?;
    let _writing = Writing::begin();
    let mut undo = Undo::default();
    let result = staged(root, plan, &mut undo).and_then(|()| finish(root)).and_then(|()| stop_if_asked());
    if result.is_err() {
        undo.run();
    }
    result
}

/// Whether `plan` can be applied: nothing of the owner's stands in its way.
pub fn check(plan: &Plan) -> Result<()> {
    let in_the_way: Vec<String> = plan.conflicts().map(|change| format!("`{}`", change.path)).collect();
    if let [first, rest @ ..] = in_the_way.as_slice() {
        let what = if rest.is_empty() { "was" } else { "were" };
        let verb = if rest.is_empty() { "exists" } else { "exist" };
        let names = [std::slice::from_ref(first), rest].concat().join(", ");
        let message = format!("{names} {verb} already and {what} not written by mcpkit");
        bail!(Failure::new(message, "move them away, or choose an empty folder"));
    }
    Ok(())
}

fn staged(root: &Path, plan: &Plan, undo: &mut Undo) -> Result<()> {
    let mut ready: Vec<(NamedTempFile, PathBuf)> = Vec::new();
    for change in plan.effective().filter(|change| change.action != Action::Remove) {
        stop_if_asked()?;
        let path = change.path.under(root);
        refuse_symlink(root, change)?;
        let failed = || format!("failed to write `{}`", change.path);
        let folder = path.parent().unwrap_or(root);
        undo.make_folders(root, folder).with_context(failed)?;
        let mut file = NamedTempFile::with_prefix_in(".mcpkit-", folder).with_context(failed)?;
        file.write_all(change.after.as_deref().unwrap_or_default().as_bytes()).with_context(failed)?;
        let kept = fs::metadata(&path).ok().map(|metadata| metadata.permissions());
        match kept {
            Some(permissions) => fs::set_permissions(file.path(), permissions).with_context(failed)?,
            None => set_mode(file.path(), file_mode(folder_mode(root)?, change.executable)).with_context(failed)?,
        }
        ready.push((file, path));
    }
    for (file, path) in ready {
        stop_if_asked()?;
        undo.remember(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        file.persist(&path).with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    for change in plan.effective().filter(|change| change.action == Action::Remove) {
        let path = change.path.under(root);
        undo.remember(&path)?;
        fs::remove_file(&path).with_context(|| format!("failed to remove `{}`", change.path))?;
    }
    Ok(())
}

/// A file as it was: bytes and mode.
type Before = (Vec<u8>, fs::Permissions);

/// What it takes to put a folder back as it was.
#[derive(Default)]
struct Undo {
    folders: Vec<PathBuf>,
    files: Vec<(PathBuf, Option<Before>)>,
}

impl Undo {
    fn make_folders(&mut self, root: &Path, folder: &Path) -> std::io::Result<()> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| *path != root && !path.exists()).collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(path)?;
            self.folders.push(path.to_owned());
        }
        Ok(())
    }

    fn remember(&mut self, path: &Path) -> std::io::Result<()> {
        let before = match fs::read(path) {
            Ok(bytes) => Some((bytes, fs::metadata(path)?.permissions())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.files.push((path.to_owned(), before));
        Ok(())
    }

    /// Best effort, in reverse: by now there is nobody to report a second failure to.
    fn run(self) {
        for (path, before) in self.files.into_iter().rev() {
            let _ = match before {
                Some((bytes, permissions)) => {
                    fs::write(&path, bytes).and_then(|()| fs::set_permissions(&path, permissions))
                }
                None => fs::remove_file(&path),
            };
        }
        for folder in self.folders.into_iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn stop_if_asked() -> Result<()> {
    if interrupt::requested() { Err(Cancelled.into()) } else { Ok(()) }
}

/// A link inside the project could lead the write anywhere.
fn refuse_symlink(root: &Path, change: &Change) -> Result<()> {
    let path = change.path.under(root);
    let link = path.ancestors().take_while(|path| *path != root).find(|path| path.is_symlink());
    match link {
        Some(link) => {
            let message = format!("`{}` is a symbolic link; mcpkit does not write through it", link.display());
            bail!(Failure::new(message, "replace the link by what it points to"))
        }
        None => Ok(()),
    }
}

fn write_new(path: &Path, change: &Change) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if change.executable {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o777);
    }
    options.open(path)?.write_all(change.after.as_deref().unwrap_or_default().as_bytes())
}

/// The mode of a new file where new folders get the mode `folder`.
fn file_mode(folder: u32, executable: bool) -> u32 {
    if executable { folder } else { folder & 0o666 }
}

/// The mode that a folder made in `parent` the ordinary way would have.
fn folder_mode(parent: &Path) -> Result<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let probe = parent.join(format!(".mcpkit-mode-{}", std::process::id()));
        fs::create_dir(&probe)?;
        let mode = fs::metadata(&probe)?.permissions().mode();
        fs::remove_dir(&probe)?;
        Ok(mode & 0o777)
    }
    #[cfg(not(unix))]
    {
        let _ = parent;
        Ok(0o755)
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}
