// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The one path that every call takes, whatever brought it here:
//!
//! authenticated → known? → room in the ledger → arguments valid? → limits → intent → the owner's code under guard → output
//! cap → audit and usage committed, reported → answer.
//!
//! Authentication comes before: [`Pipeline::tool`] takes a [`TenantCtx`], which only `inbound` makes. HTTP, stdio and
//! Workers differ only in what feeds this module.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::call::{Call, Inner, ProgressSink};
use crate::connect::Connector;
use crate::error::{ErrorKind, ToolError};
use crate::guard::{self, Ended};
use crate::inbound::TenantCtx;
use crate::ledger::redact::Shape;
use crate::ledger::{Ledger, OpenCall};
use crate::limit::traffic::{Admitted, Traffic};
use crate::observe::request::RequestFacts;
use crate::observe::trace::{Ids, Kind, Trace};
use crate::observe::{CallEvent, Operation, ResultFacts, names};
use crate::ports::{BoxFuture, Clock, Sleep, Telemetry};
use crate::prompt::Message;
use crate::registry::{Mounted, Registry};
use crate::schema;
use crate::tool::Class;
use crate::upstream::executor::Executor;

/// The argument that names one of several accounts. Tools have none of that name of their own.
pub const ACCOUNT: &str = "account";

/// The bounds of a call.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A call that takes longer is ended.
    pub deadline: Duration,
    /// A longer answer is refused, in bytes of JSON.
    pub max_output_bytes: usize,
}

/// What a transport hands in with a call.
pub struct Caller {
    /// Completes when the client has left or cancelled.
    pub cancelled: BoxFuture<'static, ()>,
    /// Where progress goes, if the client asked for it.
    pub progress: Option<ProgressSink>,
    /// What the transport knows of the request.
    pub request: RequestFacts,
}

impl Caller {
    /// A client that waits for the answer and wants nothing else.
    pub fn patient() -> Self {
        Self { cancelled: Box::pin(std::future::pending()), progress: None, request: RequestFacts::default() }
    }
}

/// A tool's answer, once as a value and once as the text that clients without structured content read.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// The same as JSON text.
    pub text: String,
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// This server offers nothing of that name. A protocol error, not a tool's.
    Unknown,
    /// The client has left; nobody reads an answer.
    Cancelled,
    /// The call failed in a way that the model should read.
    Tool(ToolError),
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Self::Tool(error)
    }
}

/// Runs calls.
pub struct Pipeline {
    registry: Arc<Registry>,
    executor: Arc<Executor>,
    connector: Arc<Connector>,
    traffic: Arc<Traffic>,
    ledger: Arc<Ledger>,
    telemetry: Arc<dyn Telemetry>,
    clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
    bounds: Bounds,
    ids: Arc<Ids>,
}

impl Pipeline {
    /// A pipeline over a mounted application.
    #[allow(clippy::too_many_arguments, reason = "the parts of a kit, each once")]
    pub fn new(
        registry: Arc<Registry>,
        executor: Arc<Executor>,
        connector: Arc<Connector>,
        traffic: Arc<Traffic>,
        ledger: Arc<Ledger>,
        telemetry: Arc<dyn Telemetry>,
        clock: Arc<dyn Clock>,
        sleep: Arc<dyn Sleep>,
        bounds: Bounds,
        ids: Ids,
    ) -> Self {
        let ids = Arc::new(ids);
        Self { registry, executor, connector, traffic, ledger, telemetry, clock, sleep, bounds, ids }
    }

