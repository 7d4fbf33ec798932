// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A call as a tool sees it: whose it is, and the way to the upstream. Nothing in it can name another tenant.

use std::fmt::Display;
use std::sync::Arc;

use crate::error::ToolError;
use crate::inbound::TenantCtx;
use crate::observe::trace::Trace;
use crate::ports::BoxFuture;
use crate::registry::Mounted;
use crate::tenant::TenantId;
use crate::upstream::executor::Executor;
use crate::upstream::request::Upstream;

/// How far a call has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Work done so far; must grow with each report.
    pub done: f64,
    /// Work there is in all, where that is known.
    pub total: Option<f64>,
    /// A sentence for the person who waits.
    pub message: String,
}

/// Carries progress to the client. A transport gives one only when the client asked for reports.
pub type ProgressSink = Arc<dyn Fn(Progress) -> BoxFuture<'static, ()> + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) tenant: TenantCtx,
    pub(crate) integration: Arc<Mounted>,
    /// Which of several connections; none where there is but one.
    pub(crate) account: Option<String>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) deadline_us: i64,
    pub(crate) progress: Option<ProgressSink>,
    pub(crate) trace: Trace,
}

/// One call of a tool, a prompt or a resource.
#[derive(Clone)]
pub struct Call(pub(crate) Arc<Inner>);

impl Call {
    /// The tenant whose call this is.
    pub fn tenant(&self) -> &TenantId {
        self.0.tenant.tenant()
    }

    /// The instance name of this integration (`slack_eu`), for messages.
    pub fn instance(&self) -> &str {
        &self.0.integration.instance
    }

    /// Requests to the provider, signed with this tenant's connection.
    pub fn upstream(&self) -> Upstream {
        Upstream::new(self.clone())
    }

    /// What this connection's requests are for: the profile, the customer that was chosen when it was made. An error where
    /// nothing was.
    pub async fn target(&self) -> Result<String, ToolError> {
        self.0.executor.target(self).await
    }

    /// Tells the client how far the work is. Over HTTP the first report turns the answer into an event stream;
    /// without a client that listens it does nothing.
    pub async fn progress(&self, done: f64, total: Option<f64>, message: impl Display) {
        if let Some(sink) = &self.0.progress {
            sink(Progress { done, total, message: message.to_string() }).await;
        }
    }
}
