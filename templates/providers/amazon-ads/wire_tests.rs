//! What the sandbox insists on, without a tool in between: a forgiving sandbox would hide what Amazon refuses.

use kit::prelude::*;

use super::provider::SCOPE;
use super::sandbox::{AmazonAdsSandbox, PROFILE};
use super::tools::CAMPAIGN_TYPE;

const HEADERS: [(&str, &str); 5] = [
    ("authorization", "Bearer sandbox-access-0"),
    ("amazon-advertising-api-clientid", CLIENT_ID),
    ("amazon-advertising-api-scope", PROFILE),
    ("content-type", CAMPAIGN_TYPE),
    ("accept", CAMPAIGN_TYPE),
];

fn request(method: Method, url: &str, headers: &[(&str, &str)], body: &Value) -> HttpRequest {
    HttpRequest {
        integration: "a".into(),
        method,
        url: url.parse().unwrap(),
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: body.to_string().into_bytes(),
        timeout: Duration::from_secs(1),
        max_response_bytes: 1 << 20,
    }
}

/// Status for a list of campaigns, without the header `missing`.
fn list(missing: &str, body: &Value) -> u16 {
    let headers: Vec<(&str, &str)> = HEADERS.into_iter().filter(|(name, _)| *name != missing).collect();
    let url = "https://advertising-api.amazon.com/sp/campaigns/list";
    AmazonAdsSandbox::default().handle(&request(Method::Post, url, &headers, body)).status
}

#[test]
fn every_header_is_insisted_on() {
    assert_eq!(list("", &json!({})), 200);
    assert_eq!(HEADERS.map(|(name, _)| list(name, &json!({}))), [401, 401, 403, 415, 415]);
}

#[test]
fn a_body_is_read_strictly() {
    let bad = [
        json!({"maxResults": 9}),
        json!({"maxResults": 101}),
        json!({"count": 10}),
        json!({"stateFilter": {"include": ["enabled"]}}),
        json!({"nextToken": "3"}),
        json!([]),
    ];
    for body in bad {
        assert_eq!(list("", &body), 400, "{body}");
    }
}

#[test]
fn consent_is_asked_for_at_amazons_own_path_and_with_the_scope_of_the_app() {
    let ask = |scope: &str| {
        let query =
            format!("response_type=code&client_id={CLIENT_ID}&state=s&redirect_uri=https://us.test/&scope={scope}");
        let url = format!("https://www.amazon.com/ap/oa?{query}&decision=allow");
        AmazonAdsSandbox::default().handle(&request(Method::Get, &url, &[], &Value::Null))
    };
    assert_eq!(ask(SCOPE).status, 302);
    let refused = ask("profile");
    assert_eq!(refused.status, 400);
    assert!(String::from_utf8_lossy(&refused.body).contains("An unknown scope was requested"));
}
