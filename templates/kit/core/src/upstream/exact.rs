// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Integers in JSON that 64 bits do not hold. The parser would read such an id as a float, and the float is another id:
//! `36893488147419103233` becomes `3.6893488147419103e19`. Here it becomes text before it is parsed.

use serde_json::Value;

/// Reads `json`; an integer beyond 64 bits is read as a string of its digits.
pub(crate) fn parse(json: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(&quoted(json))
}

/// `json` with quotes around every such integer. What is not JSON stays what it was, for the parser to refuse.
fn quoted(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some(&first) = rest.first() {
        let end = match first {
            b'"' => string_end(rest),
            b'-' | b'0'..=b'9' => rest.iter().position(|byte| !b"+-.eE0123456789".contains(byte)).unwrap_or(rest.len()),
            _ => 1,
        };
        let (token, after) = rest.split_at(end);
        let quote: &[u8] = if is_beyond(token) { b"\"" } else { b"" };
        for part in [quote, token, quote] {
            out.extend_from_slice(part);
        }
        rest = after;
    }
    out
}

/// Where the string ends that `text` begins with.
fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn is_beyond(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    let is_integer = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let fits = |text: &str| text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok();
    is_integer && !std::str::from_utf8(token).is_ok_and(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_integer_beyond_64_bits_keeps_its_digits() {
        let list =
            super::parse(br#"[36893488147419103233, -9223372036854775809, {"id":18446744073709551616}]"#).unwrap();
        assert_eq!(list, json!(["36893488147419103233", "-9223372036854775809", {"id": "18446744073709551616"}]));
    }

    #[test]
    fn everything_else_is_read_as_it_stands() {
        let text = r#"{"a":[0,18446744073709551615,-9223372036854775808,1e30,-0.5],"b\"36893488147419103233":"1, 36893488147419103233"}"#;
        assert_eq!(super::parse(text.as_bytes()).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "\"36893488147419103233", "36893488147419103233x", "\"\\", "--36893488147419103233"] {
            assert!(super::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
