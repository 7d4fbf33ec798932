//! A real Redis server for a test: on a port of its own, keeping nothing on disk, and gone with the process that started it,
//! however that ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kit_native::redis::Target;
use kit_native::testing::TempFolder;

/// A server.
pub struct Server {
    folder: PathBuf,
    settings: Vec<String>,
    port: u16,
    process: Option<Child>,
    janitor: Child,
}

impl Server {
    /// A new server, with arguments of its own.
    #[allow(
        clippy::zombie_processes,
        reason = "the janitor outlives a server that does not start, to clean up after it"
    )]
    pub fn start(settings: &[&str]) -> Self {
        let folder = TempFolder::new().path().with_extension("redis");
        std::fs::create_dir(&folder).unwrap();
        // Its standard input ends when this process does, killed or not; then it puts everything away.
        let script = "read -r _; pid=$(cat pid 2>/dev/null) && kill -CONT $pid && kill -KILL $pid; rm -rf \"$PWD\"";
        let mut janitor = Command::new("/bin/sh");
        janitor.args(["-c", script]).current_dir(&folder).stdin(Stdio::piped()).stderr(Stdio::null());
        let janitor = janitor.spawn().unwrap();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { folder, settings, port: 0, process: None, janitor };
        // Another process can take a free port before the server does.
        for _ in 0..5 {
            server.port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if server.run() {
                return server;
            }
        }
        panic!("the server does not start: {}", std::fs::read_to_string(server.folder.join("log")).unwrap_or_default());
    }

    /// Runs it until it answers.
    fn run(&mut self) -> bool {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.args(["--port", &self.port.to_string()]).args(["--pidfile", "pid", "--unixsocket", "socket"]);
        let started = command.args(&self.settings).spawn();
        let mut process = started.unwrap_or_else(|error| {
            panic!("failed to run redis-server: {error}: run scripts/install-redis, or apt-get install -y redis-server")
        });
        std::fs::write(self.folder.join("pid"), process.id().to_string()).unwrap();
        while !self.answers() {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
        true
    }

    fn answers(&self) -> bool {
        let mut answer = [0; 1];
        TcpStream::connect(self.address())
            .and_then(|mut stream| stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer)))
            .is_ok()
    }

    /// Ends it; what it held is lost.
    pub fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        // Its number may soon be somebody else's.
        std::fs::remove_file(self.folder.join("pid")).unwrap();
    }

    /// Starts it again after a [`stop`](Self::stop), on the same port and empty.
    pub fn start_again(&mut self) {
        assert!(self.run());
    }

    /// Stops it where it is, as a machine that hangs does: connections to it come about, and it says nothing.
    pub fn freeze(&self) {
        let id = self.signal("STOP");
        let end = Instant::now() + Duration::from_secs(30);
        while !std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") T ")) {
            assert!(Instant::now() < end, "it does not stop");
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) -> u32 {
        let id = self.process.as_ref().unwrap().id();
        let kill = format!("kill -{signal} {id}");
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
        id
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` on loopback.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it is.
    pub fn target(&self) -> Target {
        Target::parse(&format!("redis://{}", self.address())).unwrap()
    }

    /// Where its socket is.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// A connection around everything that is tested here.
    pub fn admin(&self) -> redis::Connection {
        redis::Client::open(self.socket_url()).unwrap().get_connection().unwrap()
    }

    /// The URL of its socket.
    pub fn socket_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        // In this order: the janitor ends the server, whose process is there until it is waited for.
        let _ = self.process.take().map(|mut process| process.wait());
        let _ = self.janitor.wait();
    }
}
