//! What the owner's code can do to a server: panic, never return, report progress, answer too much. Each call goes
//! over a real socket to tools that were planted for it; the worst that any of them may do is fail its own call.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::wire::{self, Connection, Response, call, legacy, modern};
use common::{Anything, Listening, Spy, app as crm_app, settings};
use kit::App;
use kit::boot::Kit;
use kit::ports::Clock;
use kit::prelude::*;
use kit_native::dev;
use kit_native::http::{Http, listen};
use kit_native::log::LogTelemetry;
use kit_native::testing::TempFolder;
use serde_json::Map;
use tokio::runtime::Runtime;

type Out = Result<Map<String, Value>, ToolError>;

/// Counts futures that are alive.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

struct Guard(Alive);

impl Alive {
    fn one(&self) -> Guard {
        self.0.fetch_add(1, Ordering::SeqCst);
        Guard(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn out(value: Value) -> Out {
    Ok(value.as_object().cloned().unwrap_or_default())
}

async fn fine(_: Call, _: Anything) -> Out {
    out(json!({"fine": true}))
}

async fn panics(_: Call, _: Anything) -> Out {
    tokio::time::sleep(Duration::from_millis(1)).await;
    panic!("planted, with the secret canary-7d1f")
}

/// Panics before there is a future.
fn panics_at_once(_: Call, args: Anything) -> std::future::Ready<Out> {
    assert!(args.contains_key("never"), "planted, at once");
    std::future::ready(out(json!({})))
}

async fn big(_: Call, args: Anything) -> Out {
    let size = args["size"].as_u64().unwrap_or_default();
    out(json!({"text": "x".repeat(usize::try_from(size).unwrap_or_default())}))
}

async fn counts(call: Call, _: Anything) -> Out {
    for done in 1..=3 {
        call.progress(f64::from(done), Some(3.0), format!("step {done}")).await;
    }
    out(json!({"counted": 3}))
}

async fn refuses(_: Call, _: Anything) -> Out {
    Err(ToolError::not_found("no such thing").hint("look elsewhere"))
}

async fn panicking_prompt(_: Call, _: Anything) -> Result<Vec<Message>, ToolError> {
    panic!("planted, in a prompt")
}

async fn panicking_resource(_: Call) -> Result<Text, ToolError> {
    panic!("planted, in a resource")
}

const PROVIDER: Provider = Provider {
    id: "planted",
    title: "Planted",
    base_url: "https://planted.test",
    auth: AuthShape::ApiKey { header: "X-Key", prefix: "" },
    throttle: Throttle::Silent,
    ..Provider::PLAIN
};

fn app(alive: &Alive) -> App {
    let (never, reporting) = (alive.clone(), alive.clone());
    let never = move |_: Call, _: Anything| {
        let guard = never.one();
        async move {
            let _guard = guard;
            std::future::pending::<Out>().await
        }
    };
    let reporting = move |call: Call, _: Anything| {
        let guard = reporting.one();
        async move {
            let _guard = guard;
            call.progress(1.0, None, "begun").await;
            std::future::pending::<Out>().await
        }
    };
    let tools = Tools::new()
        .read("fine", "Answers.", fine)
        .read("panics", "Panics.", panics)
        .read("panics_at_once", "Panics before there is a future.", panics_at_once)
        .read("never", "Never returns.", never)
        .read("reports_and_hangs", "Reports progress once, then never returns.", reporting)
        .read("big", "Answers as much as it is asked for.", big)
        .read("counts", "Reports progress three times.", counts)
        .read("refuses", "Fails as a tool does.", refuses);
    let planted = Integration::new(PROVIDER)
        .tools(tools)
        .prompts(Prompts::new().prompt("panics", "Panics.", panicking_prompt))
        .resources(Resources::new().resource("panics", "text/plain", "Panics.", panicking_resource));
    App::new("planted-server", "1.2.3").integration("p", planted)
}

/// Stands still until it is moved.
#[derive(Default)]
struct Still(AtomicI64);

impl Clock for Still {
    fn wall_ms(&self) -> i64 {
        1_800_000_000_000 + self.0.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst) * 1_000
    }
}

/// A running server with the planted tools.
struct Server {
    listening: Listening,
    key: String,
    alive: Alive,
    clock: Arc<Still>,
    kit: Arc<Kit>,
    // Dropped in this order: the server stops before its runtime and its store go.
    runtime: Runtime,
    _folder: TempFolder,
}

impl Server {
    fn start(environment: &[(&str, &str)]) -> Self {
        let alive = Alive::default();
        Self::of(&app(&alive), alive, environment)
    }

    fn of(app: &App, alive: Alive, environment: &[(&str, &str)]) -> Self {
        let (runtime, folder, clock) = (Runtime::new().unwrap(), TempFolder::new(), Arc::new(Still::default()));
        let settings = settings(app, environment);
        let dev = runtime
            .block_on(dev::start_with(app, &settings, folder.path(), clock.clone(), Arc::new(LogTelemetry)))
            .unwrap();
        let (kit, key) = (Arc::new(dev.kit), dev.key.expose_str().unwrap().to_owned());
        let listening = Listening::on(&runtime, kit.clone(), &settings);
        Self { listening, key, alive, clock, kit, runtime, _folder: folder }
    }

    fn ask(&self, request: wire::Request) -> Response {
        self.listening.ask(&request.key(&self.key))
    }

    /// The answer to a call of `tool`.
    fn call(&self, tool: &str, arguments: Value) -> Value {
        let response = self.ask(call(tool, arguments));
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()["result"].clone()
    }

    fn goes_on(&self) {
        assert_eq!(self.call("p_fine", json!({}))["structuredContent"], json!({"fine": true}));
    }
}

/// Waits for `condition`, as long as a client would.
#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + wire::PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {:?}", wire::PATIENCE);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn error_of(result: &Value) -> (&Value, &str, &Value) {
    let error = &result["structuredContent"]["error"];
    (&result["isError"], error["type"].as_str().unwrap_or_default(), &error["message"])
}

// Panics.

#[test]
fn a_tool_that_panics_fails_its_own_call_and_nothing_else() {
    let server = Server::start(&[]);
    for tool in ["p_panics", "p_panics_at_once", "p_panics"] {
        let response = server.ask(call(tool, json!({})));
        let result = response.json()["result"].clone();
        assert_eq!(error_of(&result), (&json!(true), "internal_error", &json!("internal error")), "{tool}");
        assert_eq!(result["content"], json!([{"type": "text", "text": "INTERNAL_ERROR: internal error"}]));
        assert!(!response.text().contains("canary"), "the panic's own words stay inside: {}", response.text());
        server.goes_on();
    }
}

#[test]
fn a_panic_leaves_the_connection_usable() {
    let server = Server::start(&[]);
    let mut connection = Connection::open(server.listening.address).unwrap();
    for tool in ["p_panics", "p_fine", "p_panics", "p_fine"] {
        let response = connection.exchange(&call(tool, json!({})).key(&server.key)).unwrap();
        assert_eq!(response.json()["result"]["isError"], tool == "p_panics", "{tool}");
    }
}

#[test]
fn a_prompt_or_resource_that_panics_is_answered_with_an_error() {
    let server = Server::start(&[]);
    let prompt = json!({"name": "p_panics", "arguments": {}});
    let resource = json!({"uri": "p://panics"});
    for request in [
        modern("prompts/get", prompt.clone()),
        modern("resources/read", resource.clone()),
        legacy("prompts/get", prompt),
        legacy("resources/read", resource),
    ] {
        let response = server.ask(request);
        let error = &response.json()["error"];
        assert_eq!((response.status, &error["code"]), (200, &json!(-32603)), "{}", response.text());
        assert_eq!(error["data"]["error"]["type"], "internal_error");
    }
    server.goes_on();
}

#[test]
fn calls_in_flight_survive_the_panic_of_another() {
    let server = Server::start(&[("MCP__CALLS__DEADLINE_MS", "1500")]);
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| server.call("p_never", json!({})));
        wait_until("the other call is in flight", || server.alive.count() == 1);
        let panicked = server.call("p_panics", json!({}));
        assert_eq!(error_of(&panicked).1, "internal_error");
        assert_eq!(server.alive.count(), 1, "the other goes on");
        assert_eq!(error_of(&hanging.join().unwrap()).1, "timeout", "to its own end");
    });
}

