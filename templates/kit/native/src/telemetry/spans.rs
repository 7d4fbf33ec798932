// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A finished call as OpenTelemetry spans: one of kind server for the call, one below it for each thing it waited for. A call
//! copies what it knows and goes on; the exporter's thread does the rest.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kit::observe::request::{RequestFacts, Transport};
use kit::observe::trace::{Attribute, Kind, Parent, Span, SpanId, TraceId};
use kit::observe::{CallEvent, Operation, ResultFacts, names};
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// What is exported of a call.
pub(super) struct Finished {
    trace: TraceId,
    root: SpanId,
    parent: Option<Parent>,
    link: Option<Parent>,
    operation: Operation,
    target: String,
    request: RequestFacts,
    call: String,
    tenant: String,
    principal: String,
    outcome: &'static str,
    result: Option<ResultFacts>,
    started: (i64, i64),
    duration_us: i64,
    below: Vec<Span>,
    more: i64,
    version: &'static str,
}

impl Finished {
    /// A call that has ended, with the spans below it and how many more there were.
    pub(super) fn of(event: &CallEvent<'_>, below: Vec<Span>, more: i64, version: &'static str) -> Self {
        Self {
            trace: event.trace.id(),
            root: event.trace.root(),
            parent: event.trace.parent(),
            link: event.trace.link(),
            operation: event.operation,
            target: event.target.to_owned(),
            request: event.request.clone(),
            call: event.call.to_owned(),
            tenant: event.tenant.as_str().to_owned(),
            principal: event.principal.to_owned(),
            outcome: event.outcome,
            result: event.result.clone(),
            started: event.trace.started(),
            duration_us: event.duration_us,
            below,
            more,
            version,
        }
    }

    /// How many spans it is.
    pub(super) fn count(&self) -> usize {
        self.below.len() + 1
    }

    /// Adds its spans to `batch`.
    pub(super) fn write(self, scope: &InstrumentationScope, batch: &mut Vec<SpanData>) {
        let (start_us, start_ms) = self.started;
        let at = |us: i64| {
            let since = Duration::from_millis(start_ms.max(0).unsigned_abs());
            UNIX_EPOCH + since + Duration::from_micros(us.saturating_sub(start_us).max(0).unsigned_abs())
        };
        let root = self.server(scope, at(start_us), at(start_us.saturating_add(self.duration_us)));
        let context = root.span_context.clone();
        batch.push(root);
        for span in self.below {
            let mut attributes: Vec<KeyValue> = span.attributes.into_iter().map(key_value).collect();
            attributes.extend(span.error.map(|error| KeyValue::new(names::ERROR_TYPE, error)));
            batch.push(SpanData {
                span_context: context_of(self.trace, span.id),
                parent_span_id: context.span_id(),
                parent_span_is_remote: false,
                span_kind: match span.kind {
                    Kind::Client => SpanKind::Client,
                    Kind::Internal => SpanKind::Internal,
                },
                name: span.name,
                start_time: at(span.start_us),
                end_time: at(span.end_us),
                attributes,
                dropped_attributes_count: 0,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status: span.error.map_or(Status::Unset, Status::error),
                instrumentation_scope: scope.clone(),
            });
        }
    }

    fn server(&self, scope: &InstrumentationScope, start_time: SystemTime, end_time: SystemTime) -> SpanData {
        let method = self.operation.method();
        let name = match (self.operation, self.target.as_str()) {
            // The address of a resource is not in the name: a template would make it a name each.
            (Operation::Resource, _) | (_, "") => Cow::Borrowed(method),
            (_, target) => Cow::Owned(format!("{method} {target}")),
        };
        let failed = error_type(self.operation, self.outcome);
        let mut links = SpanLinks::default();
        links.links.extend(self.link.map(|link| Link::new(context_of(link.trace, link.span), Vec::new(), 0)));
        SpanData {
            span_context: context_of(self.trace, self.root),
            parent_span_id: self.parent.map_or(opentelemetry::trace::SpanId::INVALID, |parent| {
                opentelemetry::trace::SpanId::from_bytes(parent.span.0)
            }),
            parent_span_is_remote: self.parent.is_some(),
            span_kind: SpanKind::Server,
            name,
            start_time,
            end_time,
            attributes: self.attributes(failed),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: failed.map_or(Status::Unset, |_| Status::error(self.outcome)),
            instrumentation_scope: scope.clone(),
        }
    }

