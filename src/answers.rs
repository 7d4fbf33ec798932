//! The answers: everything that distinguishes one project from another, resolved and checked. Whatever was asked or
//! given ends here, and nothing downstream knows how.

use std::collections::BTreeMap;

use crate::catalog::{self, Item, Kind, Setting};
use crate::exit::Failure;
use crate::name::{InstanceName, ProjectName, nearest};

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP and stdio.
    Both,
    /// HTTP only.
    Http,
    /// stdio only.
    Stdio,
}

impl Transport {
    /// The id in the catalogue.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Http => "http",
            Self::Stdio => "stdio",
        }
    }
}

/// What an integration is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A provider of the catalogue, by id.
    Provider(&'static str),
    /// An API of the owner's own, of this shape and with these settings.
    Custom {
        /// Id of the shape.
        shape: &'static str,
        /// Settings by key, all of the shape's.
        settings: BTreeMap<&'static str, String>,
    },
}

/// One integration of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration {
    /// Instance name.
    pub instance: InstanceName,
    /// What it is made from.
    pub origin: Origin,
}

impl Integration {
    /// The provider `id` of the catalogue, under `named` or its own name.
    pub fn of_provider(id: &str, named: Option<&str>) -> Result<Self, Failure> {
        let item = pick("provider", id, catalog::PROVIDERS)?;
        let instance = parse_instance(named.unwrap_or(&item.id.replace('-', "_")))?;
        Ok(Self { instance, origin: Origin::Provider(item.id) })
    }

    /// An API of the owner's own. What belongs to it is taken out of `set`: `key` or `instance.key`.
    pub fn of_shape(api: &str, shape: Option<&str>, set: &mut BTreeMap<String, String>) -> Result<Self, Failure> {
        let instance = parse_instance(api)?;
        let Some(shape) = shape else {
            return Err(Failure::new(
                "nothing says how the API authenticates",
                "give `--auth SHAPE`; see `mcpkit list shapes`",
            ));
        };
        let shape = pick("shape", shape, catalog::SHAPES)?.id;
        let mut settings = BTreeMap::new();
        for setting in settings_of(shape) {
            let named =
                [format!("{instance}.{}", setting.key), format!("{api}.{}", setting.key), setting.key.to_owned()];
            let given = named.iter().find_map(|key| set.remove(key));
            let value = given.unwrap_or_else(|| default_of(setting, &instance));
            check_setting(setting, &value)?;
            settings.insert(setting.key, value);
        }
        Ok(Self { instance, origin: Origin::Custom { shape, settings } })
    }
}

/// All answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Name of the project.
    pub name: ProjectName,
    /// How clients reach it.
    pub transport: Transport,
    /// Its integrations, by instance name.
    pub integrations: Vec<Integration>,
    /// Ids of its deploy targets, sorted.
    pub deploy: Vec<&'static str>,
    /// Patterns of managed files that the owner has taken over, sorted.
    pub keep: Vec<String>,
}

/// Answers as texts, before they are checked. `None` and empty mean: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Providers.
    pub integrations: Option<Vec<String>>,
    /// Name of a custom API.
    pub api: Option<String>,
    /// Its shape.
    pub auth: Option<String>,
    /// Transport.
    pub transport: Option<String>,
    /// Targets.
    pub deploy: Option<Vec<String>>,
    /// Settings, `key` or `instance.key`.
    pub set: BTreeMap<String, String>,
}

impl Answers {
    /// Checks `raw`, with defaults for what was not said.
    pub fn check(name: ProjectName, raw: &Raw) -> Result<Self, Failure> {
        let mut integrations = Vec::new();
        let default = raw.api.is_none().then(|| catalog::DEFAULT_PROVIDER.to_owned());
        for id in raw.integrations.clone().unwrap_or_else(|| default.into_iter().collect()) {
            // `slack=slack_eu` is Slack under a name of its own.
            let (id, named) = id.split_once('=').map_or((id.as_str(), None), |(id, named)| (id, Some(named)));
            integrations.push(Integration::of_provider(id, named)?);
        }
        if let (None, Some(shape)) = (&raw.api, &raw.auth) {
            let message = format!("`--auth {shape}` says how an API of your own authenticates, and there is none");
            return Err(Failure::new(message, "name it with `--api NAME`, or leave `--auth` out"));
        }
        let mut unused = raw.set.clone();
        if let Some(api) = &raw.api {
            integrations.push(Integration::of_shape(api, raw.auth.as_deref(), &mut unused)?);
        }
        if let Some(key) = unused.keys().next() {
            return Err(unknown_setting(key, &integrations));
        }
        let transport = raw.transport.as_deref().unwrap_or(catalog::DEFAULT_TRANSPORT);
        Self::of(name, transport, integrations, raw.deploy.as_deref().unwrap_or_default(), Vec::new())
    }

