// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The sealed record: `mk1.<dek id>.<salt>.<nonce>.<commitment>.<ciphertext‖tag>`, each part base64url, so that it fits
//! a TEXT column of any engine.
//!
//! Each record has its own key, `HKDF-SHA256(DEK, salt)`, which makes nonce limits irrelevant. HKDF gives a second half
//! that is stored as a commitment: GCM alone lets one ciphertext open under two keys. The context (tenant, integration,
//! account, version, data key) is bound into the key derivation and the authenticated data, each part with its length
//! before it, so that `t1`+`google` and `t1g`+`oogle` differ.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::ports::{Rng, RngError};
use crate::secret::Secret;

const FORMAT: &str = "mk1";
/// Plaintexts are padded to a multiple of this: the length would otherwise tell which kind of token is inside.
const BUCKET: usize = 256;

/// What a record is bound to.
pub struct Context<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Instance name of the integration.
    pub integration: &'a str,
    /// Account.
    pub account: &'a str,
    /// Version of the row.
    pub version: i64,
    /// Data key.
    pub dek_id: &'a str,
}

/// The record does not open. There is no further reason: it would help only somebody who altered it.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenError;

/// The data key that `text` names.
pub fn dek_id(text: &str) -> Option<&str> {
    text.strip_prefix(FORMAT)?.strip_prefix('.')?.split('.').next()
}

/// The SQL pattern of all texts sealed under a data key. Its id has nothing in it that a pattern would read otherwise.
pub(crate) fn under(dek_id: &str) -> String {
    format!("{FORMAT}.{dek_id}.%")
}

/// Seals `plain`.
pub fn seal(rng: &dyn Rng, dek: &Secret, context: &Context<'_>, plain: &[u8]) -> Result<String, RngError> {
    let (mut salt, mut nonce) = ([0_u8; 32], [0_u8; 12]);
    rng.fill(&mut salt)?;
    rng.fill(&mut nonce)?;
    let aad = aad(context);
    let (key, commitment) = derive(dek, &salt, &aad);
    let padded = pad(plain);
    let payload = Payload { msg: &padded, aad: &aad };
    // The only failure of this cipher is a plaintext beyond 64 GiB.
    let Ok(ciphertext) = cipher(&key).encrypt(&Nonce::from(nonce), payload) else { return Err(RngError) };
    let [salt, nonce, commitment, ciphertext] =
        [&salt[..], &nonce, &commitment, &ciphertext].map(|part| URL_SAFE_NO_PAD.encode(part));
    Ok(format!("{FORMAT}.{}.{salt}.{nonce}.{commitment}.{ciphertext}", context.dek_id))
}

/// A record whose key is derived, ready to be opened any number of times. Deriving is the dear part; what it holds is
/// ciphertext and the key of this one record.
pub struct Record {
    key: Zeroizing<[u8; 32]>,
    nonce: [u8; 12],
    ciphertext: Vec<u8>,
    aad: Vec<u8>,
}

/// Derives the key of what `seal` made for the same context under the same data key.
pub fn unlock(dek: &Secret, context: &Context<'_>, text: &str) -> Result<Record, OpenError> {
    let mut parts = text.split('.');
    let (Some(FORMAT), Some(dek_id)) = (parts.next(), parts.next()) else { return Err(OpenError) };
    let mut bytes = || URL_SAFE_NO_PAD.decode(parts.next().unwrap_or_default()).map_err(|_| OpenError);
    let (salt, nonce, commitment, ciphertext) = (bytes()?, bytes()?, bytes()?, bytes()?);
    if parts.next().is_some() || dek_id != context.dek_id || salt.len() != 32 {
        return Err(OpenError);
    }
    let aad = aad(context);
    let (key, expected) = derive(dek, &salt, &aad);
    if !bool::from(expected[..].ct_eq(&commitment)) {
        return Err(OpenError);
    }
    let nonce = nonce.try_into().map_err(|_| OpenError)?;
    Ok(Record { key, nonce, ciphertext, aad })
}

