//! The server of a generated project as a process: in development on its sandboxes, and live with tenants, a store and
//! an upstream of its own. Everything listens on loopback, is stopped by its process id and leaves no folder behind.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Project;
use crate::support::presets::preset;
use crate::wire::{PATIENCE, Request, Response, ask};

/// Name of the project, its binary and its package.
pub const NAME: &str = "zz-everything";

/// A cold machine may take this long to start a process.
const START: Duration = Duration::from_secs(30);

/// The generated server, built once for all tests.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| Project::of(preset(NAME)).build())
}

/// The server's command line, without anything of the developer's own environment.
pub fn server() -> Command {
    isolated(binary())
}

/// The same of another project's.
pub fn isolated(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("MCP__")
            || text.starts_with("OTEL_")
            || matches!(&*text, "PORT" | "CREDENTIALS_DIRECTORY" | "RUST_LOG")
        {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for `condition`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a process writes, line by line as it comes.
#[derive(Clone)]
pub struct Output {
    state: Arc<(Mutex<(String, bool)>, Condvar)>,
}

impl Output {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let output = Self { state: Arc::default() };
        let state = output.state.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                state.0.lock().unwrap().0.push_str(&String::from_utf8_lossy(&line));
                state.1.notify_all();
                line.clear();
            }
            state.0.lock().unwrap().1 = true;
            state.1.notify_all();
        });
        output
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.state.0.lock().unwrap().0.clone()
    }

    /// The first line that `wanted` accepts; `None` when the process closed the stream without one.
    fn line<T>(&self, limit: Duration, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut state = self.state.0.lock().unwrap();
        loop {
            if let Some(found) = state.0.lines().find_map(&wanted) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.1 || left.is_zero() {
                return None;
            }
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Everything, once the process has closed the stream.
    fn whole(&self) -> String {
        let _ = self.line(PATIENCE, |_| None::<()>);
        self.text()
    }
}

/// A server that listens.
pub struct Listening {
    pub address: SocketAddr,
    pub log: Output,
    child: Child,
}

impl Listening {
    pub fn ask(&self, request: &Request) -> Response {
        ask(self.address, request)
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn ready(&self) -> u16 {
        self.ask(&Request::new("GET", "/health/ready")).status
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Its end, if it comes within `limit`.
    pub fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `dev`: the sandboxes behind a real socket.
pub struct Dev {
    pub listening: Listening,
    pub key: String,
    /// The line that it printed for programs.
    pub line: Value,
    pub folder: TempDir,
}

impl Dev {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(environment: &[(&str, &str)]) -> Self {
        Self::start_with(environment, &[])
    }

    pub fn with_arguments(arguments: &[&str]) -> Self {
        Self::start_with(&[], arguments)
    }

    fn start_with(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = server();
        command
            .args(["dev", "--json", "--bind", "127.0.0.1:0", "--folder"])
            .arg(folder.path().join(".dev"))
            .args(arguments)
            .current_dir(folder.path())
            .envs(environment.iter().copied());
        Self::of(command, folder)
    }

    /// Starts `command`, a `dev --json` on a store in `folder`.
    pub fn of(mut command: Command, folder: TempDir) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, log) = (Output::of(child.stdout.take().unwrap()), Output::of(child.stderr.take().unwrap()));
        let Some(line) = out.line(START, |line| serde_json::from_str::<Value>(line).ok()) else {
            let _ = child.kill();
            panic!("`dev` printed no line of JSON: {}{}", out.text(), log.text());
        };
        let url = line["url"].as_str().unwrap();
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp").parse().unwrap();
        let key = line["api_key"].as_str().unwrap().to_owned();
        Self { listening: Listening { address, log, child }, key, line, folder }
    }

    /// Asks with the key.
    pub fn ask(&self, request: Request) -> Response {
        self.listening.ask(&request.key(&self.key))
    }

    /// Asks as it is.
    pub fn ask_bare(&self, request: &Request) -> Response {
        self.listening.ask(request)
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Fails the test unless it succeeded; returns what it wrote to standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }
}

/// Runs `command` to its end, with `input`; a command that does not end fails the test.
pub fn finish(mut command: Command, input: &[u8]) -> Ended {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let (out, err) = (Output::of(child.stdout.take().unwrap()), Output::of(child.stderr.take().unwrap()));
    // It may have ended without reading.
    let _ = child.stdin.take().unwrap().write_all(input);
    let deadline = Instant::now() + START;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{command:?} does not end: {}{}", out.text(), err.text());
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ended { code: status.code(), out: out.whole(), err: err.whole() }
}

/// A live installation: a folder with a configuration, a store and a key-encryption key, and an upstream of its own.
pub struct Live {
    pub folder: TempDir,
    pub upstream: Upstream,
}

impl Live {
    /// Nothing but the configuration: no tenant, and the store is made by the first command.
    pub fn empty() -> Self {
        let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start());
        let config = folder.path().join("config");
        std::fs::create_dir_all(config.join("integrations")).unwrap();
        let write = |name: &str, text: String| std::fs::write(config.join(name), text).unwrap();
        write("server.toml", "[vault]\nkek_file = \"kek\"\n".into());
        write("integrations/notion.toml", format!("base_url = \"http://{}\"\n", upstream.address));
        write("integrations/shop.toml", format!("base_url = \"http://{}/rest\"\n", upstream.address));
        let live = Self { folder, upstream };
        live.make_kek("kek");
        live
    }

    /// With the tenant `acme`, which has a connection to Notion; returns its API key.
    pub fn with_tenant() -> (Self, String) {
        let live = Self::empty();
        let key = live.tenant("acme");
        (live, key)
    }

    /// A key-encryption key of its own.
    pub fn make_kek(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        let mut random = [0; 24];
        std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        // 32 letters are 32 bytes.
        let text: String = random.iter().map(|byte| char::from(b'0' + byte % 75)).collect();
        std::fs::write(&path, format!("{text}abcdefgh")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Adds a tenant with a connection to Notion and an API key, through the command line.
    pub fn tenant(&self, name: &str) -> String {
        self.run(&["tenant", "add", name]).ok();
        self.run_with(&["connection", "set", "notion", "--tenant", name], format!("token-of-{name}").as_bytes()).ok();
        self.run(&["key", "create", "--tenant", name]).ok().trim().to_owned()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = server();
        command.args(args).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, b"")
    }

    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Ended {
        finish(self.command(args), input)
    }

    pub fn serve(&self) -> Listening {
        self.serve_with(&[])
    }

    pub fn serve_with(&self, environment: &[(&str, &str)]) -> Listening {
        let mut command = self.command(&["serve"]);
        command.env("MCP__SERVER__BIND", "127.0.0.1:0").envs(environment.iter().copied());
        let mut child = command.spawn().unwrap();
        let log = Output::of(child.stderr.take().unwrap());
        let listening = |line: &str| -> Option<SocketAddr> {
            let line: Value = serde_json::from_str(line).ok()?;
            if line["message"] != "listening" {
                return None;
            }
            line["address"].as_str()?.parse().ok()
        };
        let Some(address) = log.line(START, listening) else {
            let _ = child.kill();
            panic!("`serve` does not listen: {}", log.text());
        };
        Listening { address, log, child }
    }

    /// Everything in the store's files, as it lies on the disk.
    pub fn store_bytes(&self) -> Vec<u8> {
        let folder = self.folder.path().join("data");
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            // The socket of a server that runs is no store.
            if entry.file_type().unwrap().is_file() {
                bytes.extend(std::fs::read(entry.path()).unwrap());
            }
        }
        bytes
    }
}

/// A stand-in for the providers on a loopback port, which remembers with which credential each request came.
pub struct Upstream {
    pub address: SocketAddr,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    seen: Mutex<Vec<String>>,
    refused: Mutex<Vec<String>>,
    status: AtomicU16,
    delay_ms: AtomicU64,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), told: Arc::default() };
        let told = upstream.told.clone();
        // It ends with the test process: a listener cannot be told to stop without one connection more.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = told.clone();
                std::thread::spawn(move || answer_all(stream, &told));
            }
        });
        upstream
    }

    /// From now on it answers with `status`; 0 means 200.
    pub fn answer_with(&self, status: u16) {
        self.told.status.store(status, Ordering::SeqCst);
    }

    /// From now on it answers 401 to this credential.
    pub fn refuse(&self, credential: &str) {
        self.told.refused.lock().unwrap().push(credential.to_owned());
    }

    /// From now on it takes this long.
    pub fn take(&self, time: Duration) {
        self.told.delay_ms.store(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The credentials it saw since the last time it was asked.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.seen.lock().unwrap())
    }
}

