//! `mcpkit.toml`: what was asked and answered. Written for people, and edited key by key so that their comments stay.
//! With the filters of `render` the only place that knows toml_edit.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::answers::{Answers, Origin};

/// Where it lives.
pub const PATH: &str = "mcpkit.toml";

/// The manifest of a new project.
pub fn write(answers: &Answers) -> String {
    let mut document = DocumentMut::new();
    document["schema"] = value(1);
    document["version"] = value(env!("CARGO_PKG_VERSION"));
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
    format!(
        "# Records how this project was generated. Commit it: `mcpkit` reads it to extend and update the project.\n{document}"
    )
}

/// Whether `text` is TOML.
pub fn parses(text: &str) -> anyhow::Result<()> {
    text.parse::<DocumentMut>()?;
    Ok(())
}
