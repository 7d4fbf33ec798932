//! Traces as they arrive at a collector that nobody here wrote (rotel): one call of each tool of every provider, made by a real
//! client with a trace of its own. And what a collector that is gone, slow or broken costs, which is nothing.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::connect::{agency_with, plan, tool};
use crate::harness::{Dev, wait_until};
use crate::support::must;
use crate::wire::call;

/// A collector, and what it prints of each span.
struct Rotel {
    child: Child,
    endpoint: String,
    said: Arc<Mutex<String>>,
}

impl Rotel {
    fn start() -> Self {
        let python = tool("MCPKIT_PY_ROTEL");
        let found = "import pathlib, rotel; print(pathlib.Path(rotel.__file__).parent / 'rotel-agent')";
        let agent = String::from_utf8(must(Command::new(python).args(["-c", found])).stdout).unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (http, grpc) = (free(), free());
        let mut child = Command::new(agent.trim())
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &http.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = Arc::<Mutex<String>>::default();
        let (mut lines, told) = (BufReader::new(child.stdout.take().unwrap()), said.clone());
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                told.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        wait_until("the collector", Duration::from_secs(30), || std::net::TcpStream::connect(http).is_ok());
        Self { child, endpoint: format!("http://{http}"), said }
    }

    fn spans(&self) -> Vec<Span> {
        let said = self.said.lock().unwrap();
        // What follows the last span may still be on its way.
        said.split("\nSpan #").skip(1).map(Span::parse).collect()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A span as the collector prints it.
#[derive(Debug)]
struct Span {
    trace: String,
    parent: String,
    id: String,
    name: String,
    kind: String,
    status: String,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            line.map(|rest| rest.trim_start_matches([' ', ':']).trim().to_owned()).unwrap_or_default()
        };
        let own = text.split("\nLinks:").next().unwrap_or_default();
        let attributes = own.lines().filter_map(|line| line.trim().strip_prefix("-> ")?.split_once(": "));
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self {
            trace: field("Trace ID"),
            parent: field("Parent ID"),
            id: field("ID"),
            name: field("Name"),
            kind: field("Kind"),
            status: field("Status code"),
            attributes,
        }
    }

    /// One line, with what differs each time left out.
    fn line(&self) -> String {
        let random = ["mcp.tool_call_id", "kit.principal", "mcp.result.hash", "jsonrpc.request.id"];
        let value = |(name, value): (&String, &String)| match random.contains(&name.as_str()) {
            true => format!("{name}=…"),
            false => format!("{name}={value}"),
        };
        let attributes: Vec<String> = self.attributes.iter().map(value).collect();
        let kind = self.kind.trim_start_matches("SPAN_KIND_").to_lowercase();
        let status = self.status.trim_start_matches("STATUS_CODE_").to_lowercase();
        format!("{kind} {} [{status}] {}", self.name, attributes.join(" "))
    }
}

/// Every tool of every instance, with the arguments of the suite that connects them.
fn calls() -> Vec<(String, Value)> {
    let plan = plan();
    let steps = plan.as_array().unwrap().iter();
    let of = |step: &Value| {
        let instance = step["instance"].as_str().unwrap().to_owned();
        let tools: Vec<(String, Value)> = step["tools"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(tool, arguments)| (format!("{instance}_{tool}"), arguments.clone()))
            .collect();
        tools
    };
    steps.flat_map(of).collect()
}

#[test]
fn every_tools_call_leaves_one_trace_below_its_clients_span() {
    let rotel = Rotel::start();
    let dev = agency_with(&["--otlp", &rotel.endpoint]);
    let calls = calls();
    let trace = |n: usize| format!("{:032x}", 0xacce_0000_0000_0000_0000_u128 + n as u128);
    let span = |n: usize| format!("{:016x}", 0xc11e_0000_0000_u64 + n as u64);
    let row = |(n, (tool, arguments)): (usize, &(String, Value))| {
        // The client does not want to be sampled, which is not for a client to decide.
        json!({"tool": tool, "arguments": arguments, "_meta": {"traceparent": format!("00-{}-{}-00", trace(n), span(n))}})
    };
    let rows: Vec<Value> = calls.iter().enumerate().map(row).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/calls.mjs");
    let mut command = Command::new(tool("MCPKIT_NODE"));
    let output = must(command.arg(script).args([&dev.listening.url(), &dev.key, &Value::from(rows).to_string()]));
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), calls.len());
    // The end of the server sends what is left.
    let mut dev = dev;
    dev.listening.signal("TERM");
    assert!(dev.listening.ended(Duration::from_secs(30)).is_some_and(|status| status.success()));
    let roots = || rotel.spans().iter().filter(|span| span.kind == "SPAN_KIND_SERVER").count();
    wait_until("the last trace", Duration::from_secs(30), || roots() >= calls.len());
    let spans = rotel.spans();
    let mut told = String::new();
    for (n, (tool, _)) in calls.iter().enumerate() {
        let of_call: Vec<&Span> = spans.iter().filter(|other| other.trace == trace(n)).collect();
        let of_server: Vec<&&Span> = of_call.iter().filter(|span| span.kind == "SPAN_KIND_SERVER").collect();
        let [root] = of_server[..] else { panic!("{tool}: {of_call:#?}") };
        assert_eq!(root.parent, span(n), "{tool}");
        for below in of_call.iter().filter(|span| span.id != root.id) {
            assert_eq!(below.parent, root.id, "{tool}: {below:?}");
        }
        let is_error = answers[n]["isError"] == json!(true);
        assert_eq!(root.attributes["mcp.result.is_error"], format!("Bool({is_error})"), "{tool}");
        told += &format!("{}\n", root.line());
        for below in of_call.iter().filter(|span| span.id != root.id) {
            told += &format!("    {}\n", below.line());
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots/telemetry"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("spans", told));
}

/// Takes connections and does with each what `answer` says.
fn collector(answer: fn(std::net::TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    // It ends with the process of the test.
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(std::thread::spawn(move || answer(stream))))
    });
    endpoint
}

/// Reads, and never answers.
fn tarpit(mut stream: std::net::TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

fn broken(mut stream: std::net::TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
        if stream.write_all(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// The median of fifty calls, as many as may be made at once, one after the other, and how long the end takes.
fn times(arguments: &[&str]) -> (Duration, Duration) {
    let mut dev = Dev::with_arguments(arguments);
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            let began = Instant::now();
            let answer = dev.ask(call("notion_search", json!({"query": "media"})));
            assert_eq!(answer.json()["result"]["isError"], json!(false), "{}", answer.text());
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let began = Instant::now();
    dev.listening.signal("TERM");
    assert!(dev.listening.ended(Duration::from_secs(30)).is_some_and(|status| status.success()), "{arguments:?}");
    (times[25], began.elapsed())
}

#[test]
fn a_collector_that_is_gone_slow_or_broken_costs_no_call_anything_and_not_the_end() {
    let dead = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let (alone, _) = times(&[]);
    for endpoint in [dead, collector(tarpit), collector(broken)] {
        let (median, end) = times(&["--otlp", &endpoint]);
        // Were a call to wait for the collector, it would take seconds.
        assert!(median < alone * 3 + Duration::from_millis(20), "{endpoint}: {median:?}, alone {alone:?}");
        // Three seconds for traces, three for metrics, and what the end takes anyway.
        assert!(end < Duration::from_secs(12), "{endpoint}: {end:?}");
    }
}
