//! Requests of ours, taken where the sandbox gets them, and of the packages, taken where they were sent.

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
pub async fn calls(integration: Integration, calls: &[(&str, Value)]) -> Vec<Value> {
    let (kit, seen) = recorded(integration).await;
    let tenant = kit.tenant("acme").await;
    for (tool, arguments) in calls {
        kit.call(&tenant, &format!("i_{tool}"), arguments.clone()).await.unwrap();
    }
    let tokens = ["/oauth/v2/accessToken", "/admin/oauth/access_token", "/api/oauth.v2.access"];
    seen.lock().unwrap().drain(..).filter(|request| !tokens.iter().any(|path| request["path"] == *path)).collect()
}

/// What a consent and a refresh send: where the browser is led, then the two requests for tokens.
pub async fn consent(integration: Integration, site: Option<&str>, tool: &str) -> Vec<Value> {
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
pub fn equal(script: &str, mut ours: Vec<Value>, reconcile: fn(&mut Value)) {
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

pub fn nothing(_: &mut Value) {}

pub fn take(pairs: &mut Value, name: &str) -> Option<Value> {
    let pairs = pairs.as_array_mut()?;
    let at = pairs.iter().position(|pair| pair[0] == name)?;
    Some(pairs.remove(at)[1].clone())
}