// Deadlines.

#[test]
fn a_tool_that_never_returns_is_ended_at_its_deadline() {
    let server = Server::start(&[("MCP__CALLS__DEADLINE_MS", "300")]);
    let begun = Instant::now();
    let result = server.call("p_never", json!({}));
    let took = begun.elapsed();
    assert_eq!(error_of(&result), (&json!(true), "timeout", &json!("the call took longer than 0.3 s")));
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(3), "{took:?}");
    assert_eq!(server.alive.count(), 0, "its future is gone");
    server.goes_on();
}

#[test]
fn a_deadline_ends_a_tool_that_has_reported_progress_too() {
    let server = Server::start(&[("MCP__CALLS__DEADLINE_MS", "300")]);
    let response = server.ask(modern(
        "tools/call",
        json!({"name": "p_reports_and_hangs", "arguments": {}, "_meta": {"progressToken": "t"}}),
    ));
    let events = response.events();
    assert_eq!(events.len(), 2, "{}", response.text());
    assert_eq!(error_of(&events[1]["result"]).1, "timeout");
    assert_eq!(server.alive.count(), 0);
}

// Clients that leave.

#[test]
fn a_client_that_leaves_takes_the_tool_with_it() {
    let server = Server::start(&[("MCP__CALLS__DEADLINE_MS", "60000")]);
    for request in [call("p_never", json!({})), legacy("tools/call", json!({"name": "p_never", "arguments": {}}))] {
        let mut connection = Connection::open(server.listening.address).unwrap();
        connection.send(&request.key(&server.key)).unwrap();
        wait_until("the call is in flight", || server.alive.count() == 1);
        drop(connection);
        wait_until("the tool's future is dropped", || server.alive.count() == 0);
    }
    server.goes_on();
}