    /// What this server offers.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Calls the tool `name`.
    pub async fn tool(
        &self,
        ctx: &TenantCtx,
        name: &str,
        mut arguments: Value,
        caller: Caller,
    ) -> Result<Answer, Failure> {
        let Caller { cancelled, progress, request } = caller;
        let Some(tool) = self.registry.tool(name) else { return self.unknown(Operation::Tool, ctx, request) };
        let mut entry = self.enter(Operation::Tool, &tool.name, tool.class, ctx, request).await?;
        entry.open.arguments(&tool.shape, &arguments);
        let captured = self.ledger.captures(ctx).await.then(|| arguments.clone());
        let result = async {
            let account = self.account(ctx, &tool.integration, Some(&mut arguments)).await?;
            schema::check(&tool.input, &arguments)?;
            let _room = self.admit(&mut entry).await?;
            self.intend(&mut entry).await?;
            let named = account.clone();
            let (call, run) = (self.call(&entry, &tool.integration, account, progress), tool.run.clone());
            let work = async move { run(call, arguments).await };
            let value = match self.guarded(&mut entry.open, cancelled, work).await {
                Err(Failure::Tool(error)) => {
                    return Err(self.with_link(ctx, &tool.integration, named, error).await.into());
                }
                other => other?,
            };
            let text = value.to_string();
            self.cap(&text)?;
            Ok(Answer { value, text })
        }
        .await;
        let facts = result.as_ref().ok().map(|answer| self.facts(&answer.value, &answer.text));
        self.close(entry, captured, result, |answer| answer.value.clone(), facts).await
    }

    /// Fills the prompt `name`.
    pub async fn prompt(
        &self,
        ctx: &TenantCtx,
        name: &str,
        arguments: Value,
        caller: Caller,
    ) -> Result<Vec<Message>, Failure> {
        let Caller { cancelled, progress, request } = caller;
        let Some(prompt) = self.registry.prompt(name) else { return self.unknown(Operation::Prompt, ctx, request) };
        let mut entry = self.enter(Operation::Prompt, &prompt.name, Class::Read, ctx, request).await?;
        entry.open.arguments(&prompt.shape, &arguments);
        let captured = self.ledger.captures(ctx).await.then(|| arguments.clone());
        let result = async {
            let _room = self.admit(&mut entry).await?;
            let account = self.account(ctx, &prompt.integration, None).await?;
            let (call, run) = (self.call(&entry, &prompt.integration, account, progress), prompt.run.clone());
            let work = async move { run(call, arguments).await };
            let messages = self.guarded(&mut entry.open, cancelled, work).await?;
            messages.iter().try_for_each(|message| self.cap(&message.text))?;
            Ok(messages)
        }
        .await;
        let told =
            |messages: &Vec<Message>| messages.iter().map(|message| Value::from(message.text.as_str())).collect();
        self.close(entry, captured, result, told, None).await
    }

    /// Reads the resource at `uri`; returns its media type and text.
    pub async fn resource(
        &self,
        ctx: &TenantCtx,
        uri: &str,
        caller: Caller,
    ) -> Result<(&'static str, String), Failure> {
        let Caller { cancelled, progress, request } = caller;
        let Some(resource) = self.registry.resource(uri) else {
            return self.unknown(Operation::Resource, ctx, request);
        };
        let mut entry = self.enter(Operation::Resource, &resource.name, Class::Read, ctx, request).await?;
        entry.open.arguments(&Shape::default(), &json!({}));
        let captured = self.ledger.captures(ctx).await.then(|| json!({}));
        let result = async {
            let _room = self.admit(&mut entry).await?;
            let account = self.account(ctx, &resource.integration, None).await?;
            let (call, run) = (self.call(&entry, &resource.integration, account, progress), resource.run.clone());
            let text = self.guarded(&mut entry.open, cancelled, async move { run(call).await }).await?.0;
            self.cap(&text)?;
            Ok((resource.media_type, text))
        }
        .await;
        self.close(entry, captured, result, |(_, text)| Value::from(text.as_str()), None).await
    }

    /// The accounts that `ctx` may choose from, by integration: where it has several and is bound to none. Tools of these
    /// integrations have one argument more.
    pub async fn accounts(&self, ctx: &TenantCtx) -> Result<BTreeMap<String, Vec<String>>, ToolError> {
        let mut choices = BTreeMap::new();
        if ctx.account().is_none() {
            for integration in self.registry.integrations.values() {
                let accounts = self.executor.accounts(ctx, integration).await?;
                if !accounts.is_empty() {
                    choices.insert(integration.instance.clone(), accounts);
                }
            }
        }
        Ok(choices)
    }

