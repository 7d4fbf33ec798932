// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a sealed record holds: the secret of a connection and the hosts it may be sent to. The hosts are sealed with it, so
//! no later change of configuration can send it elsewhere.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The secret of one connection.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Hosts (and `host:port` where the port is not the default one) that it may be sent to: the API's, and those of the
    /// endpoints that renew it.
    pub hosts: Vec<String>,
    /// Which of the provider's hosts it belongs to, where there are several: a region, a shop.
    pub site: Option<String>,
    /// What its requests are for, where the provider asks for that: a profile, a customer. None until somebody chose. A
    /// text: real ids exceed 64 bits.
    pub target: Option<String>,
    /// The secret itself.
    pub kind: Kind,
}

/// What authenticates a connection, by auth shape.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A key that the tenant's own administrator issued at the provider.
    ApiKey(Secret),
    /// What an authorization server gave.
    OAuth(Tokens),
    /// Shape `system-user`: the token itself.
    LongLived(Token),
}

/// What an authorization server gave.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// The access token, if there is one yet.
    pub access: Option<Token>,
    /// The refresh token. Some providers give none.
    pub refresh: Option<Secret>,
    /// When the refresh token ends, milliseconds since the epoch; `None` for not known or never.
    pub refresh_expires_ms: Option<i64>,
    /// Scopes that were granted.
    pub scopes: Vec<String>,
}

/// A token with its life.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// When it was asked for, milliseconds since the epoch.
    pub issued_ms: i64,
    /// When it ends; `None` for not known or never.
    pub expires_ms: Option<i64>,
}

/// A hash by which two tokens are told apart without holding either.
pub type Fingerprint = [u8; 32];

/// The fingerprint of `secret`.
pub fn fingerprint(secret: &Secret) -> Fingerprint {
    Sha256::digest(secret.expose()).into()
}

impl Credential {
    /// A credential without site and target.
    pub fn new(hosts: Vec<String>, kind: Kind) -> Self {
        Self { hosts, site: None, target: None, kind }
    }

    /// Whether it may be sent to `host`.
    pub fn permits(&self, host: &str) -> bool {
        self.hosts.iter().any(|permitted| permitted == host)
    }

    /// The token or key that requests carry, if there is one now.
    pub fn bearer(&self) -> Option<&Secret> {
        match &self.kind {
            Kind::ApiKey(key) => Some(key),
            Kind::LongLived(token) => Some(&token.secret),
            Kind::OAuth(tokens) => tokens.access.as_ref().map(|token| &token.secret),
        }
    }

    /// The tokens, for the shapes that have them.
    pub fn tokens(&self) -> Option<&Tokens> {
        match &self.kind {
            Kind::OAuth(tokens) => Some(tokens),
            Kind::ApiKey(_) | Kind::LongLived(_) => None,
        }
    }

    /// The secret that a renewal consumes: the refresh token, or the long-lived token itself.
    pub(crate) fn renewal(&self) -> Option<&Secret> {
        match &self.kind {
            Kind::OAuth(tokens) => tokens.refresh.as_ref(),
            Kind::LongLived(token) => Some(&token.secret),
            Kind::ApiKey(_) => None,
        }
    }

    /// Whether both are renewed by the same secret.
    pub(crate) fn renews_like(&self, other: &Self) -> bool {
        match (self.renewal(), other.renewal()) {
            (Some(one), Some(other)) => fingerprint(one) == fingerprint(other),
            _ => false,
        }
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Room for any token known today: growing would leave unwiped copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
        // Writing plain structs of texts into memory cannot fail.
        let _ = serde_json::to_writer(&mut *bytes, &Stored::of(self));
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(serde_json::from_slice::<Stored<String>>(bytes).ok()?.into_credential())
    }
}

