// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Where the key-encryption key comes from: a systemd credential, or a file. In this order, and never a guess: what is
//! configured and missing is an error, not a reason to try the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use kit::ports::Rng;
use kit::vault::kek::{KekError, LocalKek};

use crate::clock::SystemRng;
use crate::failure::Hinted;

/// Name of the systemd credential (`LoadCredentialEncrypted=kek:…`).
const CREDENTIAL: &str = "kek";

/// Where the key is to be read from.
pub fn source(configured: Option<&Path>) -> anyhow::Result<PathBuf> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(CREDENTIAL));
    match (credential.filter(|path| path.exists()), configured) {
        (Some(path), _) => Ok(path),
        (None, Some(path)) => Ok(path.to_owned()),
        (None, None) => bail!(Hinted::new(
            "there is no key-encryption key",
            "make one with `(umask 077; openssl rand -base64 32 > kek)`, set `vault.kek_file` to its path, and keep a \
             copy where the database's backups are not",
        )),
    }
}

/// Reads the key.
pub fn read(path: &Path) -> anyhow::Result<LocalKek> {
    read_as(path, LocalKek::parse)
}

/// Reads the key file of a development server, after making it if there is none yet.
pub fn read_or_make_dev(path: &Path) -> anyhow::Result<LocalKek> {
    if !path.exists() {
        write_private(path, LocalKek::dev_file(&SystemRng)?.expose())?;
    }
    read_as(path, LocalKek::parse_dev)
}

fn read_as(
    path: &Path,
    parse: impl FnOnce(&[u8], Arc<dyn Rng>) -> Result<LocalKek, KekError>,
) -> anyhow::Result<LocalKek> {
    check_mode(path)?;
    let content =
        std::fs::read(path).with_context(|| format!("failed to read the key-encryption key `{}`", path.display()))?;
    let content = zeroize::Zeroizing::new(content);
    parse(&content, Arc::new(SystemRng)).with_context(|| format!("failed to use `{}`", path.display()))
}

/// Writes a file that only this user can read.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(content));
    written.with_context(|| format!("failed to write `{}`", path.display()))
}

#[cfg(unix)]
fn check_mode(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    if metadata.permissions().mode() & 0o077 != 0 {
        let shown = path.display();
        let message = format!("the key-encryption key `{shown}` can be read by others");
        bail!(Hinted::new(message, format!("run `chmod 600 {shown}`")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_path: &Path) -> anyhow::Result<()> {
    Ok(())
}
