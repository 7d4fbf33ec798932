// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The protocol adapter: rmcp's `ServerHandler`, written by hand, over the kit's pipeline. Both eras of the protocol
//! (2026-07-28 and the handshake ones before it) on one endpoint, without sessions.
//!
//! Written out rather than made by `#[tool_handler]`: the macro rebuilds its router at every request and marks tool
//! lists as publicly cacheable, which for lists that depend on the caller would be a leak.

mod convert;
mod who;

pub use who::Who;

use std::borrow::Cow;
use std::future::ready;
use std::sync::Arc;

use kit::boot::Kit;
use kit::call::{Progress, ProgressSink};
use kit::ledger::ClientInfo;
use kit::pipeline::{Caller, Failure};
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, DiscoverResult, GetPromptRequestParams, GetPromptResponse,
    GetPromptResult, Implementation, InputRequiredResult, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, MetaObject, PaginatedRequestParams, ProgressNotificationParam, Prompt,
    ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, Resource, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;

/// How long a client may keep a list. Lists change with a new deployment, and tools with the accounts of their tenant.
const LIST_TTL_MS: u64 = 60_000;
/// How long it may keep what the server says of itself.
const DISCOVER_TTL_MS: u64 = 3_600_000;

/// One server; cheap to clone, since rmcp makes one for each request.
#[derive(Clone)]
pub struct McpServer(Arc<Inner>);

struct Inner {
    kit: Arc<Kit>,
    who: Who,
    info: ServerConfig,
    meta: MetaObject,
    tools: Vec<Tool>,
    prompts: Vec<Prompt>,
    resources: Vec<Resource>,
}

impl McpServer {
    /// A server over `kit` whose callers are told apart by `who`.
    pub fn new(kit: Arc<Kit>, who: Who) -> Self {
        let registry = &kit.registry;
        let implementation = Implementation::new(registry.name, registry.version);
        let capabilities = ServerCapabilities::builder().enable_tools().enable_prompts().enable_resources().build();
        let info = ServerConfig::new(capabilities)
            .with_server_info(implementation)
            .with_instructions(convert::instructions(registry));
        let choices = who.choices();
        let tools = registry.tools.iter().map(|tool| convert::tool(tool, choices.as_deref())).collect();
        // Prompts and resources have no argument that could name the tenant: with a choice of tenants there are none.
        let named = choices.is_none();
        let prompts = registry.prompts.iter().filter(|_| named).map(|prompt| convert::prompt(prompt)).collect();
        let resources =
            registry.resources.iter().filter(|_| named).map(|resource| convert::resource(resource)).collect();
        let meta = convert::server_meta(registry);
        Self(Arc::new(Inner { info, meta, tools, prompts, resources, who, kit }))
    }

    /// The version of the server's name and number that results carry.
    fn meta(&self, ctx: &RequestContext<RoleServer>) -> Option<MetaObject> {
        modern(ctx).then(|| self.0.meta.clone())
    }
}