impl Record {
    /// The plaintext.
    pub fn open(&self) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let payload = Payload { msg: &self.ciphertext, aad: &self.aad };
        let padded = cipher(&self.key).decrypt(&Nonce::from(self.nonce), payload).map_err(|_| OpenError)?;
        unpad(&Zeroizing::new(padded)).ok_or(OpenError)
    }
}

/// Joins `parts`, each behind its length.
pub(crate) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

fn aad(context: &Context<'_>) -> Vec<u8> {
    length_prefixed(&[
        FORMAT.as_bytes(),
        context.tenant.as_bytes(),
        context.integration.as_bytes(),
        context.account.as_bytes(),
        &context.version.to_be_bytes(),
        context.dek_id.as_bytes(),
    ])
}

fn derive(dek: &Secret, salt: &[u8], aad: &[u8]) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let mut derived = Zeroizing::new([0_u8; 64]);
    let info = [b"mk1\0", aad].concat();
    // 64 bytes are far below what HKDF-SHA256 can give (8,160), so this cannot fail.
    let _ = Hkdf::<Sha256>::new(Some(salt), dek.expose()).expand(&info, &mut derived[..]);
    let (mut key, mut commitment) = (Zeroizing::new([0_u8; 32]), [0_u8; 32]);
    key.copy_from_slice(&derived[..32]);
    commitment.copy_from_slice(&derived[32..]);
    (key, commitment)
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
}

fn pad(plain: &[u8]) -> Zeroizing<Vec<u8>> {
    let size = (plain.len() + 4).next_multiple_of(BUCKET);
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend_from_slice(&u32::try_from(plain.len()).unwrap_or(u32::MAX).to_be_bytes());
    padded.extend_from_slice(plain);
    padded.resize(size, 0);
    padded
}

fn unpad(padded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (length, rest) = padded.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    rest.get(..length).map(|plain| Zeroizing::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Rng for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError> {
            buffer.fill(7);
            Ok(())
        }
    }

    const CONTEXT: Context<'_> =
        Context { tenant: "t1", integration: "google", account: "default", version: 3, dek_id: "dek1" };

    fn dek(byte: u8) -> Secret {
        Secret::new(vec![byte; 32])
    }

    fn sealed() -> String {
        seal(&Fixed, &dek(1), &CONTEXT, b"token").unwrap()
    }

    fn open(dek: &Secret, context: &Context<'_>, text: &str) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        unlock(dek, context, text)?.open()
    }

    #[test]
    fn what_was_sealed_opens() {
        assert_eq!(open(&dek(1), &CONTEXT, &sealed()).unwrap().as_slice(), b"token");
        assert_eq!(dek_id(&sealed()), Some("dek1"));
    }

    #[test]
    fn another_context_does_not_open() {
        let text = sealed();
        let others = [
            Context { tenant: "t2", ..CONTEXT },
            Context { tenant: "t1g", integration: "oogle", ..CONTEXT },
            Context { integration: "slack", ..CONTEXT },
            Context { account: "other", ..CONTEXT },
            Context { version: 2, ..CONTEXT },
            Context { dek_id: "dek2", ..CONTEXT },
        ];
        for context in others {
            assert_eq!(open(&dek(1), &context, &text).err(), Some(OpenError));
        }
        assert_eq!(open(&dek(2), &CONTEXT, &text).err(), Some(OpenError));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let text = sealed();
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(open(&dek(1), &CONTEXT, &changed).is_err(), "bit {bit} of byte {at}");
                }
            }
            assert!(open(&dek(1), &CONTEXT, &text[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn tokens_of_different_length_look_alike() {
        let long = seal(&Fixed, &dek(1), &CONTEXT, &[b'x'; 200]).unwrap();
        assert_eq!(sealed().len(), long.len());
    }
}
