// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What may be told of a call's arguments. Default is no: a value is told only where the tool's schema marks its property
//! with `"x-log": "plain"` (in Rust `#[schemars(extend("x-log" = "plain"))]`); of everything else leave its type, its length
//! and a keyed hash, by which the same value is known again and no value is found out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::canonical::{self, Object};
use super::record::{hex, keyed};
use crate::secret::Secret;

/// The mark in a schema.
pub(crate) const MARK: &str = "x-log";
/// Arguments that take more than this are told as one value.
const MAX_BYTES: usize = 2_048;
/// A longer string is not told, marked or not.
const MAX_PLAIN: usize = 256;
/// A longer list is not told.
const MAX_ITEMS: usize = 32;
/// Properties nested deeper are not told.
const MAX_DEPTH: usize = 8;
/// Stands for the properties that the schema does not know: their names are a caller's words.
const OTHERS: &str = "*";

/// Arguments, as far as they may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// Canonical JSON.
    pub text: String,
    /// Keyed hash over all of the arguments.
    pub hmac: String,
}

/// What the schema of a tool's arguments lets be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape(Node);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Node {
    #[default]
    Hidden,
    /// Strings, numbers, flags and lists of these.
    Plain,
    /// By property.
    Object(BTreeMap<String, Node>),
}

impl Shape {
    /// Reads it out of a schema.
    pub fn of(schema: &Map<String, Value>) -> Self {
        Self(node(schema, schema, 0))
    }
}

fn node(root: &Map<String, Value>, schema: &Map<String, Value>, depth: usize) -> Node {
    if depth > MAX_DEPTH {
        return Node::Hidden;
    }
    if schema.get(MARK).and_then(Value::as_str) == Some("plain") {
        return Node::Plain;
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"))
        && let Some(Value::Object(target)) = root.get("$defs").and_then(|defs| defs.get(name))
    {
        return node(root, target, depth + 1);
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let child = |(name, schema): (&String, &Value)| {
            let node = schema.as_object().map_or(Node::Hidden, |schema| node(root, schema, depth + 1));
            (name.clone(), node)
        };
        return Node::Object(properties.iter().map(child).collect());
    }
    // An `Option` of a struct. Of several forms nobody knows here which one the value has.
    let forms = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let mut forms = forms.filter(|form| form.get("type").and_then(Value::as_str) != Some("null"));
    match (forms.next(), forms.next()) {
        (Some(only), None) => node(root, only, depth + 1),
        _ => Node::Hidden,
    }
}

/// Takes the marks out of a schema: clients have no use for them.
pub(crate) fn strip_marks(schema: &mut Map<String, Value>) {
    schema.remove(MARK);
    for (key, value) in schema.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs" | "patternProperties", Value::Object(named)) => {
                named.values_mut().filter_map(Value::as_object_mut).for_each(strip_marks);
            }
            ("enum" | "const" | "default" | "examples", _) => {}
            (_, Value::Array(items)) => items.iter_mut().filter_map(Value::as_object_mut).for_each(strip_marks),
            (_, Value::Object(inner)) => strip_marks(inner),
            _ => {}
        }
    }
}

/// Tells what may be told.
#[derive(Clone)]
pub struct Redactor(Hmac<Sha256>);

impl Redactor {
    /// `key` is the server key for redaction.
    pub(crate) fn new(key: &Secret) -> Self {
        Self(keyed(key))
    }

    /// What may be told of `arguments`.
    pub fn arguments(&self, shape: &Shape, arguments: &Value) -> Redacted {
        let mut whole = String::new();
        canonical::value(&mut whole, arguments);
        let hmac = self.hash("args", whole.as_bytes(), 16);
        let mut text = String::new();
        self.write(&mut text, &shape.0, arguments);
        if text.len() > MAX_BYTES {
            text.clear();
            self.summary(&mut text, type_of(arguments), Some(whole.len()), Some(whole.as_bytes()));
        }
        Redacted { text, hmac }
    }

    /// The keyed hash of `bytes`: eight letters that tell the same from another.
    pub fn mark(&self, bytes: &[u8]) -> String {
        self.hash("mark", bytes, 4)
    }

