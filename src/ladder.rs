//! The answer ladder, one for all questions: flag, answers file, environment (`MCPKIT_*`), prompt, default. A prompt is
//! never the only way to give an answer.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::answers::{Answers, Integration, Origin, Raw, unknown_setting};
use crate::cli::{AddDeploy, AddIntegration, New};
use crate::exit::Failure;
use crate::name::{InstanceName, nearest};
use crate::prompt::Prompter;
use crate::{catalog, manifest};

const KEYS: &[&str] = &["api", "auth", "deploy", "integrations", "set", "transport"];
const CUSTOM: &str = "an API of my own";

/// Climbs the ladder. `environment` is the process's.
pub fn climb(new: &New, environment: &BTreeMap<String, String>, prompter: &mut dyn Prompter) -> Result<Raw> {
    let file = match &new.answers {
        Some(path) => read_file(path)?,
        None => Raw::default(),
    };
    let environment = from_environment(environment);
    let mut set = environment.set.clone();
    set.extend(file.set.clone());
    set.extend(from_flags(&new.set)?);

    let list = |flag: &Vec<String>| (!flag.is_empty()).then(|| flag.clone());
    let mut raw = Raw {
        integrations: list(&new.integration).or(file.integrations).or(environment.integrations),
        api: new.api.clone().or(file.api).or(environment.api),
        auth: new.auth.clone().or(file.auth).or(environment.auth),
        transport: new.transport.clone().or(file.transport).or(environment.transport),
        deploy: list(&new.deploy).or(file.deploy).or(environment.deploy),
        set,
    };
    if prompter.can_ask() {
        ask(&mut raw, prompter)?;
    }
    Ok(raw)
}

/// The integration that `add` asks for. `recorded` is what the project has.
pub fn integration(
    add: &AddIntegration,
    environment: &BTreeMap<String, String>,
    prompter: &mut dyn Prompter,
    recorded: &Answers,
) -> Result<Integration> {
    let mut set = from_flags(&add.set)?;
    let environment = from_environment(environment);
    let (what, asked) = match &add.what {
        Some(what) => (what.clone(), false),
        None if prompter.can_ask() => (ask_what(prompter)?, true),
        None => {
            let hint = "for example `mcpkit add-integration slack`; see `mcpkit list providers`, or for an API of your own \
                        `mcpkit add-integration NAME --auth SHAPE`";
            bail!(Failure::new("nothing says what to add", hint));
        }
    };
    let (id, named) = what.split_once('=').map_or((what.as_str(), None), |(id, named)| (id, Some(named.to_owned())));
    let is_provider = catalog::ids(catalog::PROVIDERS).any(|known| known == id);
    if is_provider && add.auth.is_none() {
        let named = add.name.clone().or(named);
        let usual = Integration::of_provider(id, named.as_deref())?;
        let same_name = recorded.integrations.iter().find(|other| other.instance == usual.instance);
        let integration = match same_name {
            // Chosen from the list although it is there: another one of its kind is wanted.
            Some(other) if prompter.can_ask() && named.is_none() && (asked || other.origin != usual.origin) => {
                let free = recorded.free_name(usual.instance.as_str());
                let question = format!("there is a `{}` already; what is this one called?", usual.instance);
                let name = prompter.input(&question, &free, &|text| fits(text, recorded))?;
                Integration::of_provider(id, Some(&name))?
            }
            _ => usual,
        };
        if !set.is_empty() {
            let hint = "`--set` is for an API of your own: `mcpkit add-integration NAME --auth SHAPE --set KEY=VALUE`";
            bail!(Failure::new(format!("the provider `{id}` has nothing to set"), hint));
        }
        return Ok(integration);
    }
    if let Some(name) = &add.name {
        let hint = format!("an API of your own is called what you say: `mcpkit add-integration {name} --auth SHAPE`");
        bail!(match is_provider {
            true => Failure::new("`--name` and `--auth` exclude each other", hint),
            false => no_provider(id),
        });
    }
    let near = nearest(id, catalog::ids(catalog::PROVIDERS)).is_some();
    let auth = match add.auth.clone().or(environment.auth) {
        Some(auth) => auth,
        None if prompter.can_ask() && (asked || !near) => {
            select(prompter, "how does it authenticate?", catalog::SHAPES)?
        }
        None => bail!(no_provider(id)),
    };
    // What is not said again is as it was: asking twice for the same changes nothing.
    if let Some(Origin::Custom { shape, settings }) = InstanceName::parse(&what)
        .ok()
        .and_then(|name| recorded.integrations.iter().find(|other| other.instance == name))
        .map(|other| &other.origin)
        && *shape == auth
    {
        for (key, value) in settings {
            let given = set.keys().any(|other| other.rsplit('.').next() == Some(key));
            if !given {
                set.insert((*key).to_owned(), value.clone());
            }
        }
    }
    let integration = Integration::of_shape(&what, Some(&auth), &mut set)?;
    match set.keys().next() {
        Some(key) => bail!(unknown_setting(key, std::slice::from_ref(&integration))),
        None => Ok(integration),
    }
}

