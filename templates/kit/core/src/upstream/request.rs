// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The request that a tool writes: a path, a query, a body. Host and credential are not its business, and nothing that
//! a model sends can change either.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::call::Call;
use crate::error::{ErrorKind, ToolError};
use crate::ports::{HttpResponse, Method};
use crate::restli::{self, RestMethod};

/// The upstream of one call.
pub struct Upstream {
    call: Call,
}

impl Upstream {
    pub(crate) fn new(call: Call) -> Self {
        Self { call }
    }

    /// `GET path`. `path` begins with `/` and is relative to the provider's base URL.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::Get, path)
    }

    /// `POST path`.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::Post, path)
    }

    /// A request in the encoding of Rest.li: `params` are encoded and sorted, `fields` names what the answer should hold
    /// (`"id,name"`), `method` says which of Rest.li's methods it is. A query that is too long travels in the body.
    pub fn restli(&self, method: RestMethod, path: &str, params: &[(&str, Value)], fields: Option<&str>) -> Request {
        let mut request = self.request(method.verb(), path).header("X-RestLi-Method", method.as_str());
        request.draft.query = Query::Restli(restli::query(params, fields));
        request
    }

    /// A request with another method.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request { call: self.call.clone(), draft: Draft::new(method, path), wrong: None }
    }
}

/// A request before it is signed.
pub(crate) struct Draft {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) segments: Vec<String>,
    pub(crate) query: Query,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) untargeted: bool,
    safe: bool,
}

/// How a query is written.
pub(crate) enum Query {
    /// Pairs, escaped as HTML forms are.
    Pairs(Vec<(String, String)>),
    /// In the encoding of Rest.li, which must not be escaped once more.
    Restli(String),
}

/// A request as it goes out, still without a credential.
pub(crate) struct Wire {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Draft {
    fn new(method: Method, path: &str) -> Self {
        let (path, none) = (path.to_owned(), Vec::new);
        let query = Query::Pairs(Vec::new());
        let (headers, body) = (Vec::new(), Vec::new());
        Self { method, path, segments: none(), query, headers, body, untargeted: false, safe: false }
    }

    /// `GET path`.
    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::Get, path)
    }

    /// The same with these parameters.
    pub(crate) fn with_query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.query = Query::Pairs(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
        self
    }

    /// The path as it is told to others: a part that a call put in, or that looks like an id, is `{}`.
    pub(crate) fn template(&self) -> String {
        let path = self.path.trim_matches('/').split('/').filter(|part| !part.is_empty());
        let written = path.map(|part| if names_something(part) { "{}" } else { part });
        let parts = written.chain(self.segments.iter().map(|_| "{}"));
        parts.fold(String::new(), |path, part| path + "/" + part)
    }

    /// Whether it may be sent twice.
    pub(crate) fn is_safe(&self) -> bool {
        self.safe || self.method == Method::Get
    }

    /// The request under `base`. `boundary` is random text for a body in parts.
    pub(crate) fn wire(&self, base: &Url, boundary: &str) -> Result<Wire, ToolError> {
        let mut url = self.url(base)?;
        let Query::Restli(query) = &self.query else {
            return Ok(Wire { method: self.method, url, headers: self.headers.clone(), body: self.body.clone() });
        };
        let body = (!self.body.is_empty()).then_some(self.body.as_slice());
        let sent = restli::tunnel(self.method, url.path(), query, body, boundary);
        url.set_query((!sent.query.is_empty()).then_some(&sent.query));
        let mut headers = self.headers.clone();
        // The codec says what the body is.
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        headers.extend(sent.headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(Wire { method: sent.verb, url, headers, body: sent.body })
    }

    /// The absolute URL under `base`. The path is taken apart and every part escaped, so a value formatted into it by
    /// mistake cannot become a query, and none can climb out of the path.
    pub(crate) fn url(&self, base: &Url) -> Result<Url, ToolError> {
        let path = self.path.trim_start_matches('/').split('/').filter(|_| self.path != "/");
        let given = || path.clone().chain(self.segments.iter().map(String::as_str));
        if given().any(climbs) {
            return Err(ToolError::invalid("an id holds a path of its own or a control character"));
        }
        let mut url = base.clone();
        url.set_query(None);
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(given()),
            Err(()) => return Err(ToolError::new(ErrorKind::Misconfigured, "the base URL has no path")),
        };
        match &self.query {
            Query::Pairs(pairs) if !pairs.is_empty() => drop(url.query_pairs_mut().extend_pairs(pairs)),
            Query::Pairs(_) | Query::Restli(_) => {}
        }
        Ok(url)
    }
}

/// Sets the header `name`, whatever its case: a request that has one twice is read differently by each server.
pub(crate) fn set_header(headers: &mut Vec<(String, String)>, name: String, value: String) {
    headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
    headers.push((name, value));
}

