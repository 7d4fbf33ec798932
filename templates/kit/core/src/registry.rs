// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The mounted application: every tool, prompt and resource under its full name, checked once at start-up so that no
//! call has to. A duplicate, a name that clients cut off or an answer that is not an object refuses boot.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use url::Url;

use crate::app::{App, MakeSandbox};
use crate::prompt::{self, Prompt};
use crate::resource::{self, Resource};
use crate::tool::{self, Class, Tool};
use crate::upstream::provider::{AuthShape, Provider};

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
    endpoints: BTreeMap<String, Endpoints>,
    /// Its stand-in, if it has one.
    pub sandbox: Option<MakeSandbox>,
}

impl Mounted {
    /// Where requests go: of the region, where the provider has regions.
    pub fn endpoints(&self, region: Option<&str>) -> Option<&Endpoints> {
        self.endpoints.get(region.unwrap_or_default())
    }

    /// All endpoints, with the names of their regions (empty where there are none).
    pub fn all_endpoints(&self) -> impl Iterator<Item = (&str, &Endpoints)> {
        self.endpoints.iter().map(|(region, endpoints)| (region.as_str(), endpoints))
    }
}

/// The endpoints of `provider` with what the owner set above them. `Err` says what is not a URL.
fn endpoints(
    provider: &Provider,
    settings: Option<&IntegrationSettings>,
) -> Result<BTreeMap<String, Endpoints>, &'static str> {
    let parse =
        |text: &str, what| if text.is_empty() { Ok(None) } else { Url::parse(text).map(Some).map_err(|_| what) };
    let make = |api: &str, token: &str, authorize: &str, revoke: &str| {
        let set = |url: fn(&IntegrationSettings) -> &Option<Url>| settings.and_then(|s| url(s).clone());
        Ok(Endpoints {
            api: set(|s| &s.base_url).or(parse(api, "base_url")?).ok_or("base_url")?,
            token: set(|s| &s.token_url).or(parse(token, "token_url")?),
            authorize: set(|s| &s.authorize_url).or(parse(authorize, "authorize_url")?),
            revoke: parse(revoke, "revoke_url")?,
        })
    };
    let single = |endpoints| BTreeMap::from([(String::new(), endpoints)]);
    match &provider.auth {
        AuthShape::LwaProfile(lwa) => lwa
            .regions
            .iter()
            .map(|region| {
                Ok((region.name.to_owned(), make(region.api_url, region.token_url, region.authorize_url, "")?))
            })
            .collect(),
        AuthShape::SystemUser(user) => {
            let exchange = user.exchange.map_or("", |exchange| exchange.url);
            make(provider.base_url, exchange, "", "").map(single)
        }
        shape => {
            let (token, authorize, revoke) = shape.oauth().map_or(("", "", ""), |oauth| {
                (oauth.token_url, oauth.authorize_url, oauth.revoke_url.unwrap_or_default())
            });
            make(provider.base_url, token, authorize, revoke).map(single)
        }
    }
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
    pub(crate) integration: Arc<Mounted>,
    pub(crate) run: tool::Run,
}

/// A prompt under its full name.
pub struct MountedPrompt {
    /// `<instance>_<prompt>`.
    pub name: String,
    /// Description with sibling names filled in.
    pub description: String,
    /// Arguments: name, description, whether required.
    pub arguments: Vec<(String, String, bool)>,
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
            let endpoints = match endpoints(&integration.provider, settings.get(*instance)) {
                Ok(endpoints) => endpoints,
                Err(what) => {
                    wrong.push(format!("integration `{instance}`: the provider's {what} is not a URL"));
                    continue;
                }
            };
            let mounted = Arc::new(Mounted {
                instance: (*instance).to_owned(),
                provider: integration.provider.clone(),
                endpoints,
                sandbox: integration.sandbox.clone(),
            });
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
    MountedTool {
        name: format!("{}_{}", integration.instance, tool.name),
        description: fill(tool.description, &integration.instance, siblings),
        class: tool.class,
        input: Arc::new(tool.input.clone()),
        output: Arc::new(tool.output.clone()),
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
