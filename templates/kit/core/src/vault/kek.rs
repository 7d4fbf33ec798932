// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Key-encryption keys held in this process: AES-256-GCM over 32 bytes that an adapter read from a file or a systemd
//! credential. The first key of the file is the primary, the others open what they wrapped before. The id of a key
//! carries its fingerprint, so that a wrong file is named in the first second.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::ports::{BoxFuture, KeyWrap, KeyWrapError, Rng, RngError, Wrapped};
use crate::secret::Secret;

/// The id of the key that `dev` makes. A real server refuses it.
pub const DEV_KEK_ID: &str = "dev";

/// What a development key file begins with.
const DEV_MARK: &[u8] = b"dev:";

/// The key-encryption keys of one file, in memory.
pub struct LocalKeks {
    /// The primary first; never empty.
    keks: Vec<LocalKek>,
    rng: Arc<dyn Rng>,
}

#[derive(Clone)]
struct LocalKek {
    id: String,
    key: Secret,
}

/// The content of a file is no key, or no list of them.
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

impl LocalKeks {
    /// Reads the content of a key file: 32 raw bytes, or one key a line, each 32 bytes in base64, the primary first.
    pub fn parse(content: &[u8], rng: Arc<dyn Rng>) -> Result<Self, KekError> {
        // Random bytes may hold line breaks of their own.
        if content.len() == 32 {
            return Ok(Self { keks: vec![LocalKek::of(content.to_vec())?], rng });
        }
        let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let keks = lines.map(LocalKek::parse).collect::<Result<Vec<_>, _>>()?;
        if keks.is_empty() { Err(KekError::Length) } else { Ok(Self { keks, rng }) }
    }

    /// Reads the key file of a development server, which only [`dev_file`](Self::dev_file) makes.
    pub fn parse_dev(content: &[u8], rng: Arc<dyn Rng>) -> Result<Self, KekError> {
        let mut kek = LocalKek::parse(content.strip_prefix(DEV_MARK).ok_or(KekError::Length)?.trim_ascii_end())?;
        DEV_KEK_ID.clone_into(&mut kek.id);
        Ok(Self { keks: vec![kek], rng })
    }

    /// The content of a new key file for a development server: marked, so that a real one refuses it.
    pub fn dev_file(rng: &dyn Rng) -> Result<Secret, RngError> {
        let key = random(rng)?;
        Ok(Secret::new([DEV_MARK, STANDARD.encode(&key[..]).as_bytes()].concat()))
    }

    /// The id of a new random key, and the content of a file in which it is the primary and all of these follow.
    pub fn rotated(&self) -> Result<(String, Secret), RngError> {
        let key = LocalKek { id: String::new(), key: Secret::new(random(&*self.rng)?.to_vec()) };
        let id = fingerprint(key.key.expose());
        Ok((id, file(std::iter::once(&key).chain(&self.keks))))
    }

    /// The content of a file without the key `id`; `None` if that would leave no key at all.
    pub fn without(&self, id: &str) -> Option<Secret> {
        let mut rest = self.keks.iter().filter(|kek| kek.id != id).peekable();
        rest.peek().is_some().then(|| file(rest))
    }

    fn wrap_now(&self, aad: &[u8], key: &Secret) -> Result<Wrapped, KeyWrapError> {
        let mut nonce = [0_u8; 12];
        self.rng.fill(&mut nonce).map_err(|_| KeyWrapError::Unavailable)?;
        let primary = self.keks.first().ok_or(KeyWrapError::NotLoaded)?;
        let payload = Payload { msg: key.expose(), aad };
        let sealed = primary.cipher()?.encrypt(&Nonce::from(nonce), payload).map_err(|_| KeyWrapError::Rejected)?;
        let text = format!("kek1.{}.{}", URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(sealed));
        Ok(Wrapped { kek_id: primary.id.clone(), text })
    }

