// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Resources: texts with an address, which a client attaches to a conversation.

use std::future::Future;
use std::sync::Arc;

use crate::call::Call;
use crate::error::ToolError;
use crate::ports::BoxFuture;

/// What reading a resource gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

pub(crate) type Run = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<Text, ToolError>> + Send + Sync>;

/// One resource under its bare name; its address is `<instance>://<name>`.
#[derive(Clone)]
pub struct Resource {
    /// Name without the instance prefix.
    pub name: &'static str,
    /// What it holds.
    pub description: &'static str,
    /// Media type of the text.
    pub media_type: &'static str,
    pub(crate) run: Run,
}

/// The resources of an integration.
#[derive(Clone, Default)]
pub struct Resources {
    pub(crate) list: Vec<Resource>,
}

impl Resources {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A resource that is read afresh at each request, with the caller's own connection.
    #[must_use]
    pub fn resource<F, Fut>(
        mut self,
        name: &'static str,
        media_type: &'static str,
        description: &'static str,
        run: F,
    ) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Text, ToolError>> + Send + 'static,
    {
        let erased = move |call: Call| -> BoxFuture<'static, Result<Text, ToolError>> { Box::pin(run(call)) };
        self.list.push(Resource { name, description, media_type, run: Arc::new(erased) });
        self
    }
}