    /// Which connection a call is for: the one its principal is bound to, or the one that the argument `account` names where
    /// there are several. It is taken out of the arguments. Never a guess.
    async fn account(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        arguments: Option<&mut Value>,
    ) -> Result<Option<String>, ToolError> {
        if let Some(account) = ctx.account() {
            return Ok(Some(account.as_str().to_owned()));
        }
        let Some(Value::Object(arguments)) = arguments else { return Ok(None) };
        let accounts = self.executor.accounts(ctx, integration).await?;
        if accounts.is_empty() {
            return Ok(None);
        }
        let named = arguments.remove(ACCOUNT).and_then(|named| named.as_str().map(str::to_owned));
        named.filter(|named| accounts.contains(named)).map(Some).ok_or_else(|| {
            ToolError::invalid(format!("the argument `{ACCOUNT}` must be one of: {}", accounts.join(", ")))
        })
    }

    /// `error` with a link where connecting an account would mend it.
    async fn with_link(
        &self,
        ctx: &TenantCtx,
        integration: &Mounted,
        account: Option<String>,
        error: ToolError,
    ) -> ToolError {
        let mends =
            matches!(error.kind(), ErrorKind::NoCredentials | ErrorKind::ReconnectRequired | ErrorKind::NeedsTarget);
        match mends {
            true => self.connector.mend(ctx, integration, account.as_deref(), error).await,
            false => error,
        }
    }

