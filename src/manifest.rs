//! `mcpkit.toml`: what was asked and answered. Written for people and edited key by key, so that their comments stay; read
//! by every command that changes a project. With `cargo_toml` and the filters of `render` the only place that knows
//! toml_edit.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use semver::Version;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, value};

use crate::answers::{Answers, Integration, Origin};
use crate::cargo_toml::{self, Edited};
use crate::catalog;
use crate::exit::Failure;
use crate::globs::Globs;
use crate::migrate::Migration;
use crate::name::nearest;

/// Where it lives.
pub const PATH: &str = "mcpkit.toml";
/// The version of this format.
const SCHEMA: i64 = 1;

/// What a project says of itself.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The mcpkit that last wrote the project.
    pub version: Version,
    /// What was answered.
    pub answers: Answers,
}

/// The manifest of a project as mcpkit of `version` writes it.
pub fn write(answers: &Answers, version: &Version) -> String {
    let mut document = DocumentMut::new();
    document["schema"] = value(SCHEMA);
    document["version"] = value(version.to_string());
    let mut table = Table::new();
    table["name"] = value(answers.name.as_str());
    table["transport"] = value(answers.transport.as_str());
    document["answers"] = Item::Table(table);

    let mut integrations = ArrayOfTables::new();
    for integration in &answers.integrations {
        let mut table = Table::new();
        table["instance"] = value(integration.instance.as_str());
        match &integration.origin {
            Origin::Provider(id) => table["provider"] = value(*id),
            Origin::Custom { shape, settings } => {
                table["shape"] = value(*shape);
                for (key, setting) in settings {
                    table[key] = value(setting.as_str());
                }
            }
        }
        integrations.push(table);
    }
    document["integrations"] = Item::ArrayOfTables(integrations);

    if !answers.deploy.is_empty() {
        let mut deploy = Table::new();
        deploy.set_implicit(true);
        for target in &answers.deploy {
            deploy[target] = Item::Table(Table::new());
        }
        document["deploy"] = Item::Table(deploy);
    }
    if !answers.keep.is_empty() {
        let mut files = Table::new();
        files["keep"] = value(answers.keep.iter().map(String::as_str).collect::<Array>());
        document["files"] = Item::Table(files);
    }
    format!(
        "# Records how this project was generated. Commit it: `mcpkit` reads it to extend and update the project.\n{document}"
    )
}

/// Reads the manifest `text`, with `migrations` for what had other names when it was written. `newest` is the version that
/// reads it: what a later one wrote is not touched.
pub fn read(text: &str, newest: &Version, migrations: &[Migration]) -> Result<Manifest> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let message = format!("failed to read `{PATH}` as TOML: {}", error.to_string().trim_end());
        Failure::new(message, format!("mend it there, or restore it: `git checkout -- {PATH}`"))
    })?;
    let later = |what: &str| {
        let message = format!("`{PATH}` was written by a newer mcpkit: {what}");
        Failure::new(message, "install that one: `cargo install mcpkit-cli --locked`")
    };
    match document.get("schema").and_then(Item::as_integer) {
        Some(SCHEMA) => {}
        Some(schema) if schema > SCHEMA => {
            bail!(later(&format!("its schema is {schema}, this one knows {SCHEMA}")));
        }
        _ => return Err(missing("schema", &format!("it is {SCHEMA}"))),
    }
    let version = text_at(document.as_table(), "version").and_then(|text| Version::parse(text).ok());
    let Some(version) = version else {
        return Err(missing("version", "it is the version of mcpkit that wrote the project, such as \"0.1.0\""));
    };
    if version > *newest {
        let message = format!("`{PATH}` was written by mcpkit {version}, which is newer than this one, {newest}");
        bail!(Failure::new(
            message,
            format!("install that one: `cargo install mcpkit-cli --locked --version {version}`")
        ));
    }
    for migration in crate::migrate::between(migrations, &version, newest) {
        migration.answers.iter().for_each(|(old, new)| rename(document.as_table_mut(), old, new));
    }
    Ok(Manifest { version, answers: answers(&document)? })
}

