// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Rest.li text in, JSON values out. The text may come from anywhere: time and stack are bounded, nothing is guessed,
//! and what does not fit the grammar is an error.

use std::fmt;

use serde_json::{Map, Value};

use super::escape::Form;

/// Lists and maps may be nested this deep.
const MAX_DEPTH: usize = 64;

/// Why a text is not Rest.li. The text itself stays out: it may hold ids of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Brackets, commas or colons do not fit, a value is missing, or text is left over.
    Syntax,
    /// A `%` is not followed by two hex digits, or the bytes are not UTF-8.
    Escape,
    /// A map has the same key twice.
    RepeatedKey,
    /// More than 64 lists and maps inside each other.
    TooDeep,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "the text is not a rest.li value",
            Self::Escape => "a percent escape of a rest.li value is wrong",
            Self::RepeatedKey => "a map of a rest.li value has a key twice",
            Self::TooDeep => "a rest.li value is nested too deep",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Reads what [`encode`](super::encode) writes.
///
/// `(k:List(a%20b,1,''))` becomes `{"k": ["a b", "1", ""]}`. Every scalar is a string, numbers, booleans and `null`
/// among them: the format has no types, and an id that looks like a number must not become one. A bare `+` is a plus.
pub fn decode(text: &str) -> Result<Value, DecodeError> {
    Parser { rest: text, form: Form::Url }.all()
}

/// Reads the header `X-RestLi-Id` and the keys of a batch's `results`, `statuses` and `errors`.
///
/// `urn:li:share:1` and `urn%3Ali%3Ashare%3A1` both become `"urn:li:share:1"`: the server sends simple ids raw, so
/// there is structure only in a text that begins with `(` or `List(`. Of the escapes only those of `, ( ) ' :` and `%`
/// are undone. Scalars are strings, as in [`decode`]. A simple id is never an error, whatever it holds.
pub fn decode_reduced(text: &str) -> Result<Value, DecodeError> {
    let mut parser = Parser { rest: text, form: Form::Reduced };
    match text.starts_with('(') || text.starts_with("List(") {
        true => parser.all(),
        false => parser.unescape(text).map(Value::String),
    }
}

struct Parser<'a> {
    rest: &'a str,
    form: Form,
}

impl Parser<'_> {
    fn all(&mut self) -> Result<Value, DecodeError> {
        let value = self.value(0)?;
        if self.rest.is_empty() { Ok(value) } else { Err(DecodeError::Syntax) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        if self.eats("List(") {
            self.list(depth + 1).map(Value::Array)
        } else if self.eats("(") {
            self.map(depth + 1).map(Value::Object)
        } else {
            self.scalar().map(Value::String)
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, DecodeError> {
        let mut items = Vec::new();
        if self.opens(depth)? {
            loop {
                items.push(self.value(depth)?);
                if self.closes()? {
                    break;
                }
            }
        }
        Ok(items)
    }

    fn map(&mut self, depth: usize) -> Result<Map<String, Value>, DecodeError> {
        let mut map = Map::new();
        if self.opens(depth)? {
            loop {
                let key = self.scalar()?;
                if !self.eats(":") {
                    return Err(DecodeError::Syntax);
                }
                if map.insert(key, self.value(depth)?).is_some() {
                    return Err(DecodeError::RepeatedKey);
                }
                if self.closes()? {
                    break;
                }
            }
        }
        Ok(map)
    }

    /// Whether anything stands between the bracket that was just read and its end.
    fn opens(&mut self, depth: usize) -> Result<bool, DecodeError> {
        if depth > MAX_DEPTH { Err(DecodeError::TooDeep) } else { Ok(!self.eats(")")) }
    }

    /// Whether the list or map ends here; if not, it goes on behind a comma.
    fn closes(&mut self) -> Result<bool, DecodeError> {
        if self.eats(")") {
            Ok(true)
        } else if self.eats(",") {
            Ok(false)
        } else {
            Err(DecodeError::Syntax)
        }
    }

    /// The text up to the next structure. A bare quote is not structure; the server takes it as itself too.
    fn scalar(&mut self) -> Result<String, DecodeError> {
        let end = self.rest.find([',', '(', ')', ':']).unwrap_or(self.rest.len());
        let (scalar, rest) = self.rest.split_at(end);
        self.rest = rest;
        if scalar.is_empty() { Err(DecodeError::Syntax) } else { self.unescape(scalar) }
    }

    fn unescape(&self, scalar: &str) -> Result<String, DecodeError> {
        self.form.unescape(scalar).ok_or(DecodeError::Escape)
    }

    fn eats(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}
