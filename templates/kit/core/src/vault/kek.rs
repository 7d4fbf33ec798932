// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A key-encryption key held in this process: AES-256-GCM over 32 bytes that an adapter read from a file or a systemd
//! credential. Its id carries a fingerprint, so that a wrong file is named in the first second.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::ports::{BoxFuture, KeyWrap, KeyWrapError, Rng, RngError};
use crate::secret::Secret;

/// The id of the key that `dev` makes. A real server refuses it.
pub const DEV_KEK_ID: &str = "dev";

/// What a development key file begins with.
const DEV_MARK: &[u8] = b"dev:";

/// A key-encryption key in memory.
pub struct LocalKek {
    id: String,
    key: Secret,
    rng: Arc<dyn Rng>,
}

/// The text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KekError {
    /// Neither 32 raw bytes nor 32 bytes in base64.
    Length,
    /// All bytes alike, or a well-known sample.
    Weak,
    /// The key that `dev` made for itself.
    Development,
}

impl fmt::Display for KekError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "the key-encryption key is not 32 bytes, nor 32 bytes in base64",
            Self::Weak => "the key-encryption key is a sample or has no randomness in it",
            Self::Development => "the key-encryption key was made by `dev` and is not for tenants",
        })
    }
}

impl std::error::Error for KekError {}

impl LocalKek {
    /// Reads the content of a key file: 32 raw bytes, or 32 bytes in base64 with an optional newline.
    pub fn parse(content: &[u8], rng: Arc<dyn Rng>) -> Result<Self, KekError> {
        let text = content.strip_suffix(b"\n").unwrap_or(content);
        let key = match content.len() {
            // Random bytes may end in a newline of their own.
            32 => content.to_vec(),
            _ if text.starts_with(DEV_MARK) => return Err(KekError::Development),
            _ => STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).map_err(|_| KekError::Length)?,
        };
        let key = Secret::new(key);
        let bytes = key.expose();
        if bytes.len() != 32 {
            return Err(KekError::Length);
        }
        // 32 random bytes hold fewer than 12 different values with probability below 2^-100.
        let mut seen = bytes.to_vec();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() < 12 {
            return Err(KekError::Weak);
        }
        let print = Sha256::new().chain_update(b"mk-kek-id\0").chain_update(bytes).finalize();
        let id = format!("file:{}", URL_SAFE_NO_PAD.encode(&print[..9]));
        Ok(Self { id, key, rng })
    }

    /// Reads the key file of a development server, which only [`dev_file`](Self::dev_file) makes.
    pub fn parse_dev(content: &[u8], rng: Arc<dyn Rng>) -> Result<Self, KekError> {
        let mut kek = Self::parse(content.strip_prefix(DEV_MARK).ok_or(KekError::Length)?, rng)?;
        DEV_KEK_ID.clone_into(&mut kek.id);
        Ok(kek)
    }

    /// The content of a new key file for a development server: marked, so that a real one refuses it.
    pub fn dev_file(rng: &dyn Rng) -> Result<Secret, RngError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rng.fill(&mut bytes[..])?;
        Ok(Secret::new([DEV_MARK, STANDARD.encode(&bytes[..]).as_bytes()].concat()))
    }

    fn cipher(&self) -> Result<Aes256Gcm, KeyWrapError> {
        let bytes: [u8; 32] = self.key.expose().try_into().map_err(|_| KeyWrapError::Rejected)?;
        Ok(Aes256Gcm::new(&Key::<Aes256Gcm>::from(bytes)))
    }

    fn wrap_now(&self, aad: &[u8], key: &Secret) -> Result<String, KeyWrapError> {
        let mut nonce = [0_u8; 12];
        self.rng.fill(&mut nonce).map_err(|_| KeyWrapError::Unavailable)?;
        let payload = Payload { msg: key.expose(), aad };
        let sealed = self.cipher()?.encrypt(&Nonce::from(nonce), payload).map_err(|_| KeyWrapError::Rejected)?;
        Ok(format!("kek1.{}.{}", URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(sealed)))
    }

    fn unwrap_now(&self, aad: &[u8], wrapped: &str) -> Result<Secret, KeyWrapError> {
        let rejected = |_| KeyWrapError::Rejected;
        let (nonce, sealed) =
            wrapped.strip_prefix("kek1.").and_then(|rest| rest.split_once('.')).ok_or(KeyWrapError::Rejected)?;
        let nonce: [u8; 12] =
            URL_SAFE_NO_PAD.decode(nonce).map_err(rejected)?.try_into().map_err(|_| KeyWrapError::Rejected)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(rejected)?;
        let payload = Payload { msg: &sealed, aad };
        let key = self.cipher()?.decrypt(&Nonce::from(nonce), payload).map_err(|_| KeyWrapError::Rejected)?;
        Ok(Secret::new(key))
    }
}

