//! What our tools ask of the providers, next to what the providers' own packages ask for the same.
//!
//! The packages' requests are in tests/vendors/sent, recorded by the scripts beside it; the suite of generated servers runs
//! those scripts again and fails when a package sends something else. Every difference to ours is named here, as a
//! function with its reasons: it turns the package's request into ours, and what then still differs fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use kit::App;
use kit::prelude::*;
use kit_native::testing::TestKit;

/// The headers that are recorded; the rest is about the connection, or names who asks.
const HEADERS: [&str; 8] = [
    "authorization",
    "content-type",
    "linkedin-version",
    "notion-version",
    "x-http-method-override",
    "x-restli-method",
    "x-restli-protocol-version",
    "x-shopify-access-token",
];

/// A sandbox that remembers what it was asked.
struct Recorder {
    sandbox: Box<dyn Sandbox>,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Sandbox for Recorder {
    fn seed(&self) -> Seed {
        self.sandbox.seed()
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        self.seen.lock().unwrap().push(written(request));
        self.sandbox.handle(request)
    }

    fn tokens(&self) -> Option<&TokenServer> {
        self.sandbox.tokens()
    }
}

/// What the tools of `integration` send when they are called like this, without the requests for tokens.
async fn ours(integration: Integration, calls: &[(&str, Value)]) -> Vec<Value> {
    let app = |integration| App::new("test-server", "0.0.0").integration("i", integration);
    let plain = TestKit::new(&app(integration.clone())).await;
    let make = plain.kit.registry.integrations["i"].sandbox.clone().unwrap();
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let remembered = seen.clone();
    let recorded = integration.sandbox(move || Recorder { sandbox: make(), seen: remembered.clone() });
    let kit = TestKit::new(&app(recorded)).await;
    let tenant = kit.tenant("acme").await;
    for (tool, arguments) in calls {
        kit.call(&tenant, &format!("i_{tool}"), arguments.clone()).await.unwrap();
    }
    let tokens = ["/oauth/v2/accessToken", "/admin/oauth/access_token", "/api/oauth.v2.access"];
    seen.lock().unwrap().drain(..).filter(|request| !tokens.iter().any(|path| request["path"] == *path)).collect()
}

/// A request in the form of the recordings.
fn written(request: &HttpRequest) -> Value {
    let restli = request.header("x-restli-method").is_some();
    let pairs = |text: &str| -> Vec<(String, String)> {
        let mut pairs: Vec<_> = match restli {
            // As it was written: the escapes matter.
            true => {
                text.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
            }
            false => {
                let mut url = request.url.clone();
                url.set_query(Some(text));
                url.query_pairs().into_owned().collect()
            }
        };
        pairs.sort();
        pairs
    };
    let body = match request.header("content-type") {
        _ if request.body.is_empty() => Value::Null,
        Some("application/json") => serde_json::from_slice(&request.body).unwrap(),
        Some("application/x-www-form-urlencoded") => json!(pairs(std::str::from_utf8(&request.body).unwrap())),
        other => panic!("a body of {other:?}"),
    };
    let headers: serde_json::Map<String, Value> =
        HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), request.header(name)?.into()))).collect();
    json!({
        "method": request.method.as_str(), "host": request.url.host_str(), "path": request.url.path(),
        "query": pairs(request.url.query().unwrap_or_default()), "headers": headers, "body": body,
    })
}

