//! A replica: this test binary, started again as a process of its own. It serves lines on standard input, each a tenant
//! and a number of calls to make at once, and answers each with one line of JSON. Its ports can stop it at a chosen point
//! of its next refresh.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::App;
use kit::boot::{Kit, Options, Ports, boot};
use kit::inbound::{Environment, TenantCtx};
use kit::limit::memory::MemoryLimits;
use kit::pipeline::{Caller, Failure};
use kit::ports::{
    BoxFuture, Engine, HttpRequest, HttpResponse, HttpSend, Row, SendError, Sql, SqlError, Statement, Val,
};
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
    ..Provider::PLAIN
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
    let network: Arc<dyn HttpSend> = Arc::new(NetworkSend::new(Egress { loopback: true, ..Egress::default() }));
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
        spill: None,
    };
    let bounds = kit::pipeline::Bounds { deadline: Duration::from_secs(30), max_output_bytes: 1 << 16 };
    let options = Options {
        environment: Environment::Live,
        migrate: true,
        bounds,
        rules: kit::limit::traffic::Rules::default(),
        max_upstream_bytes: 1 << 16,
        kms_grace: Duration::from_secs(3_600),
        public_url: None,
        breakers: kit::breaker::LevelSettings::default(),
        ledger: kit::ledger::LedgerOptions::default(),
        refresh: timing,
        integrations: [("real".to_owned(), settings)].into(),
    };
    boot(&app(), ports, options).await.unwrap()
}

/// A point at which this process stops, once.
pub struct Fault {
    point: Point,
    /// A file that appears when this process may go on.
    resume: PathBuf,
    armed: AtomicBool,
}

impl Fault {
    /// Stops this process if `point` is the one. After a pause it goes on here.
    fn reach(&self, point: Point) {
        if point == self.point && self.armed.swap(false, Ordering::SeqCst) {
            println!("stopping");
            let _ = std::io::stdout().flush();
            // The parent sends the signal, and says so here once it has taken effect on all threads.
            while std::fs::remove_file(&self.resume).is_err() {
                std::thread::sleep(Duration::from_millis(2));
            }
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
            // In a task of its own: the request is on its way while this one stops.
            let inner = self.inner.clone();
            let asked = tokio::spawn(async move { inner.send(request).await });
            let fault = self.fault.clone();
            tokio::task::spawn_blocking(move || fault.reach(Point::InFlight)).await.unwrap();
            let answer = asked.await.unwrap();
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
    fn engine(&self) -> Engine {
        self.inner.engine()
    }

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
    /// Class and sentence of the error.
    Failed(String, String),
}

impl Came {
    /// Whether it failed with an error of this class.
    pub fn is(&self, kind: &str) -> bool {
        matches!(self, Self::Failed(class, _) if class == kind)
    }
}

async fn call(kit: &Kit, ctx: &TenantCtx) -> Came {
    match kit.pipeline.tool(ctx, "real_me", json!({}), Caller::patient()).await {
        Ok(answer) => Came::To(answer.value["family"].as_str().unwrap_or_default().to_owned()),
        Err(Failure::Tool(error)) => Came::Failed(error.kind().as_str().to_owned(), error.message().to_owned()),
        Err(failure) => Came::Failed(String::new(), format!("{failure:?}")),
    }
}

/// The life of a replica. Does nothing unless this process was started as one.
pub fn live() {
    let Ok(place) = std::env::var("REPLICA_PLACE") else { return };
    let authority = std::env::var("REPLICA_AUTHORITY").unwrap();
    let fault = std::env::var("REPLICA_FAULT").ok().map(|text| {
        let point = POINTS.into_iter().find(|known| format!("{known:?}") == text).unwrap();
        let resume = std::env::temp_dir().join(format!("resume-{}", std::process::id()));
        Arc::new(Fault { point, resume, armed: AtomicBool::new(true) })
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
            let ctx = kit.authenticator.local(&TenantId::parse(tenant).unwrap()).await.unwrap();
            let calls: Vec<_> = (0..count.parse().unwrap())
                .map(|_| {
                    let (kit, ctx) = (kit.clone(), ctx.clone());
                    tokio::spawn(async move { call(&kit, &ctx).await })
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
}

/// A replica, as its parent holds it.
pub struct Replica {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Replica {
    /// Starts one and waits until it is ready.
    pub fn start(place: &Place, authority: &str, short: bool, fault: Option<Point>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "replica_process", "--nocapture", "--test-threads=1"]);
        command.env("REPLICA_PLACE", place.to_string()).env("REPLICA_AUTHORITY", authority);
        if short {
            command.env("REPLICA_SHORT", "1");
        }
        if let Some(point) = fault {
            command.env("REPLICA_FAULT", format!("{point:?}"));
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

    /// Whether it comes to its fault. On a busy machine a call can end in a time-out of its own before that.
    pub fn stops(&mut self) -> bool {
        loop {
            let line = self.line().expect("the replica goes on");
            if line.ends_with("stopping") || line.starts_with('[') {
                return line.ends_with("stopping");
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| line.trim_end().to_owned())
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops all its threads where they are. It waits at its fault, and will go on behind it.
    pub fn pause(&self) {
        let id = self.child.id();
        signal("-STOP", id);
        let stopped = || std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap().contains(") T ");
        while !stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::write(std::env::temp_dir().join(format!("resume-{id}")), "").unwrap();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        signal("-CONT", self.child.id());
    }
}

fn signal(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