/// The targets that `add` asks for.
pub fn targets(add: &AddDeploy, prompter: &mut dyn Prompter, recorded: &Answers) -> Result<Vec<String>> {
    if !recorded.http() {
        let hint = format!(
            "let it speak HTTP too: set `transport = \"both\"` in {}, run `mcpkit update`, and then this again",
            manifest::PATH
        );
        let message = "a server that speaks only stdio cannot be deployed: nothing could reach it there";
        bail!(Failure::new(message, hint));
    }
    if !add.targets.is_empty() {
        let mut targets: Vec<String> = Vec::new();
        for target in &add.targets {
            if !targets.contains(target) {
                targets.push(target.clone());
            }
        }
        return Ok(targets);
    }
    if !prompter.can_ask() {
        let hint = format!("for example `mcpkit add-deploy {}`; see `mcpkit list targets`", catalog::TARGETS[0].id);
        bail!(Failure::new("nothing says where to deploy to", hint));
    }
    let missing: Vec<&catalog::Item> = catalog::TARGETS.iter().filter(|item| !recorded.deploys_to(item.id)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let options: Vec<String> = missing.iter().map(|item| format!("{} – {}", item.id, item.summary)).collect();
    let chosen = prompter.multi_select("where will it run? (space chooses, enter goes on)", &options, &[])?;
    Ok(chosen.iter().filter_map(|n| missing.get(*n)).map(|item| item.id.to_owned()).collect())
}

fn ask_what(prompter: &mut dyn Prompter) -> Result<String> {
    let mut options: Vec<String> =
        catalog::PROVIDERS.iter().map(|item| format!("{} – {}", item.id, item.summary)).collect();
    options.push(CUSTOM.to_owned());
    let chosen = prompter.select("which upstream?", &options)?;
    match catalog::PROVIDERS.get(chosen) {
        Some(item) => Ok(item.id.to_owned()),
        None => prompter.input("what is your API called?", "acme-crm", &is_instance_name),
    }
}

fn no_provider(id: &str) -> Failure {
    let known = match nearest(id, catalog::ids(catalog::PROVIDERS)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "see `mcpkit list providers`;".to_owned(),
    };
    let name = match InstanceName::parse(id) {
        Ok(_) => id.to_owned(),
        Err(error) => error.suggestion().unwrap_or("NAME").to_owned(),
    };
    let hint = format!(
        "{known} for an API of your own: `mcpkit add-integration {name} --auth SHAPE`, see `mcpkit list shapes`"
    );
    Failure::new(format!("there is no provider `{id}`"), hint)
}

fn fits(text: &str, recorded: &Answers) -> Result<(), String> {
    is_instance_name(text)?;
    let taken = |name: &InstanceName| recorded.integrations.iter().any(|other| other.instance == *name);
    match InstanceName::parse(text) {
        Ok(name) if taken(&name) => Err(format!("`{name}` is taken")),
        _ => Ok(()),
    }
}

fn is_instance_name(text: &str) -> Result<(), String> {
    match InstanceName::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.suggestion() {
            Some(name) => format!("{error}; try `{name}`"),
            None => error.to_string(),
        }),
    }
}

/// At most five questions, each with its default; what has been said is not asked.
fn ask(raw: &mut Raw, prompter: &mut dyn Prompter) -> Result<()> {
    if raw.integrations.is_none() && raw.api.is_none() {
        let mut options: Vec<String> =
            catalog::PROVIDERS.iter().map(|item| format!("{} – {}", item.id, item.summary)).collect();
        options.push(CUSTOM.to_owned());
        let usual = catalog::ids(catalog::PROVIDERS).position(|id| id == catalog::DEFAULT_PROVIDER);
        let usual: Vec<usize> = usual.into_iter().collect();
        let chosen = prompter.multi_select("which upstreams? (space chooses, enter goes on)", &options, &usual)?;
        let custom = chosen.contains(&catalog::PROVIDERS.len());
        raw.integrations =
            Some(chosen.iter().filter_map(|n| catalog::PROVIDERS.get(*n)).map(|item| item.id.to_owned()).collect());
        if custom {
            raw.api = Some(prompter.input("what is your API called?", "acme-crm", &is_instance_name)?);
        }
    }
    if raw.api.is_some() && raw.auth.is_none() {
        raw.auth = Some(select(prompter, "how does it authenticate?", catalog::SHAPES)?);
    }
    if raw.transport.is_none() {
        raw.transport = Some(select(prompter, "how do clients reach the server?", catalog::TRANSPORTS)?);
    }
    if raw.deploy.is_none() && raw.transport.as_deref() != Some("stdio") {
        let options: Vec<String> =
            catalog::TARGETS.iter().map(|item| format!("{} – {}", item.id, item.summary)).collect();
        let chosen = prompter.multi_select("where will it run? (none is fine for now)", &options, &[])?;
        raw.deploy =
            Some(chosen.iter().filter_map(|n| catalog::TARGETS.get(*n)).map(|item| item.id.to_owned()).collect());
    }
    Ok(())
}

