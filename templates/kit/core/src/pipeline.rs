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
use crate::ledger::{ClientInfo, Ledger, OpenCall};
use crate::limit::traffic::{Admitted, Traffic};
use crate::observe::{CallEvent, Operation};
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
    /// The program that calls, as it says of itself.
    pub client: Option<ClientInfo>,
    /// Id in hex of the trace that the call belongs to.
    pub trace: Option<String>,
}

impl Caller {
    /// A client that waits for the answer and wants nothing else.
    pub fn patient() -> Self {
        Self { cancelled: Box::pin(std::future::pending()), progress: None, client: None, trace: None }
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
    ) -> Self {
        Self { registry, executor, connector, traffic, ledger, telemetry, clock, sleep, bounds }
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
        let Some(tool) = self.registry.tool(name) else { return Err(Failure::Unknown) };
        let started = self.clock.monotonic_us();
        let mut open = self.ledger.open(ctx, &tool.name, tool.class, caller.client, caller.trace).await?;
        open.arguments(&tool.shape, &arguments);
        let captured = self.ledger.captures(ctx).await.then(|| arguments.clone());
        let result = async {
            let account = self.account(ctx, &tool.integration, Some(&mut arguments)).await?;
            schema::check(&tool.input, &arguments)?;
            let _room = self.admit(ctx, &tool.name, &mut open).await?;
            open.intent().await?;
            let named = account.clone();
            let (call, run) = (self.call(ctx, &tool.integration, account, started, caller.progress), tool.run.clone());
            let value = match self.guarded(&mut open, caller.cancelled, async move { run(call, arguments).await }).await
            {
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
        let told = |answer: &Answer| answer.value.clone();
        self.close(Operation::Tool, &tool.name, ctx, started, open, captured, result, told).await
    }

    /// Fills the prompt `name`.
    pub async fn prompt(
        &self,
        ctx: &TenantCtx,
        name: &str,
        arguments: Value,
        caller: Caller,
    ) -> Result<Vec<Message>, Failure> {
        let Some(prompt) = self.registry.prompt(name) else { return Err(Failure::Unknown) };
        let started = self.clock.monotonic_us();
        let mut open = self.ledger.open(ctx, &prompt.name, Class::Read, caller.client, caller.trace).await?;
        open.arguments(&prompt.shape, &arguments);
        let captured = self.ledger.captures(ctx).await.then(|| arguments.clone());
        let result = async {
            let _room = self.admit(ctx, &prompt.name, &mut open).await?;
            let account = self.account(ctx, &prompt.integration, None).await?;
            let (call, run) =
                (self.call(ctx, &prompt.integration, account, started, caller.progress), prompt.run.clone());
            let messages = self.guarded(&mut open, caller.cancelled, async move { run(call, arguments).await }).await?;
            messages.iter().try_for_each(|message| self.cap(&message.text))?;
            Ok(messages)
        }
        .await;
        let told =
            |messages: &Vec<Message>| messages.iter().map(|message| Value::from(message.text.as_str())).collect();
        self.close(Operation::Prompt, &prompt.name, ctx, started, open, captured, result, told).await
    }

    /// Reads the resource at `uri`; returns its media type and text.
    pub async fn resource(
        &self,
        ctx: &TenantCtx,
        uri: &str,
        caller: Caller,
    ) -> Result<(&'static str, String), Failure> {
        let Some(resource) = self.registry.resource(uri) else { return Err(Failure::Unknown) };
        let started = self.clock.monotonic_us();
        let mut open = self.ledger.open(ctx, &resource.name, Class::Read, caller.client, caller.trace).await?;
        open.arguments(&Shape::default(), &json!({}));
        let captured = self.ledger.captures(ctx).await.then(|| json!({}));
        let result = async {
            let _room = self.admit(ctx, &resource.name, &mut open).await?;
            let account = self.account(ctx, &resource.integration, None).await?;
            let (call, run) =
                (self.call(ctx, &resource.integration, account, started, caller.progress), resource.run.clone());
            let text = self.guarded(&mut open, caller.cancelled, async move { run(call).await }).await?.0;
            self.cap(&text)?;
            Ok((resource.media_type, text))
        }
        .await;
        let told = |(_, text): &(&'static str, String)| Value::from(text.as_str());
        self.close(Operation::Resource, &resource.uri, ctx, started, open, captured, result, told).await
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

    fn call(
        &self,
        ctx: &TenantCtx,
        integration: &Arc<Mounted>,
        account: Option<String>,
        started: i64,
        progress: Option<ProgressSink>,
    ) -> Call {
        let deadline = i64::try_from(self.bounds.deadline.as_micros()).unwrap_or(i64::MAX);
        Call(Arc::new(Inner {
            tenant: ctx.clone(),
            integration: integration.clone(),
            account,
            executor: self.executor.clone(),
            deadline_us: started.saturating_add(deadline),
            progress,
        }))
    }

    /// Lets the call in, or says when to come back. From then on it costs something.
    async fn admit(&self, ctx: &TenantCtx, target: &str, open: &mut OpenCall) -> Result<Admitted, ToolError> {
        let admitted = self.traffic.admit(ctx, target).await?;
        open.charged(admitted.units);
        Ok(admitted)
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

    /// Writes the call down, reports it, and gives its answer free. What was `captured` of a call goes with `told` of its
    /// answer.
    #[allow(clippy::too_many_arguments, reason = "all that is known of a call at its end")]
    async fn close<T>(
        &self,
        operation: Operation,
        target: &str,
        ctx: &TenantCtx,
        started: i64,
        open: OpenCall,
        captured: Option<Value>,
        result: Result<T, Failure>,
        told: impl FnOnce(&T) -> Value,
    ) -> Result<T, Failure> {
        let captured = captured.map(|arguments| match &result {
            Ok(answer) => json!({"arguments": arguments, "result": told(answer)}),
            Err(Failure::Tool(error)) => json!({"arguments": arguments, "error": error.to_value()["error"]}),
            Err(_) => json!({"arguments": arguments}),
        });
        let result = match open.close(ctx, outcome(&result), captured).await {
            Ok(()) => result,
            Err(error) => Err(error.into()),
        };
        self.telemetry.call(&CallEvent {
            operation,
            target,
            tenant: ctx.tenant(),
            principal: ctx.principal_label(),
            outcome: outcome(&result),
            duration_us: self.clock.monotonic_us().saturating_sub(started),
        });
        result
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
