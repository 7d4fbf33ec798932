// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What is known of a request beside what it asks for, read off the protocol library and, over HTTP, off the headers.

use kit::ledger::ClientInfo;
#[cfg(feature = "http")]
use kit::observe::request::Transport;
use kit::observe::request::{RequestFacts, cut};
use kit::observe::trace::Parent;
use rmcp::RoleServer;
use rmcp::model::Implementation;
use rmcp::service::RequestContext;

pub(super) fn of(ctx: &RequestContext<RoleServer>) -> RequestFacts {
    // Where there was no handshake, rmcp makes one up in its own name.
    let made_up = Implementation::default();
    let client = ctx.client_info().filter(|client| client.name != made_up.name || client.version != made_up.version);
    let client = client.map(|client| ClientInfo::new(&client.name, &client.version));
    let facts = RequestFacts {
        id: Some(cut(&ctx.id.to_string())),
        protocol: ctx.protocol_version().map(|version| version.to_string()),
        client,
        parent: ctx.meta.get_traceparent().and_then(Parent::parse),
        ..RequestFacts::default()
    };
    #[cfg(feature = "http")]
    let facts = over_http(ctx, facts);
    facts
}

/// What the headers say. Before 2026-07-28 a client names itself in its handshake alone, which this server does not
/// remember: then its `User-Agent` has to do.
#[cfg(feature = "http")]
fn over_http(ctx: &RequestContext<RoleServer>, facts: RequestFacts) -> RequestFacts {
    use axum::http::{Version, header};

    let Some(parts) = ctx.extensions.get::<axum::http::request::Parts>() else { return facts };
    let text = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let agent = || {
        let first = text(header::USER_AGENT)?.split_whitespace().next()?;
        let (name, version) = first.split_once('/').unwrap_or((first, ""));
        Some(ClientInfo::new(name, version))
    };
    RequestFacts {
        transport: if parts.version == Version::HTTP_2 { Transport::Http2 } else { Transport::Http1 },
        client: facts.client.or_else(agent),
        link: text(header::HeaderName::from_static("traceparent")).and_then(Parent::parse),
        ..facts
    }
}
