// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The query string. No name and no value can begin another parameter.

use serde_json::Value;

use super::encode::encode;
use super::escape::{Form, percent};

/// Writes `params`, sorted by name and joined by `&`, then `fields`.
///
/// `query(&[("q", json!("search")), ("ids", json!(["urn:li:x:1"]))], Some("id,name"))` becomes
/// `ids=List(urn%3Ali%3Ax%3A1)&q=search&fields=id,name`. Nothing at all gives the empty string.
///
/// `fields`, the projection, is the exception of the protocol: Rest.li 1.0 style, last and raw, its commas bare. What
/// cannot be in a projection and would end the parameter, or be rewritten by a URL parser, is escaped all the same
/// (`&`, `#`, quotes, angle brackets, spaces, controls, non-ASCII). An empty projection is left out. A name that is
/// given twice is written twice, which the server refuses.
pub fn query(params: &[(&str, Value)], fields: Option<&str>) -> String {
    let mut sorted: Vec<_> = params.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut out = String::new();
    for (name, value) in sorted {
        separate(&mut out);
        Form::Url.escape(name, &mut out);
        out.push('=');
        out.push_str(&encode(value));
    }
    if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
        separate(&mut out);
        out.push_str("fields=");
        percent(fields, |c| c.is_ascii_graphic() && !"&#\"'<>".contains(c), &mut out);
    }
    out
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('&');
    }
}
