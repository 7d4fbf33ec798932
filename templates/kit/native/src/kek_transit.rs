// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A key-encryption key in the transit engine of Vault (1.13 or newer) or OpenBao, over its HTTP API. The key never leaves
//! it; `associated_data` binds what it wraps to its tenant.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::ports::{BoxFuture, Clock, KeyWrap, KeyWrapError, Wrapped};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::kek_remote::{Answer, Remote};

/// Where the token comes from.
pub(crate) enum TokenSource {
    /// A file that somebody else keeps fresh, for example an agent. It is read again when its token is refused.
    File(PathBuf),
    /// A token that is good for as long as this process.
    Fixed(Secret),
}

/// One key of a transit engine.
pub(crate) struct Transit {
    id: String,
    encrypt: Url,
    decrypt: Url,
    source: TokenSource,
    token: Mutex<Secret>,
    remote: Remote,
}

#[derive(Serialize)]
struct Encrypt<'a> {
    plaintext: &'a str,
    associated_data: String,
}

#[derive(Serialize)]
struct Decrypt<'a> {
    ciphertext: &'a str,
    associated_data: String,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl fmt::Debug for Transit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl Transit {
    /// `key` is the address of the key itself, `https://host:8200/v1/transit/keys/NAME`.
    pub(crate) fn open(
        key: &Url,
        source: TokenSource,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let id = format!("transit:{key}");
        let operation = |name: &str| -> anyhow::Result<Url> {
            let (mount, key_name) = key.path().rsplit_once("/keys/").context("the address names no key")?;
            let mut url = key.clone();
            url.set_path(&format!("{mount}/{name}/{key_name}"));
            Ok(url)
        };
        let (encrypt, decrypt) = (operation("encrypt")?, operation("decrypt")?);
        let token = Mutex::new(source.read()?);
        Ok(Self { remote: Remote::new(&id, timeout, clock), id, encrypt, decrypt, source, token })
    }

    async fn ask(&self, url: &Url, body: &impl Serialize) -> Result<Answer, KeyWrapError> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = self.ask_with(url, &token, body).await?;
        if answer.status() != 403 {
            return Ok(answer);
        }
        let fresh = self.source.read().map_err(|_| KeyWrapError::Unavailable)?;
        if fresh.expose() == token.expose() {
            return Ok(answer);
        }
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        self.ask_with(url, &fresh, body).await
    }

    async fn ask_with(&self, url: &Url, token: &Secret, body: &impl Serialize) -> Result<Answer, KeyWrapError> {
        let token = token.expose_str().ok_or(KeyWrapError::Denied)?.to_owned();
        // An agent may insist on the second header: a page in a browser cannot be made to send it.
        let headers = vec![("x-vault-token".to_owned(), token), ("x-vault-request".to_owned(), "true".to_owned())];
        self.remote.post(url, headers, body).await
    }

    async fn wrap_now(&self, aad: &[u8], key: &Secret) -> Result<Wrapped, KeyWrapError> {
        // A Vault before 1.13 leaves `associated_data` out without a word. So what the key is for is wrapped with it too,
        // and compared when it is unwrapped.
        let plain = Zeroizing::new([key.expose(), aad].concat());
        let plain = Zeroizing::new(STANDARD.encode(&plain[..]));
        let body = Encrypt { plaintext: &plain, associated_data: STANDARD.encode(aad) };
        let answer = self.ask(&self.encrypt, &body).await?;
        let Data { data: Encrypted { ciphertext } } = good(&answer)?;
        if ciphertext.is_empty() {
            return Err(KeyWrapError::Unavailable);
        }
        Ok(Wrapped { kek_id: self.id.clone(), text: ciphertext })
    }

    async fn unwrap_now(&self, aad: &[u8], wrapped: &str) -> Result<Secret, KeyWrapError> {
        let body = Decrypt { ciphertext: wrapped, associated_data: STANDARD.encode(aad) };
        let answer = self.ask(&self.decrypt, &body).await?;
        let Data { data: Decrypted { plaintext } } = good(&answer)?;
        let plain = STANDARD.decode(Zeroizing::new(plaintext).as_bytes()).map_err(|_| KeyWrapError::Unavailable)?;
        let plain = Zeroizing::new(plain);
        let key = plain.strip_suffix(aad).ok_or(KeyWrapError::Rejected)?;
        Ok(Secret::new(key.to_vec()))
    }
}

/// The body of a good answer, or the class of the failure. Only what is certainly Vault's own is believed: a proxy's page
/// must not make a stored credential look altered.
fn good<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, KeyWrapError> {
    if answer.status() == 200 {
        return answer.json().ok_or(KeyWrapError::Unavailable);
    }
    let Some(Errors { errors }) = answer.json() else { return Err(KeyWrapError::Unavailable) };
    let says = |text: &str| errors.iter().any(|error| error.contains(text));
    Err(match answer.status() {
        400 if ["message authentication failed", "invalid ciphertext", "missing ciphertext"]
            .iter()
            .any(|t| says(t)) =>
        {
            KeyWrapError::Rejected
        }
        // The key is not there, its old version was withdrawn, the token has no right to it.
        400 | 403 | 404 | 405 => KeyWrapError::Denied,
        _ => KeyWrapError::Unavailable,
    })
}

impl TokenSource {
    fn read(&self) -> anyhow::Result<Secret> {
        let text = match self {
            Self::Fixed(token) => return Ok(token.clone()),
            Self::File(path) => std::fs::read_to_string(path)
                .with_context(|| format!("failed to read the transit token `{}`", path.display()))?,
        };
        let text = Zeroizing::new(text);
        if text.trim().is_empty() {
            bail!("the file of the transit token is empty");
        }
        Ok(Secret::from(text.trim()))
    }
}

impl KeyWrap for Transit {
    fn ids(&self) -> Vec<String> {
        vec![self.id.clone()]
    }

    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<Wrapped, KeyWrapError>> {
        Box::pin(self.remote.guarded(self.wrap_now(aad, key)))
    }

    fn unwrap<'a>(
        &'a self,
        kek_id: &'a str,
        aad: &'a [u8],
        wrapped: &'a str,
    ) -> BoxFuture<'a, Result<Secret, KeyWrapError>> {
        if kek_id != self.id {
            return Box::pin(std::future::ready(Err(KeyWrapError::NotLoaded)));
        }
        Box::pin(self.remote.guarded(self.unwrap_now(aad, wrapped)))
    }
}
