// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What a call leaves behind for people who debug it: one trace, with a span for each thing that it waited for. Spans are
//! only collected here, a push on a list; whether they are exported is decided when the call has ended and it is known
//! whether it failed or was slow. Memory is bounded: so many spans a call, and a count of the rest.
//!
//! Ids are random and no secrets. A caller's own trace is continued, and decides nothing: that it wants to be sampled is read
//! and ignored (W3C Trace Context, level 1).

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::names;
use crate::ledger::UpstreamCall;
use crate::ports::Clock;

/// Spans of one call that are kept.
const MAX_SPANS: usize = 64;

/// 16 bytes, never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes, never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

/// Somebody else's span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
}

impl Parent {
    /// Reads a `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`, and what later versions append.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = bytes::<1>(version)?;
        let more = parts.next().is_some();
        bytes::<1>(flags)?;
        if version == 0xff || (version == 0 && more) {
            return None;
        }
        let (trace, span) = (TraceId(bytes(trace)?), SpanId(bytes(span)?));
        (trace.0 != [0; 16] && span.0 != [0; 8]).then_some(Self { trace, span })
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Where ids come from: a counter that is stirred, seeded once with randomness.
#[derive(Debug)]
pub struct Ids(AtomicU64);

impl Ids {
    /// From `seed`, which differs between processes.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// SplitMix64: consecutive states give numbers without a visible relation.
    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An id for a trace.
    pub fn trace(&self) -> TraceId {
        let id = u128::from(self.next()) << 64 | u128::from(self.next());
        TraceId(id.max(1).to_be_bytes())
    }

    /// An id for a span.
    pub fn span(&self) -> SpanId {
        SpanId(self.next().max(1).to_be_bytes())
    }
}

/// Which side of a request a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request to somebody else.
    Client,
    /// Work inside this process.
    Internal,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Attribute {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Something that a call waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its id.
    pub id: SpanId,
    /// Which side it is.
    pub kind: Kind,
    /// Its name, of a bounded set.
    pub name: Cow<'static, str>,
    /// When it began, on the monotonic clock.
    pub start_us: i64,
    /// When it ended.
    pub end_us: i64,
    /// What is known of it; names from [`names`](super::names).
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Class of the error, if it failed.
    pub error: Option<&'static str>,
}

/// The trace of one call. Cloning it continues the same one.
#[derive(Clone)]
pub struct Trace(Arc<Inner>);

struct Inner {
    id: TraceId,
    root: SpanId,
    parent: Option<Parent>,
    link: Option<Parent>,
    start_us: i64,
    start_ms: i64,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    spans: Mutex<(Vec<Span>, i64)>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", self.0.id)
    }
}

impl Trace {
    /// A call begins: below `parent` if the client has one, beside `link`, which is the transport's.
    pub(crate) fn begin(clock: Arc<dyn Clock>, ids: Arc<Ids>, parent: Option<Parent>, link: Option<Parent>) -> Self {
        let id = parent.map_or_else(|| ids.trace(), |parent| parent.trace);
        let (root, start_us, start_ms) = (ids.span(), clock.monotonic_us(), clock.wall_ms());
        Self(Arc::new(Inner { id, root, parent, link, start_us, start_ms, clock, ids, spans: Mutex::default() }))
    }

    /// Its id.
    pub fn id(&self) -> TraceId {
        self.0.id
    }

    /// The span of the call itself.
    pub fn root(&self) -> SpanId {
        self.0.root
    }

    /// The caller's span, from `_meta`.
    pub fn parent(&self) -> Option<Parent> {
        self.0.parent
    }

    /// The span that the transport said it belongs to.
    pub fn link(&self) -> Option<Parent> {
        self.0.link
    }

    /// When the call began: monotonic microseconds, and milliseconds since the Unix epoch.
    pub fn started(&self) -> (i64, i64) {
        (self.0.start_us, self.0.start_ms)
    }

