//! What is counted: by which names and labels, and that alerts, dashboard and conventions ask for nothing else.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use kit::App;
use kit::limit::Rate;
use kit::limit::plan::{Plan, Plans};
use kit::limit::traffic::Rules;
use kit::observe::{Alarm, AlarmEvent, RefreshEvent};
use kit::pipeline::Caller;
use kit::prelude::*;
use kit::tenant::TenantId;
use kit_native::dev::{self, Dev};
use kit_native::settings::Settings;
use kit_native::telemetry::Reporting;
use kit_native::testing::{ManualClock, TempFolder};
use serde_json::Map;

struct Stub;

impl Sandbox for Stub {
    fn seed(&self) -> Seed {
        Secret::from("sandbox-key").into()
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let status = request.query("status").and_then(|status| status.parse().ok()).unwrap_or(200);
        HttpResponse::json(status, &json!({}))
    }
}

async fn asks(call: Call, args: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    let status = args.get("status").and_then(Value::as_u64).unwrap_or(200);
    call.upstream().get("/v1/things").query("status", status).json().await
}

fn app() -> App {
    let auth = AuthShape::ApiKey { header: "X-Api-Key", prefix: "" };
    let provider = Provider { title: "Shop", base_url: "https://api.shop.test", auth, ..Provider::PLAIN };
    let integration = Integration::new(provider).tools(Tools::new().read("asks", "Asks.", asks)).sandbox(|| Stub);
    App::new("acme", "1.2.3").integration("p", integration)
}

