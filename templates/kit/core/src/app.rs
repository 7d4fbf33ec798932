// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The application: integrations under their instance names. Pure data; nothing runs before a host (`kit-native`, a
//! Worker, a test) mounts it.

use std::sync::Arc;

use crate::prompt::Prompts;
use crate::resource::Resources;
use crate::tool::Tools;
use crate::upstream::provider::Provider;
use crate::upstream::sandbox::Sandbox;

/// Makes a fresh sandbox.
pub type MakeSandbox = Arc<dyn Fn() -> Box<dyn Sandbox> + Send + Sync>;

/// One provider with its tools. It does not know its instance name: the registry gives it one.
#[derive(Clone)]
pub struct Integration {
    pub(crate) provider: Arc<Provider>,
    pub(crate) tools: Tools,
    pub(crate) prompts: Prompts,
    pub(crate) resources: Resources,
    pub(crate) sandbox: Option<MakeSandbox>,
}

impl Integration {
    /// An integration of `provider`, without tools yet.
    pub fn new(provider: Provider) -> Self {
        Self {
            provider: Arc::new(provider),
            tools: Tools::new(),
            prompts: Prompts::new(),
            resources: Resources::new(),
            sandbox: None,
        }
    }

    /// Its tools.
    #[must_use]
    pub fn tools(mut self, tools: Tools) -> Self {
        self.tools = tools;
        self
    }

    /// Its prompts.
    #[must_use]
    pub fn prompts(mut self, prompts: Prompts) -> Self {
        self.prompts = prompts;
        self
    }

    /// Its resources.
    #[must_use]
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// The stand-in for its upstream, for `dev` and tests.
    #[must_use]
    pub fn sandbox<S: Sandbox + 'static>(mut self, make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        self.sandbox = Some(Arc::new(move || Box::new(make())));
        self
    }
}

/// A server's name, version and integrations.
#[derive(Clone)]
pub struct App {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) integrations: Vec<(&'static str, Integration)>,
}

impl App {
    /// An application without integrations.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version, integrations: Vec::new() }
    }

    /// Adds `integration` under `instance`: its tools become `<instance>_<tool>`, its settings live in
    /// `config/integrations/<instance>.toml`, its connections are stored under that name.
    #[must_use]
    pub fn integration(mut self, instance: &'static str, integration: Integration) -> Self {
        self.integrations.push((instance, integration));
        self
    }

    /// The server's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The server's version.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The instance names, in the order they were added.
    pub fn instances(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.integrations.iter().map(|(instance, _)| *instance)
    }
}