/// Carries the way from `base` to `target` into the owner's manifest. The version is what was done, not the owner's to keep.
pub fn merge(base: &str, user: &str, target: &str, migrations: &[Migration]) -> Result<Edited> {
    let mut document: DocumentMut = user.parse().with_context(|| format!("failed to read `{PATH}` as TOML"))?;
    let mut old: DocumentMut = base.parse().unwrap_or_default();
    for (from, to) in migrations.iter().flat_map(|migration| migration.answers) {
        rename(document.as_table_mut(), from, to);
        rename(old.as_table_mut(), from, to);
    }
    let new: DocumentMut = target.parse()?;
    if let (Some(now), Some(new)) = (document.get_mut("version"), new.get("version"))
        && now.as_str() != new.as_str()
    {
        let decor = now.as_value().map(|value| value.decor().clone());
        *now = new.clone();
        if let (Some(decor), Some(value)) = (decor, now.as_value_mut()) {
            *value.decor_mut() = decor;
        }
    }
    cargo_toml::merge(&old.to_string(), &document.to_string(), target)
}

/// Whether `text` is TOML.
pub fn parses(text: &str) -> Result<()> {
    text.parse::<DocumentMut>()?;
    Ok(())
}

fn answers(document: &DocumentMut) -> Result<Answers> {
    let empty = Table::new();
    let root = document.as_table();
    known("", root, &["schema", "version", "answers", "integrations", "deploy", "files"])?;
    let asked = match root.get("answers") {
        Some(item) => item.as_table_like().ok_or_else(|| unfit("answers", "it is a table"))?,
        None => &empty,
    };
    known("answers", asked, &["name", "transport"])?;
    let Some(name) = text_at(asked, "name") else {
        return Err(missing("answers.name", "it is the name of the project, such as \"acme-ads\""));
    };
    let Some(transport) = text_at(asked, "transport") else {
        let known: Vec<&str> = catalog::ids(catalog::TRANSPORTS).collect();
        return Err(missing("answers.transport", &format!("it is one of: {}", known.join(", "))));
    };

    let mut integrations = Vec::new();
    match root.get("integrations") {
        None => {}
        Some(item) => {
            let rows = item.as_array_of_tables().ok_or_else(|| unfit("integrations", "it is `[[integrations]]`"))?;
            for row in rows.iter() {
                integrations.push(integration(row)?);
            }
        }
    }
    if integrations.is_empty() {
        return Err(unfit("integrations", "a server without any has no tools; each is an `[[integrations]]`"));
    }
    let names: BTreeSet<&str> = integrations.iter().map(|one| one.instance.as_str()).collect();
    if names.len() < integrations.len() {
        return Err(unfit("integrations", "two have the same `instance`; give each a name of its own"));
    }
    let mut deploy = Vec::new();
    if let Some(item) = root.get("deploy") {
        let table =
            item.as_table_like().ok_or_else(|| unfit("deploy", "each target is a table: `[deploy.compose]`"))?;
        for (target, item) in table.iter() {
            let wanted = || unfit(&format!("deploy.{target}"), "it is a table without keys: there is nothing to set");
            if !item.as_table_like().ok_or_else(wanted)?.is_empty() {
                return Err(wanted());
            }
            deploy.push(target.to_owned());
        }
        if transport == "stdio" && !deploy.is_empty() {
            let wanted = "a server that speaks only stdio cannot be deployed: set `answers.transport` to \"both\", or take \
                          `deploy` out";
            return Err(unfit("deploy", wanted));
        }
    }
    let mut keep = Vec::new();
    if let Some(item) = root.get("files") {
        let wanted = || unfit("files.keep", "it is a list of paths, such as keep = [\"kit/core/src/limit.rs\"]");
        let files = item.as_table_like().ok_or_else(wanted)?;
        known("files", files, &["keep"])?;
        if let Some(item) = files.get("keep") {
            for path in item.as_array().ok_or_else(wanted)?.iter() {
                keep.push(path.as_str().ok_or_else(wanted)?.to_owned());
            }
        }
    }
    Globs::parse(&keep).map_err(|failure| failure.in_file(PATH))?;
    let recorded = Answers::recorded(name, transport, integrations, &deploy, keep);
    Ok(recorded.map_err(|failure| failure.in_file(PATH))?)
}

