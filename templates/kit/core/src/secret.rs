// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A secret: bytes that do not print, do not serialise and are wiped when dropped.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Key material or a token. `expose` is the one way in; search for it to find every place that touches a secret.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether the bytes are these. How long it takes tells only how many there are.
    pub fn equals(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::from("ntn_abc")), "Secret(…)");
    }

    #[test]
    fn a_secret_equals_itself_and_nothing_else() {
        let secret = Secret::from("ntn_abc");
        assert!(secret.equals(b"ntn_abc"));
        for other in ["", "ntn_ab", "ntn_abd", "ntn_abcd"] {
            assert!(!secret.equals(other.as_bytes()), "{other}");
        }
    }
}
