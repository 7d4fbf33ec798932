// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What is reported of a finished call, and what it left on its way. Nothing here can hold an argument, an answer or a token:
//! redaction by construction, not by filtering.

pub mod names;
pub mod request;
pub mod trace;

use crate::tenant::TenantId;
use request::RequestFacts;
use trace::Trace;

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `tools/call`.
    Tool,
    /// `prompts/get`.
    Prompt,
    /// `resources/read`.
    Resource,
}

impl Operation {
    /// The MCP method, as the OpenTelemetry convention `mcp.method.name` has it.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/call",
            Self::Prompt => "prompts/get",
            Self::Resource => "resources/read",
        }
    }
}

/// One finished call.
#[derive(Debug)]
pub struct CallEvent<'a> {
    /// What was asked for.
    pub operation: Operation,
    /// Full name of the tool or prompt, or the resource's address. Always a registered one; empty for one that is not.
    pub target: &'a str,
    /// What the transport knows of the request.
    pub request: &'a RequestFacts,
    /// Where the call was, and for how long.
    pub trace: &'a Trace,
    /// The answer, if there is one.
    pub result: Option<ResultFacts>,
    /// Id of the call, the same as in the audit; empty where it came to nothing before it had one.
    pub call: &'a str,
    /// Whose call it was.
    pub tenant: &'a TenantId,
    /// Which key or process made it.
    pub principal: &'a str,
    /// `ok`, `cancelled`, or the class of the error.
    pub outcome: &'static str,
    /// From the start of the pipeline to the answer.
    pub duration_us: i64,
}

/// What may be known of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFacts {
    /// Its bytes as JSON.
    pub bytes: usize,
    /// Entries of the longest list in it, one level deep.
    pub items: Option<usize>,
    /// Keyed hash: equal answers have equal ones.
    pub hash: String,
}

/// A renewal of tokens has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshEvent<'a> {
    /// Instance name of the integration.
    pub integration: &'a str,
    /// `ok`, or why there are no new tokens.
    pub outcome: &'static str,
}

/// Something that a person should look at. Each is reported when it begins, not again while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A connection is dead; its tenant has to connect again.
    ReconnectNeeded,
    /// A connection ends in this many days whatever is done; its tenant has to connect again before.
    EndsSoon {
        /// 30, 14 or 3.
        days: i64,
    },
    /// The authorization server refuses the owner's app.
    AppRejected,
    /// Refreshed tokens could not be written; they are kept in memory and written again.
    RefreshUnsaved,
    /// A refresh took so long that another replica took it over; its tokens were discarded.
    LeaseLost,
}

impl Alarm {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReconnectNeeded => "reconnect_needed",
            Self::EndsSoon { .. } => "ends_soon",
            Self::AppRejected => "app_rejected",
            Self::RefreshUnsaved => "refresh_unsaved",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// An alarm about one connection.
#[derive(Debug)]
pub struct AlarmEvent<'a> {
    /// What it is.
    pub alarm: Alarm,
    /// Whose connection.
    pub tenant: &'a TenantId,
    /// Instance name of the integration.
    pub integration: &'a str,
    /// Account.
    pub account: &'a str,
}
