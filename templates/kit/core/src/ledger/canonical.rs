// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! JSON in one form only: names sorted, no space, numbers whole. What is hashed is written by this module, not by
//! serde_json, whose order of names hangs on a feature that any crate of the project can turn on.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes `text` as a JSON string.
pub(crate) fn text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            byte => number(out, "\\u", byte),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn number(out: &mut String, before: &str, byte: u8) {
    // A String takes whatever is written to it.
    let _ = write!(out, "{before}{byte:04x}");
}

/// Writes a whole number.
pub(crate) fn whole(out: &mut String, number: i64) {
    let _ = write!(out, "{number}");
}

/// Writes any value. A number that is not whole becomes a string: how a fraction is written is not settled between
/// libraries.
pub(crate) fn value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            let _ = write!(out, "{number}");
        }
        Value::Number(number) => text(out, &number.to_string()),
        Value::String(string) => text(out, string),
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                self::value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            let mut object = Object::begin(out);
            for name in names {
                self::value(object.name(name), &fields[name]);
            }
            object.end();
        }
    }
}

/// Writes an object, whose names the caller gives in order.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    /// Writes `name`; its value is to be written to what this returns.
    pub(crate) fn name(&mut self, name: &str) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        text(self.out, name);
        self.out.push(':');
        self.out
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        text(self.name(name), value);
    }

    pub(crate) fn whole(&mut self, name: &str, value: i64) {
        whole(self.name(name), value);
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn canonical(value: &Value) -> String {
        let mut out = String::new();
        super::value(&mut out, value);
        out
    }

    #[test]
    fn names_are_sorted_and_nothing_is_between_them() {
        let value = json!({"b": [1, -2, null, true], "a": {"z": "", "A": u64::MAX}});
        assert_eq!(canonical(&value), r#"{"a":{"A":18446744073709551615,"z":""},"b":[1,-2,null,true]}"#);
    }

    #[test]
    fn a_fraction_is_written_as_text() {
        assert_eq!(canonical(&json!([1.5, 1e300])), r#"["1.5","1e+300"]"#);
    }

    #[test]
    fn what_a_string_may_not_hold_is_escaped_and_reads_back() {
        let string = "\u{0}\u{1f}\"\\/\n\u{7f}ä\u{2028}😀";
        let out = canonical(&json!(string));
        assert_eq!(out, "\"\\u0000\\u001f\\\"\\\\/\\u000a\u{7f}ä\u{2028}😀\"");
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), string);
    }
}