/// The form inside the record. `T` is borrowed text on the way in and owned text on the way out.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    #[serde(flatten)]
    kind: StoredKind<T>,
    hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StoredKind<T> {
    ApiKey { key: T },
    Oauth(StoredTokens<T>),
    LongLived { token: StoredToken<T> },
}

#[derive(Serialize, Deserialize)]
struct StoredTokens<T> {
    access: Option<StoredToken<T>>,
    refresh: Option<T>,
    refresh_expires_ms: Option<i64>,
    scopes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredToken<T> {
    text: T,
    issued_ms: i64,
    expires_ms: Option<i64>,
}

fn text(secret: &Secret) -> &str {
    secret.expose_str().unwrap_or_default()
}

impl<'a> Stored<&'a str> {
    fn of(credential: &'a Credential) -> Self {
        let token = |token: &'a Token| StoredToken {
            text: text(&token.secret),
            issued_ms: token.issued_ms,
            expires_ms: token.expires_ms,
        };
        let tokens = |tokens: &'a Tokens| StoredTokens {
            access: tokens.access.as_ref().map(token),
            refresh: tokens.refresh.as_ref().map(text),
            refresh_expires_ms: tokens.refresh_expires_ms,
            scopes: tokens.scopes.clone(),
        };
        let kind = match &credential.kind {
            Kind::ApiKey(key) => StoredKind::ApiKey { key: text(key) },
            Kind::OAuth(inner) => StoredKind::Oauth(tokens(inner)),
            Kind::LongLived(inner) => StoredKind::LongLived { token: token(inner) },
        };
        let (hosts, site, target) = (credential.hosts.clone(), credential.site.clone(), credential.target.clone());
        Self { kind, hosts, site, target }
    }
}

impl Stored<String> {
    fn into_credential(self) -> Credential {
        let kind = match self.kind {
            StoredKind::ApiKey { key } => Kind::ApiKey(secret(key)),
            StoredKind::Oauth(tokens) => Kind::OAuth(tokens.into_tokens()),
            StoredKind::LongLived { token } => Kind::LongLived(token.into_token()),
        };
        Credential { hosts: self.hosts, site: self.site, target: self.target, kind }
    }
}

impl StoredTokens<String> {
    fn into_tokens(self) -> Tokens {
        Tokens {
            access: self.access.map(StoredToken::into_token),
            refresh: self.refresh.map(secret),
            refresh_expires_ms: self.refresh_expires_ms,
            scopes: self.scopes,
        }
    }
}

impl StoredToken<String> {
    fn into_token(self) -> Token {
        Token { secret: secret(self.text), issued_ms: self.issued_ms, expires_ms: self.expires_ms }
    }
}

fn secret(text: String) -> Secret {
    Secret::new(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(kind: Kind) -> String {
        let credential = Credential {
            site: Some("na".into()),
            target: Some("36893488147419103232".into()),
            ..Credential::new(vec!["api.test".into()], kind)
        };
        let bytes = credential.to_bytes();
        let back = Credential::from_bytes(&bytes).unwrap();
        assert_eq!(back.to_bytes(), bytes);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_key_comes_back_as_it_was() {
        let stored = round_trip(Kind::ApiKey(Secret::from("k")));
        let rest = r#""hosts":["api.test"],"site":"na","target":"36893488147419103232""#;
        assert_eq!(stored, format!(r#"{{"kind":"api_key","key":"k",{rest}}}"#));
    }

    #[test]
    fn tokens_come_back_as_they_were() {
        let access = Token { secret: Secret::from("a"), issued_ms: 1, expires_ms: Some(2) };
        round_trip(Kind::LongLived(access.clone()));
        round_trip(Kind::OAuth(Tokens { access: Some(access), refresh: Some(Secret::from("r")), ..Tokens::default() }));
    }

    #[test]
    fn a_credential_prints_no_secret() {
        let credential = Credential::new(Vec::new(), Kind::ApiKey(Secret::from("canary")));
        assert!(!format!("{credential:?}").contains("canary"));
    }
}
