// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Prompts: texts that a person picks in their client, filled with arguments.

use std::future::Future;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::error::ToolError;
use crate::ports::BoxFuture;
use crate::schema;

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub speaker: Speaker,
    /// What is said.
    pub text: String,
}

impl Message {
    /// The person says `text`.
    pub fn user(text: impl Into<String>) -> Self {
        Self { speaker: Speaker::User, text: text.into() }
    }
}

pub(crate) type Run = Arc<dyn Fn(Call, Value) -> BoxFuture<'static, Result<Vec<Message>, ToolError>> + Send + Sync>;

/// One prompt under its bare name.
#[derive(Clone)]
pub struct Prompt {
    /// Name without the instance prefix.
    pub name: &'static str,
    /// What the person reads in the list; `{tool}` is replaced by the full name of that tool.
    pub description: &'static str,
    /// JSON Schema of the arguments; the protocol carries them as strings.
    pub input: Map<String, Value>,
    pub(crate) run: Run,
}

/// The prompts of an integration.
#[derive(Clone, Default)]
pub struct Prompts {
    pub(crate) list: Vec<Prompt>,
}

impl Prompts {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A prompt. The fields of `Args` are `String` or `Option<String>`: the protocol has no other type here.
    #[must_use]
    pub fn prompt<F, Fut, Args>(mut self, name: &'static str, description: &'static str, run: F) -> Self
    where
        F: Fn(Call, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<Message>, ToolError>> + Send + 'static,
        Args: DeserializeOwned + JsonSchema + Send + 'static,
    {
        let erased = move |call: Call, arguments: Value| -> BoxFuture<'static, Result<Vec<Message>, ToolError>> {
            match serde_json::from_value::<Args>(arguments) {
                Ok(args) => Box::pin(run(call, args)),
                Err(error) => Box::pin(async move { Err(ToolError::invalid(format!("invalid arguments: {error}"))) }),
            }
        };
        self.list.push(Prompt { name, description, input: schema::input::<Args>(), run: Arc::new(erased) });
        self
    }
}
