//! Changes of a TOML file that its owner edits too, key by key: what mcpkit changed between two versions is carried over
//! where the owner left the old value, and told where not. Order, comments and layout are the owner's and stay.

use anyhow::{Context as _, Result};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::exit::Failure;

/// The text afterwards, and what was left as the owner had it although mcpkit has something new.
#[derive(Debug, PartialEq, Eq)]
pub struct Edited {
    /// The whole file.
    pub text: String,
    /// One line for each such key.
    pub notes: Vec<String>,
}

/// Carries the way from `base` to `target` into `user`. All three have LF line ends. Fails if one is not TOML.
pub fn merge(base: &str, user: &str, target: &str) -> Result<Edited> {
    let base: DocumentMut = base
        .parse()
        .map_err(|error| Failure::new(format!("its pristine text is not TOML: {error}"), "git checkout -- .mcpkit"))?;
    let target: DocumentMut = target.parse().context("failed to read mcpkit's own as TOML")?;
    let mut document: DocumentMut = user
        .parse()
        .map_err(|error| Failure::new(format!("it is not TOML: {error}"), "mend that line and run it again"))?;
    let mut notes = Vec::new();
    table(Some(base.as_table()), document.as_table_mut(), target.as_table(), "", &mut notes);
    Ok(Edited { text: document.to_string(), notes })
}

/// The oldest compiler that the workspace `text` says it builds with.
pub fn rust_version(text: &str) -> Option<String> {
    let document: DocumentMut = text.parse().ok()?;
    let places = [&["workspace", "package", "rust-version"][..], &["package", "rust-version"]];
    places.iter().find_map(|place| {
        let mut item = document.as_item();
        for key in *place {
            item = item.get(*key)?;
        }
        item.as_str().map(str::to_owned)
    })
}

fn table(
    base: Option<&dyn TableLike>,
    user: &mut dyn TableLike,
    target: &dyn TableLike,
    path: &str,
    notes: &mut Vec<String>,
) {
    let before = |key: &str| base.and_then(|base| base.get(key));
    for (key, new) in target.iter() {
        let shown = join(path, key);
        let old = before(key);
        if old.is_some_and(|old| same(old, new)) {
            continue;
        }
        match user.get_mut(key) {
            None if old.is_none() => insert(user, target, key, new),
            // All rows are gone; there may be new ones all the same.
            None if let Some(new) = new.as_array_of_tables() => {
                let mut now = ArrayOfTables::new();
                rows(old.and_then(Item::as_array_of_tables), &mut now, new, &shown, notes);
                if !now.is_empty() {
                    user.insert(key, Item::ArrayOfTables(now));
                }
            }
            None => notes.push(format!("`{shown}` is gone; mcpkit's is now {}", brief(new))),
            Some(now) if holds_packages(path) => package(old, now, new, &shown, notes),
            Some(now) => item(old, now, new, &shown, notes),
        }
    }
    let Some(base) = base else { return };
    let gone: Vec<String> =
        base.iter().filter(|(key, _)| target.get(key).is_none()).map(|(key, _)| key.to_owned()).collect();
    for key in gone {
        let (Some(old), Some(now)) = (base.get(&key), user.get(&key)) else { continue };
        if same(old, now) {
            user.remove(&key);
        } else {
            notes.push(format!("`{}` is not needed any more; it stays, since it was changed here", join(path, &key)));
        }
    }
}

fn item(old: Option<&Item>, now: &mut Item, new: &Item, shown: &str, notes: &mut Vec<String>) {
    if same(now, new) {
        return;
    }
    if let (Some(now), Some(new)) = (now.as_array_of_tables_mut(), new.as_array_of_tables()) {
        return rows(old.and_then(Item::as_array_of_tables), now, new, shown, notes);
    }
    if let (Some(mine), Some(new)) = (now.as_table_like_mut(), new.as_table_like()) {
        let keys = mine.len();
        table(old.and_then(Item::as_table_like), mine, new, shown, notes);
        let grown = mine.len() > keys;
        if let Some(inline) = now.as_inline_table_mut().filter(|_| grown) {
            space(inline);
        }
        return;
    }
    if let (Some(now), Some(new)) = (now.as_array_mut(), new.as_array()) {
        return array(old.and_then(Item::as_array), now, new);
    }
    match old {
        Some(old) if same(old, now) => replace(now, new),
        _ => notes.push(format!("`{shown}` stays {}; mcpkit's is {}", brief(now), brief(new))),
    }
}

/// Whether the keys of the table at `path` are packages.
fn holds_packages(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or_default();
    matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
}

