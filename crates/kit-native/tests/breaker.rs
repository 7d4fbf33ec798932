//! The breaker and the retry where they stand: in the one executor, between a tool and an upstream that is scripted and
//! counts what arrives. Virtual time: it moves on when everything waits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/in_place.rs"]
mod in_place;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::breaker::{LevelSettings, Settings};
use kit::error::ToolError;
use kit::inbound::{Environment, TenantCtx};
use kit::limit::memory::MemoryLimits;
use kit::operator::NewConnection;
use kit::pipeline::{Bounds, Caller, Failure};
use kit::ports::{BoxFuture, Clock, HttpSend, SendError};
use kit::prelude::*;
use kit::tenant::TenantId;
use kit::upstream::refresh::Timing;
use kit::vault::kek::LocalKeks;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::log::LogTelemetry;
use kit_native::sqlite::Sqlite;
use kit_native::testing::TempFolder;
use serde_json::Map;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const CRM: Provider = Provider {
    id: "crm",
    title: "CRM",
    base_url: "https://api.crm.test",
    auth: AuthShape::ApiKey { header: "X-Key", prefix: "" },
    classify,
    usage,
    ..Provider::PLAIN
};

/// `{"used": 95, "regain_ms": 1000, "scope": "app"}` says how much of a limit is used up.
fn usage(response: &HttpResponse) -> Vec<LimitHint> {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let scope = if body["scope"] == "app" { ThrottleScope::App } else { ThrottleScope::Account };
    let hint = |used_percent| LimitHint { used_percent, regain_ms: body["regain_ms"].as_i64(), scope };
    body["used"].as_f64().map(hint).into_iter().collect()
}

/// `{"scope": "app"}` says whose limit it is.
fn classify(response: &HttpResponse) -> Outcome {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let scope = match body["scope"].as_str() {
        Some("app") => ThrottleScope::App,
        Some("account") => ThrottleScope::Account,
        _ => ThrottleScope::Unsaid,
    };
    match classify_status(response) {
        Outcome::Throttled { retry_after_ms, .. } => Outcome::Throttled { retry_after_ms, scope },
        outcome => outcome,
    }
}

type Anything = BTreeMap<String, Value>;
type Answer = Result<Map<String, Value>, ToolError>;

async fn me(call: Call, _: Anything) -> Answer {
    call.upstream().get("/v1/me").json().await
}

async fn write(call: Call, _: Anything) -> Answer {
    call.upstream().post("/v1/write").body(&json!({"x": 1})).json().await
}

async fn search(call: Call, _: Anything) -> Answer {
    call.upstream().post("/v1/search").body(&json!({"q": 1})).safe().json().await
}

fn app() -> App {
    ["crm", "crm_eu"].into_iter().fold(App::new("acme", "1.2.3"), |app, name| {
        let tools = Tools::new().read("me", "Reads.", me).write("write", "Writes.", write);
        app.integration(name, Integration::new(CRM).tools(tools.read("search", "Reads by POST.", search)))
    })
}

/// How a request ends.
#[derive(Clone, Copy)]
enum Reply {
    Fine,
    /// Status, `Retry-After`, body.
    No(u16, Option<&'static str>, &'static str),
    Fail(SendError),
    Never,
}

const LIMIT: Reply = Reply::No(429, Some("10"), "{}");

/// How a request with the key of a tenant ends.
type Script = Box<dyn FnMut(&str) -> Reply + Send>;

/// The upstream: what arrived, when, with whose key, and how many were under way.
struct Upstream {
    began: Instant,
    arrived: Mutex<Vec<(i64, String)>>,
    script: Mutex<Script>,
    latency: Mutex<Duration>,
    under_way: Mutex<usize>,
    most: Mutex<usize>,
}

impl Upstream {
    fn now_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// From now on it answers after this time.
    fn slow(&self, ms: u64) {
        *self.latency.lock().unwrap() = Duration::from_millis(ms);
    }