fn answer_all(stream: TcpStream, told: &Told) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while let Some((path, headers)) = read_head(&mut reader) {
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let credential = headers.get("authorization").or_else(|| headers.get("x-api-key")).cloned().unwrap_or_default();
        let refused = told.refused.lock().unwrap().contains(&credential);
        told.seen.lock().unwrap().push(credential);
        std::thread::sleep(Duration::from_millis(told.delay_ms.load(Ordering::SeqCst)));
        let (status, body) = match told.status.load(Ordering::SeqCst) {
            _ if refused => (401, json!({"code": "unauthorized"})),
            0 => (200, upstream_answer(&path)),
            status => (status, json!({"code": "as_told"})),
        };
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        if reader.get_mut().write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Option<(String, BTreeMap<String, String>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.split_once(':') else { return Some((path, headers)) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

fn upstream_answer(path: &str) -> Value {
    match path.split('?').next().unwrap_or_default() {
        "/v1/search" => json!({"object": "list", "has_more": false, "next_cursor": null, "results": [{
            "object": "page", "id": "p1", "url": "https://www.notion.so/p1", "in_trash": false,
            "last_edited_time": "2026-11-20T09:30:00.000Z",
            "properties": {"Name": {"type": "title", "title": [{"plain_text": "Media plan 2027"}]}},
        }]}),
        "/v1/users/me" => json!({"name": "Reporting", "bot": {"workspace_name": "Live workspace"}}),
        "/rest/v2/orders" => json!({"items": [{"id": "order-1"}], "next_cursor": null}),
        _ => json!({}),
    }
}

/// A server on standard input and output.
pub struct Pipe {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    pub log: Output,
    next_id: i64,
}

impl Pipe {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (input, out) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let log = Output::of(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, lines, log, next_id: 1 }
    }

    pub fn send(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_bytes()).and_then(|()| input.write_all(b"\n")).unwrap();
    }

    /// The next line that it writes.
    pub fn line(&self) -> Value {
        let line = self.lines.recv_timeout(START).unwrap_or_else(|_| panic!("no answer; {}", self.log.text()));
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"))
    }

    /// A request of the stateless revision and its answer.
    pub fn ask(&mut self, method: &str, mut params: Value) -> Value {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": crate::wire::MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        self.ask_as_is(method, params)
    }

    /// A request as it is and its answer.
    pub fn ask_as_is(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        let answer = self.line();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Closes its input; everything else it writes, and its exit code.
    pub fn close(mut self) -> (Vec<String>, Option<i32>) {
        drop(self.input.take());
        self.end()
    }

    /// Everything else it writes until it ends, and its exit code.
    pub fn end(mut self) -> (Vec<String>, Option<i32>) {
        let rest = self.lines.iter().collect();
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (rest, status.code());
            }
            assert!(Instant::now() < deadline, "it does not end; {}", self.log.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