impl KeyWrap for LocalKek {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<String, KeyWrapError>> {
        Box::pin(std::future::ready(self.wrap_now(aad, key)))
    }

    fn unwrap<'a>(&'a self, aad: &'a [u8], wrapped: &'a str) -> BoxFuture<'a, Result<Secret, KeyWrapError>> {
        Box::pin(std::future::ready(self.unwrap_now(aad, wrapped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError> {
            buffer.fill(9);
            Ok(())
        }
    }

    fn kek(first: u8) -> LocalKek {
        let bytes: Vec<u8> = (first..first + 32).collect();
        LocalKek::parse(&bytes, Arc::new(Fixed)).unwrap()
    }

    #[test]
    fn a_wrapped_key_opens_with_the_same_key_and_purpose_only() {
        let secret = Secret::from("data key");
        let wrapped = kek(1).wrap_now(b"purpose", &secret).unwrap();
        assert_eq!(kek(1).unwrap_now(b"purpose", &wrapped).unwrap().expose(), b"data key");
        assert_eq!(kek(1).unwrap_now(b"other", &wrapped).err(), Some(KeyWrapError::Rejected));
        assert_eq!(kek(2).unwrap_now(b"purpose", &wrapped).err(), Some(KeyWrapError::Rejected));
    }

    #[test]
    fn raw_bytes_and_base64_are_the_same_key() {
        let bytes: Vec<u8> = (1..33).collect();
        let text = format!("{}\n", STANDARD.encode(&bytes));
        let from_text = LocalKek::parse(text.as_bytes(), Arc::new(Fixed)).unwrap();
        assert_eq!(from_text.id, kek(1).id);
    }

    #[test]
    fn a_raw_key_may_end_in_a_newline() {
        let bytes: Vec<u8> = (20..51).chain([b'\n']).collect();
        assert!(LocalKek::parse(&bytes, Arc::new(Fixed)).is_ok());
    }

    #[test]
    fn a_development_key_is_for_development_only() {
        struct Counting;
        impl Rng for Counting {
            fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError> {
                buffer.iter_mut().zip(0..).for_each(|(byte, n)| *byte = n);
                Ok(())
            }
        }
        let file = LocalKek::dev_file(&Counting).unwrap();
        assert_eq!(LocalKek::parse_dev(file.expose(), Arc::new(Fixed)).unwrap().id, DEV_KEK_ID);
        assert_eq!(LocalKek::parse(file.expose(), Arc::new(Fixed)).err(), Some(KekError::Development));
    }

    #[test]
    fn short_and_sample_keys_are_refused() {
        let parse = |content: &[u8]| LocalKek::parse(content, Arc::new(Fixed)).err();
        assert_eq!(parse(b""), Some(KekError::Length));
        assert_eq!(parse(b"changeme"), Some(KekError::Length));
        assert_eq!(parse(&[0; 32]), Some(KekError::Weak));
        assert_eq!(parse(b"changemechangemechangemechangeme"), Some(KekError::Weak));
    }
}