#[test]
fn a_client_that_leaves_an_event_stream_takes_the_tool_with_it() {
    let server = Server::start(&[("MCP__CALLS__DEADLINE_MS", "60000")]);
    let params = json!({"name": "p_reports_and_hangs", "arguments": {}, "_meta": {"progressToken": 1}});
    for request in [modern("tools/call", params.clone()), legacy("tools/call", params)] {
        let mut connection = Connection::open(server.listening.address).unwrap();
        connection.send(&request.key(&server.key)).unwrap();
        wait_until("the call is in flight", || server.alive.count() == 1);
        drop(connection);
        wait_until("the tool's future is dropped", || server.alive.count() == 0);
    }
    server.goes_on();
}

/// The only one that its tenant has.
#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let server = Server::start(&[("MCP__CALLS__DEADLINE_MS", "60000"), ("MCP__LIMITS__CONCURRENCY", "1")]);
    for _ in 0..3 {
        let mut connection = Connection::open(server.listening.address).unwrap();
        connection.send(&call("p_never", json!({})).key(&server.key)).unwrap();
        wait_until("the call is in flight", || server.kit.traffic.in_flight() == 1);
        let full = server.call("p_fine", json!({}));
        let expected = json!("too many calls are under way; wait for one of them to end");
        assert_eq!(error_of(&full), (&json!(true), "rate_limited", &expected));
        drop(connection);
        wait_until("the place is free", || server.kit.traffic.in_flight() == 0);
        server.goes_on();
    }
}

// Progress.

#[test]
fn progress_turns_the_answer_into_a_stream_that_ends_with_the_result() {
    let server = Server::start(&[]);
    let params = json!({"name": "p_counts", "arguments": {}, "_meta": {"progressToken": "token-1"}});
    for request in [modern("tools/call", params.clone()), legacy("tools/call", params)] {
        let response = server.ask(request);
        assert_eq!((response.status, response.header("content-type")), (200, Some("text/event-stream")));
        let events = response.events();
        let reports: Vec<&Value> = events.iter().filter(|event| event["method"] == "notifications/progress").collect();
        let expected = [1.0, 2.0, 3.0].map(|done: f64| {
            json!({"progressToken": "token-1", "progress": done, "total": 3.0, "message": format!("step {done}")})
        });
        let got: Vec<Value> = reports.iter().map(|report| report["params"].clone()).collect();
        assert_eq!(got, expected, "{}", response.text());
        let last = events.last().unwrap();
        assert_eq!((&last["id"], &last["result"]["structuredContent"]), (&json!(1), &json!({"counted": 3})));
    }
}

#[test]
fn without_a_token_progress_is_not_reported_and_the_answer_is_json() {
    let server = Server::start(&[]);
    let response = server.ask(call("p_counts", json!({})));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json()["result"]["structuredContent"], json!({"counted": 3}));
}

// Bounds.

#[test]
fn an_answer_over_the_cap_is_refused_and_one_at_the_cap_is_not() {
    let server = Server::start(&[("MCP__CALLS__MAX_OUTPUT_BYTES", "1024")]);
    let around = r#"{"text":""}"#.len();
    let at = server.call("p_big", json!({"size": 1024 - around}));
    assert_eq!(at["isError"], false);
    let over = server.call("p_big", json!({"size": 1025 - around}));
    assert_eq!(
        error_of(&over),
        (&json!(true), "output_too_large", &json!("the answer is larger than 1024 bytes; ask for less"))
    );
}