/// A dependency may be written as its version, and its owner may have moved all but its features to the workspace.
fn package(old: Option<&Item>, now: &mut Item, new: &Item, shown: &str, notes: &mut Vec<String>) {
    let inherits = |item: &Item| item.get("workspace").is_some();
    if now.is_str() && new.is_str() || same(now, new) || old.is_some_and(|old| now.is_str() && same(old, now)) {
        return item(old, now, new, shown, notes);
    }
    let (mut old, mut new) = (old.map(spelled_out), spelled_out(new));
    if inherits(now) && !inherits(&new) {
        let source = |item: &Item| without(item, |key| matches!(key, "features" | "optional"));
        if old.as_ref().is_none_or(|old| !same(&source(old), &source(&new))) {
            notes.push(format!("`{shown}` comes from the workspace here; mcpkit's is {}", brief(&new)));
        }
        let usage = |item: &Item| without(item, |key| !matches!(key, "features" | "optional"));
        (old, new) = (old.as_ref().map(usage), usage(&new));
    }
    let mut spelled = spelled_out(now);
    item(old.as_ref(), &mut spelled, &new, shown, notes);
    // Its layout stays as it was if there is nothing to say in more words.
    if now.is_table_like() {
        *now = spelled;
    } else if !same(now, &spelled) {
        replace(now, &spelled);
    }
}

/// `"1"` as `{ version = "1" }`.
fn spelled_out(item: &Item) -> Item {
    match item.as_str() {
        Some(version) => {
            let mut table = InlineTable::new();
            table.insert("version", version.into());
            Item::Value(table.into())
        }
        None => item.clone(),
    }
}

fn without(item: &Item, left_out: impl Fn(&str) -> bool) -> Item {
    let mut item = item.clone();
    if let Some(table) = item.as_table_like_mut() {
        let keys: Vec<String> = table.iter().map(|(key, _)| key.to_owned()).filter(|key| left_out(key)).collect();
        keys.iter().for_each(|key| drop(table.remove(key)));
    }
    item
}

/// Keys that came from elsewhere brought their own spaces, or none.
fn space(table: &mut InlineTable) {
    let last = table.len() - 1;
    for (place, (mut key, value)) in table.iter_mut().enumerate() {
        key.leaf_decor_mut().set_prefix(" ");
        value.decor_mut().set_suffix(if place == last { " " } else { "" });
    }
}

/// Elements that mcpkit added or took away; the owner's own stay where they are.
fn array(old: Option<&Array>, now: &mut Array, new: &Array) {
    let has = |array: &Array, value: &Value| array.iter().any(|other| plain(other) == plain(value));
    now.retain(|value| has(new, value) || !old.is_some_and(|old| has(old, value)));
    for value in new.iter() {
        if !has(now, value) && !old.is_some_and(|old| has(old, value)) {
            push(now, plain_value(value));
        }
    }
}

/// Adds to an array as its other elements are written: beside them, or on a line of its own. What stands behind the last
/// element, its comment too, stays behind it.
fn push(array: &mut Array, mut value: Value) {
    let mut behind = array.trailing().as_str().unwrap_or_default().to_owned();
    let trailing_comma = array.trailing_comma();
    let last = array.iter_mut().last();
    let (empty, mut before) = (last.is_none(), String::new());
    if let Some(last) = last {
        before = last.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default().to_owned();
        if !trailing_comma {
            // Without a last comma, what follows the last element belongs to it.
            let suffix = last.decor().suffix().and_then(|raw| raw.as_str()).unwrap_or_default();
            behind = format!("{suffix}{behind}");
            last.decor_mut().set_suffix("");
        }
    }
    let indent = match before.rsplit_once('\n') {
        Some((_, indent)) => indent,
        None if behind.contains('#') => "    ",
        None => {
            value.decor_mut().set_prefix(if empty { "" } else { " " });
            array.push_formatted(value);
            array.set_trailing(behind);
            array.set_trailing_comma(trailing_comma);
            return;
        }
    };
    // The bracket stays where it is: on a line of its own, or behind the last element.
    let (comment, bracket) = match behind.rfind('\n') {
        Some(end) => behind.split_at(end),
        None => ("", behind.as_str()),
    };
    value.decor_mut().set_prefix(format!("{comment}\n{indent}"));
    array.push_formatted(value);
    array.set_trailing(bracket);
    array.set_trailing_comma(trailing_comma || bracket.starts_with('\n'));
}

