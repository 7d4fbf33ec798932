// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The mounted application: every tool, prompt and resource under its full name, checked once at start-up so that no
//! call has to. A duplicate, a name that clients cut off or an answer that is not an object refuses boot.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::app::{App, MakeSandbox};
use crate::day::Day;
use crate::ledger::redact::Shape;
use crate::pipeline::ACCOUNT;
use crate::prompt::{self, Prompt};
use crate::resource::{self, Resource};
use crate::tool::{self, Class, Deprecated, Tool};
use crate::upstream::provider::{AuthShape, Provider, Sites};

/// Some model vendors cut or refuse longer tool names.
const MAX_NAME: usize = 64;

/// What an owner may set for one integration (`config/integrations/<instance>.toml`).
#[derive(Clone, Debug, Default)]
pub struct IntegrationSettings {
    /// Replaces the provider's base URL: a regional host, a proxy, a stand-in on loopback.
    pub base_url: Option<Url>,
    /// Replaces the place where tokens are exchanged.
    pub token_url: Option<Url>,
    /// Replaces the page where a person consents.
    pub authorize_url: Option<Url>,
}

/// Where the requests of an integration go.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The API.
    pub api: Url,
    /// Where tokens are exchanged.
    pub token: Option<Url>,
    /// Where a person consents.
    pub authorize: Option<Url>,
    /// Where tokens are revoked.
    pub revoke: Option<Url>,
}

/// An integration under its instance name, with its settings resolved.
pub struct Mounted {
    /// Instance name.
    pub instance: String,
    /// The provider as data.
    pub provider: Arc<Provider>,
    settings: IntegrationSettings,
    /// By region, where there are regions. Empty where each tenant has a host of its own.
    endpoints: BTreeMap<&'static str, Endpoints>,
    /// Its stand-in, if it has one.
    pub sandbox: Option<MakeSandbox>,
}

impl Mounted {
    /// `Err` says which of the provider's data is not a URL.
    fn new(
        instance: &str,
        provider: &Arc<Provider>,
        settings: IntegrationSettings,
        sandbox: Option<MakeSandbox>,
    ) -> Result<Self, &'static str> {
        let endpoints = match provider.sites {
            Sites::One => BTreeMap::from([("", endpoints(&urls(provider), &settings)?)]),
            Sites::Regions(regions) => regions
                .iter()
                .map(|region| {
                    let urls = [region.api_url, region.token_url, region.authorize_url, ""];
                    endpoints(&urls.map(str::to_owned), &settings).map(|endpoints| (region.name, endpoints))
                })
                .collect::<Result<_, _>>()?,
            Sites::Hosts(hosts) => {
                endpoints(&at(provider, hosts.example), &settings)?;
                BTreeMap::new()
            }
        };
        Ok(Self { instance: instance.to_owned(), provider: provider.clone(), settings, endpoints, sandbox })
    }

    /// Where the requests of a connection at `site` go. `None` if this provider has no such site.
    pub fn endpoints(&self, site: Option<&str>) -> Option<Cow<'_, Endpoints>> {
        match self.provider.sites {
            Sites::Hosts(hosts) => {
                let site = site.filter(|site| hosts.permits(site))?;
                endpoints(&at(&self.provider, site), &self.settings).ok().map(Cow::Owned)
            }
            Sites::One | Sites::Regions(_) => self.endpoints.get(site.unwrap_or_default()).map(Cow::Borrowed),
        }
    }

    /// All endpoints that are known without a tenant.
    pub fn all_endpoints(&self) -> impl Iterator<Item = &Endpoints> {
        self.endpoints.values()
    }
}

/// The provider's URLs: API, token, authorize, revoke.
fn urls(provider: &Provider) -> [String; 4] {
    let rest = match &provider.auth {
        AuthShape::SystemUser(user) => [user.exchange.map_or("", |exchange| exchange.url), "", ""],
        shape => shape
            .oauth()
            .map_or([""; 3], |oauth| [oauth.token_url, oauth.authorize_url, oauth.revoke_url.unwrap_or_default()]),
    };
    let [token, authorize, revoke] = rest;
    [provider.base_url, token, authorize, revoke].map(str::to_owned)
}

/// The same at the host `site`.
fn at(provider: &Provider, site: &str) -> [String; 4] {
    urls(provider).map(|url| url.replace("{site}", site))
}