    /// The keyed hash of an answer.
    pub(crate) fn answer(&self, text: &str) -> String {
        self.hash("answer", text.as_bytes(), 8)
    }

    fn write(&self, out: &mut String, node: &Node, value: &Value) {
        match (node, value) {
            (Node::Plain, value) if tellable(value) => canonical::value(out, value),
            (Node::Object(known), Value::Object(fields)) => {
                let others = fields.iter().filter(|(name, _)| !known.contains_key(*name) || *name == OTHERS);
                let others: Map<String, Value> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
                let mut object = Object::begin(out);
                // It sorts before every letter; a name that sorts before it is none that a schema made from a type has.
                if !others.is_empty() {
                    self.hide(object.name(OTHERS), &Value::Object(others));
                }
                for (name, node) in known.iter().filter(|(name, _)| *name != OTHERS) {
                    if let Some(value) = fields.get(name) {
                        self.write(object.name(name), node, value);
                    }
                }
                object.end();
            }
            (_, value) => self.hide(out, value),
        }
    }

    fn hide(&self, out: &mut String, value: &Value) {
        let of = type_of(value);
        match value {
            // A hash of one of two values is that value for whoever has seen both.
            Value::Null | Value::Bool(_) => self.summary(out, of, None, None),
            Value::Number(number) => self.summary(out, of, None, Some(number.to_string().as_bytes())),
            Value::String(text) => self.summary(out, of, Some(text.chars().count()), Some(text.as_bytes())),
            Value::Array(items) => self.summary(out, of, Some(items.len()), None),
            Value::Object(fields) => {
                let mut whole = String::new();
                canonical::value(&mut whole, value);
                self.summary(out, of, Some(fields.len()), Some(whole.as_bytes()));
            }
        }
    }

    fn summary(&self, out: &mut String, of: &str, len: Option<usize>, hashed: Option<&[u8]>) {
        let mut object = Object::begin(out);
        if let Some(bytes) = hashed {
            object.text("hmac", &self.hash(of, bytes, 4));
        }
        if let Some(len) = len {
            let _ = write!(object.name("len"), "{len}");
        }
        object.text("type", of);
        object.end();
    }

    /// The first `bytes` bytes of the hash, in hex. `of` keeps `5` and `"5"` apart.
    fn hash(&self, of: &str, value: &[u8], bytes: usize) -> String {
        let mut mac = self.0.clone();
        mac.update(of.as_bytes());
        mac.update(&[0]);
        mac.update(value);
        hex(&mac.finalize().into_bytes()[..bytes])
    }
}

