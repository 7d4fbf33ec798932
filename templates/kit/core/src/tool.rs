// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Tools: typed async functions with a name, a description and a class.
//!
//! A tool sees a [`Call`] and its own arguments. It never sees a token, a header of the caller or a type of the
//! protocol library; that is what lets the same function run behind HTTP, stdio and in a Worker.

use std::future::Future;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::error::ToolError;
use crate::ledger::redact::{self, Shape};
use crate::ports::BoxFuture;
use crate::schema;

/// What a tool may do to the world. It becomes the tool's annotations and, with scoped keys, decides who may call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Changes nothing.
    Read,
    /// Adds or changes something, and can be undone.
    Write,
    /// Deletes something or cannot be undone.
    Destructive,
}

impl Class {
    /// The name in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
        }
    }
}

pub(crate) type Run = Arc<dyn Fn(Call, Value) -> BoxFuture<'static, Result<Value, ToolError>> + Send + Sync>;

/// One tool as an integration declares it: under its bare name.
#[derive(Clone)]
pub struct Tool {
    /// Name without the instance prefix.
    pub name: &'static str,
    /// What the model reads; `{other}` is replaced by the full name of the sibling tool `other`.
    pub description: &'static str,
    /// What it may do.
    pub class: Class,
    /// JSON Schema of the arguments.
    pub input: Map<String, Value>,
    /// JSON Schema of the answer; always an object.
    pub output: Map<String, Value>,
    /// What of its arguments the audit may tell.
    pub(crate) shape: Arc<Shape>,
    /// Whether it goes, and what to call instead.
    pub deprecated: Option<Deprecated>,
    pub(crate) run: Run,
}

/// A tool that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecated {
    /// Bare name of the tool to call instead.
    pub successor: &'static str,
    /// The day on which it goes, `2027-03-31`.
    pub ends: &'static str,
}

/// The tools of an integration.
#[derive(Clone, Default)]
pub struct Tools {
    pub(crate) list: Vec<Tool>,
}

impl Tools {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tool that changes nothing.
    ///
    /// `Args` owns its strings (`String`, not `&str`) and carries `#[serde(deny_unknown_fields)]`; `Out` is a struct,
    /// since clients before 2026-07-28 drop an answer that is not an object. Both are checked when the server starts.
    #[must_use]
    pub fn read<F, Fut, Args, Out>(self, name: &'static str, description: &'static str, run: F) -> Self
    where
        F: Fn(Call, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, ToolError>> + Send + 'static,
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        Out: Serialize + JsonSchema + Send + 'static,
    {
        self.add(Class::Read, name, description, run)
    }

    /// Marks the tool that was added last as one that goes on the day `ends` (`2027-03-31`): clients read in its description
    /// what to call instead, and `usage deprecated` lists who still calls it. Both are checked when the server starts.
    #[must_use]
    pub fn deprecated(mut self, successor: &'static str, ends: &'static str) -> Self {
        if let Some(tool) = self.list.last_mut() {
            tool.deprecated = Some(Deprecated { successor, ends });
        }
        self
    }

    /// A tool that adds or changes something.
    #[must_use]
    pub fn write<F, Fut, Args, Out>(self, name: &'static str, description: &'static str, run: F) -> Self
    where
        F: Fn(Call, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, ToolError>> + Send + 'static,
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        Out: Serialize + JsonSchema + Send + 'static,
    {
        self.add(Class::Write, name, description, run)
    }

    /// A tool that deletes something or cannot be undone.
    #[must_use]
    pub fn destructive<F, Fut, Args, Out>(self, name: &'static str, description: &'static str, run: F) -> Self
    where
        F: Fn(Call, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, ToolError>> + Send + 'static,
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        Out: Serialize + JsonSchema + Send + 'static,
    {
        self.add(Class::Destructive, name, description, run)
    }

    fn add<F, Fut, Args, Out>(mut self, class: Class, name: &'static str, description: &'static str, run: F) -> Self
    where
        F: Fn(Call, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Out, ToolError>> + Send + 'static,
        Args: DeserializeOwned + JsonSchema + Send + 'static,
        Out: Serialize + JsonSchema + Send + 'static,
    {
        // The pipeline calls this closure inside its own guarded future: a panic while `run` builds its future is
        // caught there like any other.
        let erased = move |call: Call, arguments: Value| -> BoxFuture<'static, Result<Value, ToolError>> {
            match serde_json::from_value::<Args>(arguments) {
                Ok(args) => {
                    let work = run(call, args);
                    Box::pin(async move { to_value(work.await?) })
                }
                Err(error) => Box::pin(async move { Err(ToolError::invalid(format!("invalid arguments: {error}"))) }),
            }
        };
        let (mut input, output) = (schema::input::<Args>(), schema::output::<Out>());
        let shape = Arc::new(Shape::of(&input));
        redact::strip_marks(&mut input);
        self.list.push(Tool {
            name,
            description,
            class,
            input,
            output,
            shape,
            deprecated: None,
            run: Arc::new(erased),
        });
        self
    }
}

fn to_value(out: impl Serialize) -> Result<Value, ToolError> {
    serde_json::to_value(out).map_err(|_| ToolError::upstream("the answer cannot be written as JSON"))
}