    fn attributes(&self, failed: Option<&'static str>) -> Vec<KeyValue> {
        let mut all = Vec::with_capacity(24);
        let mut set = |name: &'static str, value: Value| all.push(KeyValue::new(name, value));
        set(names::MCP_METHOD, self.operation.method().into());
        if !self.target.is_empty() {
            match self.operation {
                Operation::Tool => {
                    set(names::GEN_AI_TOOL, self.target.clone().into());
                    set(names::TOOL_NAME, self.target.clone().into());
                    set(names::GEN_AI_OPERATION, "execute_tool".into());
                }
                Operation::Prompt => set(names::GEN_AI_PROMPT, self.target.clone().into()),
                Operation::Resource => set(names::MCP_RESOURCE_URI, self.target.clone().into()),
            }
        }
        set(names::TENANT_ID, self.tenant.clone().into());
        set(names::PRINCIPAL, self.principal.clone().into());
        set(names::SERVER_VERSION, self.version.into());
        set(names::OUTCOME, self.outcome.into());
        // Ids of requests repeat from client to client, so the call has one of its own.
        if !self.call.is_empty() {
            set(names::TOOL_CALL_ID, self.call.clone().into());
        }
        if let Some(id) = &self.request.id {
            set(names::JSONRPC_REQUEST_ID, id.clone().into());
        }
        if let Some(protocol) = &self.request.protocol {
            set(names::MCP_PROTOCOL_VERSION, protocol.clone().into());
        }
        let (transport, version) = network(self.request.transport);
        set(names::NETWORK_TRANSPORT, transport.into());
        if let Some(version) = version {
            set(names::NETWORK_PROTOCOL, "http".into());
            set(names::NETWORK_PROTOCOL_VERSION, version.into());
        }
        if let Some(failed) = failed {
            set(names::ERROR_TYPE, failed.into());
        }
        if self.outcome == "unknown" {
            set(names::RPC_STATUS, failed.unwrap_or_default().into());
        }
        set(names::RESULT_IS_ERROR, failed.is_some().into());
        if let Some(ResultFacts { bytes, items, hash }) = &self.result {
            set(names::RESULT_SIZE, count(*bytes));
            if let Some(items) = items {
                set(names::RESULT_ITEMS, count(*items));
            }
            set(names::RESULT_HASH, hash.clone().into());
        }
        if self.more > 0 {
            set(names::DROPPED_SPANS, self.more.into());
        }
        all
    }
}

/// `error.type` as the convention has it: the JSON-RPC code, or that a tool says that it failed.
pub(super) fn error_type(operation: Operation, outcome: &str) -> Option<&'static str> {
    match (operation, outcome) {
        (_, "ok") => None,
        (_, "unknown") => Some("-32602"),
        (Operation::Tool, "cancelled") => Some("cancelled"),
        (Operation::Tool, _) => Some("tool_error"),
        (Operation::Prompt | Operation::Resource, _) => Some("-32603"),
    }
}

fn network(transport: Transport) -> (&'static str, Option<&'static str>) {
    match transport {
        Transport::Pipe => ("pipe", None),
        Transport::Http1 => ("tcp", Some("1.1")),
        Transport::Http2 => ("tcp", Some("2")),
    }
}

fn count(number: usize) -> Value {
    Value::I64(i64::try_from(number).unwrap_or(i64::MAX))
}

fn key_value((name, value): (&'static str, Attribute)) -> KeyValue {
    match value {
        Attribute::Text(Cow::Borrowed(text)) => KeyValue::new(name, text),
        Attribute::Text(Cow::Owned(text)) => KeyValue::new(name, text),
        Attribute::Number(number) => KeyValue::new(name, number),
        Attribute::Flag(flag) => KeyValue::new(name, flag),
    }
}

fn context_of(trace: TraceId, span: SpanId) -> SpanContext {
    let (trace, span) =
        (opentelemetry::trace::TraceId::from_bytes(trace.0), opentelemetry::trace::SpanId::from_bytes(span.0));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}
