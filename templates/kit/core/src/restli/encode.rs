// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! JSON values in, Rest.li text out. Keys are sorted, so a value has one text only, whatever order it was built in.

use serde_json::Value;

use super::escape::Form;

/// Writes `value` for a URL: a path key, the value of a query parameter, a tunnelled query.
///
/// `{"k": ["a b", 1, "", null]}` becomes `(k:List(a%20b,1,'',null))`; `urn:li:person:x` becomes
/// `urn%3Ali%3Aperson%3Ax`. Everything but `A-Z a-z 0-9 - _ . ! ~ *` is escaped, as upper-case UTF-8. Integers keep all
/// 64 bits. The format has no types: `1` and `"1"` give the same text, and so do `null` and `"null"`.
///
/// A value of `.` or `..` stays as it is, since no escape of a dot survives a URL parser. Whoever puts a value into a
/// path refuses those two first.
pub fn encode(value: &Value) -> String {
    text(value, Form::Url)
}

/// Writes `value` for a header or for a key in a JSON body (`entities` of a batch).
///
/// Only `, ( ) ' :` and `%` are escaped: `a b/é` stays, `urn:li:person:x` becomes `urn%3Ali%3Aperson%3Ax`. Otherwise as
/// [`encode`].
pub fn encode_reduced(value: &Value) -> String {
    text(value, Form::Reduced)
}

fn text(value: &Value, form: Form) -> String {
    let mut out = String::new();
    write(value, form, &mut out);
    out
}

fn write(value: &Value, form: Form, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        // Escaped too: with serde_json's `arbitrary_precision`, which any crate may turn on, a number can hold a `+`.
        Value::Number(number) => form.escape(&number.to_string(), out),
        Value::String(text) => form.escape(text, out),
        Value::Array(items) => {
            out.push_str("List(");
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write(item, form, out);
            }
            out.push(')');
        }
        Value::Object(map) => {
            // Sorted here: with `preserve_order`, which any crate may turn on, the map is not.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('(');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                form.escape(key, out);
                out.push(':');
                write(value, form, out);
            }
            out.push(')');
        }
    }
}