    /// From now on a request with the key of `tenant` ends like this.
    fn script(&self, script: impl FnMut(&str) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// The next ones end like these, all others well.
    fn replies<const N: usize>(&self, replies: [Reply; N]) {
        let mut replies = replies.into_iter();
        self.script(move |_| replies.next().unwrap_or(Reply::Fine));
    }

    /// The times of what arrived since the last time it was asked, in milliseconds.
    fn take(&self) -> Vec<i64> {
        std::mem::take(&mut *self.arrived.lock().unwrap()).into_iter().map(|(at_ms, _)| at_ms).collect()
    }

    fn count(&self) -> usize {
        self.take().len()
    }

    async fn handle(&self, request: HttpRequest) -> Result<HttpResponse, SendError> {
        let tenant = request.header("x-key").unwrap_or_default().to_owned();
        self.arrived.lock().unwrap().push((self.now_ms(), tenant.clone()));
        let reply = (self.script.lock().unwrap())(&tenant);
        let most = {
            let mut under_way = self.under_way.lock().unwrap();
            *under_way += 1;
            *under_way
        };
        {
            let mut so_far = self.most.lock().unwrap();
            *so_far = most.max(*so_far);
        }
        let latency = *self.latency.lock().unwrap();
        sleep(latency).await;
        *self.under_way.lock().unwrap() -= 1;
        match reply {
            Reply::Fine => Ok(HttpResponse::json(200, &json!({"who": tenant}))),
            Reply::No(status, retry_after, body) => {
                let response = HttpResponse { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
                Ok(retry_after.into_iter().fold(response, |response, text| response.with_header("Retry-After", text)))
            }
            Reply::Fail(error) => Err(error),
            Reply::Never => std::future::pending().await,
        }
    }
}

struct Way(Arc<Upstream>);

impl HttpSend for Way {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        Box::pin(self.0.handle(request))
    }
}

/// Both clocks in virtual time.
struct Virtual(Instant);

impl Clock for Virtual {
    fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + self.monotonic_us() / 1_000
    }

    fn monotonic_us(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_micros()).unwrap()
    }
}

#[derive(Clone)]
struct World {
    kit: Arc<Kit>,
    upstream: Arc<Upstream>,
    _folder: Arc<TempFolder>,
}

impl World {
    async fn new() -> Self {
        Self::with(LevelSettings::default()).await
    }

    async fn with(breakers: LevelSettings) -> Self {
        let began = Instant::now();
        let upstream = Arc::new(Upstream {
            began,
            arrived: Mutex::default(),
            script: Mutex::new(Box::new(|_| Reply::Fine)),
            latency: Mutex::new(Duration::from_millis(20)),
            under_way: Mutex::default(),
            most: Mutex::default(),
        });
        let folder = TempFolder::new();
        let ports = Ports {
            clock: Arc::new(Virtual(began)),
            sleep: Arc::new(TokioTime),
            spawn: Arc::new(TokioTime),
            rng: Arc::new(SystemRng),
            sql: Arc::new(in_place::InPlace(Sqlite::open(&folder.path().join("store.db")).unwrap())),
            kek: Arc::new(LocalKeks::parse(b"0123456789abcdefghijklmnopqrstuv", Arc::new(SystemRng)).unwrap()),
            send: Some(Arc::new(Way(upstream.clone()))),
            limits: Arc::new(MemoryLimits::default()),
            telemetry: Arc::new(LogTelemetry),
            spill: None,
        };
        let options = Options {
            environment: Environment::Live,
            migrate: true,
            bounds: Bounds { deadline: Duration::from_secs(30), max_output_bytes: 1 << 20 },
            rules: kit::limit::traffic::Rules::default(),
            max_upstream_bytes: 1 << 20,
            kms_grace: Duration::from_secs(3_600),
            public_url: None,
            breakers,
            ledger: kit::ledger::LedgerOptions::default(),
            refresh: Timing::default(),
            integrations: BTreeMap::new(),
        };
        let kit = Arc::new(boot(&app(), ports, options).await.unwrap());
        Self { kit, upstream, _folder: Arc::new(folder) }
    }