    /// The answers that a project has recorded.
    pub fn recorded(
        name: &str,
        transport: &str,
        integrations: Vec<Integration>,
        deploy: &[String],
        keep: Vec<String>,
    ) -> Result<Self, Failure> {
        let name = ProjectName::parse(name).map_err(|error| {
            Failure::new(error.to_string(), "put back the name that the project was generated with")
        })?;
        Self::of(name, transport, integrations, deploy, keep)
    }

    /// The same with one more integration. `None` if it is there already, just so.
    pub fn with_integration(&self, integration: Integration) -> Result<Option<Self>, Failure> {
        if let Some(other) = self.integrations.iter().find(|other| other.instance == integration.instance) {
            return if *other == integration { Ok(None) } else { Err(self.taken(other, &integration)) };
        }
        let integrations = [&self.integrations[..], &[integration]].concat();
        let deploy: Vec<String> = self.deploy.iter().map(|target| (*target).to_owned()).collect();
        Self::of(self.name.clone(), self.transport.as_str(), integrations, &deploy, self.keep.clone()).map(Some)
    }

    /// `name`, or the first after it that no integration has.
    pub fn free_name(&self, name: &str) -> String {
        let all = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}_{n}")));
        let taken = |name: &String| self.integrations.iter().any(|other| other.instance.as_str() == name);
        all.take(100).find(|name| !taken(name)).unwrap_or_default()
    }

    /// Why `wanted` cannot have its name.
    fn taken(&self, other: &Integration, wanted: &Integration) -> Failure {
        let name = &wanted.instance;
        let is = match &other.origin {
            Origin::Provider(id) => format!("the provider `{id}`"),
            Origin::Custom { shape, .. } => format!("an API of your own with the shape `{shape}`"),
        };
        let hint = match (&wanted.origin, &other.origin) {
            (Origin::Custom { shape, .. }, Origin::Custom { shape: same, .. }) if shape == same => {
                format!("its settings are in `src/integrations/{name}/provider.rs`, which is yours: change them there")
            }
            (Origin::Provider(id), _) => {
                let free = self.free_name(&id.replace('-', "_"));
                format!("give this one a name of its own: `mcpkit add-integration {id} --name {free}`")
            }
            (Origin::Custom { .. }, _) => "choose another name for the API".to_owned(),
        };
        Failure::new(format!("there is an integration `{name}` already, and it is {is}"), hint)
    }

    /// The same with these targets as well.
    pub fn with_deploy(&self, targets: &[String]) -> Result<Self, Failure> {
        let deploy: Vec<String> = self.deploy.iter().map(|target| (*target).to_owned()).collect();
        let deploy = [&deploy[..], targets].concat();
        Self::of(self.name.clone(), self.transport.as_str(), self.integrations.clone(), &deploy, self.keep.clone())
    }

    fn of(
        name: ProjectName,
        transport: &str,
        mut integrations: Vec<Integration>,
        deploy: &[String],
        mut keep: Vec<String>,
    ) -> Result<Self, Failure> {
        let transport = match transport {
            "both" => Transport::Both,
            "http" => Transport::Http,
            "stdio" => Transport::Stdio,
            other => return Err(unknown("transport", other, catalog::TRANSPORTS)),
        };
        integrations.sort_by(|a, b| a.instance.cmp(&b.instance));
        if let Some(pair) = integrations.windows(2).find(|pair| pair[0].instance == pair[1].instance) {
            let message = format!("two integrations are called `{}`", pair[0].instance);
            return Err(Failure::new(message, "name the second one differently: `--integration PROVIDER=NAME`"));
        }
        if integrations.is_empty() {
            let hint = "choose one of `mcpkit list providers`, or your own API with `--api NAME --auth SHAPE`";
            return Err(Failure::new("a server without integrations has no tools", hint));
        }
        let mut targets = Vec::new();
        for id in deploy {
            targets.push(pick("target", id, catalog::TARGETS)?.id);
        }
        targets.sort_unstable();
        targets.dedup();
        if let (Transport::Stdio, Some(target)) = (transport, targets.first()) {
            let message = format!(
                "a server that speaks only stdio cannot be deployed to `{target}`: nothing could reach it there"
            );
            return Err(Failure::new(message, "choose `--transport http` or `both`, or leave `--deploy` out"));
        }
        keep.sort_unstable();
        keep.dedup();
        Ok(Self { name, transport, integrations, deploy: targets, keep })
    }

    /// Whether the server speaks HTTP.
    pub fn http(&self) -> bool {
        self.transport != Transport::Stdio
    }

    /// Whether the server speaks stdio.
    pub fn stdio(&self) -> bool {
        self.transport != Transport::Http
    }

    /// Whether `target` was chosen.
    pub fn deploys_to(&self, target: &str) -> bool {
        self.deploy.contains(&target)
    }

    /// The flags that give the same answers without a question.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: &str| flags.extend([format!("--{name}"), value.to_owned()]);
        for integration in &self.integrations {
            match &integration.origin {
                Origin::Provider(id) if id.replace('-', "_") == integration.instance.as_str() => {
                    flag("integration", id)
                }
                Origin::Provider(id) => flag("integration", &format!("{id}={}", integration.instance)),
                Origin::Custom { shape, settings } => {
                    flag("api", integration.instance.as_str());
                    flag("auth", shape);
                    for setting in settings_of(shape) {
                        let value = &settings[setting.key];
                        if *value != default_of(setting, &integration.instance) {
                            flag("set", &format!("{}={value}", setting.key));
                        }
                    }
                }
            }
        }
        flag("transport", self.transport.as_str());
        self.deploy.iter().for_each(|target| flag("deploy", target));
        flags
    }
}