    /// The requests to upstreams so far, by integration.
    pub(crate) fn requests(&self) -> Vec<UpstreamCall> {
        let spans = self.0.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut calls: Vec<UpstreamCall> = Vec::new();
        for span in spans.0.iter().filter(|span| span.kind == Kind::Client) {
            let text = |wanted| span.attributes.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
            let Some(Attribute::Text(integration)) = text(names::INTEGRATION) else { continue };
            let status = match text(names::HTTP_STATUS) {
                Some(Attribute::Number(status)) => u16::try_from(*status).unwrap_or(0),
                _ => 0,
            };
            match calls.iter_mut().find(|call| call.integration == **integration) {
                Some(call) => (call.status, call.attempts) = (status, call.attempts + 1),
                None => calls.push(UpstreamCall { integration: integration.to_string(), status, attempts: 1 }),
            }
        }
        calls
    }

    /// The spans below the call's own that have ended, and how many more there were.
    pub fn take_spans(&self) -> (Vec<Span>, i64) {
        std::mem::take(&mut *self.0.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a span. It ends with [`Open::end`] or, where its future is dropped, as `cancelled`.
    pub(crate) fn span(&self, kind: Kind, name: impl Into<Cow<'static, str>>) -> Open {
        let now_us = self.0.clock.monotonic_us();
        let span = Span {
            id: self.0.ids.span(),
            kind,
            name: name.into(),
            start_us: now_us,
            end_us: now_us,
            attributes: Vec::new(),
            error: None,
        };
        Open { trace: self.clone(), span: Some(span) }
    }
}

/// A span that has not ended.
#[must_use]
pub(crate) struct Open {
    trace: Trace,
    span: Option<Span>,
}

impl Open {
    /// Adds what is known.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Attribute>) {
        if let Some(span) = &mut self.span {
            span.attributes.push((name, value.into()));
        }
    }

    /// Ends it, with the class of the error if there was one.
    pub(crate) fn end(mut self, error: Option<&'static str>) {
        self.close(error);
    }

    fn close(&mut self, error: Option<&'static str>) {
        let Some(mut span) = self.span.take() else { return };
        span.end_us = self.trace.0.clock.monotonic_us();
        span.error = error;
        let mut spans = self.trace.0.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.0.len() < MAX_SPANS {
            spans.0.push(span);
        } else {
            spans.1 += 1;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close(Some("cancelled"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Clock for Still {
        fn wall_ms(&self) -> i64 {
            1_000
        }
        fn monotonic_us(&self) -> i64 {
            7
        }
    }

    fn begin(parent: Option<Parent>) -> Trace {
        Trace::begin(Arc::new(Still), Arc::new(Ids::new(1)), parent, None)
    }

    #[test]
    fn a_traceparent_is_read_as_the_specification_has_it() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent::parse(text).unwrap();
        assert_eq!(parent.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span.to_string(), "b7ad6b7169203331");
        assert_eq!(Parent::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-what-comes"), Some(parent));
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cä-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        ] {
            assert_eq!(Parent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_call_continues_its_clients_trace_under_a_span_of_its_own() {
        let parent = Parent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").unwrap();
        let trace = begin(Some(parent));
        assert_eq!((trace.id(), trace.parent()), (parent.trace, Some(parent)));
        assert_ne!(trace.root(), parent.span);
        assert_ne!(begin(None).id(), parent.trace);
    }

    #[test]
    fn ids_differ() {
        let ids = Ids::new(0);
        let mut seen: Vec<[u8; 8]> = (0..10_000).map(|_| ids.span().0).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    }

    #[test]
    fn a_span_that_is_dropped_was_cancelled() {
        let trace = begin(None);
        drop(trace.span(Kind::Client, "GET /v1/pages"));
        trace.span(Kind::Internal, "limit").end(None);
        let (spans, more) = trace.take_spans();
        let ended: Vec<_> = spans.iter().map(|span| (&*span.name, span.error)).collect();
        assert_eq!((ended, more), (vec![("GET /v1/pages", Some("cancelled")), ("limit", None)], 0));
    }

    #[test]
    fn a_call_keeps_so_many_spans_and_counts_the_rest() {
        let trace = begin(None);
        for _ in 0..MAX_SPANS + 3 {
            trace.span(Kind::Client, "GET /").end(None);
        }
        let (spans, more) = trace.take_spans();
        assert_eq!((spans.len(), more), (MAX_SPANS, 3));
    }
}