    /// A tenant whose key is its name.
    async fn tenant(&self, name: &str) -> TenantCtx {
        self.kit.operator.tenant_add(name).await.unwrap();
        for integration in ["crm", "crm_eu"] {
            self.kit.operator.connection_set(NewConnection::new(name, integration, Secret::from(name))).await.unwrap();
        }
        self.kit.authenticator.local(&TenantId::parse(name).unwrap()).await.unwrap()
    }

    async fn tenants<const N: usize>(&self, names: [&str; N]) -> [TenantCtx; N] {
        let mut tenants = Vec::new();
        for name in names {
            tenants.push(self.tenant(name).await);
        }
        tenants.try_into().ok().unwrap()
    }

    async fn call(&self, tenant: &TenantCtx, tool: &str) -> Result<Value, ToolError> {
        match self.kit.pipeline.tool(tenant, tool, json!({}), Caller::patient()).await {
            Ok(answer) => Ok(answer.value),
            Err(Failure::Tool(error)) => Err(error),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn spawn(&self, tenant: &TenantCtx, tool: &'static str) -> JoinHandle<Result<Value, ToolError>> {
        let (this, tenant) = (self.clone(), tenant.clone());
        tokio::spawn(async move { this.call(&tenant, tool).await })
    }

    /// The class of the error, if it is one.
    async fn kind(&self, tenant: &TenantCtx, tool: &str) -> &'static str {
        self.call(tenant, tool).await.err().map_or("ok", |error| error.kind().as_str())
    }
}

/// A breaker that opens for exactly as long as it is told.
fn exact() -> LevelSettings {
    LevelSettings { breaker: Settings { base_us: 0, ..Settings::default() }, ..LevelSettings::default() }
}

fn retry_after_ms(error: &ToolError) -> Option<i64> {
    error.to_value()["error"]["retry_after_ms"].as_i64()
}

async fn pass(ms: i64) {
    sleep(Duration::from_millis(ms.unsigned_abs())).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_in_a_storm_send_the_threshold_and_what_was_out_and_then_one_probe_a_window() {
    let world = World::with(exact()).await;
    let a = world.tenant("a").await;
    world.upstream.script(|_| LIMIT);
    // Each comes back as soon as it is told to, for two minutes and a half; they arrive a millisecond apart.
    let callers = (0..1_000).map(|n| {
        let (world, a) = (world.clone(), a.clone());
        tokio::spawn(async move {
            pass(n).await;
            while world.upstream.now_ms() < 150_000 {
                let asked = Instant::now();
                let error = world.call(&a, "crm_me").await.unwrap_err();
                assert_eq!(error.kind().as_str(), "upstream_rate_limited");
                // Whoever is stopped here waits for nobody.
                assert!(asked.elapsed() <= Duration::from_millis(22));
                pass(retry_after_ms(&error).unwrap()).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let most = *world.upstream.most.lock().unwrap();
    let arrived = world.upstream.take();
    let first = arrived.iter().filter(|at_ms| **at_ms < 9_000).count();
    // The third answer comes when the third request is 20 ms old; by then as many are out as a millisecond apart fit in.
    assert!(first <= 3 + most && most <= 24, "{first} arrived, {most} at once");
    let probes = &arrived[first..];
    assert!(probes.windows(2).all(|pair| pair[1] - pair[0] >= 10_000), "{probes:?}");
    assert!((12..=15).contains(&probes.len()), "{} windows", probes.len());
    // It recovers with the next probe, for all at once.
    world.upstream.script(|_| Reply::Fine);
    pass(11_000).await;
    assert!(world.call(&a, "crm_me").await.is_ok());
    let calls: Vec<_> = (0..1_000).map(|_| world.spawn(&a, "crm_me")).collect();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

/// Callers of `tenant` that come back when they are told to, and up to a second later, as callers do that have clocks of their
/// own; until they are aborted.
fn storm(world: &World, tenant: &TenantCtx) -> Vec<JoinHandle<()>> {
    let callers = (0..1_000_i64).map(|n| {
        let (world, tenant) = (world.clone(), tenant.clone());
        tokio::spawn(async move {
            pass(n).await;
            loop {
                let error = world.call(&tenant, "crm_me").await.unwrap_err();
                pass(retry_after_ms(&error).unwrap() + n * 7_919 % 1_000).await;
            }
        })
    });
    callers.collect()
}

/// How long each of 480 calls took, eight at a time, sorted.
async fn latencies(world: &World, tenant: &TenantCtx) -> Vec<Duration> {
    let workers = (0..8).map(|_| {
        let (world, tenant) = (world.clone(), tenant.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            for _ in 0..60 {
                let asked = Instant::now();
                assert!(world.call(&tenant, "crm_me").await.is_ok());
                took.push(asked.elapsed());
            }
            took
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.unwrap());
    }
    all.sort_unstable();
    all
}

/// 99 of 100 took no longer.
fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// In virtual time, where only waiting counts: a call that waited for a permit, a turn or the upstream of another would show.
/// Their p99 in a storm is that in quiet: the upstream's own 20 ms, rounded by the timer.
#[tokio::test(start_paused = true)]
async fn other_tenants_wait_for_nothing_in_a_storm() {
    let world = World::new().await;
    let [a, b] = world.tenants(["a", "b"]).await;
    world.upstream.script(|tenant| if tenant == "a" { LIMIT } else { Reply::Fine });
    let quiet = latencies(&world, &b).await;
    let storm = storm(&world, &a);
    let stormy = latencies(&world, &b).await;
    storm.iter().for_each(JoinHandle::abort);
    let rounded = Duration::from_millis(1);
    assert!((20..=21).contains(&p99(&quiet).as_millis()), "{quiet:?}");
    assert!(p99(&stormy) <= p99(&quiet) + rounded && stormy[479] <= quiet[479] + rounded, "{stormy:?}");
}

/// In real time, where the work of a thousand callers counts too: quiet and storm in turn, so that what else the machine does
/// meets both alike, and the middle of five rounds each: `scripts/soak storm`. The ratio was 0.85 to 1.3 on two cores with
/// twice as much to do as they could; with five times as much it says nothing any more, so it is no gate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for a release build on a machine that is idle"]
async fn the_p99_of_other_tenants_stays_what_it_was_in_a_storm() {
    let world = World::with(exact()).await;
    let [a, b] = world.tenants(["a", "b"]).await;
    world.upstream.slow(10);
    let short = Reply::No(429, Some("1"), "");
    world.upstream.script(move |tenant| if tenant == "a" { short } else { Reply::Fine });
    let (mut quiet, mut stormy) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        quiet.push(p99(&latencies(&world, &b).await));
        let storm = storm(&world, &a);
        stormy.push(p99(&latencies(&world, &b).await));
        for caller in storm {
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled());
        }
    }
    let middle = |rounds: &mut Vec<Duration>| {
        rounds.sort_unstable();
        rounds[2]
    };
    let (quiet, stormy) = (middle(&mut quiet), middle(&mut stormy));
    println!(
        "p99 of other tenants: {quiet:?} in quiet, {stormy:?} in a storm: {:.2}",
        stormy.as_secs_f64() / quiet.as_secs_f64()
    );
    assert!(stormy <= quiet * 2, "{stormy:?} {quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn other_integrations_notice_nothing_of_a_storm() {
    let world = World::new().await;
    let a = world.tenant("a").await;
    world.upstream.script(|_| LIMIT);
    let storm: Vec<_> = (0..200).map(|_| world.spawn(&a, "crm_me")).collect();
    for call in storm {
        assert!(call.await.unwrap().is_err());
    }
    world.upstream.script(|_| Reply::Fine);
    assert_eq!(world.kind(&a, "crm_me").await, "upstream_rate_limited");
    assert_eq!(world.kind(&a, "crm_eu_me").await, "ok");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_in_the_shape_that_a_model_can_act_on() {
    let world = World::with(exact()).await;
    let a = world.tenant("a").await;
    world.upstream.replies([Reply::No(429, Some("61"), "CANARY")]);
    let began_ms = world.upstream.now_ms();
    let opened = world.call(&a, "crm_write").await.unwrap_err();
    assert_eq!(opened.message(), "Upstream rate limit: CRM asked us to wait 61 s");
    pass(14_000).await;
    let denied = world.call(&a, "crm_me").await.unwrap_err();
    assert_eq!(denied.to_string(), "UPSTREAM_RATE_LIMITED: Upstream rate limit: CRM asked us to wait 47 s");
    let mut value = denied.to_value();
    assert_eq!(began_ms, 0, "virtual time has not moved");
    // 61 s after the answer, which took 20 ms.
    let expected = json!({"error": {
        "type": "upstream_rate_limited",
        "message": "Upstream rate limit: CRM asked us to wait 47 s",
        "scope": "upstream",
        "retry_at": "2027-01-15T08:01:02Z",
    }});
    let wait = value["error"].as_object_mut().unwrap().remove("retry_after_ms").unwrap().as_i64().unwrap();
    assert!((46_990..=47_000).contains(&wait), "{wait}");
    assert_eq!(value, expected);
    assert_eq!(world.upstream.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_below_the_threshold_is_passed_on_as_it_is_and_opens_nothing() {
    let world = World::new().await;
    let a = world.tenant("a").await;
    world.upstream.replies([LIMIT, Reply::No(429, None, ""), Reply::Fine, LIMIT]);
    let first = world.call(&a, "crm_me").await.unwrap_err();
    assert_eq!(retry_after_ms(&first), Some(10_000));
    let second = world.call(&a, "crm_me").await.unwrap_err();
    let unsaid = "Upstream rate limit: CRM limits its requests and does not say for how long";
    assert_eq!((second.message(), retry_after_ms(&second)), (unsaid, None));
    assert_eq!(second.to_value()["error"]["scope"], "upstream");
    assert_eq!([world.kind(&a, "crm_me").await, world.kind(&a, "crm_me").await], ["ok", "upstream_rate_limited"]);
    assert!(world.kit.breakers.open(0).is_empty());
    assert_eq!(world.upstream.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn whatever_retry_after_says_it_opens_for_a_second_to_an_hour() {
    let year = Some("Sat, 15 Jan 2028 08:00:00 GMT");
    let past = Some("Fri, 01 Jan 2027 08:00:00 GMT");
    for (text, least, most) in [
        (Some("99999999999999999999"), 3_600_000, 3_600_000),
        (year, 3_600_000, 3_600_000),
        (past, 5_000, 10_000),
        (Some("-5"), 5_000, 10_000),
        (Some("soon"), 5_000, 10_000),
        (Some("NaN"), 5_000, 10_000),
        (Some(""), 5_000, 10_000),
        (None, 5_000, 10_000),
        (Some("47"), 47_000, 52_000),
        (Some("47.5"), 47_500, 52_500),
    ] {
        let world = World::new().await;
        let a = world.tenant("a").await;
        world.upstream.script(move |_| Reply::No(429, text, ""));
        for _ in 0..3 {
            assert_eq!(world.kind(&a, "crm_write").await, "upstream_rate_limited");
        }
        let sent = world.upstream.count();
        let denied = retry_after_ms(&world.call(&a, "crm_write").await.unwrap_err()).unwrap();
        assert!((least..=most).contains(&denied), "{text:?}: {denied}");
        assert!(sent <= 3 && world.upstream.count() == 0, "{text:?}");
        pass(denied - 1).await;
        assert_eq!((world.kind(&a, "crm_write").await, world.upstream.count()), ("upstream_rate_limited", 0));
        pass(2).await;
        world.upstream.script(|_| Reply::Fine);
        assert_eq!(world.kind(&a, "crm_write").await, "ok", "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_app_stops_every_tenant_after_one_answer() {
    let world = World::with(exact()).await;
    let [a, b, c] = world.tenants(["a", "b", "c"]).await;
    world.upstream.replies([Reply::No(429, Some("30"), r#"{"scope": "app"}"#)]);
    assert_eq!(world.kind(&a, "crm_write").await, "upstream_rate_limited");
    for tenant in [&a, &b, &c] {
        let denied = world.call(tenant, "crm_write").await.unwrap_err();
        assert_eq!(denied.message(), "Upstream rate limit: CRM asked us to wait 30 s");
    }
    assert_eq!((world.kind(&b, "crm_eu_write").await, world.upstream.count()), ("ok", 2));
    pass(30_000).await;
    let calls = [&a, &b, &c].map(|tenant| world.spawn(tenant, "crm_write"));
    let mut passed = 0;
    for call in calls {
        passed += usize::from(call.await.unwrap().is_ok());
    }
    assert_eq!((passed, world.upstream.count()), (1, 1), "one probe for all of them");
    assert_eq!(world.kind(&c, "crm_write").await, "ok");
}

#[tokio::test(start_paused = true)]
async fn three_tenants_that_trip_at_once_stop_the_others_but_not_when_it_is_their_own_limits() {
    for (body, kind) in [("{}", "upstream_rate_limited"), (r#"{"scope": "account"}"#, "ok")] {
        let world = World::new().await;
        let [a, b, c, d] = world.tenants(["a", "b", "c", "d"]).await;
        world.upstream.script(move |tenant| if tenant == "d" { Reply::Fine } else { Reply::No(429, Some("90"), body) });
        assert_eq!(world.kind(&a, "crm_write").await, "upstream_rate_limited");
        assert_eq!(world.kind(&d, "crm_write").await, "ok", "one alone is its own matter");
        for tenant in [&b, &c] {
            assert_eq!(world.kind(tenant, "crm_write").await, "upstream_rate_limited");
        }
        assert_eq!(world.kind(&d, "crm_write").await, kind);
        // A guess is not held against them for long.
        pass(11_000).await;
        assert_eq!(world.kind(&d, "crm_write").await, "ok");
        assert_eq!(world.kind(&a, "crm_write").await, "upstream_rate_limited");
    }
}

#[tokio::test(start_paused = true)]
async fn from_ninety_five_percent_on_nothing_is_sent_for_as_long_as_is_said_or_a_minute() {
    for (body, wait_ms, of_app) in [
        (r#"{"used": 94.9}"#, None, false),
        (r#"{"used": 95}"#, Some(60_000), false),
        (r#"{"used": 100, "regain_ms": 300000}"#, Some(300_000), false),
        (r#"{"used": 95, "scope": "app"}"#, Some(60_000), true),
    ] {
        let world = World::with(exact()).await;
        let [a, b] = world.tenants(["a", "b"]).await;
        world.upstream.replies([Reply::No(200, None, body)]);
        assert!(world.call(&a, "crm_me").await.is_ok(), "{body}: it was a good answer");
        let denied = world.call(&a, "crm_write").await.err().and_then(|error| {
            assert_eq!(error.kind().as_str(), "upstream_rate_limited");
            retry_after_ms(&error)
        });
        assert_eq!(denied, wait_ms, "{body}");
        assert_eq!(world.kind(&b, "crm_me").await == "ok", !of_app, "{body}");
        let sent = 1 + usize::from(denied.is_none()) + usize::from(!of_app);
        assert_eq!(world.upstream.count(), sent, "{body}");
        pass(wait_ms.unwrap_or(0)).await;
        assert_eq!(world.kind(&a, "crm_me").await, "ok", "{body}");
    }
}

/// A refusal says by itself how long to wait, and a failure is one, whatever their headers say besides.
#[tokio::test(start_paused = true)]
async fn how_much_is_used_up_counts_with_a_good_answer_only() {
    let world = World::with(exact()).await;
    let a = world.tenant("a").await;
    for reply in [Reply::No(429, Some("10"), r#"{"used": 100}"#), Reply::No(503, None, r#"{"used": 100}"#)] {
        world.upstream.replies([reply]);
        assert!(world.call(&a, "crm_write").await.is_err());
        assert_eq!((world.kind(&a, "crm_write").await, world.upstream.count()), ("ok", 2));
    }
    // A no that is about the request is an answer like any other.
    world.upstream.replies([Reply::No(404, None, r#"{"used": 100}"#)]);
    assert_eq!(world.kind(&a, "crm_me").await, "not_found");
    assert_eq!((world.kind(&a, "crm_me").await, world.upstream.count()), ("upstream_rate_limited", 1));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_fails_is_left_alone_and_the_answer_says_so() {
    let world = World::with(exact()).await;
    let a = world.tenant("a").await;
    world.upstream.script(|_| Reply::No(503, None, ""));
    for _ in 0..5 {
        assert_eq!(world.call(&a, "crm_write").await.unwrap_err().message(), "CRM failed with status 503");
    }
    let error = world.call(&a, "crm_write").await.unwrap_err();
    assert_eq!(error.message(), "CRM has failed several times in a row; it is asked again in 1 s");
    let value = error.to_value()["error"].clone();
    assert_eq!((&value["type"], &value["scope"]), (&json!("upstream_error"), &json!("upstream")));
    assert!(value["retry_at"].is_string() && retry_after_ms(&error).is_some_and(|ms| (1..=1_000).contains(&ms)));
    assert_eq!(world.upstream.count(), 5);
    world.upstream.script(|_| Reply::Fine);
    pass(1_000).await;
    assert_eq!(world.kind(&a, "crm_write").await, "ok");
}

#[tokio::test(start_paused = true)]
async fn other_refusals_open_nothing_however_many() {
    let world = World::new().await;
    let a = world.tenant("a").await;
    for status in [400, 403, 404, 409, 418, 422] {
        world.upstream.script(move |_| Reply::No(status, Some("3600"), ""));
        for _ in 0..20 {
            assert_ne!(world.kind(&a, "crm_me").await, "upstream_rate_limited");
        }
    }
    assert_eq!(world.upstream.count(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_its_probe_wedges_nothing() {
    let world = World::with(exact()).await;
    let a = world.tenant("a").await;
    world.upstream.replies([Reply::No(429, Some("60"), "")]);
    assert_eq!(world.kind(&a, "crm_write").await, "upstream_rate_limited");
    pass(60_000).await;
    world.upstream.script(|_| Reply::Never);
    for _ in 0..50 {
        let caller = Caller { cancelled: Box::pin(sleep(Duration::from_millis(5))), ..Caller::patient() };
        let left = world.kit.pipeline.tool(&a, "crm_write", json!({}), caller).await;
        assert_eq!(left, Err(Failure::Cancelled));
    }
    // A probe that is given up by aborting its task.
    let call = world.spawn(&a, "crm_write");
    pass(5).await;
    assert_eq!(world.kind(&a, "crm_write").await, "upstream_rate_limited", "there is a probe already");
    call.abort();
    assert!(call.await.is_err());
    world.upstream.script(|_| Reply::Fine);
    assert_eq!(world.kind(&a, "crm_write").await, "ok");
    assert!(world.kit.breakers.open(0).is_empty() && world.kit.breakers.kept() == (0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_answers_opens_it_and_clients_that_leave_do_not() {
    let world = World::new().await;
    let a = world.tenant("a").await;
    world.upstream.script(|_| Reply::Never);
    for _ in 0..20 {
        let caller = Caller { cancelled: Box::pin(sleep(Duration::from_secs(1))), ..Caller::patient() };
        assert!(world.kit.pipeline.tool(&a, "crm_me", json!({}), caller).await.is_err());
    }
    for _ in 0..5 {
        assert_eq!(world.kind(&a, "crm_me").await, "timeout");
    }
    assert_eq!((world.kind(&a, "crm_me").await, world.upstream.count()), ("upstream_error", 25));
}

#[tokio::test(start_paused = true)]
async fn what_reads_is_repeated_twice_at_most_and_what_writes_only_if_it_did_not_leave() {
    let server_error = Reply::No(500, None, "");
    let broken = Reply::Fail(SendError::Broken);
    let refused = Reply::Fail(SendError::Connect);
    for (tool, reply, failures, sent, kind) in [
        ("crm_me", server_error, 1, 2, "ok"),
        ("crm_me", server_error, 2, 3, "ok"),
        ("crm_me", server_error, 3, 3, "upstream_error"),
        ("crm_search", broken, 2, 3, "ok"),
        ("crm_search", Reply::Fail(SendError::Timeout), 1, 2, "ok"),
        ("crm_write", server_error, 1, 1, "upstream_error"),
        ("crm_write", broken, 1, 1, "upstream_error"),
        ("crm_write", Reply::Fail(SendError::Timeout), 1, 1, "timeout"),
        ("crm_write", refused, 2, 3, "ok"),
        ("crm_me", Reply::Fail(SendError::TooLarge), 1, 1, "upstream_error"),
        ("crm_me", Reply::Fail(SendError::Refused), 1, 1, "misconfigured"),
    ] {
        let world = World::new().await;
        let a = world.tenant("a").await;
        let mut left = failures;
        world.upstream.script(move |_| {
            left -= 1;
            if left >= 0 { reply } else { Reply::Fine }
        });
        assert_eq!(world.kind(&a, tool).await, kind, "{tool} {failures}");
        let arrived = world.upstream.take();
        assert_eq!(arrived.len(), sent, "{tool} {failures}");
        // 20 ms for each answer, and a wait of 50 ms at least and thrice the last at most.
        assert!(arrived.windows(2).all(|pair| (70..=470).contains(&(pair[1] - pair[0]))), "{arrived:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn repeats_stay_within_the_calls_deadline() {
    for (latency_ms, sent) in [(29_960, 1), (14_975, 2)] {
        let world = World::new().await;
        let a = world.tenant("a").await;
        world.upstream.slow(latency_ms);
        world.upstream.script(|_| Reply::No(500, None, ""));
        let asked = Instant::now();
        assert!(world.call(&a, "crm_me").await.is_err());
        assert!(asked.elapsed() <= Duration::from_millis(30_001));
        assert_eq!(world.upstream.count(), sent, "{latency_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenth_of_the_calls_is_repeated_and_no_more() {
    let never = Settings { failures: u32::MAX, ..Settings::default() };
    let world = World::with(LevelSettings { breaker: never, ..LevelSettings::default() }).await;
    let a = world.tenant("a").await;
    world.upstream.script(|_| Reply::No(500, None, ""));
    for _ in 0..10 {
        let calls: Vec<_> = (0..100).map(|_| world.spawn(&a, "crm_me")).collect();
        for call in calls {
            assert!(call.await.unwrap().is_err());
        }
    }
    let sent = world.upstream.count();
    assert!((1_090..=1_110).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_is_waited_for_where_the_integration_is_busy_and_nowhere_else() {
    let world = World::new().await;
    let a = world.tenant("a").await;
    let quiet = Reply::No(429, Some("1"), "");
    world.upstream.replies([quiet]);
    assert_eq!((world.kind(&a, "crm_me").await, world.upstream.count()), ("upstream_rate_limited", 1));
    for _ in 0..100 {
        assert_eq!(world.kind(&a, "crm_me").await, "ok");
    }
    world.upstream.take();
    for (text, tool, kind, gap) in [
        ("1", "crm_me", "ok", Some(1_020)),
        ("2", "crm_search", "ok", Some(2_020)),
        ("2.001", "crm_me", "upstream_rate_limited", None),
        ("1", "crm_write", "upstream_rate_limited", None),
    ] {
        world.upstream.replies([Reply::No(429, Some(text), "")]);
        assert_eq!(world.kind(&a, tool).await, kind, "{text} {tool}");
        let arrived = world.upstream.take();
        let found = arrived.get(1).map(|second| second - arrived[0]);
        assert!(found.zip(gap).is_none_or(|(found, gap)| (gap..gap + 5).contains(&found)), "{found:?} {gap:?}");
        assert_eq!(found.is_some(), gap.is_some(), "{text} {tool}");
        assert_eq!(world.kind(&a, "crm_me").await, "ok");
        world.upstream.take();
    }
    // It opens in the middle: the repeat does not leave.
    world.upstream.script(|_| Reply::No(429, Some("1"), ""));
    assert_eq!(world.kind(&a, "crm_me").await, "upstream_rate_limited");
    assert_eq!(world.upstream.count(), 3);
}