/// Whether a marked value is one that may be told: no object, whose names are not marked, and nothing long.
fn tellable(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= MAX_PLAIN,
        Value::Array(items) => {
            items.len() <= MAX_ITEMS && items.iter().all(|item| !item.is_array() && !item.is_object() && tellable(item))
        }
        Value::Object(_) => false,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::schema;

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Args {
        #[schemars(extend("x-log" = "plain"))]
        limit: Option<u32>,
        #[schemars(extend("x-log" = "plain"))]
        fields: Vec<String>,
        query: String,
        nested: Option<Nested>,
        secret_flag: bool,
        amount: f64,
        ids: Vec<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "only its schema is looked at")]
    struct Nested {
        #[schemars(extend("x-log" = "plain"))]
        from: String,
        to: String,
        /// A recursive type ends somewhere.
        more: Option<Box<Nested>>,
    }

    fn redactor() -> Redactor {
        Redactor::new(&Secret::new(vec![7; 32]))
    }

    fn told(arguments: &Value) -> String {
        redactor().arguments(&Shape::of(&schema::input::<Args>()), arguments).text
    }

    #[test]
    fn a_value_is_told_where_the_schema_says_so() {
        let arguments = json!({
            "limit": 5, "fields": ["id", "name"], "query": "jane@acme.test", "secret_flag": true, "amount": 12.5,
            "ids": ["a", "b", "c"], "nested": {"from": "2026-01-01", "to": "2026-02-01"}, "brought": "along",
        });
        assert_eq!(
            told(&arguments),
            concat!(
                r#"{"*":{"hmac":"790edbc0","len":1,"type":"object"},"amount":{"hmac":"89effead","type":"number"},"#,
                r#""fields":["id","name"],"ids":{"len":3,"type":"array"},"limit":5,"#,
                r#""nested":{"from":"2026-01-01","to":{"hmac":"5c0bd9db","len":10,"type":"string"}},"#,
                r#""query":{"hmac":"856abfee","len":14,"type":"string"},"secret_flag":{"type":"boolean"}}"#
            )
        );
    }

    #[test]
    fn a_marked_value_that_is_long_or_an_object_is_not_told() {
        let hidden = told(&json!({"limit": {"a": 1}, "fields": [["x"]]}));
        assert_eq!(
            hidden,
            r#"{"fields":{"len":1,"type":"array"},"limit":{"hmac":"91e8e9cb","len":1,"type":"object"}}"#
        );
        let long = told(&json!({"limit": "x".repeat(257)}));
        assert_eq!(long, r#"{"limit":{"hmac":"d43bf5a0","len":257,"type":"string"}}"#);
    }

    #[test]
    fn what_is_no_object_is_not_told() {
        assert_eq!(told(&json!(["a"])), r#"{"len":1,"type":"array"}"#);
        assert_eq!(told(&json!(null)), r#"{"type":"null"}"#);
    }

    #[test]
    fn arguments_that_take_too_much_are_told_as_one() {
        let fields = vec!["y".repeat(100); 30];
        let text = told(&json!({"fields": fields}));
        assert_eq!(text, r#"{"hmac":"49106506","len":3102,"type":"object"}"#);
    }

    #[test]
    fn the_same_arguments_have_the_same_hash_in_any_order() {
        let hmac = |text: &str| {
            let value = serde_json::from_str(text).unwrap();
            redactor().arguments(&Shape::default(), &value).hmac
        };
        assert_eq!(hmac(r#"{"a":1,"b":2}"#), hmac(r#"{"b": 2, "a": 1}"#));
        assert_ne!(hmac(r#"{"a":1}"#), hmac(r#"{"a":"1"}"#));
        assert_eq!(hmac("{}").len(), 32);
    }

    #[test]
    fn marks_do_not_reach_clients() {
        let mut schema = schema::input::<Args>();
        assert!(Value::Object(schema.clone()).to_string().contains(MARK));
        strip_marks(&mut schema);
        assert!(!Value::Object(schema).to_string().contains(MARK));
    }

    /// Random arguments, each value and each unknown name from letters that nothing else here has.
    #[test]
    fn nothing_that_is_not_marked_survives() {
        let (redactor, shape) = (redactor(), Shape::of(&schema::input::<Args>()));
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..500 {
            let mut values = Vec::new();
            let mut word = |values: &mut Vec<String>| {
                let letter = |n| match n {
                    0 => '"',
                    1 => '\\',
                    n => char::from_u32(0x3b1 + n as u32).unwrap_or('Q'),
                };
                let text: String = (0..6 + next(20)).map(|_| letter(next(200))).collect();
                values.push(text.clone());
                text
            };
            let names = ["query", "nested", "secret_flag", "amount", "ids", "limit", "fields"];
            let mut arguments = Map::new();
            for name in names {
                let (a, b, c) = (word(&mut values), word(&mut values), word(&mut values));
                // What is not a scalar stays hidden under a mark too.
                let value = json!({"to": a, "more": {"to": b, "more": [c.clone()]}, c.as_str(): {b.as_str(): a}});
                arguments.insert(name.to_owned(), if name == "query" { json!(a) } else { value });
            }
            let (name, value) = (word(&mut values), word(&mut values));
            arguments.insert(name, json!(value));
            let text = redactor.arguments(&shape, &Value::Object(arguments.clone())).text;
            for value in values {
                let chars: Vec<char> = value.chars().collect();
                for window in chars.windows(6) {
                    let part: String = window.iter().collect();
                    let escaped = serde_json::to_string(&part).unwrap();
                    assert!(!text.contains(&part) && !text.contains(escaped.trim_matches('"')), "{text}");
                }
            }
        }
    }
}