/// Tables of one array are told apart by the key that names them. A new one goes where its name belongs.
fn rows(
    old: Option<&ArrayOfTables>,
    now: &mut ArrayOfTables,
    new: &ArrayOfTables,
    shown: &str,
    notes: &mut Vec<String>,
) {
    let find = |array: &ArrayOfTables, name: &str| array.iter().position(|row| name_of(row) == name);
    for row in new.iter() {
        let name = name_of(row);
        let before = old.and_then(|old| old.get(find(old, &name)?));
        let path = format!("{shown}.{name}");
        if before.is_some_and(|before| same_table(before, row)) {
            continue;
        }
        match find(now, &name).and_then(|place| now.get_mut(place)) {
            Some(mine) => table(before.map(|row| row as &dyn TableLike), mine, row, &path, notes),
            None if before.is_some() => notes.push(format!("`{path}` is gone and stays so, although mcpkit's is new")),
            None => {
                let mut rows: Vec<Table> = now.iter().cloned().collect();
                let place = rows.iter().position(|other| name_of(other) > name).unwrap_or(rows.len());
                let mut row = row.clone();
                // Without a position of its own it is written behind the one before it.
                row.set_position(None);
                match rows.get_mut(place) {
                    // The first table of a file has no empty line above it, and another is the first now.
                    Some(next) if !above(next).starts_with('\n') => {
                        let (mine, theirs) = (above(&row).trim_start().to_owned(), format!("\n{}", above(next)));
                        row.decor_mut().set_prefix(mine);
                        next.decor_mut().set_prefix(theirs);
                    }
                    _ if !above(&row).starts_with('\n') => {
                        let mine = format!("\n{}", above(&row));
                        row.decor_mut().set_prefix(mine);
                    }
                    _ => {}
                }
                rows.insert(place, row);
                now.clear();
                rows.into_iter().for_each(|row| now.push(row));
            }
        }
    }
    for row in old.into_iter().flat_map(ArrayOfTables::iter) {
        let name = name_of(row);
        if find(new, &name).is_none()
            && let Some(place) = find(now, &name)
            && now.get(place).is_some_and(|mine| same_table(mine, row))
        {
            now.remove(place);
        }
    }
}

/// What is written between a table and the one before it.
fn above(table: &Table) -> &str {
    table.decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default()
}

fn name_of(row: &Table) -> String {
    let name = ["instance", "name", "path"].iter().find_map(|key| row.get(key)?.as_str());
    name.unwrap_or_default().to_owned()
}

/// Adds `key` at the end of the owner's table, with the comment that `target` has above it.
fn insert(user: &mut dyn TableLike, target: &dyn TableLike, key: &str, new: &Item) {
    let mut new = new.clone();
    forget_positions(&mut new);
    if let Some(value) = new.as_value_mut() {
        let beside = value.decor().suffix().and_then(|raw| raw.as_str()).unwrap_or_default().trim_end().to_owned();
        value.decor_mut().set_suffix(beside);
    }
    user.insert(key, new);
    if let (Some((formatted, _)), Some(mut mine)) = (target.get_key_value(key), user.key_mut(key)) {
        *mine.dotted_decor_mut() = formatted.dotted_decor().clone();
        *mine.leaf_decor_mut() = formatted.leaf_decor().clone();
        let above = formatted.leaf_decor().prefix().and_then(|raw| raw.as_str()).unwrap_or_default();
        // A mere space is how a table on one line is written, not this one.
        mine.leaf_decor_mut().set_prefix(above.trim_matches(' '));
    }
}

/// Positions are those of another document.
fn forget_positions(item: &mut Item) {
    match item {
        Item::Table(table) => {
            table.set_position(None);
            table.iter_mut().for_each(|(_, item)| forget_positions(item));
        }
        Item::ArrayOfTables(rows) => rows.iter_mut().for_each(|row| row.set_position(None)),
        _ => {}
    }
}

/// Takes over a value and keeps the comment beside it.
fn replace(now: &mut Item, new: &Item) {
    let decor = now.as_value().map(|value| value.decor().clone());
    *now = new.clone();
    if let (Some(decor), Some(value)) = (decor, now.as_value_mut()) {
        *value.decor_mut() = decor;
    }
}

/// Whether two items say the same, however they are written.
fn same(one: &Item, other: &Item) -> bool {
    match (one.as_table_like(), other.as_table_like()) {
        (Some(one), Some(other)) => same_table(one, other),
        // A dependency that is only its version can be written as a text.
        (Some(table), None) | (None, Some(table)) => {
            let text = one.as_str().or_else(|| other.as_str());
            table.len() == 1 && text.is_some() && table.get("version").and_then(Item::as_str) == text
        }
        (None, None) => match (one.as_array_of_tables(), other.as_array_of_tables()) {
            (Some(one), Some(other)) => {
                one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| same_table(one, other))
            }
            _ => one.as_value().map(plain) == other.as_value().map(plain),
        },
    }
}

fn same_table(one: &dyn TableLike, other: &dyn TableLike) -> bool {
    one.len() == other.len() && one.iter().all(|(key, item)| other.get(key).is_some_and(|other| same(item, other)))
}

/// A value without the space and the comments around it.
fn plain_value(value: &Value) -> Value {
    match value {
        Value::Array(array) => Value::Array(array.iter().map(plain_value).collect()),
        Value::InlineTable(table) => {
            Value::InlineTable(table.iter().map(|(key, value)| (key, plain_value(value))).collect())
        }
        Value::String(text) => text.value().as_str().into(),
        Value::Integer(number) => (*number.value()).into(),
        Value::Boolean(truth) => (*truth.value()).into(),
        other => other.clone().decorated("", ""),
    }
}

fn plain(value: &Value) -> String {
    plain_value(value).to_string()
}

/// A value in one short line.
fn brief(item: &Item) -> String {
    match item.as_value() {
        Some(value) => {
            let text = plain(value);
            let short: String = text.chars().take(60).collect();
            if short.len() < text.len() { format!("`{short}…`") } else { format!("`{short}`") }
        }
        None => "a table".to_owned(),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