/// Whether the request is of the stateless era.
fn modern(ctx: &RequestContext<RoleServer>) -> bool {
    ctx.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// Whether the client can send its person to an address in the middle of a call.
fn opens_addresses(ctx: &RequestContext<RoleServer>) -> bool {
    let elicitation = || ctx.client_capabilities()?.elicitation;
    modern(ctx) && elicitation().is_some_and(|elicitation| elicitation.url.is_some())
}

/// What the pipeline needs to know of the client.
fn caller(ctx: &RequestContext<RoleServer>) -> Caller {
    Caller {
        cancelled: Box::pin(ctx.ct.clone().cancelled_owned()),
        progress: progress(ctx),
        client: client(ctx),
        trace: None,
    }
}

/// The program that calls: as each request of the stateless era says, or as the handshake did. Where there was no handshake
/// either, on HTTP, rmcp makes one up in its own name.
fn client(ctx: &RequestContext<RoleServer>) -> Option<ClientInfo> {
    let made_up = Implementation::default();
    let named = ctx.client_info().filter(|named| named.name != made_up.name || named.version != made_up.version)?;
    Some(ClientInfo::new(&named.name, &named.version))
}

fn progress(ctx: &RequestContext<RoleServer>) -> Option<ProgressSink> {
    let (token, peer) = (ctx.meta.get_progress_token()?, ctx.peer.clone());
    Some(Arc::new(move |progress: Progress| {
        let (token, peer) = (token.clone(), peer.clone());
        Box::pin(async move {
            let mut report = ProgressNotificationParam::new(token, progress.done).with_message(progress.message);
            report.total = progress.total;
            // A client that has gone is noticed by its cancellation, not here.
            let _ = peer.notify_progress(report).await;
        })
    }))
}

/// The error of a call that is not a tool's own.
fn protocol_error(failure: Failure, unknown: ErrorData) -> ErrorData {
    match failure {
        Failure::Unknown => unknown,
        Failure::Cancelled => ErrorData::internal_error("the request was cancelled", None),
        Failure::Tool(error) => ErrorData::internal_error(error.to_string(), Some(error.to_value())),
    }
}

/// The calls themselves. The handler boxes them, and answers everything else at once: rmcp keeps one future for whatever
/// a request asks, as large as the largest of all, and moves it several times.
impl McpServer {
    async fn tool(
        &self,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // Who was asked before and calls again has done it or will not: it is told how things stand.
        let asked = request.input_responses.is_some();
        let mut arguments = request.arguments.unwrap_or_default();
        let tenant = self.0.who.identify(&self.0.kit, &ctx, Some(&mut arguments)).await?;
        let result = self.0.kit.pipeline.tool(&tenant, &request.name, Value::Object(arguments), caller(&ctx)).await;
        let unknown = || ErrorData::invalid_params("tool not found", None);
        let mut result = match result {
            Ok(answer) => convert::answer(answer),
            Err(Failure::Tool(error)) => {
                if !asked
                    && opens_addresses(&ctx)
                    && let Some(wanted) = convert::wanted(&error)
                {
                    return Ok(self.meta(&ctx).into_iter().fold(wanted, InputRequiredResult::with_meta).into());
                }
                convert::tool_error(&error)
            }
            Err(failure) => return Err(protocol_error(failure, unknown())),
        };
        result.meta = self.meta(&ctx);
        Ok(result.into())
    }

    async fn prompt(
        &self,
        request: GetPromptRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let tenant = self.0.who.identify(&self.0.kit, &ctx, None).await?;
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let messages = match self.0.kit.pipeline.prompt(&tenant, &request.name, arguments, caller(&ctx)).await {
            Ok(messages) => messages,
            Err(Failure::Tool(error)) if error.kind() == kit::error::ErrorKind::InvalidArguments => {
                return Err(ErrorData::invalid_params(error.to_string(), None));
            }
            Err(failure) => {
                return Err(protocol_error(failure, ErrorData::invalid_params("prompt not found", None)));
            }
        };
        let mut result = GetPromptResult::new(messages.iter().map(convert::message).collect());
        result.meta = self.meta(&ctx);
        Ok(result.into())
    }

    async fn resource(
        &self,
        request: ReadResourceRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let tenant = self.0.who.identify(&self.0.kit, &ctx, None).await?;
        // Before 2026-07-28 the code was -32002, which the newer revision forbids.
        let unknown = || match modern(&ctx) {
            true => ErrorData::invalid_params("resource not found", None),
            false => ErrorData::resource_not_found("resource not found", None),
        };
        let read = self.0.kit.pipeline.resource(&tenant, &request.uri, caller(&ctx)).await;
        let (media_type, text) = read.map_err(|failure| protocol_error(failure, unknown()))?;
        let mut result = ReadResourceResult::new(vec![convert::contents(&request.uri, media_type, text)]);
        if modern(&ctx) {
            // Read afresh each time: it holds what the upstream says now.
            result = result.with_ttl_ms(0).with_cache_scope(CacheScope::Private);
            result.meta = self.meta(&ctx);
        }
        Ok(result.into())
    }
}

/// A complete list, with the hints that clients of the stateless era must get. `private`: what a caller sees may depend on
/// who it is.
macro_rules! list {
    ($server:expr, $ctx:expr, $result:ident, $items:expr) => {{
        let mut list = $result::with_all_items($items);
        if modern(&$ctx) {
            list = list.with_ttl_ms(LIST_TTL_MS).with_cache_scope(CacheScope::Private);
            list.meta = $server.meta(&$ctx);
        }
        list
    }};
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        self.0.info.clone()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS)
    }

    fn discover(
        &self,
        _: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<DiscoverResult, ErrorData>> + Send + '_ {
        let versions = self.supported_protocol_versions().into_owned();
        let result = DiscoverResult::from_server_info(versions, self.get_info());
        ready(Ok(result.with_ttl_ms(DISCOVER_TTL_MS).with_cache_scope(CacheScope::Private)))
    }

    fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListToolsResult, ErrorData>> + Send + '_ {
        Box::pin(async move {
            let accounts = self.0.who.accounts(&self.0.kit, &ctx).await?;
            let mut tools = self.0.tools.clone();
            if !accounts.is_empty() {
                // Where each call names its tenant, not every tenant has several.
                let required = self.0.who.choices().is_none();
                let registry = &self.0.kit.registry;
                for tool in &mut tools {
                    let instance = registry.tool(&tool.name).map(|mounted| mounted.instance());
                    if let Some(names) = instance.and_then(|instance| accounts.get(instance)) {
                        tool.input_schema = Arc::new(convert::with_account(&tool.input_schema, names, required));
                    }
                }
            }
            Ok(list!(self, ctx, ListToolsResult, tools))
        })
    }

    fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListPromptsResult, ErrorData>> + Send + '_ {
        ready(Ok(list!(self, ctx, ListPromptsResult, self.0.prompts.clone())))
    }

    fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListResourcesResult, ErrorData>> + Send + '_ {
        ready(Ok(list!(self, ctx, ListResourcesResult, self.0.resources.clone())))
    }

    fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        ctx: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListResourceTemplatesResult, ErrorData>> + Send + '_ {
        ready(Ok(list!(self, ctx, ListResourceTemplatesResult, Vec::new())))
    }

    fn call_tool(
        &self,
        request: CallToolRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<CallToolResponse, ErrorData>> + Send + '_ {
        Box::pin(self.tool(request, ctx))
    }

    fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<GetPromptResponse, ErrorData>> + Send + '_ {
        Box::pin(self.prompt(request, ctx))
    }

    fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        ctx: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ReadResourceResponse, ErrorData>> + Send + '_ {
        Box::pin(self.resource(request, ctx))
    }

    /// rmcp compares the `Mcp-Param-*` headers of a call with this schema.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        let found = self.0.tools.binary_search_by(|tool| (*tool.name).cmp(name)).ok()?;
        Some(self.0.tools[found].clone())
    }
}
