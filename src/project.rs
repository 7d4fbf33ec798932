//! A project on disk: where it is, what it says of itself, what was generated into it and what is there now. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::exit::Failure;
use crate::globs::Globs;
use crate::manifest::{self, Manifest};
use crate::migrate::{self, Migration};
use crate::plan::{Base, LINKED, User};
use crate::templates::Templates;
use crate::tree::{Class, Entry, RelPath, Tree};
use crate::{lock, render, tree};

/// A project that was found and whose manifest was understood.
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// What it says of itself, in today's words.
    pub manifest: Manifest,
    /// The renames between the version that wrote it and this one.
    pub migrations: Vec<Migration>,
    /// `.mcpkit/` as it is on disk.
    bookkeeping: Tree,
    crlf: bool,
}

impl Project {
    /// Finds the project that `folder` lies in.
    pub fn find(folder: &Path, templates: &Templates) -> Result<Self> {
        if !folder.is_dir() {
            bail!(Failure::new(
                format!("there is no folder `{}`", folder.display()),
                "give one that exists: `-C FOLDER`"
            ));
        }
        // Taken as text, `acme/..` would lie in `acme`.
        let climbs = folder.components().any(|part| part == Component::ParentDir);
        let start = if climbs { folder.canonicalize()? } else { std::path::absolute(folder)? };
        let Some(root) = start.ancestors().find(|path| path.join(manifest::PATH).exists()) else {
            let message = format!("neither `{}` nor a folder above it has an `{}`", start.display(), manifest::PATH);
            let hint = "go to a project that mcpkit made, with `-C FOLDER`, or make one: `mcpkit new NAME`";
            bail!(Failure::new(message, hint));
        };
        let path = root.join(manifest::PATH);
        let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let Some((text, crlf)) = text_of(&bytes) else {
            let hint = format!("restore it: `git checkout -- {}`", manifest::PATH);
            bail!(Failure::new(format!("`{}` is not UTF-8 text", manifest::PATH), hint));
        };
        if crate::merge::has_markers(&text) {
            bail!(unresolved(&[manifest::PATH.to_owned()]));
        }
        let manifest = manifest::read(&text, &templates.version, &templates.migrations)?;
        let passed = migrate::between(&templates.migrations, &manifest.version, &templates.version);
        let migrations = passed.cloned().collect();
        let bookkeeping = bookkeeping(root)?;
        Ok(Self { root: root.to_owned(), manifest, migrations, bookkeeping, crlf })
    }

    /// The same project seen without what later versions renamed.
    #[must_use]
    pub fn as_recorded(mut self) -> Self {
        self.migrations.clear();
        self
    }

    /// What was generated before. Where `.mcpkit/` is damaged: rendered again if this version wrote the project; else what
    /// the files themselves say, if their hashes show that nobody touched them.
    pub fn base(&self, templates: &Templates) -> Result<Base> {
        let lock = self.bookkeeping.get(&RelPath::parse(lock::PATH)?).map(|entry| lock::read(&entry.text));
        let class =
            |path: &RelPath| lock.as_ref().and_then(|lock| Some(lock.get(path)?.class)).unwrap_or(Class::Seeded);
        let mut base = Base::default();
        for (path, entry) in self.bookkeeping.iter() {
            if let Some(file) = lock::pristine_of(path) {
                let entry = Entry { class: class(&file), executable: false, text: entry.text.clone() };
                base.files.insert(self.now(&file), entry)?;
            }
        }
        let same_version = self.manifest.version == templates.version;
        let Some(lock) = lock else {
            if base.files.is_empty() && same_version {
                base.files = render::render(templates, &self.manifest.answers)?;
            } else if base.files.is_empty() {
                bail!(self.without_bookkeeping());
            }
            return Ok(base);
        };
        let missing: Vec<_> = lock.iter().filter(|(path, _)| base.files.get(&self.now(path)).is_none()).collect();
        if missing.is_empty() {
            return Ok(base);
        }
        let rendered = if same_version { render::render(templates, &self.manifest.answers)? } else { Tree::default() };
        for (old, recorded) in missing {
            let path = self.now(old);
            let pristine = |text: &str| tree::hash(text) == recorded.sha256;
            let text = match read(&self.root, old)? {
                Found::Text(text, _) if pristine(&text) => Some(text),
                _ => rendered.get(&path).map(|entry| entry.text.clone()).filter(|text| pristine(text)),
            };
            match text {
                Some(text) => {
                    base.files.insert(path, Entry { class: recorded.class, executable: false, text })?;
                }
                None => {
                    base.lost.insert(path);
                }
            }
        }
        Ok(base)
    }

    fn without_bookkeeping(&self) -> Failure {
        let version = &self.manifest.version;
        let message =
            format!("`.mcpkit/` is gone, and only mcpkit {version}, which wrote this project, can make it again");
        let hint = format!(
            "restore it: `git checkout -- .mcpkit`; or run `mcpkit update` of that version first: \
             `cargo install mcpkit-cli --locked --version {version}`"
        );
        Failure::new(message, hint)
    }