/// What the package of `script` has sent.
fn theirs(script: &str) -> Vec<Value> {
    let path = format!("{}/../../tests/vendors/sent/{script}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let lines = std::fs::read_to_string(&path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Compares one by one, after `reconcile` was done to what the package has sent.
async fn equal(script: &str, integration: Integration, calls: &[(&str, Value)], reconcile: fn(&mut Value)) {
    let (mut ours, mut theirs) = (ours(integration, calls).await, theirs(script));
    ours.iter_mut().chain(&mut theirs).for_each(same_token);
    theirs.iter_mut().for_each(reconcile);
    assert_eq!(ours.len(), theirs.len(), "{script}");
    for ((ours, theirs), call) in ours.iter().zip(&theirs).zip(calls) {
        assert_eq!(ours, theirs, "{script}: {call:?}");
    }
}

/// The packages come with the access token that a sandbox always knows; our connection has renewed it once.
fn same_token(request: &mut Value) {
    for name in ["authorization", "x-shopify-access-token"] {
        if let Some(at) = request["headers"][name].as_str().and_then(|value| value.find("sandbox-access-")) {
            let value = request["headers"][name].as_str().map(|value| format!("{}sandbox-access", &value[..at]));
            request["headers"][name] = value.into();
        }
    }
}

fn nothing(_: &mut Value) {}

fn take(pairs: &mut Value, name: &str) -> Option<Value> {
    let pairs = pairs.as_array_mut()?;
    let at = pairs.iter().position(|pair| pair[0] == name)?;
    Some(pairs.remove(at)[1].clone())
}

#[tokio::test]
async fn slack_is_asked_as_slack_sdk_asks() {
    let calls = [
        ("channels", json!({"include_private": true, "limit": 3})),
        ("channels", json!({"include_private": true, "limit": 3, "cursor": "sandbox-3"})),
        ("post_message", json!({"channel": "C0LANTERN01", "text": "The weekly report is ready."})),
        ("post_message", json!({"channel": "C0LANTERN01", "text": "And here.", "thread": "1763894400.000100"})),
    ];
    equal("slack.py", providers::slack::integration(), &calls, slack).await;
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
    let calls = [
        ("search", json!({"query": "media"})),
        ("search", json!({"kind": "data_source"})),
        ("search", json!({"limit": 2})),
        ("search", json!({"limit": 2, "cursor": "2"})),
        ("page", page.clone()),
        ("page_text", page),
    ];
    equal("notion.mjs", providers::notion::integration(), &calls, nothing).await;
}

#[tokio::test]
async fn meta_is_asked_as_facebook_business_asks() {
    let calls = [
        ("ad_accounts", json!({"limit": 2})),
        ("ad_accounts", json!({"limit": 2, "cursor": "QVFI2"})),
        ("campaigns", json!({"state": "active"})),
        ("insights", json!({"period": "last_7d", "by_day": true})),
    ];
    equal("meta.py", providers::meta::integration(), &calls, meta).await;
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
    equal("linkedin.mjs", providers::linkedin::integration(), &linkedin_calls(), nothing).await;
}

#[tokio::test]
async fn linkedin_is_asked_as_its_python_client_asks() {
    equal("linkedin.py", providers::linkedin::integration(), &linkedin_calls(), |request| {
        // The two packages differ in the case of this one; Rest.li reads it without regard to case.
        assert_eq!(request["headers"]["x-restli-method"], "FINDER");
        request["headers"]["x-restli-method"] = "finder".into();
    })
    .await;
}

#[tokio::test]
async fn supermetrics_is_asked_as_its_package_asks() {
    let query = |accounts: &[&str]| {
        json!({"data_source": "GAWA", "accounts": accounts, "fields": ["Date", "Sessions"], "start": "2026-10-01",
               "end": "2026-10-31"})
    };
    let calls = [
        ("accounts", json!({"data_source": "GAWA"})),
        ("query", query(&["184200417", "184200418"])),
        ("query", query(&["slow"])),
        ("query_result", json!({"query_id": "req-2"})),
        ("query_result", json!({"query_id": "req-2"})),
    ];
    equal("supermetrics_query.py", providers::supermetrics::integration(), &calls, nothing).await;
}

#[tokio::test]
async fn shopify_is_asked_as_its_library_asks() {
    let calls = [("orders", json!({"limit": 2, "query": "financial_status:paid"})), ("products", json!({}))];
    equal("shopify.mjs", providers::shopify::integration(), &calls, nothing).await;
}
