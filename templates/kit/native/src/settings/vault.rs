// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `vault.*`: where the key-encryption keys are. One primary and any number of previous ones, each named in full; nothing is
//! tried because something else is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kit::secret::Secret;
use url::Url;

use super::is_loopback;
use super::reader::Reader;

/// Where a key-encryption key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KekSource {
    /// A file with one or more keys.
    File(PathBuf),
    /// A key of Google Cloud KMS, by its resource name.
    GcpKms(String),
    /// A key of a transit engine, by its address.
    Transit(Url),
}

impl fmt::Display for KekSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::GcpKms(name) => write!(f, "gcp-kms:{name}"),
            Self::Transit(url) => write!(f, "transit:{url}"),
        }
    }
}

/// Everything about the vault that an owner can set, and what the environment says of the machine.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// The source of the primary.
    pub kek: Option<KekSource>,
    /// Sources of keys that only unwrap.
    pub previous_keks: Vec<KekSource>,
    /// `$CREDENTIALS_DIRECTORY`, where systemd puts the credentials of a service.
    pub credentials: Option<PathBuf>,
    /// While a key-encryption key cannot be reached, a data key that it opened is used for this long.
    pub kms_grace: Duration,
    /// An exchange with a keeper may take this long.
    pub kms_timeout: Duration,
    /// Address of Cloud KMS, without a slash at its end.
    pub gcp_kms_endpoint: String,
    /// `$GCE_METADATA_HOST`: host, and port where it is not 80, of the metadata server.
    pub metadata_host: String,
    /// `$GOOGLE_APPLICATION_CREDENTIALS`; without it the metadata server is asked.
    pub google_credentials: Option<PathBuf>,
    /// A file with the token for a transit engine.
    pub transit_token_file: Option<PathBuf>,
    /// `$VAULT_TOKEN`, used where no file is set.
    pub transit_token: Option<Secret>,
    /// Whether the server listens on loopback, so that it may speak plain HTTP to this machine.
    pub loopback: bool,
}

const FORMS: &str = "give file:PATH, gcp-kms:projects/…/locations/…/keyRings/…/cryptoKeys/… or \
                     transit:https://HOST:8200/v1/transit/keys/NAME";

pub(super) fn read(reader: &mut Reader<'_>, bind: SocketAddr, environment: &BTreeMap<String, String>) -> VaultSettings {
    let loopback = bind.ip().is_loopback();
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let kek = primary(reader, loopback);
    let (previous, source) = reader.sourced_list("vault.previous_keks", "[\"file:/etc/server/old-kek\"]");
    let mut previous_keks = Vec::new();
    for text in previous {
        match parse(&text, loopback) {
            Ok(kek) => previous_keks.push(kek),
            Err((what, remedy)) => reader.problem("vault.previous_keks", &source, what, remedy),
        }
    }
    let minutes: u64 = reader.count("vault.kms_grace_minutes", 0..=10_080, 60);
    VaultSettings {
        kek,
        previous_keks,
        credentials: set("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        kms_grace: Duration::from_secs(minutes * 60),
        kms_timeout: Duration::from_millis(reader.count("vault.kms_timeout_ms", 100..=60_000, 5_000)),
        gcp_kms_endpoint: endpoint(reader, loopback),
        metadata_host: set("GCE_METADATA_HOST").cloned().unwrap_or_else(|| "metadata.google.internal".to_owned()),
        google_credentials: set("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from),
        transit_token_file: reader.text("vault.transit_token_file").map(PathBuf::from),
        transit_token: set("VAULT_TOKEN").map(|token| Secret::from(token.as_str())),
        loopback,
    }
}

/// What is wrong with a value, and what to do.
type Wrong = (&'static str, &'static str);

/// `vault.kek`, or its short form for a file. In one place there may be one of them; the environment goes above the file,
/// whichever of the two each of them holds.
fn primary(reader: &mut Reader<'_>, loopback: bool) -> Option<KekSource> {
    let in_environment = |source: &str| source.starts_with("environment ");
    match (reader.sourced_text("vault.kek"), reader.sourced_text("vault.kek_file")) {
        (Some((_, one)), Some((_, other))) if in_environment(&one) == in_environment(&other) => {
            let what = "`vault.kek_file` is set beside it, and there is one primary key-encryption key";
            reader.problem("vault.kek", &one, what, "keep one of them, and name the other's in `vault.previous_keks`");
            None
        }
        (Some((text, source)), short) if short.is_none() || in_environment(&source) => {
            parse(&text, loopback).map_err(|(what, remedy)| reader.problem("vault.kek", &source, what, remedy)).ok()
        }
        (_, Some((path, _))) => Some(KekSource::File(PathBuf::from(path))),
        (_, None) => None,
    }
}

fn endpoint(reader: &mut Reader<'_>, loopback: bool) -> String {
    let default = "https://cloudkms.googleapis.com".to_owned();
    let Some((text, source)) = reader.sourced_text("vault.gcp_kms_endpoint") else { return default };
    match address(&text, loopback) {
        Ok(url) => url.as_str().trim_end_matches('/').to_owned(),
        Err((what, remedy)) => {
            reader.problem("vault.gcp_kms_endpoint", &source, what, remedy);
            default
        }
    }
}

fn parse(text: &str, loopback: bool) -> Result<KekSource, Wrong> {
    if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Ok(KekSource::File(PathBuf::from(path)));
    }
    if let Some(name) = text.strip_prefix("gcp-kms:") {
        return match is_crypto_key(name) {
            false => Err(("is not the name of a key of Cloud KMS", FORMS)),
            true if cfg!(feature = "kms-gcp") => Ok(KekSource::GcpKms(name.to_owned())),
            true => Err(("this build knows no Cloud KMS", "build the server with `--features kit-native/kms-gcp`")),
        };
    }
    if let Some(url) = text.strip_prefix("transit:") {
        let url = address(url, loopback)?;
        let names_a_key = url.path().strip_prefix("/v1/").and_then(|path| path.rsplit_once("/keys/"));
        return match names_a_key.filter(|(mount, key)| !mount.is_empty() && !key.is_empty() && !key.contains('/')) {
            None => Err(("is not the address of a key of a transit engine", FORMS)),
            Some(_) if cfg!(feature = "kms-transit") => Ok(KekSource::Transit(url)),
            Some(_) => {
                Err(("this build knows no transit engine", "build the server with `--features kit-native/kms-transit`"))
            }
        };
    }
    Err(("names no place where a key can be", FORMS))
}

/// `projects/…/locations/…/keyRings/…/cryptoKeys/…`, and no version: the primary version wraps.
fn is_crypto_key(name: &str) -> bool {
    let fits = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b)) && !part.is_empty();
    let parts: Vec<&str> = name.split('/').collect();
    let kinds = ["projects", "locations", "keyRings", "cryptoKeys"];
    parts.len() == 2 * kinds.len() && parts.chunks(2).zip(kinds).all(|(pair, kind)| pair[0] == kind && fits(pair[1]))
}

/// An address that a token may be sent to.
fn address(text: &str, loopback: bool) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|_| ("is not an address", "give an https:// URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) && loopback => {}
        "http" if is_loopback(&url) => {
            let what = "plain HTTP, while the server listens on more than loopback";
            return Err((what, "give an https:// URL, or set `server.bind` to 127.0.0.1"));
        }
        _ => return Err(("the token for it would travel in the clear", "give an https:// URL")),
    }
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if plain { Ok(url) } else { Err(("holds more than host, port and path", "give an https:// URL without them")) }
}