#[test]
fn a_caller_over_its_rate_learns_when_to_come_back() {
    let server = Server::start(&[("MCP__CALLS__PER_MINUTE", "6"), ("MCP__CALLS__BURST", "3")]);
    for _ in 0..3 {
        server.goes_on();
    }
    let mut refused = server.call("p_fine", json!({}));
    let at = refused["structuredContent"]["error"]["retry_at"].take();
    assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
    assert_eq!(
        refused["structuredContent"],
        json!({"error": {
            "type": "rate_limited",
            "message": "`p_fine` is called too often; try again in 10 s",
            "scope": "tenant_tool",
            "limit": 3,
            "retry_after_ms": 10_000,
            "retry_at": null,
        }})
    );
    assert_eq!(refused["isError"], true);
    server.clock.0.fetch_add(9_999, Ordering::SeqCst);
    assert_eq!(error_of(&server.call("p_fine", json!({}))).1, "rate_limited");
    server.clock.0.fetch_add(1, Ordering::SeqCst);
    server.goes_on();
}

#[test]
fn one_tool_or_tenant_over_its_rate_costs_no_other() {
    let server = Server::start(&[("MCP__CALLS__PER_MINUTE", "1"), ("MCP__CALLS__BURST", "1")]);
    server.goes_on();
    assert_eq!(error_of(&server.call("p_fine", json!({}))).1, "rate_limited");
    assert_eq!(server.call("p_counts", json!({}))["isError"], false, "another tool");
    let operator = &server.kit.operator;
    let key = server.runtime.block_on(async {
        operator.tenant_add("other").await.unwrap();
        operator.key_create("other", "", None).await.unwrap().key
    });
    let request = call("p_fine", json!({})).key(key.expose_str().unwrap());
    assert_eq!(server.listening.ask(&request).json()["result"]["isError"], false, "another tenant");
}

#[test]
fn arguments_nested_without_end_are_refused() {
    let server = Server::start(&[]);
    let nested = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let body = modern("tools/call", json!({"name": "p_fine", "arguments": {"deep": "HERE"}}));
    let text = String::from_utf8(body.body.clone()).unwrap().replace("\"HERE\"", &nested);
    let response = server.ask(wire::Request { body: text.into_bytes(), ..body });
    assert_eq!(response.status, 415, "{}", response.text());
    server.goes_on();
}

// What a tool's own failure looks like.

#[test]
fn a_tool_error_reads_as_text_and_as_data() {
    let server = Server::start(&[]);
    let result = server.call("p_refuses", json!({}));
    assert_eq!(result["content"], json!([{"type": "text", "text": "NOT_FOUND: no such thing\nhint: look elsewhere"}]));
    assert_eq!(
        result["structuredContent"],
        json!({"error": {"type": "not_found", "message": "no such thing", "hint": "look elsewhere"}})
    );
    assert_eq!(result["isError"], true);
}

// Prompts and resources, in both eras.

fn with_crm() -> Server {
    Server::of(&crm_app(&Spy::default()), Alive::default(), &[])
}

fn server_info() -> Value {
    json!({"io.modelcontextprotocol/serverInfo": {"name": "acme", "version": "1.2.3"}})
}

#[test]
fn a_prompt_is_filled_in_both_eras() {
    let server = with_crm();
    let params = json!({"name": "crm_hello", "arguments": {}});
    let messages = json!([{"role": "user", "content": {"type": "text", "text": "hello demo"}}]);
    assert_eq!(server.ask(legacy("prompts/get", params.clone())).json()["result"], json!({"messages": messages}));
    assert_eq!(
        server.ask(modern("prompts/get", params)).json()["result"],
        json!({"messages": messages, "resultType": "complete", "_meta": server_info()})
    );
}

#[test]
fn a_resource_is_read_in_both_eras() {
    let server = with_crm();
    let params = json!({"uri": "crm://note"});
    let contents = json!([{"uri": "crm://note", "mimeType": "text/plain", "text": "noted"}]);
    assert_eq!(server.ask(legacy("resources/read", params.clone())).json()["result"], json!({"contents": contents}));
    assert_eq!(
        server.ask(modern("resources/read", params)).json()["result"],
        json!({
            "contents": contents, "resultType": "complete", "ttlMs": 0, "cacheScope": "private", "_meta": server_info(),
        })
    );
}

#[test]
fn an_unknown_prompt_or_resource_has_the_code_of_its_era() {
    let server = with_crm();
    let (prompt, resource) = (json!({"name": "crm_none"}), json!({"uri": "crm://none"}));
    let expected = [
        (modern("prompts/get", prompt.clone()), -32602, "prompt not found"),
        (legacy("prompts/get", prompt), -32602, "prompt not found"),
        (modern("resources/read", resource.clone()), -32602, "resource not found"),
        (legacy("resources/read", resource), -32002, "resource not found"),
    ];
    for (request, code, message) in expected {
        let response = server.ask(request);
        assert_eq!(response.status, 200);
        assert_eq!(response.json()["error"], json!({"code": code, "message": message}));
    }
}

