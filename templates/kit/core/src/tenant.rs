// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Names: of tenants and of integration instances. Each can only be made by `parse`, so that no other module checks
//! again what a name may hold.

use std::fmt;

/// A tenant's name: `[a-z0-9]`, then up to 62 of `[a-z0-9-]`. It appears in commands, logs and invoices.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// Accepts a name or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let fits = (1..=63).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError("a tenant's name")) }
    }

    /// A name that `parse` does not accept, so nobody can have it.
    pub(crate) fn nobody() -> Self {
        Self(String::new())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The label of one connection among several of the same integration: an account, a workspace, a shop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(String);

impl Account {
    /// Accepts a label: up to 64 of `[A-Za-z0-9_.:-]`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'));
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError("an account")) }
    }

    /// The label.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that does not fit. It says what was expected and does not repeat what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError(&'static str);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.0 {
            "an account" => "1 to 64 letters, digits, `_`, `.`, `:` or `-`",
            _ => "1 to 63 lower-case letters, digits or `-`, and does not begin with `-`",
        };
        write!(f, "{} has {rule}", self.0)
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_names_that_fit() {
        for name in ["a", "acme", "acme-eu", "0x", &"a".repeat(63)] {
            assert!(TenantId::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn tenant_names_that_do_not_fit() {
        for name in ["", "-a", "Acme", "a b", "a/b", "a|b", "a\0b", "ä", &"a".repeat(64)] {
            assert!(TenantId::parse(name).is_err(), "{name}");
        }
    }
}