/// What is counted after calls of every kind.
async fn counted() -> String {
    let (folder, clock) = (TempFolder::new(), Arc::new(ManualClock::default()));
    let settings = Settings::load_with(&app(), Path::new("no-such-folder"), BTreeMap::new()).unwrap();
    let reporting = Reporting::start(&app(), &settings).unwrap();
    let port = reporting.port();
    let Dev { kit, key } = dev::start_with(&app(), &settings, folder.path(), clock, port.clone()).await.unwrap();
    let kit = Arc::new(kit);
    reporting.watch(&kit);
    let ctx = kit.authenticator.api_key(key.expose_str().unwrap()).await.unwrap();
    let default = Arc::new(Plan { rate: Some(Rate::per_minute(1, 4)), ..Plan::default() });
    kit.traffic.set_rules(Rules { plans: Plans { default, ..Plans::default() }, max_in_flight: None });
    for status in [200, 404, 429, 200, 200] {
        let _ = kit.pipeline.tool(&ctx, "p_asks", json!({"status": status}), Caller::patient()).await;
    }
    let _ = kit.pipeline.tool(&ctx, "a_name_that_a_caller_made_up", json!({}), Caller::patient()).await;
    port.refreshed(&RefreshEvent { integration: "p", outcome: "ok" });
    let (tenant, account) = (TenantId::parse("demo").unwrap(), "default");
    port.alarm(&AlarmEvent { alarm: Alarm::ReconnectNeeded, tenant: &tenant, integration: "p", account });
    let text = reporting.prometheus().unwrap();
    reporting.end().await;
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_counted_by_tool_and_outcome_and_by_nothing_that_a_caller_chooses() {
    let text = counted().await;
    let counts = |prefix: &str| -> BTreeSet<&str> { text.lines().filter(|line| line.starts_with(prefix)).collect() };
    assert_eq!(
        counts("mcp_server_operation_duration_seconds_count"),
        BTreeSet::from([
            "mcp_server_operation_duration_seconds_count{error_type=\"-32602\",kit_outcome=\"unknown\",\
             mcp_method_name=\"tools/call\"} 1",
            "mcp_server_operation_duration_seconds_count{error_type=\"tool_error\",gen_ai_tool_name=\"p_asks\",\
             kit_outcome=\"not_found\",mcp_method_name=\"tools/call\"} 1",
            "mcp_server_operation_duration_seconds_count{error_type=\"tool_error\",gen_ai_tool_name=\"p_asks\",\
             kit_outcome=\"rate_limited\",mcp_method_name=\"tools/call\"} 1",
            "mcp_server_operation_duration_seconds_count{error_type=\"tool_error\",gen_ai_tool_name=\"p_asks\",\
             kit_outcome=\"upstream_rate_limited\",mcp_method_name=\"tools/call\"} 1",
            "mcp_server_operation_duration_seconds_count{gen_ai_tool_name=\"p_asks\",mcp_method_name=\"tools/call\"} 2",
        ])
    );
    assert_eq!(
        counts("kit_limit_refused_total"),
        BTreeSet::from(["kit_limit_refused_total{kit_limit_scope=\"tenant\"} 1"])
    );
    assert_eq!(counts("kit_vault_opened_total"), BTreeSet::from(["kit_vault_opened_total 4"]));
    assert_eq!(
        counts("kit_refresh_total"),
        BTreeSet::from(["kit_refresh_total{kit_integration=\"p\",kit_outcome=\"ok\"} 1"])
    );
    assert_eq!(
        counts("kit_alarms_total"),
        BTreeSet::from(["kit_alarms_total{kit_alarm=\"reconnect_needed\",kit_integration=\"p\"} 1"])
    );
    assert!(!text.contains("demo") && !text.contains("made_up"), "{text}");
}

/// Words that look like a metric of this server.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    let ours = words.filter(|word| word.starts_with("kit_") || word.starts_with("mcp_server_operation"));
    ours.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_ask_for_what_is_counted() {
    let counted = metrics(&counted().await);
    let files = [
        include_str!("../../../templates/project/observability/alerts.yml.j2"),
        include_str!("../../../templates/project/observability/dashboard.json.j2"),
    ];
    for file in files {
        let asked = metrics(file);
        assert!(asked.len() > 8, "{asked:?}");
        let unknown: Vec<&String> = asked.difference(&counted).collect();
        assert_eq!(unknown, [""; 0]);
    }
}

/// A collector that takes connections and never answers: what has no room is dropped and counted, calls go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_costs_so_many_spans_and_no_more() {
    let tarpit = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (folder, clock) = (TempFolder::new(), Arc::new(ManualClock::default()));
    let mut settings = Settings::load_with(&app(), Path::new("no-such-folder"), BTreeMap::new()).unwrap();
    settings.telemetry.otlp_endpoint = Some(format!("http://{}", tarpit.local_addr().unwrap()).parse().unwrap());
    let reporting = Reporting::start(&app(), &settings).unwrap();
    let Dev { kit, key } = dev::start_with(&app(), &settings, folder.path(), clock, reporting.port()).await.unwrap();
    let ctx = kit.authenticator.api_key(key.expose_str().unwrap()).await.unwrap();
    kit.traffic.set_rules(Rules::default());
    // Each call has five spans: its own, the limit, the vault, the request, the commit.
    let calls = 4_000;
    for _ in 0..calls / 100 {
        let mut together = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (pipeline, ctx) = (kit.pipeline.clone(), ctx.clone());
            together.spawn(async move { pipeline.tool(&ctx, "p_asks", json!({}), Caller::patient()).await });
        }
        assert!(together.join_all().await.iter().all(Result::is_ok));
    }
    let text = reporting.prometheus().unwrap();
    let dropped = text.lines().find_map(|line| line.strip_prefix("kit_telemetry_dropped_spans_total ")).unwrap();
    let (dropped, spans): (f64, f64) = (dropped.parse().unwrap(), f64::from(5 * calls));
    // What is not dropped is in the queue (8,192) or on its way (a batch of 512, and another that is being filled).
    assert!(spans - dropped <= 8_192.0 + 1_024.0 + 10.0, "{dropped} of {spans}");
    assert!(dropped < spans);
}

/// The other client starts its own reactor on the exporter's thread, where it panics, and traces end without a word.
#[test]
fn the_exporter_has_the_client_that_blocks() {
    for manifest in [include_str!("../Cargo.toml"), include_str!("../../../templates/kit/native/Cargo.toml.j2")] {
        let line = manifest.lines().find(|line| line.starts_with("opentelemetry-otlp = ")).unwrap();
        assert!(line.contains("default-features = false") && line.contains("\"reqwest-blocking-client\""), "{line}");
        assert!(!line.contains("\"reqwest-client\""), "{line}");
    }
}
