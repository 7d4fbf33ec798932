//! The tools, and the packages of the providers' own makers.

use serde_json::{Value, json};

use crate::requests::{calls, equal, nothing, take};

#[tokio::test]
async fn slack_is_asked_as_slack_sdk_asks() {
    let asked = [
        ("channels", json!({"include_private": true, "limit": 3})),
        ("channels", json!({"include_private": true, "limit": 3, "cursor": "sandbox-3"})),
        ("post_message", json!({"channel": "C0LANTERN01", "text": "The weekly report is ready."})),
        ("post_message", json!({"channel": "C0LANTERN01", "text": "And here.", "thread": "1763894400.000100"})),
    ];
    equal("slack.py", calls(providers::slack::integration(), &asked).await, slack);
}

fn slack(request: &mut Value) {
    // It names the charset, which JSON has only one of.
    if request["headers"]["content-type"] == "application/json;charset=utf-8" {
        request["headers"]["content-type"] = "application/json".into();
    }
    // It posts a form where Slack documents a GET as well. A GET is what may be sent again when its answer was lost.
    if request["body"].is_array() {
        request["method"] = "GET".into();
        request["query"] = request["body"].take();
        request["headers"].as_object_mut().unwrap().remove("content-type");
        // Python has no literal of its own for what Slack reads; it takes `1` and `true`.
        for pair in request["query"].as_array_mut().unwrap().iter_mut().filter(|pair| pair[0] == "exclude_archived") {
            assert_eq!(pair[1], "1");
            pair[1] = "true".into();
        }
    }
}

#[tokio::test]
async fn notion_is_asked_as_its_client_asks() {
    let page = json!({"id": "5f2c0001-0000-4000-8000-000000000000"});
    let asked = [
        ("search", json!({"query": "media"})),
        ("search", json!({"kind": "data_source"})),
        ("search", json!({"limit": 2})),
        ("search", json!({"limit": 2, "cursor": "2"})),
        ("page", page.clone()),
        ("page_text", page),
    ];
    equal("notion.mjs", calls(providers::notion::integration(), &asked).await, nothing);
}

#[tokio::test]
async fn meta_is_asked_as_facebook_business_asks() {
    let asked = [
        ("ad_accounts", json!({"limit": 2})),
        ("ad_accounts", json!({"limit": 2, "cursor": "QVFI2"})),
        ("campaigns", json!({"state": "active"})),
        ("insights", json!({"period": "last_7d", "by_day": true})),
    ];
    equal("meta.py", calls(providers::meta::integration(), &asked).await, meta);
}

fn meta(request: &mut Value) {
    // It puts the token into the address; Meta takes it in a header too, where no log of addresses holds it.
    let token = take(&mut request["query"], "access_token").unwrap();
    request["headers"]["authorization"] = format!("Bearer {}", token.as_str().unwrap()).into();
    // It has lists counted, of which our tools tell nothing.
    take(&mut request["query"], "summary");
}

/// The same for both packages.
fn linkedin_calls() -> Vec<(&'static str, Value)> {
    let (accounts, days) = ([502_840_441, 502_840_442], ["2026-10-01", "2026-10-31"]);
    vec![
        ("ad_accounts", json!({"limit": 1})),
        ("ad_accounts", json!({"limit": 1, "cursor": "page-1"})),
        ("analytics", json!({"accounts": accounts, "start": days[0], "end": days[1], "granularity": "DAILY"})),
    ]
}

#[tokio::test]
async fn linkedin_is_asked_as_its_javascript_client_asks() {
    equal("linkedin.mjs", calls(providers::linkedin::integration(), &linkedin_calls()).await, nothing);
}

#[tokio::test]
async fn linkedin_is_asked_as_its_python_client_asks() {
    let ours = calls(providers::linkedin::integration(), &linkedin_calls()).await;
    equal("linkedin.py", ours, |request| {
        // The two packages differ in the case of this one; Rest.li reads it without regard to case.
        assert_eq!(request["headers"]["x-restli-method"], "FINDER");
        request["headers"]["x-restli-method"] = "finder".into();
    });
}

#[tokio::test]
async fn supermetrics_is_asked_as_its_package_asks() {
    let query = |accounts: &[&str]| {
        json!({"data_source": "GAWA", "accounts": accounts, "fields": ["Date", "Sessions"], "start": "2026-10-01",
               "end": "2026-10-31"})
    };
    let asked = [
        ("accounts", json!({"data_source": "GAWA"})),
        ("query", query(&["184200417", "184200418"])),
        ("query", query(&["slow"])),
        ("query_result", json!({"query_id": "req-2"})),
        ("query_result", json!({"query_id": "req-2"})),
    ];
    equal("supermetrics_query.py", calls(providers::supermetrics::integration(), &asked).await, nothing);
}

#[tokio::test]
async fn shopify_is_asked_as_its_library_asks() {
    let asked = [("orders", json!({"limit": 2, "query": "financial_status:paid"})), ("products", json!({}))];
    equal("shopify.mjs", calls(providers::shopify::integration(), &asked).await, nothing);
}
