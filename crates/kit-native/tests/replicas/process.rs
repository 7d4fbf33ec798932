//! A replica: this test binary, started again as a process of its own. It serves lines on standard input, each a tenant
//! and a number of calls to make at once, and answers each with one line of JSON. Its ports can stop it at a chosen point
//! of its next refresh.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::inbound::Environment;
use kit::limit::memory::MemoryLimits;
use kit::pipeline::{Caller, Failure};
use kit::ports::{BoxFuture, HttpRequest, HttpResponse, HttpSend, Row, SendError, Sql, SqlError, Statement, Val};
use kit::prelude::*;
use kit::registry::IntegrationSettings;
use kit::tenant::TenantId;
use kit::upstream::refresh::Timing;
use kit_native::clock::{SystemClock, SystemRng, TokioTime};
use kit_native::egress::Egress;
use kit_native::log::LogTelemetry;
use kit_native::send::NetworkSend;
use serde_json::Map;

use crate::store::{self, Place};

/// Where a refresh can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The lease is taken, nothing is sent.
    BeforeTheCall,
    /// The authorization server has it and has not answered.
    InFlight,
    /// It has answered, nothing is written.
    BeforeTheCommit,
    /// It is written, nobody has been told.
    AfterTheCommit,
}

/// How it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `kill -9`.
    Kill,
    /// `SIGSTOP`, past the lease.
    Pause,
}

const POINTS: [Point; 4] = [Point::BeforeTheCall, Point::InFlight, Point::BeforeTheCommit, Point::AfterTheCommit];

/// Short, so that a round is over soon: a leader that says nothing is given up after 600 ms.
pub const SHORT: Timing = Timing {
    lease: Duration::from_millis(600),
    token_timeout: Duration::from_millis(200),
    wait: Duration::from_millis(250),
};

const PROVIDER: Provider = Provider {
    id: "real",
    title: "Real",
    base_url: "https://api.test",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth { token_url: "https://auth.test/token", ..OAuth::STANDARD },
        header: "Authorization",
        prefix: "Bearer ",
    },
    headers: &[],
    throttle: Throttle::RetryAfter,
    classify: classify_status,
};

async fn me(call: Call, _: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    call.upstream().get("/v1/me").json().await
}

pub fn app() -> App {
    let tools = Tools::new().read("me", "Whose token it is.", me);
    App::new("replica", "0.0.0").integration("real", Integration::new(PROVIDER).tools(tools))
}

/// A kit on `place`, whose upstream is the authority at `authority`.
pub async fn kit(place: &Place, authority: &str, timing: Timing, fault: Option<Arc<Fault>>) -> Kit {
    let url = |path: &str| Some(url::Url::parse(&format!("http://{authority}{path}")).unwrap());
    let settings =
        IntegrationSettings { base_url: url("/"), token_url: url("/token"), ..IntegrationSettings::default() };
    let (sql, kek) = store::open(place).await;
    let network: Arc<dyn HttpSend> = Arc::new(NetworkSend::new(Egress { loopback: true, private: false }));
    let (sql, send): (Arc<dyn Sql>, Arc<dyn HttpSend>) = match fault {
        Some(fault) => {
            (Arc::new(FaultySql { inner: sql, fault: fault.clone() }), Arc::new(FaultySend { inner: network, fault }))
        }
        None => (sql, network),
    };
    let ports = Ports {
        clock: Arc::new(SystemClock),
        sleep: Arc::new(TokioTime),
        spawn: Arc::new(TokioTime),
        rng: Arc::new(SystemRng),
        sql,
        kek,
        send: Some(send),
        limits: Arc::new(MemoryLimits::default()),
        telemetry: Arc::new(LogTelemetry),
    };
    let bounds = kit::pipeline::Bounds { deadline: Duration::from_secs(30), max_output_bytes: 1 << 16, rate: None };
    let options = Options {
        environment: Environment::Live,
        migrate: true,
        bounds,
        max_upstream_bytes: 1 << 16,
        refresh: timing,
        integrations: [("real".to_owned(), settings)].into(),
    };
    boot(&app(), ports, options).await.unwrap()
}

/// A point at which this process stops, once.
pub struct Fault {
    point: Point,
    stop: Stop,
    armed: AtomicBool,
}

impl Fault {
    /// Stops this process if `point` is the one. After a pause it goes on here.
    fn reach(&self, point: Point) {
        if point == self.point && self.armed.swap(false, Ordering::SeqCst) {
            println!("stopping");
            let _ = std::io::stdout().flush();
            let signal = if self.stop == Stop::Kill { "-KILL" } else { "-STOP" };
            let _ = Command::new("kill").args([signal, &std::process::id().to_string()]).status();
        }
    }
}

struct FaultySend {
    inner: Arc<dyn HttpSend>,
    fault: Arc<Fault>,
}

