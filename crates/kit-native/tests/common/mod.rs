//! What these suites share: an application whose upstream remembers with which credential it was called, and a server
//! over a real socket.
#![allow(dead_code, reason = "every suite compiles this module and uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod live;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[path = "../../../../tests/server/wire.rs"]
pub mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use kit::App;
use kit::boot::Kit;
use kit::ports::{BoxFuture, HttpSend, SendError};
use kit::prelude::*;
use kit_native::http::{Http, listen};
use kit_native::settings::Settings;
use serde_json::Map;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Arguments of tools that take whatever they are given: the most that a caller can get past a tool.
pub type Anything = BTreeMap<String, Value>;

/// An upstream that remembers every request: with which key, to which URL.
#[derive(Clone, Default)]
pub struct Spy {
    seen: Arc<Mutex<Vec<(String, String)>>>,
    status: Arc<AtomicU16>,
}

impl Spy {
    /// From now on it answers with `status`; 0 means 200.
    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The keys it saw since the last time it was asked.
    pub fn keys(&self) -> Vec<String> {
        self.take().into_iter().map(|(key, _)| key).collect()
    }

    /// The URLs it saw since the last time it was asked.
    pub fn urls(&self) -> Vec<String> {
        self.take().into_iter().map(|(_, url)| url).collect()
    }

    fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Sandbox for Spy {
    fn seed(&self) -> Seed {
        Secret::from("key-of-the-sandbox").into()
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let key = request.header("x-key").unwrap_or_default().to_owned();
        self.seen.lock().unwrap().push((key, request.url.to_string()));
        match self.status.load(Ordering::SeqCst) {
            0 => HttpResponse::json(200, &json!({"ok": true})),
            status => HttpResponse::json(status, &json!({"error": "as told"})),
        }
    }
}

/// The upstream of a live server.
impl HttpSend for Spy {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        Box::pin(std::future::ready(Ok(self.handle(&request))))
    }
}

const CRM: Provider = Provider {
    id: "crm",
    title: "CRM",
    base_url: "https://crm.test/base",
    auth: AuthShape::ApiKey { header: "X-Key", prefix: "" },
    throttle: Throttle::Silent,
    ..Provider::PLAIN
};

async fn me(call: Call, _: Anything) -> Result<Map<String, Value>, ToolError> {
    call.upstream().get("/v1/me").json().await
}

async fn item(call: Call, args: Anything) -> Result<Map<String, Value>, ToolError> {
    let id = args["id"].as_str().unwrap_or_default();
    call.upstream().get("/v1/items").segment(id).json().await
}

async fn formatted(call: Call, args: Anything) -> Result<Map<String, Value>, ToolError> {
    let id = args["id"].as_str().unwrap_or_default();
    call.upstream().get(&format!("/v1/items/{id}")).json().await
}

async fn hello(call: Call, _: Anything) -> Result<Vec<Message>, ToolError> {
    Ok(vec![Message::user(format!("hello {}", call.tenant()))])
}

async fn note(call: Call) -> Result<Text, ToolError> {
    let _: Value = call.upstream().get("/v1/note").json().await?;
    Ok(Text("noted".into()))
}

/// An integration whose tools talk to the upstream.
pub fn crm() -> Integration {
    Integration::new(CRM)
        .tools(
            Tools::new()
                .read("me", "Who the credential belongs to.", me)
                .read("item", "One item, its id put into the path as a segment.", item)
                .read("formatted", "One item, its id formatted into the path by mistake.", formatted),
        )
        .prompts(Prompts::new().prompt("hello", "Greets.", hello))
        .resources(Resources::new().resource("note", "text/plain", "A note.", note))
}

/// `crm` and `crm_eu`, both answered by `upstream`, and `bare`, which has no sandbox.
pub fn app(upstream: &Spy) -> App {
    let (one, two) = (upstream.clone(), upstream.clone());
    App::new("acme", "1.2.3")
        .integration("crm", crm().sandbox(move || one.clone()))
        .integration("crm_eu", crm().sandbox(move || two.clone()))
        .integration("bare", crm())
}

/// The default settings with `environment` above them.
pub fn settings(app: &App, environment: &[(&str, &str)]) -> Settings {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::load_with(app, Path::new("no-such-folder"), environment).unwrap()
}

/// Makes an authority and a certificate of it for `localhost`, as `ca.crt`, `server.crt` and `server.key`.
pub fn certificates(folder: &Path) {
    let run = |arguments: &str| {
        let output = std::process::Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        let output = output.unwrap_or_else(|error| panic!("openssl: {error}; apt-get install -y openssl"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout";
    run(&format!("req -x509 {new} ca.key -out ca.crt -days 2 -subj /CN=ca"));
    run(&format!("req {new} server.key -out server.csr -subj /CN=server"));
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let sign = "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2";
    run(&format!("{sign} -extfile names -out server.crt"));
}

/// `kit` behind a real listener on loopback, until dropped.
pub struct Listening {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
}

impl Listening {
    /// Serves on `runtime`.
    pub fn on(runtime: &Runtime, kit: Arc<Kit>, settings: &Settings) -> Self {
        let (address, stop) = runtime.block_on(async {
            let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = oneshot::channel::<()>();
            let http = Http::new(kit, settings);
            tokio::spawn(http.serve(listener, async { drop(stopped.await) }));
            (address, stop)
        });
        Self { address, stop: Some(stop) }
    }

    /// Sends `request` over a connection of its own.
    pub fn ask(&self, request: &wire::Request) -> wire::Response {
        wire::ask(self.address, request)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }
}
