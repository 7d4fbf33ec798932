//! What connections cost: a call through the whole kit against the bare request it sends, a look-up among ten and among
//! ten thousand tenants, a pass of the sweep, and the memory of ten thousand connections.
//!
//! `connections FOLDER` prints one JSON object; times are CPU microseconds of this thread.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::inbound::{Environment, TenantCtx};
use kit::limit::memory::MemoryLimits;
use kit::operator::NewConnection;
use kit::pipeline::{Bounds, Caller};
use kit::ports::{BoxFuture, Clock, HttpSend, SendError};
use kit::prelude::*;
use kit::tenant::TenantId;
use kit::upstream::refresh::Timing;
use kit::vault::kek::LocalKeks;
use kit_native::clock::{SystemRng, TokioTime};
use kit_native::log::LogTelemetry;
use kit_native::out;
use serde_json::Map;

const PROVIDER: Provider = Provider {
    id: "null",
    title: "Null",
    base_url: "https://null.invalid",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            token_url: "https://null.invalid/token",
            refresh_life: RefreshLife::Sliding { refresh_before_days: 14 },
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    headers: &[("Accept", "application/json")],
    ..Provider::PLAIN
};

async fn get(call: Call, _: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    call.upstream().get("/v1/items").query("limit", 20).json().await
}

/// Answers the API with an object and the token endpoint with tokens.
#[derive(Default)]
struct NullSend {
    issued: AtomicU64,
}

impl HttpSend for NullSend {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        let body = if request.url.path() == "/token" {
            let number = self.issued.fetch_add(1, Ordering::Relaxed);
            let life = 90 * 86_400;
            json!({"access_token": format!("a{number}"), "refresh_token": format!("r{number}"), "expires_in": 3_600,
                   "refresh_token_expires_in": life})
        } else {
            json!({"items": []})
        };
        Box::pin(std::future::ready(Ok(HttpResponse::json(200, &body))))
    }
}

/// The machine's clocks, moved on by hand.
#[derive(Default)]
struct Ahead(AtomicI64);

impl Clock for Ahead {
    fn wall_ms(&self) -> i64 {
        kit_native::clock::SystemClock.wall_ms() + self.0.load(Ordering::Relaxed)
    }

    fn monotonic_us(&self) -> i64 {
        kit_native::clock::SystemClock.monotonic_us() + self.0.load(Ordering::Relaxed) * 1_000
    }
}

/// CPU time of this process, in microseconds.
fn cpu_us() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    Ok(text.split(' ').next().context("no CPU time")?.parse::<f64>()? / 1_000.0)
}

fn rss_kib() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

async fn add(kit: &Kit, names: std::ops::Range<usize>) -> anyhow::Result<Vec<TenantCtx>> {
    let mut tenants = Vec::new();
    for number in names {
        let name = format!("t{number}");
        kit.operator.tenant_add(&name).await?;
        kit.operator.connection_set(NewConnection::new(&name, "null", Secret::from("first"))).await?;
        tenants.push(kit.authenticator.local(&TenantId::parse(&name)?).await?);
    }
    Ok(tenants)
}

async fn call(kit: &Kit, tenant: &TenantCtx) -> anyhow::Result<()> {
    let answer = kit.pipeline.tool(tenant, "null_get", json!({}), Caller::patient()).await;
    black_box(answer).map(drop).map_err(|failure| anyhow::anyhow!("{failure:?}"))
}

/// Median of `rounds` measurements of `count` calls, per call.
async fn per_call(kit: &Kit, tenants: &[TenantCtx], rounds: usize, count: usize) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let began = cpu_us()?;
        for number in 0..count {
            call(kit, &tenants[number % tenants.len()]).await?;
        }
        times.push((cpu_us()? - began) / count as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[rounds / 2])
}

fn bare(send: &NullSend) -> anyhow::Result<f64> {
    let url = url::Url::parse("https://null.invalid/v1/items?limit=20")?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let began = cpu_us()?;
        for _ in 0..20_000 {
            let request = HttpRequest {
                integration: "null".into(),
                method: Method::Get,
                url: url.clone(),
                headers: vec![
                    ("Accept".into(), "application/json".into()),
                    ("Authorization".into(), "Bearer a0".into()),
                ],
                body: Vec::new(),
                timeout: Duration::from_secs(30),
                max_response_bytes: 1 << 20,
            };
            let response = futures_now(send.send(request))?;
            let value: Map<String, Value> = serde_json::from_slice(&response.body)?;
            black_box(value);
        }
        times.push((cpu_us()? - began) / 20_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[4])
}

/// The output of a future that is ready.
fn futures_now<T>(future: BoxFuture<'_, Result<T, SendError>>) -> anyhow::Result<T> {
    let mut future = future;
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(result) => result.map_err(|error| anyhow::anyhow!("{error:?}")),
        std::task::Poll::Pending => anyhow::bail!("not ready"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).context("usage: connections FOLDER")?;
    let folder = Path::new(&folder);
    let app = App::new("bench", "0.0.0")
        .integration("null", Integration::new(PROVIDER).tools(Tools::new().read("get", "Items.", get)));
    let kek = kit::token::random(&SystemRng, 32)?;
    let (send, clock) = (Arc::new(NullSend::default()), Arc::new(Ahead::default()));
    let ports = Ports {
        clock: clock.clone(),
        sleep: Arc::new(TokioTime),
        spawn: Arc::new(TokioTime),
        rng: Arc::new(SystemRng),
        sql: Arc::new(kit_native::sqlite::Sqlite::open(&folder.join("bench.db"))?),
        kek: Arc::new(LocalKeks::parse(kek.as_bytes(), Arc::new(SystemRng))?),
        send: Some(send.clone()),
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
        breakers: kit::breaker::LevelSettings::default(),
        ledger: kit::ledger::LedgerOptions::default(),
        refresh: Timing::default(),
        integrations: BTreeMap::new(),
    };
    let kit = boot(&app, ports, options).await?;
    kit.operator.app_set("null", None, "id", Secret::from("secret")).await?;

    let bare_us = bare(&send)?;
    let few = add(&kit, 0..10).await?;
    per_call(&kit, &few, 1, 1_000).await?;
    let few_us = per_call(&kit, &few, 9, 20_000).await?;
    let before = rss_kib()?;
    let many = add(&kit, 10..10_000).await?;
    // The first call of each renews its token; after that all are in the cache.
    per_call(&kit, &many, 1, many.len()).await?;
    let after = rss_kib()?;
    let many_us = per_call(&kit, &many, 3, many.len()).await?;

    let began = std::time::Instant::now();
    let idle = kit.sweeper.pass().await?;
    let idle_ms = began.elapsed().as_secs_f64() * 1_000.0;
    clock.0.fetch_add(77 * 86_400_000, Ordering::Relaxed);
    let began = std::time::Instant::now();
    let busy = kit.sweeper.pass().await?;
    let busy_ms = began.elapsed().as_secs_f64() * 1_000.0;
    out::json(&json!({
        "bare_us": bare_us, "call_us": few_us, "call_among_many_us": many_us,
        "kib_per_connection": (after.saturating_sub(before)) as f64 / many.len() as f64,
        "idle_sweep_ms": idle_ms, "idle_sweep_renewed": idle.renewed,
        "busy_sweep_ms": busy_ms, "busy_sweep_renewed": busy.renewed,
    }));
    Ok(())
}
