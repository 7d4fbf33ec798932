// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Key-encryption keys in a file or a systemd credential: one key a line, the primary first. A serving process reads the
//! file again before it wraps and when a row names a key that it does not know, so it follows a rotation without a restart.
//!
//! Nobody but the server's user and root may read the file or own it: whoever can put a key there gets every credential
//! that is stored from then on.

use std::fs::{File, Metadata};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use kit::ports::{BoxFuture, KeyWrap, KeyWrapError, Rng, Wrapped};
use kit::secret::Secret;
use kit::vault::kek::{KekError, LocalKeks};
use zeroize::Zeroizing;

use crate::clock::SystemRng;
use crate::failure::Hinted;

/// More than this is not a list of keys.
const MAX_FILE: u64 = 16 << 10;

/// What a file is, which decides who may read it and who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of the server's user.
    File,
    /// What systemd put into `$CREDENTIALS_DIRECTORY`, a folder that only the service can enter.
    Credential,
}

/// The keys of a file, read again as described above.
pub struct FileKeks {
    path: PathBuf,
    kind: Kind,
    keks: Mutex<Arc<LocalKeks>>,
}

impl FileKeks {
    /// Reads the file.
    pub fn open(path: &Path, kind: Kind) -> anyhow::Result<Self> {
        let keks = Mutex::new(Arc::new(read(path, kind)?));
        Ok(Self { path: path.to_owned(), kind, keks })
    }

    fn keks(&self) -> Arc<LocalKeks> {
        self.keks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is in the file now. A file that cannot be used any more leaves what was read from it before.
    fn read_again(&self) -> Result<Arc<LocalKeks>, KeyWrapError> {
        let keks = read(&self.path, self.kind).map(Arc::new).map_err(|error| {
            tracing::warn!(reason = format!("{error:#}"), "the key-encryption keys were not read again");
            KeyWrapError::Unavailable
        })?;
        *self.keks.lock().unwrap_or_else(PoisonError::into_inner) = keks.clone();
        Ok(keks)
    }
}

impl KeyWrap for FileKeks {
    fn ids(&self) -> Vec<String> {
        self.read_again().unwrap_or_else(|_| self.keks()).ids()
    }

    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<Wrapped, KeyWrapError>> {
        // Never with a key that may be gone from the file: what it wrapped would not open after a restart.
        Box::pin(async move { self.read_again()?.wrap(aad, key).await })
    }

    fn unwrap<'a>(
        &'a self,
        kek_id: &'a str,
        aad: &'a [u8],
        wrapped: &'a str,
    ) -> BoxFuture<'a, Result<Secret, KeyWrapError>> {
        Box::pin(async move {
            match self.keks().unwrap(kek_id, aad, wrapped).await {
                Err(KeyWrapError::NotLoaded) if kek_id.starts_with("file:") => match self.read_again() {
                    Ok(keks) => keks.unwrap(kek_id, aad, wrapped).await,
                    Err(_) => Err(KeyWrapError::NotLoaded),
                },
                result => result,
            }
        })
    }
}

/// Reads the keys of a file.
pub fn read(path: &Path, kind: Kind) -> anyhow::Result<LocalKeks> {
    let (_, content) = read_checked(path, kind)?;
    parse(path, &content, LocalKeks::parse)
}

/// Reads the key file of a development server, after making it if there is none yet.
pub fn read_or_make_dev(path: &Path) -> anyhow::Result<LocalKeks> {
    if !path.exists() {
        write_private(path, LocalKeks::dev_file(&SystemRng)?.expose())?;
    }
    let (_, content) = read_checked(path, Kind::File)?;
    parse(path, &content, LocalKeks::parse_dev)
}

/// Puts a new random key in front of the others, and returns its id.
pub fn add_key(path: &Path) -> anyhow::Result<String> {
    edit(path, |keks| Ok(keks.rotated()?))
}

/// Takes the key `id` out of the file.
pub fn remove_key(path: &Path, id: &str) -> anyhow::Result<()> {
    edit(path, |keks| {
        let shown = path.display();
        let rest = keks.without(id).with_context(|| {
            let hint = format!("take `file:{shown}` out of `vault.previous_keks` instead");
            Hinted::new(format!("`{id}` is the only key in `{shown}`"), hint)
        })?;
        Ok(((), rest))
    })
}

