//! What our tools ask of the providers, next to what the providers' own packages ask for the same.
//!
//! The packages' requests are in tests/vendors/sent, recorded by the scripts beside it; the suite of generated servers runs
//! those scripts again and fails when a package sends something else. Every difference to ours is named here, as a
//! function with its reasons: it turns the package's request into ours, and what then still differs fails.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use kit::App;
use kit::prelude::*;
use kit::upstream::sandbox::SANDBOX_HOST;
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

/// A kit whose integration is `i`, and what its sandbox is asked.
async fn recorded(integration: Integration) -> (TestKit, Arc<Mutex<Vec<Value>>>) {
    let app = |integration| App::new("test-server", "0.0.0").integration("i", integration);
    let plain = TestKit::new(&app(integration.clone())).await;
    let make = plain.kit.registry.integrations["i"].sandbox.clone().unwrap();
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let remembered = seen.clone();
    let recorded = integration.sandbox(move || Recorder { sandbox: make(), seen: remembered.clone() });
    (TestKit::new(&app(recorded)).await, seen)
}

/// What the tools send when they are called like this, without the requests for tokens.
async fn calls(integration: Integration, calls: &[(&str, Value)]) -> Vec<Value> {
    let (kit, seen) = recorded(integration).await;
    let tenant = kit.tenant("acme").await;
    for (tool, arguments) in calls {
        kit.call(&tenant, &format!("i_{tool}"), arguments.clone()).await.unwrap();
    }
    let tokens = ["/oauth/v2/accessToken", "/admin/oauth/access_token", "/api/oauth.v2.access"];
    seen.lock().unwrap().drain(..).filter(|request| !tokens.iter().any(|path| request["path"] == *path)).collect()
}

/// What a consent and a refresh send: where the browser is led, then the two requests for tokens.
async fn consent(integration: Integration, site: Option<&str>, tool: &str) -> Vec<Value> {
    let (kit, seen) = recorded(integration).await;
    let tenant = kit.bare_tenant("acme").await;
    kit.kit.operator.app_set("i", None, CLIENT_ID, Secret::from(CLIENT_SECRET)).await.unwrap();
    kit.consent(&tenant, "i", site, "allow").await.unwrap();
    kit.kit.sandboxes.as_ref().and_then(|sandboxes| sandboxes.tokens("i")).unwrap().expire();
    kit.call(&tenant, &format!("i_{tool}"), json!({})).await.unwrap();
    let oauth =
        ["/auth", "/authorize", "/authorization", "/token", "/accessToken", "/access_token", "/oauth.v2.access"];
    let is_oauth = |request: &Value| oauth.iter().any(|end| request["path"].as_str().unwrap().ends_with(end));
    let mut requests: Vec<Value> = seen.lock().unwrap().drain(..).filter(is_oauth).collect();
    for request in &mut requests {
        // What only a sandbox is told: the button that was pressed, and whom it stands for.
        take(&mut request["query"], "decision");
        take(&mut request["query"], SANDBOX_HOST);
        let Value::Object(request) = request else { continue };
        request
            .iter_mut()
            .filter(|(part, _)| matches!(part.as_str(), "query" | "body"))
            .for_each(|(_, part)| alike(part));
    }
    requests
}

/// Makes parameters that are new each time alike, as the recordings have them.
fn alike(params: &mut Value) {
    const RANDOM: [&str; 5] = ["code", "code_challenge", "code_verifier", "refresh_token", "state"];
    match params {
        Value::Object(params) => {
            params
                .iter_mut()
                .filter(|(name, _)| RANDOM.contains(&name.as_str()))
                .for_each(|(_, v)| *v = "(random)".into());
        }
        Value::Array(pairs) => {
            let random = |pair: &&mut Value| RANDOM.iter().any(|name| pair[0] == *name);
            pairs.iter_mut().filter(random).for_each(|pair| pair[1] = "(random)".into());
        }
        _ => {}
    }
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
fn equal(script: &str, mut ours: Vec<Value>, reconcile: fn(&mut Value)) {
    let mut theirs = theirs(script);
    ours.iter_mut().chain(&mut theirs).for_each(same_token);
    theirs.iter_mut().for_each(reconcile);
    assert_eq!(ours.len(), theirs.len(), "{script}: {ours:#?}");
    for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "{script}: request {number}");
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

/// What both OAuth clients do that is the same in other words.
fn oauth(request: &mut Value) {
    // They name the charset, which a form has only one of.
    if request["headers"]["content-type"] == "application/x-www-form-urlencoded;charset=UTF-8" {
        request["headers"]["content-type"] = "application/x-www-form-urlencoded".into();
    }
    // `openid-client` escapes even the `-` of id and secret before they become HTTP Basic; RFC 6749 §2.3.1 has both as a form
    // would have them, and forms leave it.
    let (bare, escaped) = (
        "Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1jbGllbnQtc2VjcmV0",
        "Basic c2FuZGJveCUyRGNsaWVudDpzYW5kYm94JTJEY2xpZW50JTJEc2VjcmV0",
    );
    if request["headers"]["authorization"] == escaped {
        request["headers"]["authorization"] = bare.into();
    }
    // Authlib repeats the scopes in a refresh. RFC 6749 §6 has them default to what was granted.
    let is_refresh =
        request["body"].as_array().is_some_and(|pairs| pairs.contains(&json!(["grant_type", "refresh_token"])));
    if is_refresh {
        take(&mut request["body"], "scope");
    }
}

#[tokio::test]
async fn google_is_asked_for_tokens_as_independent_clients_ask() {
    let ours = consent(providers::google_ads::integration(), None, "customers").await;
    equal("google_oauth.py", ours.clone(), oauth);
    equal("google_oauth.mjs", ours, oauth);
}

#[tokio::test]
async fn slack_is_asked_for_tokens_as_independent_clients_ask() {
    let ours = consent(providers::slack::integration(), None, "channels").await;
    equal("slack_oauth.py", ours.clone(), oauth);
    equal("slack_oauth.mjs", ours, oauth);
}

#[tokio::test]
async fn notion_is_asked_for_tokens_as_its_client_asks() {
    equal("notion_oauth.mjs", consent(providers::notion::integration(), None, "search").await, nothing);
}

#[tokio::test]
async fn linkedin_is_asked_for_tokens_as_its_python_client_asks() {
    equal("linkedin_oauth.py", consent(providers::linkedin::integration(), None, "ad_accounts").await, nothing);
}

#[tokio::test]
async fn shopify_is_asked_for_tokens_as_its_library_asks() {
    let ours = consent(providers::shopify::integration(), Some("little-lantern.myshopify.com"), "orders").await;
    equal("shopify_oauth.mjs", ours, shopify_oauth);
}

fn shopify_oauth(request: &mut Value) {
    // Empty, it asks for a token that is not bound to the person at the browser, as its absence does.
    take(&mut request["query"], "grant_options[]");
    // Shopify leaves out what RFC 6749 requires at these two places (§4.1.1, §4.1.3), and passes it over where it is there.
    if request["method"] == "GET" {
        let query = request["query"].as_array_mut().unwrap();
        query.push(json!(["response_type", "code"]));
        query.sort_by_key(|pair| pair[0].as_str().map(str::to_owned));
    } else if request["body"].get("code").is_some() {
        request["body"]["grant_type"] = "authorization_code".into();
        request["body"]["redirect_uri"] = "https://mcp.test/callback".into();
    }
}
