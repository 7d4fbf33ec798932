//! The measured server. A call takes the whole path of a generated project: API key, limits, deadline, the tenant's
//! connection, its sealed record, a signed request, its row of the audit, its usage, its trace. Only one step differs: the
//! request goes to a port that echoes its body, so that no network is measured.
//!
//! `mcpkit-bench-kit FOLDER` prints `{"url", "key"}` on standard output, serves until SIGTERM, and then prints
//! `{"opened", "sent", "rows"}`: the benchmark fails unless all equal the calls. What the environment sets holds
//! (`MCP__TELEMETRY__…`, `MCP__AUDIT__MODE`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use kit::App;
use kit::boot::{Options, Ports, boot};
use kit::inbound::Environment;
use kit::operator::NewConnection;
use kit::limit::memory::MemoryLimits;
use kit::limit::Rate;
use kit::limit::plan::{Plan, Plans};
use kit::limit::traffic::Rules;
use kit::ports::{BoxFuture, HttpSend, SendError, Sql as _, Val};
use kit::prelude::*;
use kit::vault::kek::LocalKeks;
use kit_native::clock::{SystemClock, SystemRng, TokioTime};
use kit_native::http::{Http, PATH, listen};
use kit_native::log::Format;
use kit_native::settings::Settings;
use kit_native::telemetry::Reporting;
use kit_native::out;
use serde_json::json;

const PROVIDER: Provider = Provider {
    id: "null",
    title: "Null",
    base_url: "https://null.invalid",
    auth: AuthShape::ApiKey { header: "Authorization", prefix: "Bearer " },
    headers: &[("Accept", "application/json")],
    ..Provider::PLAIN
};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Echo {
    /// Text to send back.
    text: String,
}

async fn echo(call: Call, args: Echo) -> Result<Echo, ToolError> {
    call.upstream().post("/echo").body(&args).json().await
}

/// Answers each request with its own body, and insists on the signature.
#[derive(Default)]
struct NullSend {
    sent: AtomicU64,
}

impl HttpSend for NullSend {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let signed = request.header("authorization") == Some("Bearer upstream-key");
        let status = if signed { 200 } else { 401 };
        Box::pin(std::future::ready(Ok(HttpResponse { status, headers: Vec::new(), body: request.body })))
    }
}

/// A plan with every limit there is, and room for all.
fn rules() -> Rules {
    let rate = Some(Rate { interval_us: 1, burst: 10_000_000 });
    let (most, units) = (Some(1_000_000), Some(u64::MAX / 2));
    let plan = Plan { name: String::new(), rate, tool_rate: rate, concurrency: most, daily: units, monthly: units };
    Rules { plans: Plans { default: Arc::new(plan), ..Plans::default() }, max_in_flight: most }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).context("usage: mcpkit-bench-kit FOLDER")?;
    let folder = Path::new(&folder);
    let app = App::new("bench", "0.0.0")
        .integration("null", Integration::new(PROVIDER).tools(Tools::new().read("echo", "Return the text.", echo)));
    // Every limiter decides on every call, and admits as much as one machine can send.
    let unlimited = [("MCP__LIMITS__IP_PER_MINUTE", "1000000"), ("MCP__LIMITS__IP_BURST", "1000000")];
    let mut environment: BTreeMap<String, String> =
        std::env::vars().filter(|(name, _)| name.starts_with("MCP__")).collect();
    environment.extend(unlimited.map(|(name, value)| (name.into(), value.into())));
    let settings = Settings::load_with(&app, folder, environment)?;
    let reporting = Reporting::start(&app, &settings)?;
    kit_native::log::start(settings.log_level, Format::Json, false);
    let kek = kit::token::random(&SystemRng, 32)?;
    let send = Arc::new(NullSend::default());
    let sql = Arc::new(kit_native::sqlite::Sqlite::open(&folder.join("bench.db"))?);
    let ports = Ports {
        clock: Arc::new(SystemClock),
        sleep: Arc::new(TokioTime),
        spawn: Arc::new(TokioTime),
        rng: Arc::new(SystemRng),
        sql: sql.clone(),
        kek: Arc::new(LocalKeks::parse(kek.as_bytes(), Arc::new(SystemRng))?),
        send: Some(send.clone()),
        limits: Arc::new(MemoryLimits::default()),
        telemetry: reporting.port(),
        spill: None,
    };
    let options = Options {
        environment: Environment::Live,
        migrate: true,
        bounds: settings.bounds,
        rules: rules(),
        max_upstream_bytes: settings.max_upstream_bytes,
        breakers: kit::breaker::LevelSettings::default(),
        ledger: settings.audit.options,
        refresh: settings.refresh,
        kms_grace: settings.vault.kms_grace,
        public_url: None,
        integrations: BTreeMap::new(),
    };
    let kit = Arc::new(boot(&app, ports, options).await?);
    reporting.watch(&kit);
    let tenants = kit.operator.tenant_list().await?;
    if tenants.is_empty() {
        kit.operator.tenant_add("acme").await?;
        kit.operator.connection_set(NewConnection::new("acme", "null", Secret::from("upstream-key"))).await?;
    }
    let key = kit.operator.key_create("acme", "bench", None).await?.key;
    let listener = listen(([127, 0, 0, 1], 0).into()).await?;
    let url = format!("http://{}{PATH}", listener.local_addr()?);
    out::json(&json!({"url": url, "key": key.expose_str()}));

    let settings = Settings { grace: std::time::Duration::ZERO, ..settings };
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Http::new(kit.clone(), &settings).serve(listener, async move { term.recv().await.unwrap_or(()) }).await?;
    kit.ledger.settled().await;
    let rows = sql.query("SELECT COUNT(*) FROM audit WHERE record LIKE '%\"kind\":\"call\"%'", &[]).await?;
    let rows = match rows.first().and_then(|row| row.first()) {
        Some(Val::I64(rows)) => *rows,
        _ => 0,
    };
    reporting.end().await;
    out::json(&json!({"opened": kit.vault.opened(), "sent": send.sent.load(Ordering::Relaxed), "rows": rows}));
    Ok(())
}