/// Writes a file that only this user can read.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(content));
    written.with_context(|| format!("failed to write `{}`", path.display()))
}

type Parse = fn(&[u8], Arc<dyn Rng>) -> Result<LocalKeks, KekError>;

fn parse(path: &Path, content: &[u8], parse: Parse) -> anyhow::Result<LocalKeks> {
    parse(content, Arc::new(SystemRng)).with_context(|| format!("failed to use `{}`", path.display()))
}

/// The open file and its content. What is checked is the very file that is read.
fn read_checked(path: &Path, kind: Kind) -> anyhow::Result<(File, Zeroizing<Vec<u8>>)> {
    let failed = || format!("failed to read the key-encryption key `{}`", path.display());
    let file = File::open(path).with_context(failed)?;
    check_access(path, &file.metadata().with_context(failed)?, kind)?;
    // With room for all of it from the start: a buffer that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize));
    (&file).take(MAX_FILE).read_to_end(&mut content).with_context(failed)?;
    Ok((file, content))
}

/// Replaces the content of the file by what `change` makes of its keys: all of it or nothing, with owner and mode kept.
/// Two processes that change it at once do so one after the other, so neither loses the other's key.
fn edit<T>(path: &Path, change: impl FnOnce(&LocalKeks) -> anyhow::Result<(T, Secret)>) -> anyhow::Result<T> {
    // Behind a link it is the file that changes, not the link.
    let path = &path.canonicalize().with_context(|| format!("failed to find `{}`", path.display()))?;
    let (locked, content) = loop {
        let (file, _) = read_checked(path, Kind::File)?;
        file.lock().with_context(|| format!("failed to lock `{}`", path.display()))?;
        // While this process waited for the lock, another may have put a new file in its place.
        let (now, content) = read_checked(path, Kind::File)?;
        if same_file(&file, &now)? {
            break (file, content);
        }
    };
    let (result, new) = change(&parse(path, &content, LocalKeks::parse)?)?;
    replace(path, &locked.metadata()?, new.expose()).with_context(|| {
        let hint = "change the file where it is kept; RUNBOOK.md says how, under \"Rotating the key-encryption key\"";
        Hinted::new(format!("failed to replace `{}`, it is as it was", path.display()), hint)
    })?;
    Ok(result)
}

fn replace(path: &Path, old: &Metadata, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let beside = folder.join(format!(".kek-{}", kit::token::random(&SystemRng, 16)?));
    let written = write_beside(&beside, old, content).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written?;
    // The new name itself must survive a power cut before anything is wrapped with the new key.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn write_beside(path: &Path, old: &Metadata, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.set_permissions(old.permissions())?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(unix)]
fn same_file(one: &File, other: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(not(unix))]
fn same_file(_one: &File, _other: &File) -> std::io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
fn check_access(path: &Path, file: &Metadata, kind: Kind) -> anyhow::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let shown = path.display();
    let others = match kind {
        Kind::File => 0o077,
        // systemd gives the service's user an entry in the access list, which shows as a right of the group.
        Kind::Credential => 0o037,
    };
    if file.permissions().mode() & others != 0 {
        let message = format!("the key-encryption key `{shown}` can be read by others");
        bail!(Hinted::new(message, format!("run `chmod 600 {shown}`")));
    }
    let owner = file.uid();
    if owner != 0 && own_user().is_some_and(|user| user != owner) {
        let message = format!("the key-encryption key `{shown}` belongs to another user, who can replace it");
        let hint = format!("run the command as that user, or `chown` the file to the server's user: {shown}");
        bail!(Hinted::new(message, hint));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_access(_path: &Path, _file: &Metadata, _kind: Kind) -> anyhow::Result<()> {
    Ok(())
}

/// The effective user of this process, as Linux tells it. The call for it takes `unsafe` or one more dependency; where it is
/// not known, the mode has to do: a file with mode 0600 opens for its owner and for root alone.
#[cfg(unix)]
fn own_user() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}
