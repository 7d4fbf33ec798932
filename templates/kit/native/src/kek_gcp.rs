// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A key-encryption key in Google Cloud KMS, over its REST API. The key never leaves it; the additional authenticated data
//! binds what it wraps to its tenant, and checksums in both directions catch what was damaged on the way.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kit::ports::{BoxFuture, Clock, KeyWrap, KeyWrapError, Wrapped};
use kit::secret::Secret;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::google_token::GoogleToken;
use crate::kek_remote::{Answer, Remote};

/// One key of Cloud KMS. Its own versions are its own affair: it wraps with its primary and unwraps with whichever it was.
pub(crate) struct GcpKms {
    id: String,
    name: String,
    encrypt: Url,
    decrypt: Url,
    token: GoogleToken,
    remote: Remote,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Encrypt<'a> {
    plaintext: &'a str,
    plaintext_crc32c: String,
    additional_authenticated_data: String,
    additional_authenticated_data_crc32c: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encrypted {
    name: String,
    ciphertext: String,
    #[serde(deserialize_with = "int64")]
    ciphertext_crc32c: u32,
    #[serde(default)]
    verified_plaintext_crc32c: bool,
    #[serde(default)]
    verified_additional_authenticated_data_crc32c: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Decrypt<'a> {
    ciphertext: &'a str,
    ciphertext_crc32c: String,
    additional_authenticated_data: String,
    additional_authenticated_data_crc32c: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decrypted {
    plaintext: String,
    #[serde(deserialize_with = "int64")]
    plaintext_crc32c: u32,
}

#[derive(Deserialize)]
struct Failed {
    error: Failure,
}

#[derive(Deserialize)]
struct Failure {
    status: String,
    #[serde(default)]
    message: String,
}

impl GcpKms {
    /// `name` is the key's resource name, `projects/…/locations/…/keyRings/…/cryptoKeys/…`.
    pub(crate) fn open(
        name: &str,
        endpoint: &str,
        token: GoogleToken,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let id = format!("gcp:{name}");
        let url = |verb: &str| Url::parse(&format!("{endpoint}/v1/{name}:{verb}")).context("failed to address the key");
        let (encrypt, decrypt) = (url("encrypt")?, url("decrypt")?);
        Ok(Self { remote: Remote::new(&id, timeout, clock), id, name: name.to_owned(), encrypt, decrypt, token })
    }

    async fn ask(&self, url: &Url, body: &impl Serialize) -> Result<Answer, KeyWrapError> {
        let token = self.token.get(&self.remote).await?;
        let answer = self.ask_with(url, &token, body).await?;
        if answer.status() != 401 {
            return Ok(answer);
        }
        // Withdrawn before its time: once more with another.
        self.token.forget(&token).await;
        let token = self.token.get(&self.remote).await?;
        self.ask_with(url, &token, body).await
    }

    async fn ask_with(&self, url: &Url, token: &Secret, body: &impl Serialize) -> Result<Answer, KeyWrapError> {
        let token = token.expose_str().ok_or(KeyWrapError::Unavailable)?;
        self.remote.post(url, vec![("authorization".to_owned(), format!("Bearer {token}"))], body).await
    }

    async fn wrap_now(&self, aad: &[u8], key: &Secret) -> Result<Wrapped, KeyWrapError> {
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = Encrypt {
            plaintext: &plain,
            plaintext_crc32c: crc32c(key.expose()).to_string(),
            additional_authenticated_data: STANDARD.encode(aad),
            additional_authenticated_data_crc32c: crc32c(aad).to_string(),
        };
        let answer = self.ask(&self.encrypt, &body).await?;
        let done: Encrypted = good(&answer).map_err(|error| match error {
            // It rejects what it was given to wrap: a key for another purpose than encryption.
            KeyWrapError::Rejected => KeyWrapError::Denied,
            error => error,
        })?;
        let sealed = STANDARD.decode(&done.ciphertext).map_err(|_| KeyWrapError::Unavailable)?;
        let whole = done.verified_plaintext_crc32c
            && done.verified_additional_authenticated_data_crc32c
            && crc32c(&sealed) == done.ciphertext_crc32c
            && done.name.strip_prefix(&self.name).is_some_and(|version| version.starts_with("/cryptoKeyVersions/"));
        if !whole || sealed.is_empty() {
            return Err(KeyWrapError::Unavailable);
        }
        Ok(Wrapped { kek_id: self.id.clone(), text: done.ciphertext })
    }

    async fn unwrap_now(&self, aad: &[u8], wrapped: &str) -> Result<Secret, KeyWrapError> {
        let sealed = STANDARD.decode(wrapped).map_err(|_| KeyWrapError::Rejected)?;
        let body = Decrypt {
            ciphertext: wrapped,
            ciphertext_crc32c: crc32c(&sealed).to_string(),
            additional_authenticated_data: STANDARD.encode(aad),
            additional_authenticated_data_crc32c: crc32c(aad).to_string(),
        };
        let answer = self.ask(&self.decrypt, &body).await?;
        let done: Decrypted = good(&answer)?;
        let plain =
            STANDARD.decode(Zeroizing::new(done.plaintext).as_bytes()).map_err(|_| KeyWrapError::Unavailable)?;
        let plain = Secret::new(plain);
        if crc32c(plain.expose()) != done.plaintext_crc32c {
            return Err(KeyWrapError::Unavailable);
        }
        Ok(plain)
    }
}

/// The body of a good answer, or the class of the failure. Only what is certainly Google's own is believed: a proxy's page
/// must not make a stored credential look altered.
fn good<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, KeyWrapError> {
    if answer.status() == 200 {
        return answer.json().ok_or(KeyWrapError::Unavailable);
    }
    let Some(Failed { error }) = answer.json() else { return Err(KeyWrapError::Unavailable) };
    Err(match error.status.as_str() {
        // A checksum that did not fit is damage on the way to it, not a key that does not open.
        "INVALID_ARGUMENT" if error.message.contains("checksum in field") => KeyWrapError::Unavailable,
        "INVALID_ARGUMENT" => KeyWrapError::Rejected,
        // No right to it, no such key, its version disabled or destroyed.
        "PERMISSION_DENIED" | "UNAUTHENTICATED" | "NOT_FOUND" | "FAILED_PRECONDITION" => KeyWrapError::Denied,
        _ => KeyWrapError::Unavailable,
    })
}

impl KeyWrap for GcpKms {
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

/// protobuf's JSON writes 64-bit numbers as texts, and takes both.
fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u32),
    }
    match Either::deserialize(deserializer)? {
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Either::Number(number) => Ok(number),
    }
}

/// CRC-32C (Castagnoli), bit by bit: what is summed here is shorter than a kilobyte.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksum_is_the_published_crc32c() {
        // The check value of CRC-32/ISCSI in the catalogue of parametrised CRC algorithms, and RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    }
}