    /// A request begins: from here on it is written down, however it ends.
    async fn enter<'a>(
        &self,
        operation: Operation,
        target: &'a str,
        class: Class,
        ctx: &'a TenantCtx,
        request: RequestFacts,
    ) -> Result<Entry<'a>, Failure> {
        let trace = Trace::begin(self.clock.clone(), self.ids.clone(), request.parent, request.link);
        let open = self.ledger.open(ctx, target, class, request.client.clone(), Some(trace.id().to_string())).await;
        let told = Told { operation, target, ctx, request, trace };
        match open {
            Ok(open) => Ok(Entry { told, open }),
            Err(error) => {
                self.report(&told, "", error.kind().as_str(), None);
                Err(error.into())
            }
        }
    }

    /// A request for what is not there.
    fn unknown<T>(&self, operation: Operation, ctx: &TenantCtx, request: RequestFacts) -> Result<T, Failure> {
        let trace = Trace::begin(self.clock.clone(), self.ids.clone(), request.parent, request.link);
        self.report(&Told { operation, target: "", ctx, request, trace }, "", "unknown", None);
        Err(Failure::Unknown)
    }

    fn call(
        &self,
        entry: &Entry<'_>,
        integration: &Arc<Mounted>,
        account: Option<String>,
        progress: Option<ProgressSink>,
    ) -> Call {
        let deadline = i64::try_from(self.bounds.deadline.as_micros()).unwrap_or(i64::MAX);
        let Told { ctx, trace, .. } = &entry.told;
        let (started, _) = trace.started();
        Call(Arc::new(Inner {
            tenant: TenantCtx::clone(ctx),
            integration: integration.clone(),
            account,
            executor: self.executor.clone(),
            deadline_us: started.saturating_add(deadline),
            progress,
            trace: trace.clone(),
        }))
    }

    /// Lets the call in, or says when to come back. It is charged from then on.
    async fn admit(&self, entry: &mut Entry<'_>) -> Result<Admitted, ToolError> {
        let mut span = entry.told.trace.span(Kind::Internal, names::SPAN_LIMIT);
        match self.traffic.admit(entry.told.ctx, entry.told.target).await {
            Ok(admitted) => {
                span.end(None);
                entry.open.charged(admitted.units);
                Ok(admitted)
            }
            Err(error) => {
                if let Some(scope) = error.text_fact("scope") {
                    span.set(names::LIMIT_SCOPE, scope.to_owned());
                }
                span.end(Some(error.kind().as_str()));
                Err(error)
            }
        }
    }

    /// Commits that the call is about to change something, if it may.
    async fn intend(&self, entry: &mut Entry<'_>) -> Result<(), ToolError> {
        if entry.open.reads() {
            return Ok(());
        }
        let span = entry.told.trace.span(Kind::Internal, names::SPAN_INTENT);
        let committed = entry.open.intent().await;
        span.end(committed.as_ref().err().map(|error| error.kind().as_str()));
        committed
    }

    async fn guarded<T>(
        &self,
        open: &mut OpenCall,
        cancelled: BoxFuture<'static, ()>,
        work: impl Future<Output = Result<T, ToolError>>,
    ) -> Result<T, Failure> {
        match guard::run(work, self.sleep.sleep(self.bounds.deadline), cancelled).await {
            Ended::Done(result) => Ok(result?),
            Ended::Cancelled => Err(Failure::Cancelled),
            Ended::TimedOut => {
                let message = format!("the call took longer than {} s", self.bounds.deadline.as_secs_f32());
                Err(ToolError::new(ErrorKind::Timeout, message).into())
            }
            Ended::Panicked => {
                open.panicked();
                Err(ToolError::new(ErrorKind::Internal, "internal error").into())
            }
        }
    }

    fn cap(&self, text: &str) -> Result<(), ToolError> {
        if text.len() <= self.bounds.max_output_bytes {
            return Ok(());
        }
        let message = format!("the answer is larger than {} bytes; ask for less", self.bounds.max_output_bytes);
        Err(ToolError::new(ErrorKind::OutputTooLarge, message))
    }

    /// What may be known of an answer.
    fn facts(&self, value: &Value, text: &str) -> ResultFacts {
        let lists = value.as_object().into_iter().flat_map(|object| object.values());
        let items = lists.filter_map(|value| Some(value.as_array()?.len())).max();
        ResultFacts { bytes: text.len(), items, hash: self.ledger.redactor.answer(text) }
    }

    /// Writes the call down, reports it, and gives its answer free. What was `captured` of a call goes with `told` of its
    /// answer.
    async fn close<T>(
        &self,
        entry: Entry<'_>,
        captured: Option<Value>,
        result: Result<T, Failure>,
        told: impl FnOnce(&T) -> Value,
        facts: Option<ResultFacts>,
    ) -> Result<T, Failure> {
        let captured = captured.map(|arguments| match &result {
            Ok(answer) => json!({"arguments": arguments, "result": told(answer)}),
            Err(Failure::Tool(error)) => json!({"arguments": arguments, "error": error.to_value()["error"]}),
            Err(_) => json!({"arguments": arguments}),
        });
        let Entry { told, mut open } = entry;
        told.trace.requests().into_iter().for_each(|request| open.upstream(request));
        let call = open.id().to_owned();
        let span = told.trace.span(Kind::Internal, names::SPAN_COMMIT);
        let closed = open.close(told.ctx, outcome(&result), captured).await;
        span.end(closed.as_ref().err().map(|error| error.kind().as_str()));
        let result = match closed {
            Ok(()) => result,
            Err(error) => Err(error.into()),
        };
        self.report(&told, &call, outcome(&result), facts.filter(|_| result.is_ok()));
        result
    }

    fn report(&self, told: &Told<'_>, call: &str, outcome: &'static str, result: Option<ResultFacts>) {
        let Told { operation, target, ctx, request, trace } = told;
        let (started, _) = trace.started();
        self.telemetry.call(&CallEvent {
            operation: *operation,
            target,
            call,
            request,
            trace,
            result,
            tenant: ctx.tenant(),
            principal: ctx.principal_label(),
            outcome,
            duration_us: self.clock.monotonic_us().saturating_sub(started),
        });
    }
}

fn outcome<T>(result: &Result<T, Failure>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Failure::Cancelled) => "cancelled",
        Err(Failure::Unknown) => "unknown",
        Err(Failure::Tool(error)) => error.kind().as_str(),
    }
}

/// A request, as far as it is reported.
struct Told<'a> {
    operation: Operation,
    /// Full name of what it is for; empty where there is no such thing.
    target: &'a str,
    ctx: &'a TenantCtx,
    request: RequestFacts,
    trace: Trace,
}

/// A request under way, and its row in the ledger.
struct Entry<'a> {
    told: Told<'a>,
    open: OpenCall,
}
