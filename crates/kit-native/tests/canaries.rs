//! Fifty secrets through every tool, error and panic, with capture off and on: none is found again in what the process says,
//! logs (at TRACE), sends to a collector, counts, stores or gives out to be billed. The process is a child of the test, so that
//! everything it says is caught.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::App;
use kit::inbound::TenantCtx;
use kit::ledger::export::{self, Format};
use kit::limit::traffic::Rules;
use kit::operator::Period;
use kit::pipeline::{Answer, Caller, Failure};
use kit::prelude::*;
use kit_native::dev::{self, Dev};
use kit_native::log::{self, Format as LogFormat};
use kit_native::settings::Settings;
use kit_native::telemetry::Reporting;
use kit_native::testing::{ManualClock, TempFolder};
use serde_json::Map;
use tracing::level_filters::LevelFilter;
use url::Url;

const FOLDER: &str = "CANARIES_FOLDER";
const COLLECTOR: &str = "CANARIES_COLLECTOR";
const COUNT: usize = 50;

/// One that is in nothing else, and reads like a token.
fn canary(n: usize) -> String {
    format!("cnry{n:02}_{:016x}", 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64 + 1))
}

type Args = BTreeMap<String, Value>;
type Out = Result<Map<String, Value>, ToolError>;

fn text(args: &Args) -> String {
    args.get("text").and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn echo(_: Call, args: Args) -> Out {
    Ok(Map::from_iter([("said".to_owned(), Value::from(text(&args)))]))
}

async fn panics(_: Call, args: Args) -> Out {
    panic!("a tool that panics with {}", text(&args));
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only how it is refused is of interest")]
struct Strict {
    count: u32,
}

async fn strict(_: Call, _: Strict) -> Out {
    Ok(Map::new())
}

/// Sends what it was given in every part of a request.
async fn asks(call: Call, args: Args) -> Out {
    let said = text(&args);
    let status = args.get("status").and_then(Value::as_u64).unwrap_or(200);
    let request = call.upstream().post("/v1/things").segment(&said).query("q", &said).header("x-note", &said);
    let answer: Map<String, Value> = request.query("status", status).body(&json!({"note": said})).json().await?;
    Ok(answer)
}

/// Answers as it is told to, and says everything that it heard.
struct Parrot;

impl Sandbox for Parrot {
    fn seed(&self) -> Seed {
        Secret::from(canary(0).as_str()).into()
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let status = request.query("status").and_then(|status| status.parse().ok()).unwrap_or(200);
        let heard = format!("{} {} {:?}", request.url, String::from_utf8_lossy(&request.body), request.headers);
        // An id with a space in it is none, and is not passed on.
        let id = format!("request {}", request.query("q").unwrap_or_default());
        HttpResponse::json(status, &json!({"message": heard, "error": {"code": heard}}))
            .with_header("x-request-id", &id)
    }
}

fn app() -> App {
    let auth = AuthShape::ApiKey { header: "X-Api-Key", prefix: "" };
    let provider = Provider { title: "Shop", base_url: "https://api.shop.test", auth, ..Provider::PLAIN };
    let tools = Tools::new()
        .read("echo", "Says it again.", echo)
        .write("asks", "Asks the upstream.", asks)
        .destructive("panics", "Panics.", panics)
        .read("strict", "Wants a number.", strict);
    App::new("acme", "1.2.3").integration("p", Integration::new(provider).tools(tools).sandbox(|| Parrot))
}

/// What a call gave, for the child to see that its secrets got somewhere.
fn said(result: &Result<Answer, Failure>) -> String {
    match result {
        Ok(answer) => answer.text.clone(),
        Err(Failure::Tool(error)) => error.to_value().to_string(),
        Err(failure) => format!("{failure:?}"),
    }
}

/// The process that has the secrets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    log::start(LevelFilter::TRACE, LogFormat::Json, false);
    let mut settings = Settings::load_with(&app(), Path::new("no-such-folder"), BTreeMap::new()).unwrap();
    settings.telemetry.otlp_endpoint = Some(Url::parse(&std::env::var(COLLECTOR).unwrap()).unwrap());
    let reporting = Reporting::start(&app(), &settings).unwrap();
    let clock = Arc::new(ManualClock::default());
    let Dev { kit, key } = dev::start_with(&app(), &settings, folder, clock.clone(), reporting.port()).await.unwrap();
    let kit = Arc::new(kit);
    reporting.watch(&kit);
    kit.traffic.set_rules(Rules::default());
    let ctx = kit.authenticator.api_key(key.expose_str().unwrap()).await.unwrap();
    let call = async |ctx: &TenantCtx, tool: &str, arguments: Value| {
        said(&kit.pipeline.tool(ctx, tool, arguments, Caller::patient()).await)
    };
    let mut came_back = 0;
    for captured in [false, true] {
        if captured {
            kit.operator.audit_capture("demo", Some(3_600_000)).await.unwrap();
            clock.advance_ms(16_000);
        }
        for n in 1..COUNT {
            let secret = canary(n);
            let answer = match n % 10 {
                0 => {
                    call(&ctx, "p_echo", json!({"text": secret, "nested": {"deep": [secret]}, secret.clone(): 1})).await
                }
                1 => call(&ctx, "p_asks", json!({"text": secret})).await,
                2 => call(&ctx, "p_asks", json!({"text": secret, "status": 400})).await,
                3 => call(&ctx, "p_asks", json!({"text": secret, "status": 404})).await,
                4 => call(&ctx, "p_asks", json!({"text": secret, "status": 500})).await,
                5 => call(&ctx, "p_panics", json!({"text": secret})).await,
                6 => call(&ctx, "p_strict", json!({"count": secret})).await,
                7 => call(&ctx, &secret, json!({})).await,
                8 => call(&ctx, "p_echo", json!({"text": secret.repeat(20_000)})).await,
                _ => format!("{:?}", kit.pipeline.resource(&ctx, &secret, Caller::patient()).await),
            };
            came_back += usize::from(answer.contains(&secret));
            // Breakers that the failures open would keep the next secret here.
            clock.advance_ms(3_700_000);
        }
    }
    assert!(came_back >= 20, "the secrets were in the answers of {came_back} calls");
    // A captured call is shown with them: they were stored, sealed.
    let tail = kit.operator.audit_tail(Some("demo"), 10_000).await.unwrap();
    assert!(tail.len() > 2 * COUNT, "{}", tail.len());
    let shown = kit.operator.audit_show("demo", &tail[0].call).await;
    drop(shown);
    std::fs::write(folder.join("metrics"), reporting.prometheus().unwrap()).unwrap();
    let outcomes: Vec<String> =
        ["ok", "panic", "upstream_error", "not_found", "internal_error"].map(str::to_owned).to_vec();
    let batch = kit.operator.usage_export("books", Format::Csv, &outcomes).await.unwrap().unwrap();
    for format in Format::ALL {
        let text = export::write(format, &batch.rows, "acme", "mcp_units");
        std::fs::write(folder.join(format.as_str()), text).unwrap();
    }
    let differences =
        kit.operator.usage_reconcile(&Period { from: Day::parse("2027-01-01"), ..Period::default() }).await;
    assert_eq!(differences.unwrap(), []);
    reporting.end().await;
}

/// Takes what is sent to it, and answers as a collector does.
fn collector() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (endpoint, heard) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<Mutex<Vec<u8>>>::default());
    let told = heard.clone();
    let listen = move |mut stream: TcpStream, told: Arc<Mutex<Vec<u8>>>| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (mut buffer, mut part) = (Vec::new(), [0; 65_536]);
        while let Ok(read) = stream.read(&mut part) {
            if read == 0 {
                return;
            }
            buffer.extend_from_slice(&part[..read]);
            while let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                let whole = end + 4 + length.unwrap_or(0);
                if buffer.len() < whole {
                    break;
                }
                told.lock().unwrap().extend(buffer.drain(..whole));
                let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).unwrap();
            }
        }
    };
    // It ends with the process of the test.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || listen(stream, told));
        }
    });
    (endpoint, heard)
}

fn finds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn fifty_secrets_leave_no_trace() {
    let folder = TempFolder::new();
    let (endpoint, heard) = collector();
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    let output = process.env(FOLDER, folder.path()).env(COLLECTOR, endpoint).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{log}", String::from_utf8_lossy(&output.stdout));
    let mut places: Vec<(String, Vec<u8>)> =
        vec![("stdout".into(), output.stdout.clone()), ("stderr".into(), output.stderr.clone())];
    places.push(("collector".into(), heard.lock().unwrap().clone()));
    for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
        places.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap()));
    }
    let names: Vec<&str> = places.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["metrics", "store.db", "csv", "stripe"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // Something was said everywhere: a place that is empty holds no secret either.
    assert!(finds(&places[1].1, "\"call\"") && finds(&places[2].1, "tools/call p_asks"));
    for n in 0..COUNT {
        for (place, bytes) in &places {
            // Not even most of it: what is cut off at a bound is told all the same.
            assert!(!finds(bytes, &canary(n)[..16]), "{place} has secret {n}");
        }
    }
}
