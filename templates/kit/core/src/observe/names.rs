// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Every name of a span, an attribute or a metric, in one place: the conventions for MCP are still in development, and a
//! dashboard breaks at a name that was changed in half of the code.
//!
//! Source: OpenTelemetry's GenAI semantic conventions, `docs/gen-ai/mcp.md`, and HTTP client spans. What they do not have is
//! under `kit.`; the four under `mcp.` that are not theirs are this server's contract with its dashboards.

/// `tools/call` and its like.
pub const MCP_METHOD: &str = "mcp.method.name";
/// Revision of the protocol that the request came in.
pub const MCP_PROTOCOL_VERSION: &str = "mcp.protocol.version";
/// Address of a resource.
pub const MCP_RESOURCE_URI: &str = "mcp.resource.uri";
/// Full name of the tool.
pub const GEN_AI_TOOL: &str = "gen_ai.tool.name";
/// Full name of the prompt.
pub const GEN_AI_PROMPT: &str = "gen_ai.prompt.name";
/// `execute_tool` for calls of tools.
pub const GEN_AI_OPERATION: &str = "gen_ai.operation.name";
/// Id of the JSON-RPC request.
pub const JSONRPC_REQUEST_ID: &str = "jsonrpc.request.id";
/// JSON-RPC code of an error.
pub const RPC_STATUS: &str = "rpc.response.status_code";
/// Class of an error; there is one only where something failed.
pub const ERROR_TYPE: &str = "error.type";
/// `tcp` or `pipe`.
pub const NETWORK_TRANSPORT: &str = "network.transport";
/// `http`.
pub const NETWORK_PROTOCOL: &str = "network.protocol.name";
/// `1.1` or `2`.
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
/// Method of a request to an upstream.
pub const HTTP_METHOD: &str = "http.request.method";
/// Status of its answer.
pub const HTTP_STATUS: &str = "http.response.status_code";
/// How many requests of this kind went before it.
pub const HTTP_RESEND: &str = "http.request.resend_count";
/// Path of the request, ids left out.
pub const URL_TEMPLATE: &str = "url.template";
/// Host of the upstream.
pub const SERVER_ADDRESS: &str = "server.address";

/// Contract: full name of the tool.
pub const TOOL_NAME: &str = "mcp.tool_name";
/// Contract: the tenant.
pub const TENANT_ID: &str = "mcp.tenant_id";
/// Contract: id of the call, the same as in the audit log.
pub const TOOL_CALL_ID: &str = "mcp.tool_call_id";
/// Contract: version of the server.
pub const SERVER_VERSION: &str = "mcp.server_version";

/// Whether the answer is an error that the model reads.
pub const RESULT_IS_ERROR: &str = "mcp.result.is_error";
/// Bytes of the answer.
pub const RESULT_SIZE: &str = "mcp.result.size";
/// Entries of the longest list in the answer.
pub const RESULT_ITEMS: &str = "mcp.result.items";
/// Keyed hash of the answer: equal answers have equal hashes, and nothing can be read from one.
pub const RESULT_HASH: &str = "mcp.result.hash";

/// `ok`, `cancelled`, or the class of the error.
pub const OUTCOME: &str = "kit.outcome";
/// Public id of the key that made the call.
pub const PRINCIPAL: &str = "kit.principal";
/// Instance name of an integration.
pub const INTEGRATION: &str = "kit.integration";
/// `closed`, `probe` or `open`.
pub const BREAKER_STATE: &str = "kit.breaker.state";
/// What the provider calls the request in its own logs.
pub const UPSTREAM_REQUEST_ID: &str = "kit.upstream.request_id";
/// Which bound refused a call.
pub const LIMIT_SCOPE: &str = "kit.limit.scope";
/// Spans of a call beyond those that are kept.
pub const DROPPED_SPANS: &str = "kit.dropped_spans";

/// Span: may the call go on?
pub const SPAN_LIMIT: &str = "limit";
/// Span: the connection is found and opened.
pub const SPAN_VAULT: &str = "vault open";
/// Span: tokens are renewed, or somebody else's renewal is waited for.
pub const SPAN_REFRESH: &str = "refresh";
/// Span: it is committed that something is about to be changed.
pub const SPAN_INTENT: &str = "ledger intent";
/// Span: the audit row and the usage are committed.
pub const SPAN_COMMIT: &str = "ledger commit";

/// Metric: how long calls take, in seconds.
pub const METRIC_DURATION: &str = "mcp.server.operation.duration";
/// Metric: how long requests to upstreams take, in seconds.
pub const METRIC_UPSTREAM: &str = "kit.upstream.duration";
/// Metric: calls that a limit refused.
pub const METRIC_LIMITED: &str = "kit.limit.refused";
/// Metric: renewals of tokens.
pub const METRIC_REFRESH: &str = "kit.refresh";
/// Metric: renewals under way.
pub const METRIC_REFRESHING: &str = "kit.refresh.under_way";
/// Metric: records that the vault opened.
pub const METRIC_VAULT: &str = "kit.vault.opened";
/// Metric: breakers that are open.
pub const METRIC_BREAKERS: &str = "kit.breaker.open";
/// Metric: calls under way.
pub const METRIC_IN_FLIGHT: &str = "kit.calls.under_way";
/// Metric: rows of the ledger that wait to be committed.
pub const METRIC_LEDGER: &str = "kit.ledger.queue";
/// Metric: alarms.
pub const METRIC_ALARMS: &str = "kit.alarms";
/// Metric: spans that were not exported.
pub const METRIC_DROPPED: &str = "kit.telemetry.dropped_spans";
