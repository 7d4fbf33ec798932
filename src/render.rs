//! Answers in, a tree out. Pure, and the only module that knows minijinja.
//!
//! A template that ends in `.j2` is rendered, any other is copied byte for byte. Free text reaches a file through the
//! filters `rust`, `toml` and `yaml` alone, which quote and escape: with autoescape off they are the boundary.

use anyhow::{Context as _, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use crate::answers::{Answers, Integration, Origin};
use crate::templates::Templates;
use crate::tree::{Class, Entry, RelPath, Tree};
use crate::{cargo_lock, catalog, manifest};

/// What templates see. Booleans are only branched on, never printed.
#[derive(Serialize)]
struct Context<'a> {
    mcpkit_version: String,
    name: &'a str,
    krate: String,
    http: bool,
    stdio: bool,
    transport_features: &'a [&'a str],
    integrations: Vec<Instance<'a>>,
    api: Option<Api<'a>>,
    instance: Option<Instance<'a>>,
}

#[derive(Clone, Serialize)]
struct Instance<'a> {
    name: &'a str,
    title: String,
}

#[derive(Serialize)]
struct Api<'a> {
    id: &'a str,
    title: String,
    #[serde(flatten)]
    settings: &'a std::collections::BTreeMap<&'static str, String>,
}

/// Names that a template may use at its top level.
pub const KEYS: &[&str] =
    &["api", "http", "instance", "integrations", "krate", "mcpkit_version", "name", "stdio", "transport_features"];

/// The engine with our delimiters: the usual ones clash with Rust, CI expressions and shell.
pub fn environment() -> Result<Environment<'static>> {
    let syntax = SyntaxConfig::builder()
        .block_delimiters("{{%", "%}}")
        .variable_delimiters("{{{", "}}}")
        .comment_delimiters("{{#", "#}}")
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("rust", |text: String| format!("{text:?}"));
    environment.add_filter("toml", |text: String| toml_edit::Value::from(text).to_string());
    environment.add_filter("yaml", |text: String| serde_json::Value::from(text).to_string());
    Ok(environment)
}

/// The whole project.
pub fn render(templates: &Templates, answers: &Answers) -> Result<Tree> {
    let mut renderer = Renderer { environment: environment()?, templates, answers, tree: Tree::default() };
    for spec in catalog::FILES.iter().filter(|spec| (spec.when)(answers)) {
        renderer.add(spec.source, spec.target, spec.class, None)?;
    }
    for part in ["core", "native"] {
        renderer.folder(&format!("kit/{part}"), &format!("kit/{part}"), Class::Managed, None)?;
    }
    for integration in &answers.integrations {
        let target = format!("src/integrations/{}", integration.instance);
        let source = match &integration.origin {
            Origin::Provider(id) => format!("providers/{id}"),
            Origin::Custom { shape, .. } => format!("shapes/{shape}"),
        };
        renderer.folder(&source, &target, Class::Seeded, Some(integration))?;
        let settings = format!("config/integrations/{}.toml", integration.instance);
        renderer.add("project/config/integration.toml.j2", &settings, Class::Seeded, Some(integration))?;
    }
    let lock = templates.file(cargo_lock::TEMPLATE).context("failed to find the template of Cargo.lock")?;
    renderer.put(cargo_lock::PATH, Class::Structural, cargo_lock::render(lock, &answers.name, answers.http()))?;
    renderer.put(manifest::PATH, Class::Structural, manifest::write(answers, &templates.version))?;
    Ok(renderer.tree)
}

struct Renderer<'a> {
    environment: Environment<'static>,
    templates: &'a Templates,
    answers: &'a Answers,
    tree: Tree,
}

impl Renderer<'_> {
    fn folder(&mut self, source: &str, target: &str, class: Class, integration: Option<&Integration>) -> Result<()> {
        for path in self.templates.folder(source) {
            let inside = path.strip_prefix(source).unwrap_or(path);
            let inside = inside.strip_suffix(".j2").unwrap_or(inside);
            // The kit's manifests are edited key by key like every other one.
            let class = if inside == "/Cargo.toml" { Class::Structural } else { class };
            self.add(path, &format!("{target}{inside}"), class, integration)?;
        }
        Ok(())
    }

    fn add(&mut self, source: &str, target: &str, class: Class, integration: Option<&Integration>) -> Result<()> {
        let template =
            self.templates.file(source).with_context(|| format!("failed to find the template `{source}`"))?;
        let text = if source.ends_with(".j2") {
            let context = Value::from(Serde(context(self.templates, self.answers, integration)));
            let rendered = self.environment.render_named_str(source, template, context);
            rendered.with_context(|| format!("failed to render the template `{source}`"))?
        } else {
            template.to_owned()
        };
        self.put(target, class, text)
    }

    fn put(&mut self, target: &str, class: Class, text: String) -> Result<()> {
        let executable = text.starts_with("#!");
        Ok(self.tree.insert(RelPath::parse(target)?, Entry { class, executable, text })?)
    }
}

fn context<'a>(templates: &Templates, answers: &'a Answers, integration: Option<&'a Integration>) -> Context<'a> {
    let instance = |integration: &'a Integration| Instance {
        name: integration.instance.as_str(),
        title: match integration.origin {
            Origin::Provider(id) => id.to_owned(),
            Origin::Custom { .. } => integration.instance.title(),
        },
    };
    let api = integration.and_then(|integration| match &integration.origin {
        Origin::Custom { settings, .. } => {
            Some(Api { id: integration.instance.as_str(), title: integration.instance.title(), settings })
        }
        Origin::Provider(_) => None,
    });
    Context {
        mcpkit_version: templates.version.to_string(),
        name: answers.name.as_str(),
        krate: answers.name.krate(),
        http: answers.http(),
        stdio: answers.stdio(),
        transport_features: match (answers.http(), answers.stdio()) {
            (true, true) => &["http", "otlp", "stdio"],
            (true, false) => &["http", "otlp"],
            (false, _) => &["stdio"],
        },
        integrations: answers.integrations.iter().map(instance).collect(),
        api,
        instance: integration.map(instance),
    }
}