    fn unwrap_now(&self, kek_id: &str, aad: &[u8], wrapped: &str) -> Result<Secret, KeyWrapError> {
        let kek = self.keks.iter().find(|kek| kek.id == kek_id).ok_or(KeyWrapError::NotLoaded)?;
        let rejected = |_| KeyWrapError::Rejected;
        let (nonce, sealed) =
            wrapped.strip_prefix("kek1.").and_then(|rest| rest.split_once('.')).ok_or(KeyWrapError::Rejected)?;
        let nonce: [u8; 12] =
            URL_SAFE_NO_PAD.decode(nonce).map_err(rejected)?.try_into().map_err(|_| KeyWrapError::Rejected)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(rejected)?;
        let payload = Payload { msg: &sealed, aad };
        let key = kek.cipher()?.decrypt(&Nonce::from(nonce), payload).map_err(|_| KeyWrapError::Rejected)?;
        Ok(Secret::new(key))
    }
}

impl LocalKek {
    fn parse(line: &[u8]) -> Result<Self, KekError> {
        if line.starts_with(DEV_MARK) {
            return Err(KekError::Development);
        }
        let key = STANDARD.decode(line).or_else(|_| URL_SAFE_NO_PAD.decode(line)).map_err(|_| KekError::Length)?;
        Self::of(key)
    }

    fn of(key: Vec<u8>) -> Result<Self, KekError> {
        let key = Secret::new(key);
        let bytes = key.expose();
        if bytes.len() != 32 {
            return Err(KekError::Length);
        }
        // 32 random bytes hold fewer than 12 different values with probability below 2^-100.
        let mut seen = Zeroizing::new(bytes.to_vec());
        seen.sort_unstable();
        seen.dedup();
        if seen.len() < 12 {
            return Err(KekError::Weak);
        }
        Ok(Self { id: fingerprint(bytes), key })
    }

    fn cipher(&self) -> Result<Aes256Gcm, KeyWrapError> {
        let bytes: [u8; 32] = self.key.expose().try_into().map_err(|_| KeyWrapError::Rejected)?;
        Ok(Aes256Gcm::new(&Key::<Aes256Gcm>::from(bytes)))
    }
}

fn fingerprint(key: &[u8]) -> String {
    let print = Sha256::new().chain_update(b"mk-kek-id\0").chain_update(key).finalize();
    format!("file:{}", URL_SAFE_NO_PAD.encode(&print[..9]))
}

fn random(rng: &dyn Rng) -> Result<Zeroizing<[u8; 32]>, RngError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rng.fill(&mut bytes[..])?;
    Ok(bytes)
}

/// The content of a file that holds `keks`, one a line.
fn file<'a>(keks: impl Iterator<Item = &'a LocalKek>) -> Secret {
    // Large enough that it is not moved while it grows: the old place would keep the keys.
    let mut content = Vec::with_capacity(64 * 45);
    for kek in keks {
        content.extend_from_slice(Zeroizing::new(STANDARD.encode(kek.key.expose())).as_bytes());
        content.push(b'\n');
    }
    Secret::new(content)
}

impl KeyWrap for LocalKeks {
    fn ids(&self) -> Vec<String> {
        self.keks.iter().map(|kek| kek.id.clone()).collect()
    }

    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<Wrapped, KeyWrapError>> {
        Box::pin(std::future::ready(self.wrap_now(aad, key)))
    }