    /// What is there now, as far as `base` and `target` speak of it.
    pub fn user(&self, base: &Base, target: &Tree) -> Result<User> {
        let mut user = User { files: self.bookkeeping.clone(), crlf_usual: self.crlf, ..User::default() };
        let locked = self.bookkeeping.get(&RelPath::parse(lock::PATH)?).map(|entry| lock::read(&entry.text));
        let moved: BTreeMap<RelPath, RelPath> = self
            .bookkeeping
            .iter()
            .filter_map(|(path, _)| lock::pristine_of(path))
            .chain(locked.into_iter().flat_map(BTreeMap::into_keys))
            .map(|old| (self.now(&old), old))
            .filter(|(new, old)| new != old)
            .collect();
        let paths: BTreeSet<&RelPath> = base
            .files
            .iter()
            .map(|(path, _)| path)
            .chain(&base.lost)
            .chain(target.iter().map(|(path, _)| path).filter(|path| !lock::is_bookkeeping(path)))
            .collect();
        for path in paths {
            let mut found = read(&self.root, path)?;
            if let Some(old) = moved.get(path) {
                match (&found, read(&self.root, old)?) {
                    (Found::Nothing, there) => {
                        if matches!(there, Found::Text(..)) {
                            user.moved_from.insert(path.clone(), old.clone());
                        }
                        found = there;
                    }
                    (Found::Text(..), Found::Text(text, _)) => {
                        let entry = Entry { class: Class::Seeded, executable: false, text };
                        user.left_behind.insert(path.clone(), (old.clone(), entry));
                    }
                    _ => {}
                }
            }
            match found {
                Found::Nothing => {}
                Found::Opaque(reason) => {
                    user.opaque.insert(path.clone(), reason);
                }
                Found::Text(text, crlf) => {
                    user.files.insert(path.clone(), Entry { class: Class::Seeded, executable: false, text })?;
                    if crlf {
                        user.crlf.insert(path.clone());
                    }
                }
            }
        }
        if self.crlf {
            user.crlf.extend(self.bookkeeping.iter().map(|(path, _)| path.clone()));
        }
        Ok(user)
    }

    /// `.mcpkit/` as it is on disk.
    pub fn bookkeeping(&self) -> &Tree {
        &self.bookkeeping
    }

    /// Today's path of what was generated at `old`.
    fn now(&self, old: &RelPath) -> RelPath {
        migrate::moved(old, self.migrations.iter())
    }
}

/// Refuses files that hold conflict markers nobody has resolved yet, other than those that are `replaced`. What `base` holds
/// was generated so.
pub fn refuse_markers(base: &Base, user: &User, replaced: &Globs) -> Result<()> {
    let marked = with_markers(base, user).into_iter().filter(|path| !replaced.matches(path));
    let unresolved_paths: Vec<String> = marked.map(|path| path.to_string()).collect();
    if unresolved_paths.is_empty() { Ok(()) } else { Err(unresolved(&unresolved_paths).into()) }
}

/// Files that hold conflict markers.
pub fn with_markers(base: &Base, user: &User) -> Vec<RelPath> {
    let marked = |text: &str| crate::merge::has_markers(text);
    user.files
        .iter()
        .filter(|(path, entry)| {
            !lock::is_bookkeeping(path)
                && marked(&entry.text)
                && !base.files.get(path).is_some_and(|entry| marked(&entry.text))
        })
        .map(|(path, _)| path.clone())
        .collect()
}

fn unresolved(paths: &[String]) -> Failure {
    let names: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
    let verb = if names.len() == 1 { "has" } else { "have" };
    let message = format!("{} {verb} conflict markers that are not resolved", names.join(", "));
    Failure::new(message, format!("{RESOLVE}, and run it again"))
}

/// What to do with conflict markers.
pub const RESOLVE: &str =
    "between each `<<<<<<<` and `>>>>>>>` leave the lines that shall stay, take the lines with markers out";

/// What lies at a path.
enum Found {
    Nothing,
    /// Text with LF line ends, and whether it had CRLF.
    Text(String, bool),
    /// Something that is not text, and why it cannot be written.
    Opaque(&'static str),
}

fn read(root: &Path, path: &RelPath) -> Result<Found> {
    let place = path.under(root);
    // A link on the way could lead anywhere; what is behind it is not this project's.
    if place.ancestors().take_while(|part| *part != root).any(Path::is_symlink) {
        return Ok(Found::Opaque(LINKED));
    }
    match fs::read(&place) {
        Ok(bytes) => Ok(match text_of(&bytes) {
            Some((text, crlf)) => Found::Text(text, crlf),
            None => Found::Opaque("is not UTF-8 text"),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Ok(Found::Opaque("cannot be written: on the way a file stands in the place of a folder"))
        }
        Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(Found::Opaque("is a folder")),
        Err(error) => Err(error).with_context(|| format!("failed to read `{path}`")),
    }
}

/// Text with LF line ends, and whether all of its lines end in CRLF. `None` for what is no UTF-8.
fn text_of(bytes: &[u8]) -> Option<(String, bool)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let ends = text.matches('\n').count();
    let crlf = ends > 0 && text.matches("\r\n").count() == ends;
    Some((if crlf { text.replace("\r\n", "\n") } else { text.to_owned() }, crlf))
}

fn bookkeeping(root: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut folders = vec![".mcpkit".to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                bail!(Failure::new(format!("`{folder}` is not a folder"), "move it away and run it again"));
            }
            Err(error) => return Err(error).with_context(|| format!("failed to read `{folder}`")),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("failed to read `{folder}`"))?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(path) = RelPath::parse(&path) else { continue };
            // What is not mcpkit's in there, an editor's swap file for one, is not looked at.
            if !lock::is_bookkeeping(&path) {
                continue;
            }
            if let Found::Text(text, _) = read(root, &path)? {
                tree.insert(path, Entry { class: Class::Managed, executable: false, text })?;
            }
        }
    }
    Ok(tree)
}