fn integration(row: &Table) -> Result<Integration> {
    let Some(instance) = text_at(row, "instance") else {
        return Err(unfit("integrations", "each has an `instance`, its name in this project"));
    };
    let mut settings = std::collections::BTreeMap::new();
    for (key, item) in row.iter().filter(|(key, _)| !matches!(*key, "instance" | "provider" | "shape")) {
        let text = item.as_str().ok_or_else(|| unfit(&format!("integrations.{instance}.{key}"), "it is a text"))?;
        settings.insert(key.to_owned(), text.to_owned());
    }
    let (provider, shape) = (text_at(row, "provider"), text_at(row, "shape"));
    let made = match (provider, shape) {
        (Some(provider), None) => Integration::of_provider(provider, Some(instance)),
        (None, Some(shape)) => Integration::of_shape(instance, Some(shape), &mut settings),
        _ => return Err(unfit(&format!("integrations.{instance}"), "it has either a `provider` or a `shape`")),
    };
    let made = made.map_err(|failure| failure.in_file(PATH))?;
    if let Some(key) = settings.keys().next() {
        return Err(unfit(&format!("integrations.{instance}.{key}"), "nothing of this integration is called so"));
    }
    Ok(made)
}

fn text_at<'a>(table: &'a dyn TableLike, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str()
}

fn known(place: &str, table: &dyn TableLike, keys: &[&str]) -> Result<()> {
    if let Some((key, _)) = table.iter().find(|(key, _)| !keys.contains(key)) {
        let hint = match nearest(key, keys.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", keys.join(", ")),
        };
        let dot = if place.is_empty() { "" } else { "." };
        bail!(Failure::new(format!("`{PATH}` has an unknown key `{place}{dot}{key}`"), hint));
    }
    Ok(())
}

fn missing(key: &str, wanted: &str) -> anyhow::Error {
    refused(&format!("`{key}` in `{PATH}` is missing or does not fit"), wanted)
}

fn unfit(key: &str, wanted: &str) -> anyhow::Error {
    refused(&format!("`{key}` in `{PATH}` does not fit"), wanted)
}

fn refused(message: &str, wanted: &str) -> anyhow::Error {
    Failure::new(message, format!("{wanted}; or restore it: `git checkout -- {PATH}`")).into()
}

/// Gives the key `old` the name `new`, in its table or in every row of it, with its value, comments and place. Both are
/// dotted. A key that has the new name already is left alone.
fn rename(table: &mut dyn TableLike, old: &str, new: &str) {
    if let (Some((head, old)), Some((_, new))) = (old.split_once('.'), new.split_once('.')) {
        match table.get_mut(head) {
            Some(Item::ArrayOfTables(rows)) => rows.iter_mut().for_each(|row| rename(row, old, new)),
            Some(item) => item.as_table_like_mut().into_iter().for_each(|inner| rename(inner, old, new)),
            None => {}
        }
        return;
    }
    if table.contains_key(new) {
        return;
    }
    // A new key goes to the end; taking out and putting back those behind the old one keeps the order.
    let keys: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).skip_while(|key| key != old).collect();
    for key in keys {
        let decor = table.key(&key).map(|key| key.leaf_decor().clone());
        let name = if key == old { new } else { &key };
        if let Some(item) = table.remove(&key) {
            table.insert(name, item);
        }
        if let (Some(decor), Some(mut key)) = (decor, table.key_mut(name)) {
            *key.leaf_decor_mut() = decor;
        }
    }
}