/// `urls` with what the owner set above them.
fn endpoints(urls: &[String; 4], settings: &IntegrationSettings) -> Result<Endpoints, &'static str> {
    let parse =
        |text: &str, what| if text.is_empty() { Ok(None) } else { Url::parse(text).map(Some).map_err(|_| what) };
    let [api, token, authorize, revoke] = urls;
    Ok(Endpoints {
        api: settings.base_url.clone().or(parse(api, "base_url")?).ok_or("base_url")?,
        token: settings.token_url.clone().or(parse(token, "token_url")?),
        authorize: settings.authorize_url.clone().or(parse(authorize, "authorize_url")?),
        revoke: parse(revoke, "revoke_url")?,
    })
}

/// A tool under its full name.
pub struct MountedTool {
    /// `<instance>_<tool>`.
    pub name: String,
    /// Description with sibling names filled in.
    pub description: String,
    /// What it may do.
    pub class: Class,
    /// JSON Schema of the arguments.
    pub input: Arc<Map<String, Value>>,
    /// JSON Schema of the answer.
    pub output: Arc<Map<String, Value>>,
    /// Whether it goes, and what to call instead.
    pub deprecated: Option<Deprecation>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) integration: Arc<Mounted>,
    pub(crate) run: tool::Run,
}

/// A tool that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// Full name of the tool to call instead.
    pub successor: String,
    /// The day on which it goes, `2027-03-31`.
    pub ends: &'static str,
}

impl MountedTool {
    /// The instance name of its integration.
    pub fn instance(&self) -> &str {
        &self.integration.instance
    }
}

/// A prompt under its full name.
pub struct MountedPrompt {
    /// `<instance>_<prompt>`.
    pub name: String,
    /// Description with sibling names filled in.
    pub description: String,
    /// Arguments: name, description, whether required.
    pub arguments: Vec<(String, String, bool)>,
    pub(crate) shape: Shape,
    pub(crate) integration: Arc<Mounted>,
    pub(crate) run: prompt::Run,
}

/// A resource under its address.
pub struct MountedResource {
    /// `<instance>://<resource>`, with `-` for `_` as the URI syntax wants.
    pub uri: String,
    /// `<instance>_<resource>`.
    pub name: String,
    /// What it holds.
    pub description: String,
    /// Media type.
    pub media_type: &'static str,
    pub(crate) integration: Arc<Mounted>,
    pub(crate) run: resource::Run,
}

/// Everything this server offers, each list sorted by name.
pub struct Registry {
    /// The server's name.
    pub name: &'static str,
    /// The server's version.
    pub version: &'static str,
    /// Integrations by instance name.
    pub integrations: BTreeMap<String, Arc<Mounted>>,
    /// Tools.
    pub tools: Vec<Arc<MountedTool>>,
    /// Prompts.
    pub prompts: Vec<Arc<MountedPrompt>>,
    /// Resources.
    pub resources: Vec<Arc<MountedResource>>,
    tool_by_name: HashMap<String, usize>,
}

/// All that is wrong with an application, at once.
#[derive(Debug)]
pub struct RegistryError(pub Vec<String>);

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for RegistryError {}

impl Registry {
    /// Mounts `app`; `settings` by instance name.
    pub fn mount(app: &App, settings: &BTreeMap<String, IntegrationSettings>) -> Result<Self, RegistryError> {
        let mut registry = Self {
            name: app.name,
            version: app.version,
            integrations: BTreeMap::new(),
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            tool_by_name: HashMap::new(),
        };
        let mut wrong = Vec::new();
        for (instance, integration) in &app.integrations {
            let own = settings.get(*instance).cloned().unwrap_or_default();
            let mounted = match Mounted::new(instance, &integration.provider, own, integration.sandbox.clone()) {
                Ok(mounted) => Arc::new(mounted),
                Err(what) => {
                    wrong.push(format!("integration `{instance}`: the provider's {what} is not a URL"));
                    continue;
                }
            };
            if registry.integrations.insert((*instance).to_owned(), mounted.clone()).is_some() {
                wrong.push(format!("two integrations are called `{instance}`"));
            }
            let siblings: Vec<&str> = integration.tools.list.iter().map(|tool| tool.name).collect();
            let add = |tool: &Tool| mount_tool(tool, &mounted, &siblings);
            registry.tools.extend(integration.tools.list.iter().map(add).map(Arc::new));
            let add = |prompt: &Prompt| mount_prompt(prompt, &mounted, &siblings);
            registry.prompts.extend(integration.prompts.list.iter().map(add).map(Arc::new));
            let add = |resource: &Resource| mount_resource(resource, &mounted);
            registry.resources.extend(integration.resources.list.iter().map(add).map(Arc::new));
        }
        registry.tools.sort_by(|a, b| a.name.cmp(&b.name));
        registry.prompts.sort_by(|a, b| a.name.cmp(&b.name));
        registry.resources.sort_by(|a, b| a.uri.cmp(&b.uri));
        for (index, tool) in registry.tools.iter().enumerate() {
            check_name(&tool.name, &mut wrong);
            if tool.input.get("properties").is_some_and(|properties| properties.get(ACCOUNT).is_some()) {
                wrong.push(format!(
                    "tool `{}`: `{ACCOUNT}` names one of a tenant's connections; call it otherwise",
                    tool.name
                ));
            }
            if let Some(Deprecation { successor, ends }) = &tool.deprecated {
                if *successor == tool.name || !registry.tools.iter().any(|other| other.name == *successor) {
                    wrong.push(format!("tool `{}`: there is no `{successor}` to call instead of it", tool.name));
                }
                if Day::parse(ends).is_none() {
                    wrong.push(format!("tool `{}`: `{ends}` is not a day on which it could go", tool.name));
                }
            }
            if tool.output.get("type").and_then(Value::as_str) != Some("object") {
                wrong.push(format!("tool `{}`: its answer is not an object; wrap it in a struct", tool.name));
            }
            if registry.tool_by_name.insert(tool.name.clone(), index).is_some() {
                wrong.push(format!("two tools are called `{}`", tool.name));
            }
        }
        for pair in registry.prompts.windows(2).filter(|pair| pair[0].name == pair[1].name) {
            wrong.push(format!("two prompts are called `{}`", pair[0].name));
        }
        for pair in registry.resources.windows(2).filter(|pair| pair[0].uri == pair[1].uri) {
            wrong.push(format!("two resources have the address `{}`", pair[0].uri));
        }
        if wrong.is_empty() { Ok(registry) } else { Err(RegistryError(wrong)) }
    }

