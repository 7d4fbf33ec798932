// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! JSON Schemas of arguments and answers: made from the Rust types, stripped of what only costs the model tokens, and
//! enforced where serde does not enforce them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::error::ToolError;

/// Arguments nested deeper than this are refused before they are looked at.
const MAX_DEPTH: usize = 32;

/// The schema of a tool's arguments.
pub fn input<T: JsonSchema>() -> Map<String, Value> {
    finish(SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>())
}

/// The schema of a tool's answer.
pub fn output<T: JsonSchema>() -> Map<String, Value> {
    finish(SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>())
}

fn finish(schema: schemars::Schema) -> Map<String, Value> {
    let mut value = schema.to_value();
    strip(&mut value);
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// Takes the Rust type's name (`title`) and the repeated `$schema` out. A property that is *called* `title` stays.
fn strip(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    object.remove("$schema");
    object.remove("title");
    for (key, value) in object.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs" | "patternProperties", Value::Object(named)) => named.values_mut().for_each(strip),
            ("enum" | "const" | "default" | "examples", _) => {}
            (_, Value::Array(items)) => items.iter_mut().for_each(strip),
            (_, value) => strip(value),
        }
    }
}

/// Checks the bounds that a schema states and serde ignores: `minimum`, `maximum`, and the lengths of strings and
/// arrays. Types and unknown fields are serde's part.
pub fn check(schema: &Map<String, Value>, value: &Value) -> Result<(), ToolError> {
    walk(schema, schema, value, "arguments", 0)
}

fn walk(
    root: &Map<String, Value>,
    schema: &Map<String, Value>,
    value: &Value,
    at: &str,
    depth: usize,
) -> Result<(), ToolError> {
    if depth > MAX_DEPTH {
        return Err(ToolError::invalid(format!("`{at}` is nested more than {MAX_DEPTH} levels deep")));
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"))
        && let Some(Value::Object(target)) = root.get("$defs").and_then(|defs| defs.get(name))
    {
        return walk(root, target, value, at, depth + 1);
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let refuse = |what: &str, limit: f64| Err(ToolError::invalid(format!("`{at}` must have {what} {limit}")));
    let within = |size: f64, low: &str, high: &str, what: &str| match (bound(low), bound(high)) {
        (Some(min), _) if size < min => refuse(&format!("{what} of at least"), min),
        (_, Some(max)) if size > max => refuse(&format!("{what} of at most"), max),
        _ => Ok(()),
    };
    match value {
        Value::Number(number) => within(number.as_f64().unwrap_or(0.0), "minimum", "maximum", "a value"),
        #[allow(clippy::cast_precision_loss, reason = "a body limit keeps lengths far below 2^52")]
        Value::String(text) => within(text.chars().count() as f64, "minLength", "maxLength", "a length"),
        #[allow(clippy::cast_precision_loss, reason = "a body limit keeps lengths far below 2^52")]
        Value::Array(items) => {
            within(items.len() as f64, "minItems", "maxItems", "a number of items")?;
            match schema.get("items") {
                Some(Value::Object(inner)) => items
                    .iter()
                    .enumerate()
                    .try_for_each(|(n, item)| walk(root, inner, item, &format!("{at}[{n}]"), depth + 1)),
                _ => Ok(()),
            }
        }
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            match schema.get("properties").and_then(|properties| properties.get(name)) {
                Some(Value::Object(inner)) => walk(root, inner, field, &format!("{at}.{name}"), depth + 1),
                _ => Ok(()),
            }
        }),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Args {
        /// Words.
        #[schemars(length(min = 1, max = 5))]
        title: String,
        #[schemars(range(min = 1, max = 100))]
        limit: Option<u32>,
    }

    #[test]
    fn a_schema_keeps_fields_called_title_and_loses_the_type_name() {
        let schema = Value::Object(super::input::<Args>());
        assert_eq!(schema["properties"]["title"]["maxLength"], 5);
        assert_eq!((schema.get("title"), schema.get("$schema")), (None, None));
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn bounds_of_the_schema_are_enforced() {
        let schema = super::input::<Args>();
        let refused = |value: Value| super::check(&schema, &value).map_err(|e| e.to_string());
        assert_eq!(refused(json!({"title": "ok", "limit": 100})), Ok(()));
        assert_eq!(
            refused(json!({"title": "ok", "limit": 101})),
            Err("INVALID_ARGUMENTS: `arguments.limit` must have a value of at most 100".into())
        );
        assert_eq!(
            refused(json!({"title": ""})),
            Err("INVALID_ARGUMENTS: `arguments.title` must have a length of at least 1".into())
        );
    }
}
