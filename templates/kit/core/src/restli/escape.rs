// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Percent escapes: which characters each form leaves bare, and the way back. No reserved character is left bare by any
//! form that writes values.

/// Where an encoded text will stand.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// A path, a query or a tunnelled query. One strict set that is valid in all of them.
    Url,
    /// A header or a key in a JSON body: the five reserved characters and `%` are escaped, nothing else.
    Reduced,
}

/// What the reduced form escapes. `%` is among them so that the way back is unambiguous.
const RESERVED: &str = ",()':%";

/// How an empty string is written. It counts only when bare: `%27%27` is a string of two quotes.
pub(super) const EMPTY: &str = "''";

impl Form {
    fn keeps(self, c: char) -> bool {
        match self {
            Self::Url => c.is_ascii_alphanumeric() || "-_.!~*".contains(c),
            Self::Reduced => !RESERVED.contains(c),
        }
    }

    fn decodes(self, byte: u8) -> bool {
        match self {
            Self::Url => true,
            Self::Reduced => RESERVED.as_bytes().contains(&byte),
        }
    }

    /// Appends the key or scalar `text`.
    pub(super) fn escape(self, text: &str, out: &mut String) {
        match text {
            "" => out.push_str(EMPTY),
            _ => percent(text, |c| self.keeps(c), out),
        }
    }

    /// The text that `escape` was given. `None` if an escape is cut off or the bytes are not UTF-8. The reduced form
    /// takes every `%` that begins none of its own escapes as itself, because some writers of that form do not escape
    /// it.
    pub(super) fn unescape(self, text: &str) -> Option<String> {
        if text == EMPTY {
            return Some(String::new());
        }
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            let escape = tail.split_first_chunk().and_then(|(digits, after)| Some((hex(*digits)?, after)));
            match escape.filter(|(byte, _)| first == b'%' && self.decodes(*byte)) {
                Some((byte, after)) => {
                    bytes.push(byte);
                    rest = after;
                }
                None if first == b'%' && matches!(self, Self::Url) => return None,
                None => bytes.push(first),
            }
        }
        String::from_utf8(bytes).ok()
    }
}

/// Appends `text` with every character that is not to be kept as the escapes of its UTF-8 bytes.
pub(super) fn percent(text: &str, keeps: impl Fn(char) -> bool, out: &mut String) {
    for c in text.chars() {
        if keeps(c) {
            out.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

fn hex(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}
