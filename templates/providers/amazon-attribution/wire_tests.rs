//! What the sandbox insists on, without a tool in between: a forgiving sandbox would hide what Amazon refuses.

use kit::prelude::*;

use super::provider::SCOPE;
use super::sandbox::{ADVERTISER, AttributionSandbox, PROFILE};

const HEADERS: [(&str, &str); 4] = [
    ("authorization", "Bearer sandbox-access-0"),
    ("amazon-advertising-api-clientid", CLIENT_ID),
    ("amazon-advertising-api-scope", PROFILE),
    ("content-type", "application/json"),
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

/// Status for a report, without the header `missing`.
fn report(missing: &str, body: &Value) -> u16 {
    let headers: Vec<(&str, &str)> = HEADERS.into_iter().filter(|(name, _)| *name != missing).collect();
    let url = "https://advertising-api.amazon.com/attribution/report";
    AttributionSandbox::default().handle(&request(Method::Post, url, &headers, body)).status
}

fn good() -> Value {
    json!({"reportType": "PERFORMANCE", "advertiserIds": ADVERTISER, "startDate": "20261001", "endDate": "20261031",
           "count": 5000, "metrics": "Click-throughs,attributedSales14d", "cursorId": ""})
}

#[test]
fn every_header_is_insisted_on() {
    assert_eq!(report("", &good()), 200);
    assert_eq!(HEADERS.map(|(name, _)| report(name, &good())), [401, 401, 403, 415]);
}

#[test]
fn the_list_of_advertisers_is_for_a_profile_too() {
    let url = "https://advertising-api.amazon.com/attribution/advertisers";
    let request = request(Method::Get, url, &HEADERS[..2], &Value::Null);
    assert_eq!(AttributionSandbox::default().handle(&request).status, 403);
}

#[test]
fn a_body_is_read_strictly() {
    let bad = [
        ("reportType", json!("OTHER")),
        ("advertiserIds", json!([ADVERTISER])),
        ("startDate", json!("2026-10-01")),
        ("endDate", json!("20260930")),
        ("count", json!(5_001)),
        ("metrics", json!("clicks")),
        ("cursorId", json!("2")),
        ("groupBy", json!("campaign")),
        ("pageSize", json!(1)),
    ];
    for (name, value) in bad {
        let mut body = good();
        body[name] = value;
        assert_eq!(report("", &body), 400, "{name}");
    }
}

#[test]
fn consent_is_asked_for_at_amazons_own_path_and_with_the_scope_of_the_app() {
    let ask = |scope: &str| {
        let query =
            format!("response_type=code&client_id={CLIENT_ID}&state=s&redirect_uri=https://us.test/&scope={scope}");
        let url = format!("https://www.amazon.com/ap/oa?{query}&decision=allow");
        AttributionSandbox::default().handle(&request(Method::Get, &url, &[], &Value::Null))
    };
    assert_eq!(ask(SCOPE).status, 302);
    let refused = ask("profile");
    assert_eq!(refused.status, 400);
    assert!(String::from_utf8_lossy(&refused.body).contains("An unknown scope was requested"));
}
