// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Query tunnelling: a query that a URL cannot carry goes into the body of a `POST`, and a header says what the verb
//! would have been. Tunnelled or not, the server sees the same query.

use super::escape::EMPTY;
use crate::ports::Method;

/// A longer query is tunnelled, in characters. It is what LinkedIn's clients do; above 4 KB the server answers 414.
const MAX_QUERY: usize = 4000;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A request as it goes on the wire. `X-RestLi-Method` and all else that does not depend on tunnelling is the caller's
/// to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The verb; `POST` if tunnelled.
    pub verb: Method,
    /// The path, as it was given.
    pub path: String,
    /// The encoded query, without `?`; empty for none and if tunnelled.
    pub query: String,
    /// `Content-Type`, and `X-HTTP-Method-Override` if tunnelled.
    pub headers: Vec<(&'static str, String)>,
    /// Body bytes; empty for none.
    pub body: Vec<u8>,
}

/// Tunnels a request if its query demands it: beyond 4000 characters, or if it holds an empty string. The `url` crate
/// writes the `''` of a query as `%27%27`, which the server reads as two quotes; a body it leaves alone.
///
/// - `GET`, no body → `POST`, a form body that is the query, `X-HTTP-Method-Override: GET`.
/// - `PUT`, JSON body → `POST`, `multipart/mixed` of the query and the JSON, `X-HTTP-Method-Override: PUT`.
/// - Otherwise as given, with `Content-Type: application/json` even without a body, as LinkedIn's clients send it.
///
/// `query` is what [`query`](super::query) gave, `body` is JSON, an empty one is none. `boundary` must be 1 to 70
/// letters and digits. It need not be looked for in the body: no line of JSON begins with `--`, and the query, which is
/// one line, begins with the name of a parameter.
pub fn tunnel(verb: Method, path: &str, query: &str, body: Option<&[u8]>, boundary: &str) -> Outgoing {
    let json = body.filter(|body| !body.is_empty());
    let content_type = |value: String| ("Content-Type", value);
    if query.len() <= MAX_QUERY && !query.contains(EMPTY) {
        let body = json.unwrap_or_default().to_vec();
        let headers = vec![content_type(JSON.to_owned())];
        return Outgoing { verb, path: path.to_owned(), query: query.to_owned(), headers, body };
    }
    let (kind, body) = match json {
        None => (FORM.to_owned(), query.as_bytes().to_vec()),
        Some(json) => (format!("multipart/mixed; boundary={boundary}"), multipart(query, json, boundary)),
    };
    // The verb itself, also for BATCH_DELETE, where the npm client says GET.
    let headers = vec![content_type(kind), ("X-HTTP-Method-Override", verb.as_str().to_owned())];
    Outgoing { verb: Method::Post, path: path.to_owned(), query: String::new(), headers, body }
}

/// The server takes the first part that is a form as the query, so the query comes first.
fn multipart(query: &str, json: &[u8], boundary: &str) -> Vec<u8> {
    let head =
        format!("--{boundary}\r\nContent-Type: {FORM}\r\n\r\n{query}\r\n--{boundary}\r\nContent-Type: {JSON}\r\n\r\n");
    [head.as_bytes(), json, format!("\r\n--{boundary}--").as_bytes()].concat()
}