#[test]
fn a_resource_without_a_connection_tells_the_way_out() {
    let server = with_crm();
    server.runtime.block_on(server.kit.operator.connection_remove("demo", "crm", "default")).unwrap();
    for request in
        [modern("resources/read", json!({"uri": "crm://note"})), legacy("resources/read", json!({"uri": "crm://note"}))]
    {
        let error = server.ask(request).json()["error"].clone();
        assert_eq!(error["code"], -32603);
        assert_eq!(error["data"]["error"]["type"], "no_credentials");
        assert_eq!(error["data"]["error"]["hint"], "the operator runs `acme connection set crm --tenant demo`");
    }
}

#[test]
fn every_list_says_it_is_private_in_the_stateless_era_and_nothing_of_it_before() {
    let server = with_crm();
    for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
        let new = server.ask(modern(method, json!({}))).json()["result"].clone();
        assert_eq!((&new["cacheScope"], &new["ttlMs"]), (&json!("private"), &json!(60_000)), "{method}");
        assert_eq!((&new["resultType"], &new["_meta"]), (&json!("complete"), &server_info()), "{method}");
        let old = server.ask(legacy(method, json!({}))).json()["result"].clone();
        let names: Vec<&String> = old.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 1, "{method}: {names:?}");
    }
}

// The end.

/// A server whose end the test decides.
fn stoppable(
    environment: &[(&str, &str)],
) -> (Server, std::net::SocketAddr, tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let server = Server::start(environment);
    let settings = settings(&app(&server.alive), environment);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let http = Http::new(server.kit.clone(), &settings);
    let (address, running) = server.runtime.block_on(async {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = http.serve(listener, async { drop(stopped.await) });
        (address, tokio::spawn(async { serve.await.unwrap() }))
    });
    (server, address, stop, running)
}

#[test]
fn a_call_in_flight_is_answered_while_the_server_drains() {
    let environment = [("MCP__CALLS__DEADLINE_MS", "800"), ("MCP__SHUTDOWN__GRACE_MS", "0")];
    let (server, address, stop, running) = stoppable(&environment);
    let mut connection = Connection::open(address).unwrap();
    connection.send(&call("p_never", json!({})).key(&server.key)).unwrap();
    wait_until("the call is in flight", || server.alive.count() == 1);
    stop.send(()).unwrap();
    let response = connection.receive().unwrap();
    assert_eq!(error_of(&response.json()["result"]).1, "timeout", "it had the time it is entitled to");
    server.runtime.block_on(async { tokio::time::timeout(wire::PATIENCE, running).await.unwrap().unwrap() });
    assert!(Connection::open(address).is_err(), "nobody listens any more");
}

#[test]
fn a_call_that_outlives_the_drain_does_not_hold_the_server() {
    let environment =
        [("MCP__CALLS__DEADLINE_MS", "60000"), ("MCP__SHUTDOWN__GRACE_MS", "0"), ("MCP__SHUTDOWN__DRAIN_MS", "200")];
    let (server, address, stop, running) = stoppable(&environment);
    let mut connection = Connection::open(address).unwrap();
    connection.send(&call("p_never", json!({})).key(&server.key)).unwrap();
    wait_until("the call is in flight", || server.alive.count() == 1);
    stop.send(()).unwrap();
    server.runtime.block_on(async { tokio::time::timeout(wire::PATIENCE, running).await.unwrap().unwrap() });
    wait_until("the tool's future is dropped", || server.alive.count() == 0);
}

/// A client that sends half a request and waits is none of those that a drain waits for.
#[test]
fn half_a_request_does_not_hold_the_server_beyond_the_drain() {
    let environment = [("MCP__SHUTDOWN__GRACE_MS", "0"), ("MCP__SHUTDOWN__DRAIN_MS", "200")];
    let (server, address, stop, running) = stoppable(&environment);
    let mut connection = Connection::open(address).unwrap();
    connection.write(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Le").unwrap();
    let mut other = Connection::open(address).unwrap();
    assert_eq!(other.exchange(&call("p_fine", json!({})).key(&server.key)).unwrap().status, 200);
    stop.send(()).unwrap();
    server.runtime.block_on(async { tokio::time::timeout(wire::PATIENCE, running).await.unwrap().unwrap() });
    drop(connection);
}
