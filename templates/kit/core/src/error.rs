// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What goes wrong in a call, in words that a model can act on and that carry nothing of the upstream's answer.

use std::fmt;

use serde_json::{Map, Value};

use crate::day;

/// The class of a failure. Clients read it as `structuredContent.error.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The arguments are wrong; the model should correct them.
    InvalidArguments,
    /// The thing asked for does not exist or is not shared with this connection.
    NotFound,
    /// The connection is good but may not do this.
    Forbidden,
    /// This tenant has no connection for the integration.
    NoCredentials,
    /// The credential is dead; a person has to connect again.
    ReconnectRequired,
    /// Nobody has chosen yet what the connection's requests are for.
    NeedsTarget,
    /// The owner's configuration is at fault, not the tenant.
    Misconfigured,
    /// A limit of this server.
    RateLimited,
    /// A limit of the upstream.
    UpstreamRateLimited,
    /// The upstream failed or answered something unexpected.
    Upstream,
    /// The call took longer than its deadline.
    Timeout,
    /// The answer is larger than a call may return.
    OutputTooLarge,
    /// A part of this server (store, vault) is not available; trying again later helps.
    Unavailable,
    /// A fault of this server, a panic in a tool among them.
    Internal,
}

impl ErrorKind {
    /// The name in `structuredContent.error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid_arguments",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::NoCredentials => "no_credentials",
            Self::ReconnectRequired => "reconnect_required",
            Self::NeedsTarget => "needs_target",
            Self::Misconfigured => "misconfigured",
            Self::RateLimited => "rate_limited",
            Self::UpstreamRateLimited => "upstream_rate_limited",
            Self::Upstream => "upstream_error",
            Self::Timeout => "timeout",
            Self::OutputTooLarge => "output_too_large",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal_error",
        }
    }
}

/// A failed call: a sentence for the model, a hint with the way out, and facts for programs.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    facts: Map<String, Value>,
}

impl ToolError {
    /// A failure of class `kind`. `message` is lower case and without a final full stop.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), hint: None, facts: Map::new() }
    }

    /// The arguments are wrong: `.map_err(ToolError::invalid)?` turns a parser's error into one the model can act on.
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidArguments, message)
    }

    /// What was asked for is not there.
    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The upstream answered something this tool cannot use.
    pub fn upstream(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Upstream, message)
    }

    /// The store, the vault or the key-encryption key does not answer.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The command or step that mends it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// One more fact in the structured form.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// When to come back: in `ms` from `now_ms` on the wall clock. Programs read the two facts, people the sentence.
    #[must_use]
    pub fn retry_in(self, ms: i64, now_ms: i64) -> Self {
        self.fact("retry_after_ms", ms).fact("retry_at", day::moment(now_ms.saturating_add(ms)))
    }

    /// The class.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The command or step that mends it, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// A fact of the structured form, if it is a text.
    pub fn text_fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).and_then(Value::as_str)
    }

    /// `{"error": {"type", "message", "hint"?, …facts}}`, the form that programs read.
    pub fn to_value(&self) -> Value {
        let mut error = Map::new();
        error.insert("type".into(), self.kind.as_str().into());
        error.insert("message".into(), self.message.clone().into());
        if let Some(hint) = &self.hint {
            error.insert("hint".into(), hint.clone().into());
        }
        error.extend(self.facts.clone());
        Value::Object(Map::from_iter([("error".to_owned(), Value::Object(error))]))
    }
}

impl fmt::Display for ToolError {
    /// `CODE: message` and, on its own line, the hint. This is the text block that the model reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str().to_ascii_uppercase(), self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ToolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_code_message_and_hint() {
        let error =
            ToolError::new(ErrorKind::NoCredentials, "no connection").hint("run `x`").fact("integration", "notion");
        assert_eq!(error.to_string(), "NO_CREDENTIALS: no connection\nhint: run `x`");
        assert_eq!(
            error.to_value().to_string(),
            r#"{"error":{"hint":"run `x`","integration":"notion","message":"no connection","type":"no_credentials"}}"#
        );
    }
}
