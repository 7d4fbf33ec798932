// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Access tokens for Google's APIs: from the metadata server of the machine, or from the file that
//! `GOOGLE_APPLICATION_CREDENTIALS` names, which holds the key of a service account or what `gcloud auth
//! application-default login` wrote. Never from somewhere else: what is set and does not work is an error.
//!
//! Federated credentials (`external_account`) are not known here; on Google's own platforms the metadata server has them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kit::ports::{KeyWrapError, Method};
use kit::secret::Secret;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use crate::failure::Hinted;
use crate::kek_remote::Remote;

const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// A token is replaced this long before it ends. The metadata server makes a new one in the last five minutes only.
const EARLY_S: i64 = 225;

/// Where tokens come from.
pub(crate) enum TokenSource {
    /// The metadata server at this address.
    Metadata(Url),
    /// A file of credentials. It is read for each token, so a new one in its place is used without a restart.
    File(PathBuf),
}

/// A source with its last token.
pub(crate) struct GoogleToken {
    source: TokenSource,
    loopback: bool,
    last: Mutex<Last>,
}

struct Last {
    token: Option<Token>,
    failed_us: i64,
}

struct Token {
    text: Secret,
    until_us: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: i64,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "error")]
    _error: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Credentials {
    ServiceAccount {
        client_email: String,
        private_key_id: String,
        private_key: String,
        token_uri: String,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: String,
        refresh_token: String,
        #[serde(default = "usual_address")]
        token_uri: String,
    },
}

fn usual_address() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// What a token is asked for with: the address and the form.
type Request = (Url, Zeroizing<String>);

impl GoogleToken {
    /// `loopback` says whether a token may be asked for over plain HTTP on this machine.
    pub(crate) fn open(source: TokenSource, loopback: bool) -> anyhow::Result<Self> {
        if let TokenSource::File(path) = &source {
            request(path, 0, loopback)?;
        }
        Ok(Self { source, loopback, last: Mutex::new(Last { token: None, failed_us: i64::MIN }) })
    }

    /// A token that is good for a few minutes at least. Of several callers one asks; the others wait for it, and fail with
    /// it.
    pub(crate) async fn get(&self, remote: &Remote) -> Result<Secret, KeyWrapError> {
        let began = remote.clock().monotonic_us();
        let mut last = self.last.lock().await;
        if last.failed_us >= began {
            return Err(KeyWrapError::Unavailable);
        }
        let now = remote.clock().monotonic_us();
        if let Some(token) = last.token.as_ref().filter(|token| now < token.until_us) {
            return Ok(token.text.clone());
        }
        match self.ask(remote).await {
            Ok(granted) => {
                let text = Secret::new(granted.access_token.into_bytes());
                let good_for = granted.expires_in.clamp(0, 86_400);
                let until_us = now.saturating_add((good_for - EARLY_S.min(good_for / 2)) * 1_000_000);
                last.token = Some(Token { text: text.clone(), until_us });
                Ok(text)
            }
            Err(error) => {
                last.failed_us = remote.clock().monotonic_us();
                Err(error)
            }
        }
    }

    async fn ask(&self, remote: &Remote) -> Result<Granted, KeyWrapError> {
        let answer = match &self.source {
            TokenSource::Metadata(server) => {
                let url = server
                    .join("/computeMetadata/v1/instance/service-accounts/default/token")
                    .map_err(|_| KeyWrapError::Unavailable)?;
                let headers = vec![("metadata-flavor".to_owned(), "Google".to_owned())];
                let answer = remote.exchange(Method::Get, &url, headers, "", Vec::new()).await?;
                // Anything else that answers at this name is not the metadata server.
                if answer.header("metadata-flavor") != Some("Google") {
                    return Err(KeyWrapError::Unavailable);
                }
                answer
            }
            TokenSource::File(path) => {
                let now_s = remote.clock().wall_ms() / 1_000;
                let (url, form) = request(path, now_s, self.loopback).map_err(|error| {
                    tracing::warn!(reason = format!("{error:#}"), "the credentials for Google cannot be used");
                    KeyWrapError::Unavailable
                })?;
                let form = form.as_bytes().to_vec();
                remote.exchange(Method::Post, &url, Vec::new(), "application/x-www-form-urlencoded", form).await?
            }
        };
        match answer.status() {
            200 => answer.json().ok_or(KeyWrapError::Unavailable),
            // The account was disabled or deleted, or its key withdrawn.
            400..=403 if answer.json::<Refused>().is_some() => Err(KeyWrapError::Denied),
            _ => Err(KeyWrapError::Unavailable),
        }
    }

    /// Forgets a token that was refused.
    pub(crate) async fn forget(&self, refused: &Secret) {
        let mut last = self.last.lock().await;
        if last.token.as_ref().is_some_and(|token| token.text.expose() == refused.expose()) {
            last.token = None;
        }
    }
}

fn request(path: &Path, now_s: i64, loopback: bool) -> anyhow::Result<Request> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read `{shown}`"))?;
    let text = Zeroizing::new(text);
    // The parser's message can hold a piece of the file.
    let credentials: Credentials = serde_json::from_str(&text).map_err(|_| {
        let message = format!("`{shown}` holds no credentials of a service account or a user");
        Hinted::new(message, "unset GOOGLE_APPLICATION_CREDENTIALS to use the machine's own service account")
    })?;
    let address = |text: &str| {
        let secure = |url: &Url| url.scheme() == "https" || loopback && crate::settings::is_loopback(url);
        let url = Url::parse(text).ok().filter(secure);
        url.with_context(|| format!("`token_uri` in `{shown}` is no https:// address"))
    };
    match credentials {
        Credentials::ServiceAccount { client_email, private_key_id, private_key, token_uri } => {
            let private_key = Zeroizing::new(private_key);
            let claims = json!({
                "iss": client_email, "scope": SCOPE, "aud": token_uri, "iat": now_s, "exp": now_s.saturating_add(3_600),
            });
            let header = json!({"alg": "RS256", "typ": "JWT", "kid": private_key_id});
            let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
            let signature = sign(&private_key, signed.as_bytes())
                .with_context(|| format!("failed to sign with the private key in `{shown}`"))?;
            let assertion = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
            Ok((address(&token_uri)?, form(&[("grant_type", grant), ("assertion", &assertion)])))
        }
        Credentials::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
            let secrets = [client_secret, refresh_token].map(Zeroizing::new);
            let pairs = [
                ("grant_type", "refresh_token"),
                ("client_id", &client_id),
                ("client_secret", &secrets[0]),
                ("refresh_token", &secrets[1]),
            ];
            Ok((address(&token_uri)?, form(&pairs)))
        }
    }
}

fn form(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    Zeroizing::new(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
}

fn sign(pem: &str, message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let base64: Zeroizing<String> = Zeroizing::new(pem.lines().filter(|line| !line.starts_with("-----")).collect());
    let der = Zeroizing::new(STANDARD.decode(base64.trim()).context("it is not in PEM")?);
    // The library's errors say nothing that helps, by design.
    let key = KeyPair::from_pkcs8(&der).map_err(|_| anyhow::anyhow!("it is no RSA key in PKCS #8"))?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| anyhow::anyhow!("it does not sign"))?;
    Ok(signature)
}