/// Whether a part of a path names one of many: words of an API are short and have few digits.
fn names_something(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    digits > 4 || part.len() > 40 || part.contains(['@', '%'])
}

/// Whether a part of a path means another one. The URL parser drops tabs and newlines, so they hide such a part.
fn climbs(part: &str) -> bool {
    matches!(part, "." | "..") || part.chars().any(char::is_control)
}

/// A request under construction; send it with [`json`](Self::json) or [`send`](Self::send).
#[must_use]
pub struct Request {
    call: Call,
    draft: Draft,
    wrong: Option<ToolError>,
}

impl Request {
    /// Appends one path segment, escaped. This is the way to put an id into a path.
    pub fn segment(mut self, value: impl Display) -> Self {
        let value = value.to_string();
        if value.is_empty() {
            self.wrong = Some(ToolError::invalid("an id is empty"));
        }
        self.draft.segments.push(value);
        self
    }

    /// Adds a query parameter, escaped.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        match &mut self.draft.query {
            Query::Pairs(pairs) => pairs.push((name.to_owned(), value.to_string())),
            Query::Restli(_) => self.wrong = Some(ToolError::upstream("a Rest.li query is given as a whole")),
        }
        self
    }

    /// Adds a query parameter if there is a value.
    pub fn query_opt(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Says that this request only reads, whatever its method, so that it may be sent once more when its connection breaks.
    pub fn safe(mut self) -> Self {
        self.draft.safe = true;
        self
    }

    /// Says that this request is for no target in particular, such as the list of them: it names none, and works before one
    /// is chosen.
    pub fn without_target(mut self) -> Self {
        self.draft.untargeted = true;
        self
    }

    /// Sets a header; what was set before under this name is replaced. After [`body`](Self::body), this is how a body gets
    /// another media type.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        set_header(&mut self.draft.headers, name.to_owned(), value.to_string());
        self
    }

    /// Sends `body` as JSON.
    pub fn body(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.draft.body = bytes,
            Err(_) => self.wrong = Some(ToolError::invalid("the body cannot be written as JSON")),
        }
        self.header("content-type", "application/json")
    }

    /// Sends the request and reads the answer as `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ToolError> {
        let title = self.call.0.integration.provider.title;
        let response = self.send().await?;
        serde_json::from_slice(&response.body)
            .map_err(|_| ToolError::upstream(format!("{title} answered in a form that this tool does not know")))
    }

    /// Sends the request. An answer that is not a success has become an error by the time this returns.
    pub async fn send(self) -> Result<HttpResponse, ToolError> {
        match self.wrong {
            Some(error) => Err(error),
            None => self.call.0.executor.execute(&self.call, self.draft).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str, segments: &[&str]) -> String {
        let mut draft = Draft::new(Method::Get, path);
        draft.segments = segments.iter().map(|s| (*s).to_owned()).collect();
        draft.query = Query::Pairs(vec![("q".into(), "a b&c".into())]);
        draft.url(&Url::parse("https://api.example.com/base/?x=1").unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_template_has_no_id_in_it() {
        let template = |path: &str, segments: &[&str]| {
            let segments = segments.iter().map(|s| (*s).to_owned()).collect();
            Draft { segments, ..Draft::new(Method::Get, path) }.template()
        };
        assert_eq!(template("/v1/pages", &[]), "/v1/pages");
        assert_eq!(template("/v1/pages", &["1f0c", "blocks"]), "/v1/pages/{}/{}");
        assert_eq!(template("v26/customers/1234567890/googleAds:search", &[]), "/v26/customers/{}/googleAds:search");
        assert_eq!(template("/admin/api/2026-10/graphql.json", &[]), "/admin/api/{}/graphql.json");
        assert_eq!(template("/users/a@b.test", &[]), "/users/{}");
        assert_eq!(template("/", &[]), "");
    }

    #[test]
    fn a_header_that_is_set_again_is_replaced() {
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        set_header(&mut headers, "Accept".into(), "application/vnd.example+json".into());
        assert_eq!(headers, [("Accept".to_owned(), "application/vnd.example+json".to_owned())]);
    }

    #[test]
    fn a_path_is_relative_to_the_base_url() {
        assert_eq!(url("/v1/pages", &[]), "https://api.example.com/base/v1/pages?q=a+b%26c");
    }

    #[test]
    fn an_id_cannot_leave_its_segment() {
        assert_eq!(
            url("/v1/pages", &["../../admin?x#y"]),
            "https://api.example.com/base/v1/pages/..%2F..%2Fadmin%3Fx%23y?q=a+b%26c"
        );
        assert_eq!(url("/v1/p?x=#@evil.com", &[]), "https://api.example.com/base/v1/p%3Fx=%23@evil.com?q=a+b%26c");
    }
}
