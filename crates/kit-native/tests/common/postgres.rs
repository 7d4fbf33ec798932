//! A real PostgreSQL server for a test binary: made in a folder of its own, reached over loopback or a socket, and gone
//! with the process that started it, however that ends.

use std::fs::File;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kit_native::postgres::Target;
use kit_native::testing::TempFolder;
use tokio_postgres::{Client, NoTls};

/// The superuser, who needs a password on loopback and none on the socket.
pub const USER: &str = "kit";
pub const PASSWORD: &str = "p@ss:w/rd-2f7c1e";
/// The password as it stands in a URL.
pub const ENCODED: &str = "p%40ss%3Aw%2Frd-2f7c1e";

/// A server.
pub struct Server {
    folder: PathBuf,
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    port: u16,
    postmaster: Child,
    janitor: Child,
}

/// The one server of this test binary, for tests that leave it alone.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[]))
}

impl Server {
    /// A new server, with `name=value` settings of its own. A file that these name is looked for in its `data` folder.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, |_| ())
    }

    /// The same; `prepare` gets the `data` folder before the server does.
    #[allow(
        clippy::zombie_processes,
        reason = "the janitor outlives a server that does not start, to clean up after it"
    )]
    pub fn start_with(settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = TempFolder::new().path().with_extension("postgres");
        std::fs::create_dir(&folder).unwrap();
        // As root the server does not run.
        let user = (std::fs::metadata(&folder).unwrap().uid() == 0).then(unprivileged);
        let own = |path: &Path| user.map(|(uid, gid)| chown(path, Some(uid), Some(gid)).unwrap());
        let (password, data) = (folder.join("password"), folder.join("data"));
        std::fs::write(&password, PASSWORD).unwrap();
        own(&folder);
        let mut initdb = command(&program("initdb"), &folder, user);
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"]);
        initdb.args(["--username", USER, "--pwfile"]).arg(password).arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "failed to make a server: {}", String::from_utf8_lossy(&made.stderr));
        prepare(&data);
        for entry in std::fs::read_dir(&data).unwrap() {
            own(&entry.unwrap().path());
        }
        // Its standard input ends when this process does, killed or not; then it puts everything away.
        let script = "read -r _; pid=$(head -n 1 data/postmaster.pid 2>/dev/null) && kill -CONT $pid && kill -QUIT $pid
                      for _ in 1 2 3 4 5 6 7 8 9; do kill -0 $pid 2>/dev/null && sleep 0.1; done; rm -rf \"$PWD\"";
        let mut janitor = command(Path::new("/bin/sh"), &folder, user);
        let janitor = janitor.args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        // Another process can take a free port before the server does.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if let Ok(postmaster) = run(&folder, user, &settings, port) {
                return Self { folder, user, settings, port, postmaster, janitor };
            }
        }
        panic!("the server does not start: {}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
    }

    /// Ends it and whatever it is doing; clients see their connections break.
    pub fn stop(&mut self) {
        kill("INT", &self.postmaster.id().to_string());
        self.postmaster.wait().unwrap();
    }

    /// Starts it again after a [`stop`](Self::stop), on the same port.
    pub fn start_again(&mut self) {
        self.postmaster = run(&self.folder, self.user, &self.settings, self.port).unwrap();
    }

    /// Stops all its processes where they are, as a machine that hangs does: it accepts connections and says nothing.
    pub async fn freeze(&self) -> Frozen {
        let admin = self.admin("postgres").await;
        let others = admin.query("SELECT pid FROM pg_stat_activity", &[]).await.unwrap();
        let others = others.iter().map(|row| row.get::<_, i32>(0).to_string());
        let all = Frozen([self.postmaster.id().to_string()].into_iter().chain(others).collect());
        all.signal("STOP");
        all
    }

    /// `host:port` on loopback.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of a database over loopback, with the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{ENCODED}@{}/{database}", self.address())
    }

    /// The URL of a database over the socket.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{database}", self.port)
    }

    /// A connection around everything that is tested here.
    pub async fn admin(&self, database: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.socket_url(database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// A fresh database; its name.
    pub async fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.admin("postgres").await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        name
    }

    /// A fresh database over loopback.
    pub async fn target(&self) -> Target {
        target(&self.url(&self.database().await))
    }
}

/// Processes that were stopped.
pub struct Frozen(Vec<String>);

impl Frozen {
    /// Lets them go on.
    pub fn thaw(self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        self.0.iter().for_each(|process| kill(signal, process));
    }
}

/// The shell has it built in.
fn kill(signal: &str, process: &str) {
    let kill = format!("kill -{signal} {process}");
    assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
}

/// A URL, read.
pub fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        // In this order: the janitor waits for the end of the server, whose process is there until it is waited for.
        let _ = self.postmaster.wait();
        let _ = self.janitor.wait();
    }
}

/// Runs the server in `folder`, until it lets clients in.
fn run(folder: &Path, user: Option<(u32, u32)>, settings: &[String], port: u16) -> Result<Child, ()> {
    let data = folder.join("data");
    let mut postgres = command(&program("postgres"), folder, user);
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    postgres.arg("-D").arg(&data).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let places = [format!("port={port}"), format!("unix_socket_directories={}", folder.display())];
    let common = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200", "shared_buffers=16MB"];
    for setting in places.iter().map(String::as_str).chain(common).chain(settings.iter().map(String::as_str)) {
        postgres.args(["-c", setting]);
    }
    let mut postmaster = postgres.spawn().unwrap();
    // The file says whose it is in its first line, and that the server is ready in its eighth.
    let (id, file) = (postmaster.id().to_string(), data.join("postmaster.pid"));
    let ready = |text: String| {
        let line = |n: usize| text.lines().nth(n).unwrap_or_default().trim().to_owned();
        line(0) == id && line(7) == "ready"
    };
    while !std::fs::read_to_string(&file).is_ok_and(ready) {
        if postmaster.try_wait().unwrap().is_some() {
            return Err(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(postmaster)
}

fn command(program: &Path, folder: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// A user to run the server as, where this process is root: uid and gid.
fn unprivileged() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|line| line[0] == name)?;
        fields.truncate(4);
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).unwrap()
}

/// A program of the server. Debian keeps them out of the search path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> = match std::fs::read_dir("/usr/lib/postgresql") {
        Ok(versions) => versions.map(|version| version.unwrap().path().join("bin")).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    debian.sort();
    std::env::split_paths(&path)
        .chain(debian.into_iter().rev())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .unwrap_or_else(|| {
            panic!("`{name}` of PostgreSQL is missing: run scripts/install-postgres, or apt-get install -y postgresql")
        })
}