/// The settings of a custom API of `shape`.
pub fn settings_of(shape: &str) -> &'static [Setting] {
    match shape {
        "api-key" => catalog::API_KEY_SETTINGS,
        "oauth2-refresh" => catalog::OAUTH2_REFRESH_SETTINGS,
        "system-user" => catalog::SYSTEM_USER_SETTINGS,
        "lwa-profile" => catalog::LWA_PROFILE_SETTINGS,
        "restli" => catalog::RESTLI_SETTINGS,
        _ => &[],
    }
}

fn default_of(setting: &Setting, instance: &InstanceName) -> String {
    setting.default.replace("{api}", &instance.as_str().replace('_', "-"))
}

fn check_setting(setting: &Setting, value: &str) -> Result<(), Failure> {
    let text = !value.chars().any(char::is_control) && value.is_ascii() && value.len() <= 200;
    let is_url = || {
        url::Url::parse(value).is_ok_and(|url| {
            url.scheme() == "https"
                && url.host_str().is_some_and(|host| host.contains('.'))
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        })
    };
    let is_param = || {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        (1..=64).contains(&value.len()) && value.bytes().all(letter)
    };
    let choices;
    let (fits, wanted) = match setting.kind {
        Kind::Url => (is_url() && text, "an https:// URL without query, such as https://api.acme.com"),
        Kind::OptionalUrl => (value.is_empty() || is_url() && text, "an https:// URL without query, or nothing"),
        Kind::Param => (is_param(), "the name of a query parameter, such as exchange_token"),
        Kind::OptionalParam => (value.is_empty() || is_param(), "the name of a query parameter, or nothing"),
        Kind::Words => {
            let one = value.split_whitespace().collect::<Vec<_>>().join(" ");
            (text && one == value, "names separated by single spaces, or nothing")
        }
        Kind::Choice(known) => {
            choices = format!("one of: {}", known.join(", "));
            (known.contains(&value), choices.as_str())
        }
        Kind::Month => {
            let month = value.get(4..).and_then(|month| month.parse::<u8>().ok());
            let digits = value.len() == 6 && value.bytes().all(|byte| byte.is_ascii_digit());
            (digits && month.is_some_and(|month| (1..=12).contains(&month)), "a month such as 202607")
        }
        Kind::Header => {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (
                !value.is_empty() && value.len() <= 64 && value.bytes().all(token),
                "the name of a header, such as X-Api-Key",
            )
        }
        Kind::Path => {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
            let inside = value.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
            (
                value.starts_with('/') && value.len() > 1 && inside && value.bytes().all(letter) && text,
                "a path such as /v1/items",
            )
        }
        Kind::Text => (text, "visible ASCII characters and spaces"),
    };
    if fits {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` does not fit: {}", setting.key, setting.summary), format!("give {wanted}")))
}

fn parse_instance(text: &str) -> Result<InstanceName, Failure> {
    InstanceName::parse(text).map_err(|error| {
        let hint =
            error.suggestion().map_or_else(|| "for example `acme-crm`".to_owned(), |name| format!("try `{name}`"));
        Failure::new(error.to_string(), hint)
    })
}

fn pick(what: &str, id: &str, items: &'static [Item]) -> Result<&'static Item, Failure> {
    items.iter().find(|item| item.id == id).ok_or_else(|| unknown(what, id, items))
}

fn unknown(what: &str, id: &str, items: &'static [Item]) -> Failure {
    let known: Vec<&str> = catalog::ids(items).collect();
    let hint = match nearest(id, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? see `mcpkit list {what}s`"),
        None => format!("there are: {}", known.join(", ")),
    };
    Failure::new(format!("there is no {what} `{id}`"), hint)
}

/// Why `--set` cannot take `key`, with the nearest that `integrations` have.
pub fn unknown_setting(key: &str, integrations: &[Integration]) -> Failure {
    let known: Vec<&str> = integrations
        .iter()
        .filter_map(|integration| match &integration.origin {
            Origin::Custom { settings, .. } => Some(settings.keys().copied()),
            Origin::Provider(_) => None,
        })
        .flatten()
        .collect();
    let bare = key.rsplit('.').next().unwrap_or(key);
    let hint = match (nearest(bare, known.iter().copied()), known.is_empty()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, true) => {
            "`--set` belongs to `--api NAME --auth SHAPE`; the chosen providers have nothing to set".to_owned()
        }
        (None, false) => format!("there are: {}", known.join(", ")),
    };
    Failure::new(format!("nothing here is called `{key}`"), hint)
}
