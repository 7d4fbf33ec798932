//! A small HTTP/1.1 client over `std::net`, written out so that tests decide what is on the wire: which connection a
//! request goes over, and bytes that no client library would send. Every wait ends after [`PATIENCE`]: a server that
//! hangs fails the test instead of stopping it. `crates/kit-native/tests` uses the same file.
#![allow(dead_code, reason = "two suites compile this module and use their own parts")]

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No answer may take longer.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The last one with a handshake.
pub const LEGACY: &str = "2025-11-25";

/// A request; nothing is added to it on the way but `Host` and `Content-Length`, and those only where they are missing.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A POST to the MCP endpoint with the headers that every client sends.
    pub fn post(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", "/mcp") }
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
    }

    /// Sets a header, replacing what it was.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    fn head(&self, address: SocketAddr) -> String {
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !has("host") {
            head += &format!("Host: {address}\r\n");
        }
        if !has("content-length") && !has("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}

/// A request of the stateless revision: version and method in the header as well as in the body.
pub fn modern(method: &str, mut params: Value) -> Request {
    let named = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str).map(str::to_owned);
    let meta = params.as_object_mut().unwrap().entry("_meta").or_insert_with(|| json!({}));
    meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    let capabilities = meta.as_object_mut().unwrap().entry("io.modelcontextprotocol/clientCapabilities");
    capabilities.or_insert_with(|| json!({}));
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let request = Request::post(body.to_string()).header("MCP-Protocol-Version", MODERN).header("Mcp-Method", method);
    match named {
        Some(name) => request.header("Mcp-Name", &name),
        None => request,
    }
}

/// A request of the last revision with a handshake, without the handshake.
pub fn legacy(method: &str, params: Value) -> Request {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    Request::post(body.to_string()).header("MCP-Protocol-Version", LEGACY)
}

/// A tool call of the stateless revision.
pub fn call(tool: &str, arguments: Value) -> Request {
    modern("tools/call", json!({"name": tool, "arguments": arguments}))
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The messages of an event stream.
    pub fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
    }

    /// Whether the connection ends with this answer.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Reads until the deadline and not beyond, however the bytes trickle in.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

/// One TCP connection.
pub struct Connection {
    address: SocketAddr,
    reader: BufReader<Timed>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let deadline = Instant::now() + PATIENCE;
        Ok(Self { address, reader: BufReader::new(Timed { stream, deadline }) })
    }

    /// Writes raw bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().stream.write_all(bytes)
    }

    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut bytes = request.head(self.address).into_bytes();
        bytes.extend_from_slice(&request.body);
        self.write(&bytes)
    }

    /// Reads one answer; [`PATIENCE`] counts from here.
    pub fn receive(&mut self) -> io::Result<Response> {
        self.reader.get_mut().deadline = Instant::now() + PATIENCE;
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut response = Response { status, headers: Vec::new(), body: Vec::new() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            response.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let length = response.header("content-length").and_then(|length| length.parse().ok());
        if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            self.chunks(&mut response.body)?;
        } else if let Some(length) = length {
            response.body.resize(length, 0);
            self.reader.read_exact(&mut response.body)?;
        } else {
            self.reader.read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    pub fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        self.send(request)?;
        self.receive()
    }

    /// Whether the other side closes the connection without another byte.
    pub fn ends(&mut self) -> bool {
        self.reader.get_mut().deadline = Instant::now() + PATIENCE;
        self.reader.read_to_end(&mut Vec::new()).is_ok_and(|read| read == 0)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            let start = body.len();
            body.resize(start + size, 0);
            self.reader.read_exact(&mut body[start..])?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// Sends `request` over a connection of its own. No answer in time fails the test.
pub fn ask(address: SocketAddr, request: &Request) -> Response {
    let response = Connection::open(address).and_then(|mut connection| connection.exchange(request));
    response.unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
}
