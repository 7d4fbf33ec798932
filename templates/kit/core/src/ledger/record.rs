// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! One row of the audit: what is written of a call, in canonical JSON, and the keyed hash that chains it to the row before.
//! Whoever can write the database but does not hold the key can neither change a row nor take one out unnoticed.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::canonical::{Object, text};
use super::redact::Redacted;
use crate::secret::Secret;
use crate::tenant::TenantId;
use crate::tool::Class;

/// Form of a record.
const VERSION: i64 = 1;

/// What a row tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tool that changes something is about to run. Without a `call` of the same id behind it its outcome is not known.
    Intent,
    /// A call has ended.
    Call,
    /// The operator did something.
    Operator,
    /// A checkpoint was made.
    Checkpoint,
}

impl Kind {
    /// The name in a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Call => "call",
            Self::Operator => "operator",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// Requests of a call to one integration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCall {
    /// Instance name of the integration.
    pub integration: String,
    /// Status of the last answer; 0 if there was none.
    pub status: u16,
    /// How often it was asked.
    pub attempts: u32,
}

/// The program that calls, as it says of itself: not to be believed, only to be counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl ClientInfo {
    /// Longer names and versions are cut.
    const LONGEST: usize = 64;

    /// From what a client says: at most 64 characters of each, letters, digits and what ASCII prints.
    pub fn new(name: &str, version: &str) -> Self {
        let prints = |c: char| c.is_alphanumeric() || matches!(c, ' '..='~');
        let clean = |text: &str| text.chars().filter(|c| prints(*c)).take(Self::LONGEST).collect::<String>();
        Self { name: clean(name), version: clean(version) }
    }
}

/// What is to be written of a call, an intent, a command.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it tells of.
    pub kind: Kind,
    /// When that began, milliseconds since the epoch.
    pub at_ms: i64,
    /// Id of the call.
    pub call: String,
    /// Whose it was. Nobody's for what the operator does to the whole server.
    pub tenant: TenantId,
    /// The principal's label.
    pub actor: String,
    /// Full name of the tool, prompt or resource; the words of a command.
    pub tool: String,
    /// What it may do.
    pub class: Option<Class>,
    /// The arguments, as far as they may be told.
    pub args: Option<Redacted>,
    /// `ok`, `cancelled`, `panic` or the class of the error.
    pub outcome: Option<&'static str>,
    /// What it costs; nothing if it was not let in.
    pub units: Option<u32>,
    /// How long it took.
    pub duration_us: Option<i64>,
    /// What it asked of upstreams.
    pub upstream: Vec<UpstreamCall>,
    /// Trace id in hex.
    pub trace: Option<String>,
    /// The program that called.
    pub client: Option<ClientInfo>,
}

impl Entry {
    /// An entry without anything that not every entry has.
    pub fn new(kind: Kind, call: String, tenant: TenantId, actor: &str, tool: &str, at_ms: i64) -> Self {
        Self {
            kind,
            at_ms,
            call,
            tenant,
            actor: actor.to_owned(),
            tool: tool.to_owned(),
            class: None,
            args: None,
            outcome: None,
            units: None,
            duration_us: None,
            upstream: Vec::new(),
            trace: None,
            client: None,
        }
    }

    /// The record, at its place in a stream of the tenant `pseudonym`.
    pub(crate) fn record(&self, stream: &str, seq: i64, pseudonym: &str, server: &str) -> String {
        let mut out = String::with_capacity(512 + self.args.as_ref().map_or(0, |args| args.text.len()));
        let mut object = Object::begin(&mut out);
        object.text("actor", &self.actor);
        if let Some(args) = &self.args {
            object.name("args").push_str(&args.text);
            object.text("args_hmac", &args.hmac);
        }
        object.whole("at_ms", self.at_ms);
        object.text("call", &self.call);
        if let Some(class) = self.class {
            object.text("class", class.as_str());
        }
        if let Some(client) = &self.client {
            text(object.name("client"), &format!("{}/{}", client.name, client.version));
        }
        if let Some(duration_us) = self.duration_us {
            object.whole("duration_us", duration_us);
        }
        object.text("kind", self.kind.as_str());
        if let Some(outcome) = self.outcome {
            object.text("outcome", outcome);
        }
        object.whole("seq", seq);
        object.text("server", server);
        object.text("stream", stream);
        object.text("tenant", pseudonym);
        object.text("tool", &self.tool);
        if let Some(trace) = &self.trace {
            object.text("trace", trace);
        }
        if let Some(units) = self.units {
            object.whole("units", units.into());
        }
        let upstream = object.name("upstream");
        upstream.push('[');
        for (n, call) in self.upstream.iter().enumerate() {
            if n > 0 {
                upstream.push(',');
            }
            let mut object = Object::begin(upstream);
            object.whole("attempts", call.attempts.into());
            object.text("integration", &call.integration);
            object.whole("status", call.status.into());
            object.end();
        }
        upstream.push(']');
        object.whole("v", VERSION);
        object.end();
        out
    }
}