fn select(prompter: &mut dyn Prompter, question: &str, items: &[catalog::Item]) -> Result<String> {
    if let [only] = items {
        return Ok(only.id.to_owned());
    }
    let options: Vec<String> = items.iter().map(|item| format!("{} – {}", item.id, item.summary)).collect();
    let chosen = prompter.select(question, &options)?;
    Ok(items.get(chosen).map(|item| item.id).unwrap_or_default().to_owned())
}

fn from_environment(environment: &BTreeMap<String, String>) -> Raw {
    let text = |key: &str| environment.get(&format!("MCPKIT_{key}")).filter(|text| !text.is_empty()).cloned();
    let list = |key: &str| Some(text(key)?.split(',').map(|item| item.trim().to_owned()).collect());
    Raw {
        integrations: list("INTEGRATIONS"),
        api: text("API"),
        auth: text("AUTH"),
        transport: text("TRANSPORT"),
        deploy: list("DEPLOY"),
        set: BTreeMap::new(),
    }
}

fn from_flags(flags: &[String]) -> Result<BTreeMap<String, String>> {
    let mut set = BTreeMap::new();
    for flag in flags {
        let Some((key, value)) = flag.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            bail!(Failure::new("`--set` takes KEY=VALUE", "for example `--set base_url=https://api.acme.com`"));
        };
        set.insert(key.to_owned(), value.to_owned());
    }
    Ok(set)
}

/// Something that the key of an answers file could hold.
fn example(key: &str) -> &'static str {
    match key {
        "api" => "acme-crm",
        "auth" => catalog::SHAPES[0].id,
        "transport" => catalog::TRANSPORTS[0].id,
        "deploy" => catalog::TARGETS[0].id,
        _ => catalog::DEFAULT_PROVIDER,
    }
}

fn read_file(path: &Path) -> Result<Raw> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read `{shown}`"))?;
    // A mapping refuses a key that is given twice; a map of Rust's would keep the last in silence.
    let parsed: serde_yaml::Mapping =
        serde_yaml::from_str(&text).with_context(|| format!("failed to read `{shown}` as YAML"))?;
    let mut raw = Raw::default();
    for (key, value) in parsed {
        let key = key.as_str().unwrap_or_default().to_owned();
        let wrong = |wanted: &str| Failure::new(format!("`{key}` in `{shown}` does not fit"), format!("give {wanted}"));
        let text = || {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| wrong(&format!("a text, for example `{key}: {}`", example(&key))))
        };
        let list = || -> Result<Vec<String>, Failure> {
            let items = value
                .as_sequence()
                .ok_or_else(|| wrong(&format!("a list of texts, for example `{key}: [{}]`", example(&key))))?;
            items
                .iter()
                .map(|item| {
                    item.as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| wrong(&format!("a list of texts, for example `{key}: [{}]`", example(&key))))
                })
                .collect()
        };
        match key.as_str() {
            "api" => raw.api = Some(text()?),
            "auth" => raw.auth = Some(text()?),
            "transport" => raw.transport = Some(text()?),
            "deploy" => raw.deploy = Some(list()?),
            "integrations" => raw.integrations = Some(list()?),
            "set" => {
                let settings = value
                    .as_mapping()
                    .ok_or_else(|| wrong("keys with texts, for example `set: {base_url: \"https://api.acme.com\"}`"))?;
                for (key, value) in settings {
                    let (Some(key), Some(value)) = (key.as_str(), value.as_str()) else {
                        bail!(wrong("keys with texts, for example `set: {base_url: \"https://api.acme.com\"}`"));
                    };
                    raw.set.insert(key.to_owned(), value.to_owned());
                }
            }
            _ => {
                let hint = match nearest(&key, KEYS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", KEYS.join(", ")),
                };
                bail!(Failure::new(format!("`{shown}` has an unknown key `{key}`"), hint));
            }
        }
    }
    Ok(raw)
}