    /// The tool called `name`.
    pub fn tool(&self, name: &str) -> Option<&Arc<MountedTool>> {
        self.tool_by_name.get(name).map(|index| &self.tools[*index])
    }

    /// The prompt called `name`.
    pub fn prompt(&self, name: &str) -> Option<&Arc<MountedPrompt>> {
        self.prompts.iter().find(|prompt| prompt.name == name)
    }

    /// The resource at `uri`.
    pub fn resource(&self, uri: &str) -> Option<&Arc<MountedResource>> {
        self.resources.iter().find(|resource| resource.uri == uri)
    }
}

fn check_name(name: &str, wrong: &mut Vec<String>) {
    let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !fits || name.len() > MAX_NAME {
        wrong.push(format!("tool `{name}`: a name has at most {MAX_NAME} letters, digits, `_` or `-`"));
    }
}

/// `{search}` becomes `notion_search`: descriptions mention sibling tools without knowing the instance.
fn fill(text: &str, instance: &str, siblings: &[&str]) -> String {
    siblings
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(&["{", name, "}"].concat(), &format!("{instance}_{name}")))
}

fn mount_tool(tool: &Tool, integration: &Arc<Mounted>, siblings: &[&str]) -> MountedTool {
    let full = |name: &str| format!("{}_{name}", integration.instance);
    let deprecated =
        tool.deprecated.map(|Deprecated { successor, ends }| Deprecation { successor: full(successor), ends });
    let description = fill(tool.description, &integration.instance, siblings);
    let description = match &deprecated {
        Some(Deprecation { successor, ends }) => {
            format!("Deprecated: call {successor} instead, this tool goes on {ends}. {description}")
        }
        None => description,
    };
    MountedTool {
        name: full(tool.name),
        description,
        deprecated,
        class: tool.class,
        input: Arc::new(tool.input.clone()),
        output: Arc::new(tool.output.clone()),
        shape: tool.shape.clone(),
        integration: integration.clone(),
        run: tool.run.clone(),
    }
}

fn mount_prompt(prompt: &Prompt, integration: &Arc<Mounted>, siblings: &[&str]) -> MountedPrompt {
    let required: Vec<&str> = prompt
        .input
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = prompt.input.get("properties").and_then(Value::as_object).into_iter().flatten();
    let argument = |(name, schema): (&String, &Value)| {
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        (name.clone(), description.to_owned(), required.contains(&name.as_str()))
    };
    MountedPrompt {
        name: format!("{}_{}", integration.instance, prompt.name),
        description: fill(prompt.description, &integration.instance, siblings),
        arguments: properties.map(argument).collect(),
        shape: Shape::of(&prompt.input),
        integration: integration.clone(),
        run: prompt.run.clone(),
    }
}

fn mount_resource(resource: &Resource, integration: &Arc<Mounted>) -> MountedResource {
    MountedResource {
        uri: format!("{}://{}", integration.instance.replace('_', "-"), resource.name),
        name: format!("{}_{}", integration.instance, resource.name),
        description: resource.description.to_owned(),
        media_type: resource.media_type,
        integration: integration.clone(),
        run: resource.run.clone(),
    }
}