    fn unwrap<'a>(
        &'a self,
        kek_id: &'a str,
        aad: &'a [u8],
        wrapped: &'a str,
    ) -> BoxFuture<'a, Result<Secret, KeyWrapError>> {
        Box::pin(std::future::ready(self.unwrap_now(kek_id, aad, wrapped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError> {
            buffer.iter_mut().zip(200..).for_each(|(byte, n)| *byte = n);
            Ok(())
        }
    }

    fn raw(first: u8) -> Vec<u8> {
        (first..first + 32).collect()
    }

    fn parse(content: &[u8]) -> Result<LocalKeks, KekError> {
        LocalKeks::parse(content, Arc::new(Fixed))
    }

    fn keks(firsts: &[u8]) -> LocalKeks {
        let lines: Vec<String> = firsts.iter().map(|first| format!("{}\n", STANDARD.encode(raw(*first)))).collect();
        parse(lines.concat().as_bytes()).unwrap()
    }

    #[test]
    fn a_wrapped_key_opens_with_the_same_key_and_purpose_only() {
        let wrapped = keks(&[1]).wrap_now(b"purpose", &Secret::from("data key")).unwrap();
        let unwrap = |keks: LocalKeks, aad: &[u8]| {
            keks.unwrap_now(&wrapped.kek_id, aad, &wrapped.text).map(|key| key.expose().to_vec())
        };
        assert_eq!(unwrap(keks(&[1]), b"purpose"), Ok(b"data key".to_vec()));
        assert_eq!(unwrap(keks(&[1]), b"other"), Err(KeyWrapError::Rejected));
        assert_eq!(unwrap(keks(&[2]), b"purpose"), Err(KeyWrapError::NotLoaded));
        // The name of another key on the text of the first.
        let other = keks(&[2]);
        assert_eq!(other.unwrap_now(&other.ids()[0], b"purpose", &wrapped.text).err(), Some(KeyWrapError::Rejected));
    }

    #[test]
    fn the_first_key_wraps_and_all_of_them_unwrap() {
        let (old, both) = (keks(&[1]), keks(&[2, 1]));
        let before = old.wrap_now(b"x", &Secret::from("data key")).unwrap();
        let after = both.wrap_now(b"x", &Secret::from("data key")).unwrap();
        assert_eq!((&before.kek_id, &after.kek_id), (&both.ids()[1], &both.ids()[0]));
        for wrapped in [before, after] {
            assert!(both.unwrap_now(&wrapped.kek_id, b"x", &wrapped.text).is_ok());
        }
    }

    #[test]
    fn raw_bytes_and_base64_are_the_same_key() {
        assert_eq!(parse(&raw(1)).unwrap().ids(), keks(&[1]).ids());
        let unpadded = URL_SAFE_NO_PAD.encode(raw(1));
        assert_eq!(parse(unpadded.as_bytes()).unwrap().ids(), keks(&[1]).ids());
    }

    #[test]
    fn lines_may_end_as_they_do_on_windows_and_blank_ones_do_not_count() {
        let (one, two) = (STANDARD.encode(raw(1)), STANDARD.encode(raw(2)));
        assert_eq!(parse(format!("{one}\r\n\r\n{two}").as_bytes()).unwrap().ids(), keks(&[1, 2]).ids());
    }

    #[test]
    fn a_raw_key_may_hold_line_breaks() {
        let bytes: Vec<u8> = [b'\n'].into_iter().chain(20..50).chain([b'\n']).collect();
        assert_eq!(parse(&bytes).unwrap().ids().len(), 1);
    }

    #[test]
    fn a_rotated_file_has_a_new_primary_and_keeps_the_others() {
        for before in [parse(&raw(1)).unwrap(), keks(&[1]), keks(&[3, 1])] {
            let (id, content) = before.rotated().unwrap();
            let after = parse(content.expose()).unwrap();
            assert_eq!(after.ids(), [vec![id.clone()], before.ids()].concat());
            let removed = parse(after.without(&id).unwrap().expose()).unwrap();
            assert_eq!(removed.ids(), before.ids());
        }
        let only = keks(&[1]);
        assert!(only.without(&only.ids()[0]).is_none());
    }

    #[test]
    fn a_development_key_is_for_development_only() {
        let file = LocalKeks::dev_file(&Fixed).unwrap();
        assert_eq!(LocalKeks::parse_dev(file.expose(), Arc::new(Fixed)).unwrap().ids(), [DEV_KEK_ID]);
        let hidden = [STANDARD.encode(raw(1)).as_bytes(), b"\n", file.expose()].concat();
        for content in [file.expose(), &hidden] {
            assert_eq!(parse(content).err(), Some(KekError::Development));
        }
    }

    #[test]
    fn short_and_sample_keys_are_refused_on_any_line() {
        let good = STANDARD.encode(raw(1));
        let samples: [(&[u8], KekError); 5] = [
            (b"changeme", KekError::Length),
            (b"c2hvcnQ=", KekError::Length),
            (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KekError::Weak),
            (&[0; 32], KekError::Weak),
            (b"changemechangemechangemechangeme", KekError::Weak),
        ];
        for (sample, error) in samples {
            assert_eq!(parse(sample).err(), Some(error));
            if sample.len() != 32 {
                assert_eq!(parse(&[good.as_bytes(), b"\n", sample].concat()).err(), Some(error));
            }
        }
        assert_eq!(parse(b"").err(), Some(KekError::Length));
        assert_eq!(parse(b"\n\n").err(), Some(KekError::Length));
    }
}
