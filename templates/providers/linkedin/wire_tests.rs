//! What the sandbox insists on, without a tool in between: a forgiving sandbox would hide what LinkedIn refuses.

use kit::prelude::*;

use super::provider::VERSION;
use super::sandbox::{LinkedInSandbox, query};

const HEADERS: [(&str, &str); 5] = [
    ("authorization", "Bearer sandbox-access-0"),
    ("linkedin-version", VERSION),
    ("x-restli-protocol-version", "2.0.0"),
    ("x-restli-method", "finder"),
    ("content-type", "application/json"),
];

fn get(url: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        integration: "l".into(),
        method: Method::Get,
        url: url.parse().unwrap(),
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: Vec::new(),
        timeout: Duration::from_secs(1),
        max_response_bytes: 1 << 20,
    }
}

/// Status and body for a request for accounts in which one header has another value, or none.
fn ask(header: &str, value: Option<&str>) -> (u16, Value) {
    let changed = HEADERS.iter().filter_map(|(name, kept)| match *name == header {
        true => Some((*name, value?)),
        false => Some((*name, *kept)),
    });
    let headers: Vec<(&str, &str)> = changed.collect();
    let request = get("https://api.linkedin.com/rest/adAccounts?q=search", &headers);
    let response = LinkedInSandbox::default().handle(&request);
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

#[test]
fn every_header_is_insisted_on() {
    assert_eq!(ask("", None).0, 200);
    assert_eq!(HEADERS.map(|(name, _)| ask(name, None).0), [401, 400, 400, 400, 400]);
}

#[test]
fn the_method_is_read_without_regard_to_case() {
    assert_eq!(ask("x-restli-method", Some("FINDER")).0, 200);
    assert_eq!(ask("x-restli-method", Some("get")).0, 400);
}

#[test]
fn another_version_is_refused_in_linkedins_words() {
    let body =
        json!({"status": 426, "code": "NONEXISTENT_VERSION", "message": "Requested version 20251101 is not active"});
    assert_eq!(ask("linkedin-version", Some("202511")), (426, body));
}

#[test]
fn a_token_is_unknown_or_has_ended() {
    let code = |token: &str| ask("authorization", Some(&format!("Bearer {token}"))).1["serviceErrorCode"].take();
    assert_eq!((code("other"), code("sandbox-access-9")), (json!(65_600), json!(65_602)));
}

#[test]
fn an_empty_string_is_two_quotes_that_are_not_escaped() {
    let read = |text: &str| {
        let mut request = get("https://api.linkedin.com/rest/adAccounts", &HEADERS[..4]);
        request.method = Method::Post;
        request.headers.push(("x-http-method-override".into(), "GET".into()));
        request.headers.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
        request.body = text.as_bytes().to_vec();
        query(&request).map(|(mut params, _)| params.remove("k")).ok().flatten()
    };
    assert_eq!(read("k=''"), Some(json!("")));
    assert_eq!(read("k=%27%27"), Some(json!("''")));
    assert_eq!(read("k="), None);
    // The way that the parser of URLs takes: what it leaves of an empty string is not one any more.
    let request = get("https://api.linkedin.com/rest/adAccounts?k=''", &HEADERS);
    assert_eq!(query(&request).ok().map(|(mut params, _)| params.remove("k")), Some(Some(json!("''"))));
}

#[test]
fn a_query_is_read_strictly() {
    let status = |query: &str| {
        let request = get(&format!("https://api.linkedin.com/rest/adAccounts?{query}"), &HEADERS);
        LinkedInSandbox::default().handle(&request).status
    };
    assert_eq!(status("q=search&search=(status:(values:List(ACTIVE)))"), 200);
    for query in
        ["", "q=other", "q=search&q=search", "q=search&start=0", "q=search&pageSize=0", "q=search&search=(a", "q"]
    {
        assert_eq!(status(query), 400, "{query}");
    }
    assert_eq!(status(&format!("q=search&pageToken={}", "x".repeat(5_000))), 414);
}

#[test]
fn consent_is_asked_for_at_linkedins_own_path() {
    let status = |scope: &str| {
        let query =
            format!("response_type=code&client_id={CLIENT_ID}&state=s&redirect_uri=https://us.test/&scope={scope}");
        let request = get(&format!("https://www.linkedin.com/oauth/v2/authorization?{query}&decision=allow"), &[]);
        LinkedInSandbox::default().handle(&request).status
    };
    assert_eq!((status("r_ads%20r_ads_reporting"), status("r_ads,r_ads_reporting"), status("")), (302, 400, 400));
}