impl HttpSend for FaultySend {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, SendError>> {
        if !request.url.path().ends_with("/token") {
            return self.inner.send(request);
        }
        Box::pin(async move {
            let asked = self.inner.send(request);
            let mut asked = std::pin::pin!(asked);
            if self.fault.point == Point::InFlight {
                // The authority answers after 150 ms: by now it has the request and has not answered.
                let early = tokio::time::timeout(Duration::from_millis(60), asked.as_mut()).await;
                self.fault.reach(Point::InFlight);
                if let Ok(answer) = early {
                    return answer;
                }
            }
            let answer = asked.await;
            self.fault.reach(Point::BeforeTheCommit);
            answer
        })
    }
}

struct FaultySql {
    inner: Arc<dyn Sql>,
    fault: Arc<Fault>,
}

impl Sql for FaultySql {
    fn query<'a>(&'a self, sql: &'a str, values: &'a [Val]) -> BoxFuture<'a, Result<Vec<Row>, SqlError>> {
        Box::pin(async move {
            let answer = self.inner.query(sql, values).await;
            if sql.starts_with("UPDATE connections SET lease_owner = $5")
                && answer.as_ref().is_ok_and(|r| !r.is_empty())
            {
                self.fault.reach(Point::BeforeTheCall);
            }
            if sql.contains("AND lease_owner = $12") {
                self.fault.reach(Point::AfterTheCommit);
            }
            answer
        })
    }

    fn batch<'a>(&'a self, statements: &'a [Statement<'a>]) -> BoxFuture<'a, Result<(), SqlError>> {
        self.inner.batch(statements)
    }
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Came {
    To(String),
    Failed(String),
}

async fn call(kit: &Kit, tenant: &str) -> Came {
    let ctx = kit.authenticator.local(&TenantId::parse(tenant).unwrap()).await.unwrap();
    match kit.pipeline.tool(&ctx, "real_me", json!({}), Caller::patient()).await {
        Ok(answer) => Came::To(answer.value["family"].as_str().unwrap_or_default().to_owned()),
        Err(Failure::Tool(error)) => Came::Failed(error.kind().as_str().to_owned()),
        Err(failure) => Came::Failed(format!("{failure:?}")),
    }
}

/// The life of a replica. Does nothing unless this process was started as one.
pub fn live() {
    let Ok(place) = std::env::var("REPLICA_PLACE") else { return };
    let authority = std::env::var("REPLICA_AUTHORITY").unwrap();
    let fault = std::env::var("REPLICA_FAULT").ok().map(|text| {
        let (point, stop) = text.split_once(' ').unwrap();
        let point = POINTS.into_iter().find(|known| format!("{known:?}") == point).unwrap();
        let stop = if stop == "Kill" { Stop::Kill } else { Stop::Pause };
        Arc::new(Fault { point, stop, armed: AtomicBool::new(true) })
    });
    // Where nobody is stopped nothing should be given up, however slow the machine is.
    let timing = if std::env::var_os("REPLICA_SHORT").is_some() { SHORT } else { Timing::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let kit = Arc::new(runtime.block_on(kit(&Place::parse(&place), &authority, timing, fault.clone())));
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (tenant, count) = line.split_once(' ').unwrap();
        let calls: Vec<Came> = runtime.block_on(async {
            let calls: Vec<_> = (0..count.parse().unwrap())
                .map(|_| {
                    let (kit, tenant) = (kit.clone(), tenant.to_owned());
                    tokio::spawn(async move { call(&kit, &tenant).await })
                })
                .collect();
            let mut came = Vec::new();
            for one in calls {
                came.push(one.await.unwrap());
            }
            came
        });
        if let Some(fault) = &fault {
            fault.armed.store(true, Ordering::SeqCst);
        }
        println!("{}", serde_json::to_string(&calls).unwrap());
    }
    std::process::exit(0);
}

/// A replica, as its parent holds it.
pub struct Replica {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Replica {
    /// Starts one and waits until it is ready.
    pub fn start(place: &Place, authority: &str, short: bool, fault: Option<(Point, Stop)>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "replica_process", "--nocapture", "--test-threads=1"]);
        command.env("REPLICA_PLACE", place.to_string()).env("REPLICA_AUTHORITY", authority);
        if short {
            command.env("REPLICA_SHORT", "1");
        }
        if let Some((point, stop)) = fault {
            command.env("REPLICA_FAULT", format!("{point:?} {stop:?}"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut replica = Self { child, input, output };
        replica.until("ready");
        replica
    }

    /// Begins `count` calls at once for `tenant`.
    pub fn begin(&mut self, tenant: &str, count: usize) {
        writeln!(self.input, "{tenant} {count}").unwrap();
    }

    /// What they came to.
    pub fn end(&mut self) -> Vec<Came> {
        serde_json::from_str(&self.line().unwrap()).unwrap()
    }

    /// Waits for a line that reads `text`.
    pub fn until(&mut self, text: &str) {
        while !self.line().expect("the replica goes on").ends_with(text) {}
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| line.trim_end().to_owned())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