/// The key of the audit.
#[derive(Clone)]
pub(crate) struct AuditKey(Hmac<Sha256>);

impl AuditKey {
    pub(crate) fn new(key: &Secret) -> Self {
        Self(keyed(key))
    }

    /// What stands for a tenant in records. It outlives the tenant's name, which is deleted with it.
    pub(crate) fn pseudonym(&self, tenant: &str) -> String {
        format!("t_{}", &self.hash(&["tenant", tenant])[..16])
    }

    /// The hash of a record behind the hash `prev`, which is empty for the first.
    pub(crate) fn link(&self, prev: &str, record: &str) -> String {
        self.hash(&[prev, record])
    }

    /// The hash of a checkpoint. A link begins with `{` or a hash in hex, so it is never taken for one.
    pub(crate) fn checkpoint(&self, body: &str) -> String {
        self.hash(&["checkpoint", body])
    }

    /// The hash of a tombstone.
    pub(crate) fn tombstone(&self, body: &str) -> String {
        self.hash(&["tombstone", body])
    }

    fn hash(&self, parts: &[&str]) -> String {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part.as_bytes()));
        hex(&mac.finalize().into_bytes())
    }
}

/// HMAC-SHA256 under `key`, ready to be cloned for each use.
pub(crate) fn keyed(key: &Secret) -> Hmac<Sha256> {
    // HMAC takes a key of any length. Server keys have 32 bytes.
    Hmac::new_from_slice(key.expose()).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

/// `bytes` in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AuditKey {
        AuditKey::new(&Secret::new((0..32).collect()))
    }

    fn entry() -> Entry {
        let tenant = TenantId::parse("acme").unwrap();
        let new = |kind| Entry::new(kind, "01C".into(), tenant, "k1", "crm_set", 1_800_000_000_000);
        Entry {
            class: Some(Class::Write),
            args: Some(Redacted { text: r#"{"id":7}"#.into(), hmac: "ab".into() }),
            outcome: Some("ok"),
            units: Some(2),
            duration_us: Some(1_500),
            upstream: vec![UpstreamCall { integration: "crm".into(), status: 200, attempts: 1 }],
            trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            client: Some(ClientInfo::new("Cl\u{7}aude\n", "1.0")),
            ..new(Kind::Call)
        }
    }

    /// Rows of years past are verified with it: it never changes.
    #[test]
    fn a_record_has_these_bytes_and_this_hash() {
        let key = key();
        assert_eq!(key.pseudonym("acme"), PSEUDONYM);
        let record = entry().record("t_x.w1", 3, "t_x", "1.2.3");
        assert_eq!(
            record,
            concat!(
                r#"{"actor":"k1","args":{"id":7},"args_hmac":"ab","at_ms":1800000000000,"call":"01C","class":"write","#,
                r#""client":"Claude/1.0","duration_us":1500,"kind":"call","outcome":"ok","seq":3,"server":"1.2.3","#,
                r#""stream":"t_x.w1","tenant":"t_x","tool":"crm_set","trace":"4bf92f3577b34da6a3ce929d0e0e4736","units":2,"#,
                r#""upstream":[{"attempts":1,"integration":"crm","status":200}],"v":1}"#
            )
        );
        assert_eq!(key.link("", &record), FIRST);
        assert_eq!(key.link(FIRST, &record), SECOND);
    }

    // Python: hmac.new(bytes(range(32)), text, 'sha256').hexdigest()
    const PSEUDONYM: &str = "t_38befd0950f2beed";
    const FIRST: &str = "9c0d4ea03171bc31d589629cedc3474bfec7b7bde09f752712103b3b7377d79a";
    const SECOND: &str = "dc1ce2aa33679b6c125f528575ecd179a613bccf5a454f464b2c746b7f3e06f5";

    #[test]
    fn what_an_entry_does_not_have_is_not_written() {
        let tenant = TenantId::parse("acme").unwrap();
        let entry = Entry::new(Kind::Intent, "c".into(), tenant, "a", "t", 1);
        assert_eq!(
            entry.record("s", 1, "t_x", "0"),
            concat!(
                r#"{"actor":"a","at_ms":1,"call":"c","kind":"intent","seq":1,"server":"0","stream":"s","tenant":"t_x","#,
                r#""tool":"t","upstream":[],"v":1}"#
            )
        );
    }

    #[test]
    fn a_record_is_json_with_its_names_in_order() {
        let record = entry().record("s", 1, "t_x", "0");
        let value: serde_json::Value = serde_json::from_str(&record).unwrap();
        let mut again = String::new();
        super::super::canonical::value(&mut again, &value);
        assert_eq!(again, record);
    }

    #[test]
    fn what_a_client_says_of_itself_is_cut() {
        let client = ClientInfo::new(&"x".repeat(100), "\u{1b}[31m");
        assert_eq!((client.name.len(), client.version.as_str()), (64, "[31m"));
    }
}
