// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The ring of key-encryption keys: the primary source wraps, every source unwraps what is its own. A systemd credential
//! called `kek` goes above a file; beyond that nothing goes above anything, and what is configured and missing is an error,
//! not a reason to try the next.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use kit::ports::{BoxFuture, Clock, KeyWrap, KeyWrapError, Wrapped};
use kit::secret::Secret;

use crate::failure::Hinted;
use crate::kek_file::{FileKeks, Kind};
use crate::settings::{KekSource, VaultSettings};

/// Name of the systemd credential (`LoadCredentialEncrypted=kek:…`).
const CREDENTIAL: &str = "kek";

/// Several sources as one. The first has the primary.
pub struct KekRing(Vec<Arc<dyn KeyWrap>>);

/// Where the primary is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Primary {
    /// In a file.
    File(PathBuf),
    /// In a systemd credential.
    Credential(PathBuf),
    /// Elsewhere.
    Remote(KekSource),
}

/// Where the settings say that the primary is.
pub fn primary(settings: &VaultSettings) -> anyhow::Result<Primary> {
    let credential = settings.credentials.as_ref().map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists());
    match (&settings.kek, credential) {
        (None | Some(KekSource::File(_)), Some(path)) => Ok(Primary::Credential(path)),
        (Some(KekSource::File(path)), None) => Ok(Primary::File(path.clone())),
        (Some(remote), _) => Ok(Primary::Remote(remote.clone())),
        (None, None) => bail!(Hinted::new(
            "there is no key-encryption key",
            "make one with `(umask 077; openssl rand -base64 32 > kek)`, set `vault.kek_file` to its path, and keep a \
             copy where the database's backups are not",
        )),
    }
}

/// Opens every source that the settings name.
pub fn open(settings: &VaultSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<KekRing> {
    let file = |path: &PathBuf| -> anyhow::Result<Arc<dyn KeyWrap>> {
        // Of what systemd hands out, nothing else than its folder is told.
        let handed_out = settings.credentials.as_ref().is_some_and(|folder| path.starts_with(folder));
        let kind = if handed_out { Kind::Credential } else { Kind::File };
        Ok(Arc::new(FileKeks::open(path, kind)?))
    };
    let source = |source: &KekSource| match source {
        KekSource::File(path) => file(path),
        remote => open_remote(remote, settings, clock),
    };
    let mut ring = vec![match primary(settings)? {
        Primary::File(path) | Primary::Credential(path) => file(&path)?,
        Primary::Remote(remote) => source(&remote)?,
    }];
    for previous in &settings.previous_keks {
        ring.push(source(previous)?);
    }
    Ok(KekRing(ring))
}

#[cfg_attr(
    not(any(feature = "kms-gcp", feature = "kms-transit")),
    expect(unused_variables, reason = "the settings refuse what this build does not know")
)]
fn open_remote(
    source: &KekSource,
    settings: &VaultSettings,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn KeyWrap>> {
    match source {
        #[cfg(feature = "kms-gcp")]
        KekSource::GcpKms(name) => {
            use crate::google_token::{GoogleToken, TokenSource};
            let token = match &settings.google_credentials {
                Some(path) => TokenSource::File(path.clone()),
                None => TokenSource::Metadata(format!("http://{}", settings.metadata_host).parse()?),
            };
            let token = GoogleToken::open(token, settings.loopback)?;
            let (endpoint, timeout) = (&settings.gcp_kms_endpoint, settings.kms_timeout);
            Ok(Arc::new(crate::kek_gcp::GcpKms::open(name, endpoint, token, timeout, clock.clone())?))
        }
        #[cfg(feature = "kms-transit")]
        KekSource::Transit(key) => {
            use crate::kek_transit::{TokenSource, Transit};
            let token = match (&settings.transit_token_file, &settings.transit_token) {
                (Some(path), _) => TokenSource::File(path.clone()),
                (None, Some(token)) => TokenSource::Fixed(token.clone()),
                (None, None) => bail!(Hinted::new(
                    format!("there is no token for `{source}`"),
                    "set `vault.transit_token_file` to a file that an agent keeps fresh, or VAULT_TOKEN",
                )),
            };
            Ok(Arc::new(Transit::open(key, token, settings.kms_timeout, clock.clone())?))
        }
        other => bail!("this build knows no source like `{other}`"),
    }
}

impl KeyWrap for KekRing {
    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for id in self.0.iter().flat_map(|source| source.ids()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<Wrapped, KeyWrapError>> {
        match self.0.first() {
            Some(primary) => primary.wrap(aad, key),
            None => Box::pin(std::future::ready(Err(KeyWrapError::NotLoaded))),
        }
    }

    fn unwrap<'a>(
        &'a self,
        kek_id: &'a str,
        aad: &'a [u8],
        wrapped: &'a str,
    ) -> BoxFuture<'a, Result<Secret, KeyWrapError>> {
        Box::pin(async move {
            for source in &self.0 {
                match source.unwrap(kek_id, aad, wrapped).await {
                    Err(KeyWrapError::NotLoaded) => {}
                    result => return result,
                }
            }
            Err(KeyWrapError::NotLoaded)
        })
    }
}
