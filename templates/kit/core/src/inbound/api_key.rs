// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! API keys: `mk_<environment>_<id 12>_<secret 32>_<crc 6>`, base62.
//!
//! The prefix lets secret scanners recognise a leaked key, the underscores let a double click select it whole, and the
//! checksum rejects a mistyped one without a database read. The store keeps a keyed hash of it: the secret
//! has 190 random bits, so a slow password hash would add nothing but a way to exhaust the server.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::ports::{Rng, RngError};
use crate::secret::Secret;
use crate::tenant::{Account, TenantId};
use crate::token;
use crate::vault::sealed::length_prefixed;

/// Which kind of server a key, a store and a key-encryption key belong to. The kinds never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A server for tenants.
    Live,
    /// `dev` on somebody's own machine.
    Dev,
}

impl Environment {
    /// The name in keys and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Dev => "dev",
        }
    }
}

/// A key taken apart; the secret is still a part of the caller's text.
#[derive(Debug)]
pub struct ApiKey<'a> {
    /// Which kind of server it is for.
    pub environment: Environment,
    /// Public id.
    pub id: &'a str,
    secret: &'a [u8],
}

/// The text is not a key, or was mistyped.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyError;

impl<'a> ApiKey<'a> {
    /// Takes `text` apart and checks its checksum.
    pub fn parse(text: &'a str) -> Result<Self, KeyError> {
        let (body, crc) = text.rsplit_once('_').ok_or(KeyError)?;
        let mut parts = body.split('_');
        let (Some("mk"), Some(environment), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError);
        };
        let environment = match environment {
            "live" => Environment::Live,
            "dev" => Environment::Dev,
            _ => return Err(KeyError),
        };
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
        let fits = id.len() == 12 && secret.len() == 32 && plain(id) && plain(secret);
        if fits && crc == token::checksum(token::crc32(body.as_bytes())) {
            Ok(Self { environment, id, secret: secret.as_bytes() })
        } else {
            Err(KeyError)
        }
    }

    /// A new key: its public id and the whole text, which is shown once and never stored.
    pub fn generate(rng: &dyn Rng, environment: Environment) -> Result<(String, Secret), RngError> {
        let id = token::random(rng, 12)?;
        let body = format!("mk_{}_{id}_{}", environment.as_str(), token::random(rng, 32)?);
        let crc = token::checksum(token::crc32(body.as_bytes()));
        Ok((id, Secret::new(format!("{body}_{crc}").into_bytes())))
    }

    /// What the store keeps of this key.
    pub fn hash(&self, pepper: &Secret, tenant: &TenantId, account: Option<&Account>) -> String {
        hash(pepper, tenant.as_str(), self.id, self.secret, account.map(Account::as_str))
    }
}

/// `HMAC-SHA256(pepper, tenant ‖ id ‖ secret ‖ account)` in base64url, each part behind its length, the last only for a key
/// that is bound to an account. They are in it so that a row given to another tenant, or a hash copied into another row,
/// opens nothing, and so that no row can be unbound.
fn hash(pepper: &Secret, tenant: &str, id: &str, secret: &[u8], account: Option<&str>) -> String {
    // HMAC takes a key of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(pepper.expose()) else { return String::new() };
    mac.update(&length_prefixed(&[tenant.as_bytes(), id.as_bytes(), secret]));
    if let Some(account) = account {
        mac.update(&length_prefixed(&[account.as_bytes()]));
    }
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Compares two hashes in constant time. An empty one equals nothing.
pub(super) fn same(a: &str, b: &str) -> bool {
    !a.is_empty() && a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Rng for Counting {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RngError> {
            for byte in buffer {
                *byte = self.0.fetch_add(7, std::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        }
    }

    fn key() -> String {
        let (_, key) = ApiKey::generate(&Counting(0.into()), Environment::Live).unwrap();
        key.expose_str().unwrap().to_owned()
    }

    #[test]
    fn a_generated_key_parses() {
        let text = key();
        let parsed = ApiKey::parse(&text).unwrap();
        assert_eq!((text.len(), parsed.environment), (60, Environment::Live));
        assert!(text.starts_with("mk_live_"));
    }

    #[test]
    fn every_single_changed_character_is_noticed() {
        let text = key();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(ApiKey::parse(&changed).is_err(), "{at}");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for text in
            ["", "mk", "mk_live", "mk_live_a_b_c", "Bearer x", "____", "mk_prod_000000000000_0_0", "mk_live_é_é_é"]
        {
            assert_eq!(ApiKey::parse(text).err(), Some(KeyError), "{text}");
        }
    }
}
