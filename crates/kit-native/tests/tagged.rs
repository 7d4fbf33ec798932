//! A hundred tenants call at random, tokens end and are refused under them, calls are cancelled and sent again; the
//! upstream knows whose each token is. Not one request may carry another tenant's.
//!
//! `TAGGED_CALLS` sets the number of calls (100,000).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::pipeline::{Caller, Failure};
use kit::prelude::*;
use kit_native::testing::TestKit;
use serde_json::Map;

const TENANTS: usize = 100;

const PROVIDER: Provider = Provider {
    id: "tagged",
    title: "Tagged",
    base_url: "https://api.test",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth { token_url: "https://auth.test/token", ..OAuth::STANDARD },
        header: "Authorization",
        prefix: "Bearer ",
    },
    throttle: Throttle::Silent,
    ..Provider::PLAIN
};

/// Numbers that look random and are the same in each run.
#[derive(Clone)]
struct Dice(Arc<AtomicU64>);

impl Dice {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// A number below `sides`.
    fn roll(&self, sides: u64) -> u64 {
        // SplitMix64.
        let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

/// What the upstream saw.
#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    foreign: AtomicU64,
    refreshes: AtomicU64,
    refused: AtomicU64,
    replays: AtomicU64,
}

/// Tokens are `<tenant>:<access or refresh>:<number>`; each refresh token is good once.
#[derive(Clone)]
struct Tagged {
    dice: Dice,
    seen: Arc<Seen>,
    current: Arc<Mutex<HashMap<String, u64>>>,
}

impl Tagged {
    fn token(&self, request: &HttpRequest) -> HttpResponse {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let mut parts = form["refresh_token"].split(':');
        let (tenant, number) = (parts.next().unwrap(), parts.nth(1).unwrap().parse::<u64>().unwrap());
        let mut current = self.current.lock().unwrap();
        let expected = current.entry(tenant.to_owned()).or_default();
        if *expected != number {
            self.seen.replays.fetch_add(1, Ordering::Relaxed);
            return HttpResponse::json(400, &json!({"error": "invalid_grant"}));
        }
        // One time in ten the server fails before it does anything.
        if self.dice.roll(10) == 0 {
            return HttpResponse::json(503, &json!({}));
        }
        self.seen.refreshes.fetch_add(1, Ordering::Relaxed);
        *expected += 1;
        let number = *expected;
        HttpResponse::json(
            200,
            &json!({
                "access_token": format!("{tenant}:access:{number}"),
                "refresh_token": format!("{tenant}:refresh:{number}"),
                "expires_in": 60,
            }),
        )
    }
}

impl Sandbox for Tagged {
    fn seed(&self) -> Seed {
        Seed { app: Some(("id", Secret::from("secret"))), ..Secret::from("nobody:refresh:0").into() }
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if request.url.path() == "/token" {
            return self.token(request);
        }
        self.seen.requests.fetch_add(1, Ordering::Relaxed);
        let bearer = request.header("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned();
        let (owner, number) = bearer.split_once(":access:").unwrap();
        if Some(owner) != request.header("x-tenant") {
            self.seen.foreign.fetch_add(1, Ordering::Relaxed);
        }
        let stale = self.current.lock().unwrap()[owner] != number.parse::<u64>().unwrap();
        // Some are refused though they are good, and some fail.
        match self.dice.roll(50) {
            0 => {
                self.seen.refused.fetch_add(1, Ordering::Relaxed);
                HttpResponse::json(401, &json!({}))
            }
            _ if stale => HttpResponse::json(401, &json!({})),
            1 => HttpResponse::json(500, &json!({})),
            2 => HttpResponse::json(429, &json!({})),
            _ => HttpResponse::json(200, &json!({"owner": owner})),
        }
    }
}

async fn whose(call: Call, _: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    // Lets others in between, so that calls of many tenants are under way at once.
    tokio::task::yield_now().await;
    call.upstream().get("/whose").header("X-Tenant", call.tenant()).json().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_ever_carries_another_tenants_token() {
    let calls: u64 = std::env::var("TAGGED_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let dice = Dice::new();
    let upstream = Tagged { dice: dice.clone(), seen: Arc::default(), current: Arc::default() };
    let (seen, sandbox) = (upstream.seen.clone(), upstream.clone());
    let tools = Tools::new().read("whose", "Whose token it is.", whose);
    let integration = Integration::new(PROVIDER).tools(tools).sandbox(move || sandbox.clone());
    let test = Arc::new(TestKit::new(&App::new("test-server", "0.0.0").integration("a", integration)).await);
    let operator = &test.kit.operator;
    operator.app_set("a", None, "id", Secret::from("secret")).await.unwrap();
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        let name = format!("t{number}");
        tenants.push(test.bare_tenant(&name).await);
        let secret = Secret::from(format!("{name}:refresh:0").as_str());
        operator.connection_set(NewConnection::new(&name, "a", secret)).await.unwrap();
    }
    let (tenants, next) = (Arc::new(tenants), Arc::new(AtomicU64::new(0)));
    let outcomes: Arc<Mutex<BTreeMap<&'static str, u64>>> = Arc::default();
    let workers: Vec<_> = (0..64)
        .map(|_| {
            let (test, tenants, next, dice, outcomes) =
                (test.clone(), tenants.clone(), next.clone(), dice.clone(), outcomes.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        break;
                    }
                    // Tokens end all the time.
                    if number.is_multiple_of(50) {
                        test.clock.advance_ms(1_000);
                    }
                    let tenant = &tenants[usize::try_from(dice.roll(TENANTS as u64)).unwrap()];
                    let cancelled: kit::ports::BoxFuture<'static, ()> = match dice.roll(10) {
                        // Sometimes before the request, sometimes while a token is renewed.
                        0 => {
                            let turns = dice.roll(4);
                            Box::pin(async move {
                                for _ in 0..turns {
                                    tokio::task::yield_now().await;
                                }
                            })
                        }
                        _ => Box::pin(std::future::pending()),
                    };
                    let caller = Caller { cancelled, ..Caller::patient() };
                    let outcome = match test.kit.pipeline.tool(tenant, "a_whose", json!({}), caller).await {
                        Ok(answer) => {
                            assert_eq!(answer.value["owner"], tenant.tenant().as_str());
                            "ok"
                        }
                        Err(Failure::Cancelled) => "cancelled",
                        Err(Failure::Tool(error)) => {
                            assert_ne!(error.kind(), ErrorKind::ReconnectRequired, "{error}");
                            error.kind().as_str()
                        }
                        Err(Failure::Unknown) => "unknown",
                    };
                    *outcomes.lock().unwrap().entry(outcome).or_default() += 1;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let outcomes = outcomes.lock().unwrap().clone();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(count(&seen.foreign), 0, "{outcomes:?}");
    assert_eq!(count(&seen.replays), 0, "a refresh token was used twice: {outcomes:?}");
    assert_eq!(outcomes.values().sum::<u64>(), calls);
    // The test is worth something only if all of it happened, and often.
    let ok = outcomes["ok"];
    assert!(ok > calls / 2 && outcomes["cancelled"] > calls / 100, "{outcomes:?}");
    assert!(count(&seen.refreshes) > calls / 100 && count(&seen.refused) > calls / 200, "{outcomes:?}");
}
