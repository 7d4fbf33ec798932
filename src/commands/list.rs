//! `mcpkit list`.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::catalog::{self, Item};
use crate::cli::Listing;
use crate::exit::Exit;
use crate::ui::Ui;

pub(super) fn run(what: Option<Listing>, ui: &Ui) -> Result<Exit> {
    let lists: [(Listing, &str, &[Item]); 4] = [
        (Listing::Providers, "providers", catalog::PROVIDERS),
        (Listing::Shapes, "shapes", catalog::SHAPES),
        (Listing::Targets, "targets", catalog::TARGETS),
        (Listing::Transports, "transports", catalog::TRANSPORTS),
    ];
    let chosen = lists.iter().filter(|(listing, ..)| what.is_none_or(|what| what == *listing));
    if ui.json {
        let rows = |items: &[Item]| items.iter().map(|item| json!({"id": item.id, "summary": item.summary})).collect();
        let object: Map<String, Value> = chosen.map(|(_, name, items)| ((*name).to_owned(), rows(items))).collect();
        ui.data(&format!("{}\n", Value::Object(object)))?;
        return Ok(Exit::Done);
    }
    for (n, (_, name, items)) in chosen.enumerate() {
        if what.is_none() {
            ui.data(&format!("{}{name}\n", if n == 0 { "" } else { "\n" }))?;
        }
        let indent = if what.is_none() { "  " } else { "" };
        items.iter().try_for_each(|item| ui.data(&format!("{indent}{:10} {}\n", item.id, item.summary)))?;
    }
    Ok(Exit::Done)
}
