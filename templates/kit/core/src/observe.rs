// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What is reported of a finished call. Nothing here can hold an argument, an answer or a token: redaction by
//! construction, not by filtering.

use crate::tenant::TenantId;

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
    /// Full name of the tool or prompt, or the resource's address. Always a registered one.
    pub target: &'a str,
    /// Whose call it was.
    pub tenant: &'a TenantId,
    /// Which key or process made it.
    pub principal: &'a str,
    /// `ok`, `cancelled`, or the class of the error.
    pub outcome: &'a str,
    /// From the start of the pipeline to the answer.
    pub duration_us: i64,
}
