//! The GraphQL of the sandbox: as much of it as holds the queries in `tools.rs` to what exists. A field that is not in the
//! data is refused as Shopify refuses it, so a slip of the pen fails here and not in production.

use kit::prelude::*;

/// A field of a query, with what is selected of it.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// What `text` selects. Arguments are left out: the variables say what they are.
pub(super) fn selection(text: &str) -> Vec<Field> {
    let mut depth = 0;
    let bare: String = text
        .chars()
        .filter(|&letter| {
            depth += i32::from(letter == '(');
            let kept = depth == 0;
            depth -= i32::from(letter == ')');
            kept
        })
        .collect();
    let spaced = bare.replace('{', " { ").replace('}', " } ");
    fields(&mut spaced.split_whitespace())
}

fn fields<'a>(words: &mut impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    while let Some(word) = words.next() {
        match (word, fields.last_mut()) {
            ("{", Some(last)) => last.fields = self::fields(words),
            ("{", None) => {}
            ("}", _) => break,
            (name, _) => fields.push(Field { name: name.to_owned(), fields: Vec::new() }),
        }
    }
    fields
}

/// What `fields` select of `value`; `Err` is the field that it does not have.
pub(super) fn select(value: &Value, fields: &[Field]) -> Result<Value, String> {
    match value {
        Value::Array(items) => items.iter().map(|item| select(item, fields)).collect(),
        Value::Object(object) if !fields.is_empty() => {
            let one = |field: &Field| {
                let inner = object.get(&field.name).ok_or_else(|| field.name.clone())?;
                Ok((field.name.clone(), select(inner, &field.fields)?))
            };
            fields.iter().map(one).collect::<Result<serde_json::Map<_, _>, _>>().map(Value::Object)
        }
        _ => Ok(value.clone()),
    }
}

/// Reads a field that can be searched.
pub(super) type Searched = fn(&Value, &str) -> Option<String>;

/// Whether `item` meets `query`: terms `field:value`, of which all must hold, and words that occur somewhere. One
/// that `of` cannot read is passed over, as Shopify does.
pub(super) fn meets(item: &Value, query: &str, of: Searched) -> bool {
    query.split_whitespace().filter(|term| *term != "AND").all(|term| match term.split_once(':') {
        None => item.to_string().to_lowercase().contains(&term.to_lowercase()),
        Some((field, wanted)) => {
            let bound = wanted.trim_start_matches(['<', '>', '=']);
            let Some(held) = of(item, field).map(|held| held.to_lowercase()) else { return true };
            let order = held.as_str().cmp(&bound.to_lowercase());
            match &wanted[..wanted.len() - bound.len()] {
                ">=" => order.is_ge(),
                ">" => order.is_gt(),
                "<=" => order.is_le(),
                "<" => order.is_lt(),
                _ => order.is_eq(),
            }
        }
    })
}
