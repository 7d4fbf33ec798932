//! The only module that writes. All or nothing: a new project is built beside its place and moved there by one rename; an
//! existing folder gets temporary files first, then renames, and is put back as it was when any step fails. The order of
//! the renames makes a run that is killed harmless too: first the owner's files, then mcpkit's record of them, and the
//! manifest last; run again, it finds done what was done.

use std::borrow::Cow;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::NamedTempFile;

use crate::exit::{Cancelled, Failure};
use crate::interrupt::{self, Writing};
use crate::plan::{Action, Change, LINKED, Plan};
use crate::{lock, manifest};

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
    apply_watched(root, plan, finish, &mut |_| Ok(()))
}

/// One thing that `apply` does to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A folder is made.
    Folder,
    /// A temporary file is made and filled.
    Write,
    /// It gets its mode.
    Mode,
    /// It takes its place.
    Rename,
    /// A file goes.
    Remove,
}

/// The same, and `before` is asked ahead of every step. A disk can fail at each of them, and its error ends the run as the
/// disk's own would.
pub fn apply_watched(
    root: &Path,
    plan: &Plan,
    finish: impl FnOnce(&Path) -> Result<()>,
    before: &mut dyn FnMut(Step) -> std::io::Result<()>,
) -> Result<()> {
    check(plan)?;
    let _writing = Writing::begin();
    let mut undo = Undo::default();
    let result = staged(root, plan, &mut undo, before).and_then(|()| finish(root)).and_then(|()| stop_if_asked());
    if result.is_err() {
        undo.run();
    }
    result
}

/// Whether `plan` can be applied: nothing of the owner's stands in its way.
pub fn check(plan: &Plan) -> Result<()> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (path, reason) in &plan.blocked {
        match reasons.iter_mut().find(|(other, _)| other == reason) {
            Some((_, paths)) => paths.push(format!("`{path}`")),
            None => reasons.push((reason, vec![format!("`{path}`")])),
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let told = reasons.iter().map(|(reason, paths)| {
        let reason = match paths.len() {
            1 => (*reason).to_owned(),
            // Written for one file; several want the plural.
            _ => reason.replace("exists", "exist").replace("was", "were").replacen("is a", "are", 1),
        };
        format!("{} {reason}", paths.join(", "))
    });
    let message = told.collect::<Vec<_>>().join("; ");
    let hint = match reasons.as_slice() {
        [(LINKED, _)] => "replace the link by what it points to, and run it again",
        _ => "move away what stands there and run it again",
    };
    bail!(Failure::new(message, hint))
}

/// Where a path comes in the order of writing: files, what mcpkit recorded of them, the manifest. What goes, goes after what
/// comes: a file that moves is never in neither place.
fn turn(change: &Change) -> u8 {
    match change.path.as_str() {
        manifest::PATH => 4,
        lock::PATH => 3,
        _ if lock::is_bookkeeping(&change.path) => 2,
        _ if change.action == Action::Remove => 1,
        _ => 0,
    }
}

fn staged(
    root: &Path,
    plan: &Plan,
    undo: &mut Undo,
    before: &mut dyn FnMut(Step) -> std::io::Result<()>,
) -> Result<()> {
    let mut changes: Vec<&Change> = plan.effective().collect();
    changes.sort_by_key(|change| turn(change));
    let mut ready: Vec<(Option<NamedTempFile>, &Change)> = Vec::new();
    for change in changes {
        stop_if_asked()?;
        let path = change.path.under(root);
        refuse_symlink(root, change)?;
        if change.action == Action::Remove {
            ready.push((None, change));
            continue;
        }
        let failed = || format!("failed to write `{}`", change.path);
        let folder = path.parent().unwrap_or(root);
        undo.make_folders(root, folder, before).with_context(failed)?;
        before(Step::Write).with_context(failed)?;
        let mut file = NamedTempFile::with_prefix_in(".mcpkit-", folder).with_context(failed)?;
        file.write_all(bytes(change).as_bytes()).with_context(failed)?;
        before(Step::Mode).with_context(failed)?;
        let lies = plan.moved.get(&change.path).unwrap_or(&change.path).under(root);
        let kept = fs::metadata(lies).ok().map(|metadata| metadata.permissions());
        match kept {
            Some(permissions) => fs::set_permissions(file.path(), permissions).with_context(failed)?,
            None => set_mode(file.path(), file_mode(undo.mode(root)?, change.executable)).with_context(failed)?,
        }
        ready.push((Some(file), change));
    }
    for (file, change) in ready {
        stop_if_asked()?;
        let path = change.path.under(root);
        undo.remember(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        if let Some(file) = file {
            let failed = || format!("failed to write `{}`", path.display());
            before(Step::Rename).with_context(failed)?;
            file.persist(&path).with_context(failed)?;
        } else {
            let failed = || format!("failed to remove `{}`", change.path);
            before(Step::Remove).with_context(failed)?;
            fs::remove_file(&path).with_context(failed)?;
            remove_empty_folders(root, &path, undo);
        }
    }
    Ok(())
}

/// A folder that its last file has left goes with it; git would not keep it either.
fn remove_empty_folders(root: &Path, path: &Path, undo: &mut Undo) {
    for folder in path.ancestors().skip(1).take_while(|folder| *folder != root) {
        let Ok(metadata) = fs::metadata(folder) else { return };
        if fs::remove_dir(folder).is_err() {
            return;
        }
        undo.removed.push((folder.to_owned(), metadata.permissions()));
    }
}

/// What is written: the text with the line ends of its file.
fn bytes(change: &Change) -> Cow<'_, str> {
    let text = change.after.as_deref().unwrap_or_default();
    if change.crlf { Cow::Owned(text.replace('\n', "\r\n")) } else { Cow::Borrowed(text) }
}

/// A file as it was: bytes and mode.
type Before = (Vec<u8>, fs::Permissions);

/// What it takes to put a folder back as it was.
#[derive(Default)]
struct Undo {
    /// Folders that were made.
    folders: Vec<PathBuf>,
    /// Folders that were removed, the inner ones first.
    removed: Vec<(PathBuf, fs::Permissions)>,
    files: Vec<(PathBuf, Option<Before>)>,
    folder_mode: Option<u32>,
}

impl Undo {
    fn make_folders(
        &mut self,
        root: &Path,
        folder: &Path,
        before: &mut dyn FnMut(Step) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| *path != root && !path.exists()).collect();
        for path in missing.into_iter().rev() {
            before(Step::Folder)?;
            fs::create_dir(path)?;
            self.folders.push(path.to_owned());
        }
        Ok(())
    }

    /// The mode of a new folder in `root`, found out once.
    fn mode(&mut self, root: &Path) -> Result<u32> {
        let mode = self.folder_mode.map_or_else(|| folder_mode(root), Ok)?;
        self.folder_mode = Some(mode);
        Ok(mode)
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
        for (folder, permissions) in self.removed.into_iter().rev() {
            let _ = fs::create_dir_all(&folder).and_then(|()| fs::set_permissions(&folder, permissions));
        }
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
    options.open(path)?.write_all(bytes(change).as_bytes())
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
