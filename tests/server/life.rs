//! The life of a live server: it starts, follows its operator, drains without losing a request, and comes back from
//! `kill -9` at any moment with every acknowledged change. And through all of it, no secret leaves.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Live, finish, wait_until};
use crate::wire::{Connection, PATIENCE, Request, Response, call, modern};

/// The promise of every command that ends or changes something.
const PROMISED: Duration = Duration::from_secs(15);
/// Load must not meet the limiter.
const UNLIMITED: (&str, &str) = ("MCP__CALLS__PER_MINUTE", "0");

fn search(key: &str) -> Request {
    call("notion_search", json!({"query": "media"})).key(key)
}

fn answered(response: &Response) -> bool {
    response.status == 200 && response.json()["result"]["isError"] == false
}

/// Calls over one connection for as long as `goes_on` says, opening another one when the server asks for it. Returns
/// what went wrong.
fn client(address: SocketAddr, key: &str, done: &AtomicUsize, goes_on: impl Fn() -> bool) -> Result<(), Trouble> {
    let request = search(key);
    let mut connection: Option<Connection> = None;
    while connection.is_some() || goes_on() {
        let fresh = connection.is_none();
        let trouble = |what: String| Trouble { fresh, what };
        let mut open = connection
            .take()
            .map_or_else(|| Connection::open(address), Ok)
            .map_err(|error| trouble(format!("no connection: {error}")))?;
        let response = open.exchange(&request).map_err(|error| trouble(format!("no answer: {error}")))?;
        if !answered(&response) {
            return Err(trouble(format!("answer {}: {}", response.status, response.text())));
        }
        done.fetch_add(1, Ordering::SeqCst);
        connection = (!response.closes()).then_some(open);
    }
    Ok(())
}

/// A request that failed, and whether it was the first on its connection.
#[derive(Debug)]
struct Trouble {
    fresh: bool,
    what: String,
}

// The end.

/// Eight clients on kept connections behind a load balancer, which looks at readiness every 50 ms and opens no
/// connection to a server that is not ready. This is what the order of the drain is for.
#[test]
fn a_server_told_to_stop_under_load_fails_no_request() {
    let (live, key) = Live::with_tenant();
    for round in 0..3 {
        let mut server = live.serve_with(&[UNLIMITED, ("MCP__SHUTDOWN__GRACE_MS", "500")]);
        let (address, done, ready) = (server.address, AtomicUsize::new(0), AtomicBool::new(true));
        let troubles = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let result = client(address, &key, &done, || ready.load(Ordering::SeqCst));
                    troubles.lock().unwrap().extend(result.err());
                });
            }
            scope.spawn(|| {
                let question = Request::new("GET", "/health/ready");
                while crate::wire::ask(address, &question).status == 200 {
                    std::thread::sleep(Duration::from_millis(50));
                }
                ready.store(false, Ordering::SeqCst);
            });
            wait_until("load", PATIENCE, || done.load(Ordering::SeqCst) > 200);
            server.signal("TERM");
            let told = Instant::now();
            let status = server.ended(Duration::from_secs(10));
            let took = told.elapsed();
            assert_eq!(status.and_then(|status| status.code()), Some(0), "round {round}: {}", server.log.text());
            assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(5), "round {round}: {took:?}");
        });
        let troubles = troubles.into_inner().unwrap();
        assert!(troubles.is_empty(), "round {round}, after {} requests: {troubles:?}", done.load(Ordering::SeqCst));
    }
}

/// Clients that never look away meet a closed door at worst: whoever could connect is answered.
#[test]
fn clients_that_go_on_to_the_end_meet_a_closed_door_and_nothing_else() {
    let (live, key) = Live::with_tenant();
    for round in 0..3 {
        let mut server = live.serve_with(&[UNLIMITED, ("MCP__SHUTDOWN__GRACE_MS", "300")]);
        let (address, done) = (server.address, AtomicUsize::new(0));
        let troubles = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| troubles.lock().unwrap().extend(client(address, &key, &done, || true).err()));
            }
            wait_until("load", PATIENCE, || done.load(Ordering::SeqCst) > 100);
            server.signal("TERM");
            assert_eq!(
                server.ended(Duration::from_secs(10)).and_then(|status| status.code()),
                Some(0),
                "round {round}"
            );
        });
        for trouble in troubles.into_inner().unwrap() {
            assert!(trouble.fresh && trouble.what.starts_with("no connection"), "round {round}: {trouble:?}");
        }
    }
}

#[test]
fn a_call_in_flight_when_the_server_is_told_to_stop_is_answered() {
    let (live, key) = Live::with_tenant();
    live.upstream.take(Duration::from_millis(1_500));
    let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "0")]);
    let mut connection = Connection::open(server.address).unwrap();
    connection.send(&search(&key)).unwrap();
    wait_until("the upstream has the request", PATIENCE, || !live.upstream.seen().is_empty());
    server.signal("TERM");
    assert!(answered(&connection.receive().unwrap()));
    assert_eq!(server.ended(PATIENCE).and_then(|status| status.code()), Some(0));
}

#[test]
fn a_server_that_drains_is_not_ready_but_still_answers_and_asks_for_new_connections() {
    let (live, key) = Live::with_tenant();
    let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "3000")]);
    let bind = server.address.to_string();
    let health = || {
        let mut command = live.command(&["healthcheck"]);
        command.env("MCP__SERVER__BIND", &bind);
        finish(command, b"")
    };
    assert_eq!((server.ready(), health().code), (200, Some(0)));
    let mut old = Connection::open(server.address).unwrap();
    let before = old.exchange(&search(&key)).unwrap();
    assert!(answered(&before) && !before.closes());

    server.signal("TERM");
    wait_until("not ready", PATIENCE, || server.ready() == 503);
    let ready = server.ask(&Request::new("GET", "/health/ready"));
    assert_eq!((ready.status, ready.text().as_str()), (503, "draining\n"));
    assert_eq!(server.ask(&Request::new("GET", "/health/live")).status, 200, "alive all the same");
    let ended = health();
    assert_eq!((ended.code, ended.err), (Some(1), format!("error: the server on {bind} is not ready: status 503\n")));
    let during = old.exchange(&search(&key)).unwrap();
    assert!(answered(&during) && during.closes(), "{during:?}");
    assert!(old.ends());
    assert!(answered(&server.ask(&search(&key))), "and new connections are taken");

    assert_eq!(server.ended(Duration::from_secs(10)).and_then(|status| status.code()), Some(0));
    let ended = health();
    assert_eq!(
        (ended.code, ended.err),
        (Some(1), format!("error: failed to ask the server on {bind}: Connection refused (os error 111)\n"))
    );
}

#[test]
fn idle_connections_do_not_hold_a_server_that_was_told_to_stop() {
    let (live, key) = Live::with_tenant();
    let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "0")]);
    let mut used = Connection::open(server.address).unwrap();
    assert!(answered(&used.exchange(&search(&key)).unwrap()));
    let _unused = Connection::open(server.address).unwrap();
    server.signal("TERM");
    assert_eq!(server.ended(PATIENCE).and_then(|status| status.code()), Some(0));
}

/// A supervisor may change its mind as soon as the server says that it listens.
#[test]
fn a_signal_in_the_first_moment_is_not_missed() {
    let live = Live::empty();
    for round in 0..20 {
        let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "0")]);
        server.signal("TERM");
        let status = server.ended(PATIENCE);
        assert_eq!(status.and_then(|status| status.code()), Some(0), "round {round}: {status:?}");
    }
}

#[test]
fn ctrl_c_drains_as_well() {
    let live = Live::empty();
    let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "0")]);
    assert_eq!(server.ready(), 200);
    server.signal("INT");
    assert_eq!(server.ended(PATIENCE).and_then(|status| status.code()), Some(0));
}

/// Whoever sends a second one does not want to wait.
#[test]
fn a_second_signal_ends_the_drain() {
    let live = Live::empty();
    let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "60000")]);
    assert_eq!(server.ready(), 200);
    server.signal("TERM");
    wait_until("not ready", PATIENCE, || server.ready() == 503);
    server.signal("TERM");
    assert!(server.ended(PATIENCE).is_some(), "it goes on draining");
}

#[test]
fn a_store_serves_again_after_its_server_was_stopped() {
    let (live, key) = Live::with_tenant();
    for _ in 0..3 {
        let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "0")]);
        assert!(answered(&server.ask(&search(&key))));
        server.signal("TERM");
        assert_eq!(server.ended(PATIENCE).and_then(|status| status.code()), Some(0));
    }
}

#[test]
fn an_address_that_is_taken_is_told_with_the_way_to_find_out_by_whom() {
    let live = Live::empty();
    let server = live.serve();
    let mut command = live.command(&["serve"]);
    command.env("MCP__SERVER__BIND", server.address.to_string());
    let ended = finish(command, b"");
    assert_eq!(
        (ended.code, ended.err),
        (
            Some(1),
            format!(
                "error: failed to listen on {}: Address already in use (os error 98)\n\n\
                 hint: choose another port, or see who has it with `ss -ltnp`\n",
                server.address
            )
        )
    );
}

// Sudden death.

/// Some part of `limit`, another one each time.
fn some_of(limit: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    limit * (nanos / 7 % 1_000) / 1_000
}

/// Clients that read, a tenant whose credential the provider refuses (which the server writes down), and an operator
/// who changes the same store: killed at any moment, the store opens and everything that was acknowledged is there.
#[test]
fn a_server_killed_under_load_leaves_a_store_that_opens_and_serves() {
    let (live, key) = Live::with_tenant();
    let victim = live.tenant("victim");
    live.upstream.refuse("Bearer token-of-victim");
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..10 {
        live.run_with(&["connection", "set", "notion", "--tenant", "victim"], b"token-of-victim").ok();
        let server = live.serve_with(&[UNLIMITED]);
        let (stop, done, made) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
        let address = server.address;
        std::thread::scope(|scope| {
            for key in [&key, &key, &key, &victim] {
                // Their requests end with the server: what they say of it is not looked at.
                scope.spawn(|| {
                    let _ = client(address, key, &done, || true);
                    let _ = Connection::open(address).and_then(|mut connection| connection.exchange(&search(&victim)));
                });
            }
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let key = live.run(&["key", "create", "--tenant", "acme"]).ok();
                    made.lock().unwrap().push(key.split('_').nth(2).unwrap().to_owned());
                }
            });
            wait_until("load", PATIENCE, || done.load(Ordering::SeqCst) > 5);
            std::thread::sleep(some_of(Duration::from_millis(200)));
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        acknowledged.extend(made.into_inner().unwrap());
        let listed = live.run(&["key", "list", "--tenant", "acme", "--json"]).ok();
        let lost: Vec<&String> = acknowledged.iter().filter(|id| !listed.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        let again = live.serve();
        assert_eq!((again.ready(), answered(&again.ask(&search(&key)))), (200, true), "round {round}");
    }
    assert!(acknowledged.len() >= 10, "the operator got to do little: {}", acknowledged.len());
}

#[test]
fn an_operator_killed_in_the_middle_leaves_all_or_nothing() {
    let live = Live::empty();
    for round in 0..10 {
        let name = format!("tenant-{round}");
        let mut child = live.command(&["tenant", "add", &name]).spawn().unwrap();
        std::thread::sleep(some_of(Duration::from_millis(60)));
        let _ = child.kill();
        child.wait().unwrap();
        let listed: Value = serde_json::from_str(&live.run(&["tenant", "list", "--json"]).ok()).unwrap();
        if listed.as_array().unwrap().iter().any(|tenant| tenant["id"] == *name) {
            // A tenant that is there is whole: it has a data key, so a connection can be sealed.
            live.run_with(&["connection", "set", "notion", "--tenant", &name], b"token").ok();
        } else {
            live.run(&["tenant", "add", &name]).ok();
        }
    }
}

// A running server and its operator.

/// One tenant for each change, so that they are all waited for together.
#[test]
fn a_running_server_follows_its_operator_in_the_promised_time() {
    let live = Live::empty();
    let server = live.serve_with(&[UNLIMITED]);
    // Added under the running server, which has cached nothing of them yet: good at once.
    let names = ["replaced", "removed", "suspended", "revoked", "deleted"];
    let keys = names.map(|name| live.tenant(name));
    for key in &keys {
        assert!(answered(&server.ask(&search(key))));
    }
    live.upstream.seen();
    let [replaced, removed, suspended, revoked, deleted] = &keys;

    live.run_with(&["connection", "set", "notion", "--tenant", "replaced"], b"second-token").ok();
    live.run(&["connection", "remove", "notion", "--tenant", "removed"]).ok();
    live.run(&["tenant", "suspend", "suspended"]).ok();
    live.run(&["key", "revoke", revoked.split('_').nth(2).unwrap(), "--tenant", "revoked"]).ok();
    live.run(&["tenant", "delete", "deleted", "--confirm", "deleted"]).ok();
    let status = |key: &str| server.ask(&search(key)).status;
    let gone = "NO_CREDENTIALS: tenant `removed` has no Notion connection for the integration `notion`\n\
                hint: open http://127.0.0.1:";
    wait_until("every change is followed", PROMISED, || {
        server.ask(&search(replaced));
        let text = server.ask(&search(removed)).json()["result"]["content"][0]["text"].clone();
        live.upstream.seen().first().is_some_and(|seen| seen == "Bearer second-token")
            && text.as_str().is_some_and(|text| text.starts_with(gone))
            && [suspended, revoked, deleted].iter().all(|key| status(key) == 401)
    });
    live.run(&["tenant", "resume", "suspended"]).ok();
    wait_until("the resumed tenant is back", PROMISED, || status(suspended) == 200);
}

#[test]
fn a_credential_that_the_provider_refuses_is_listed_and_not_sent_again() {
    let (live, key) = Live::with_tenant();
    let server = live.serve();
    live.upstream.answer_with(401);
    for _ in 0..5 {
        let result = server.ask(&search(&key)).json()["result"].clone();
        assert_eq!(result["structuredContent"]["error"]["type"], "reconnect_required");
    }
    assert_eq!(live.upstream.seen().len(), 1);
    let table = live.run(&["connection", "list", "--tenant", "acme"]).ok();
    assert!(table.trim_end().ends_with("needs reconnect: the provider refused the credential"), "{table}");
}

#[test]
fn an_upstream_that_is_slow_or_gone_is_told_apart() {
    let (live, key) = Live::with_tenant();
    let server = live.serve_with(&[("MCP__CALLS__DEADLINE_MS", "400")]);
    let kind = || server.ask(&search(&key)).json()["result"]["structuredContent"]["error"]["type"].clone();
    live.upstream.take(Duration::from_secs(2));
    assert_eq!(kind(), "timeout");
    live.upstream.take(Duration::ZERO);
    live.upstream.answer_with(500);
    assert_eq!(kind(), "upstream_error");
    live.upstream.answer_with(429);
    assert_eq!(kind(), "upstream_rate_limited");
    live.upstream.answer_with(0);
    assert!(answered(&server.ask(&search(&key))));
}

// Secrets.

/// Everything that a person, a log or a disk gets to see, at the most talkative log level.
#[test]
fn no_secret_is_in_any_output_log_or_file() {
    let live = Live::empty();
    let secret = "ntn_canary-6b1f0a77d2";
    let mut seen = String::new();
    let mut run = |args: &[&str], input: &str| {
        let ended = live.run_with(args, input.as_bytes());
        seen.push_str(&ended.err);
        seen.push_str(&ended.out);
        ended.out.trim().to_owned()
    };
    run(&["tenant", "add", "acme"], "");
    run(&["connection", "set", "notion", "--tenant", "acme"], secret);
    run(&["connection", "set", "notion", "--tenant", "acme"], &format!("{secret} {secret}"));
    run(&["connection", "set", "none", "--tenant", "acme"], secret);
    run(&["connection", "set", "notion", "--tenant", "nobody"], secret);
    run(&["connection", "list", "--tenant", "acme", "--json"], "");
    run(&["config", "check"], "");
    let key = live.run(&["key", "create", "--tenant", "acme"]).ok().trim().to_owned();
    run(&["key", "list", "--tenant", "acme", "--json"], "");
    run(&["key", "revoke", &key, "--tenant", "acme"], "");

    let mut server = live.serve_with(&[("MCP__LOG__LEVEL", "trace"), ("MCP__SHUTDOWN__GRACE_MS", "0"), UNLIMITED]);
    let argument = "canary-argument-51c0";
    let mut answers = Vec::new();
    for status in [0, 401, 500] {
        live.upstream.answer_with(status);
        answers.push(server.ask(&call("notion_search", json!({"query": argument})).key(&key)));
        answers.push(server.ask(&call("notion_search", json!({"query": argument, "no": 1})).key(&key)));
        answers.push(server.ask(&modern("resources/read", json!({"uri": "notion://workspace"})).key(&key)));
    }
    answers.push(server.ask(&search(&format!("{key}x"))));
    answers.push(server.ask(&Request::post(format!("{{\"{argument}\": ")).key(&key)));
    assert_eq!(live.upstream.seen().first().unwrap(), &format!("Bearer {secret}"), "the secret was in use");
    server.signal("TERM");
    server.ended(PATIENCE).unwrap();
    let log = server.log.text();
    assert!(log.lines().count() > 10, "the log was on: {log}");

    let key_secret = key.split('_').nth(3).unwrap();
    let answers: String = answers.iter().map(|answer| format!("{:?} {}", answer.headers, answer.text())).collect();
    let kek = std::fs::read_to_string(live.folder.path().join("kek")).unwrap();
    for (place, text) in [("command output", &seen), ("log", &log), ("answers", &answers)] {
        for (what, secret) in [("credential", secret), ("API key", key_secret), ("key-encryption key", kek.trim())] {
            assert!(!text.contains(secret), "the {what} is in the {place}");
        }
    }
    assert!(!log.contains(argument), "an argument of a tool is in the log");

    let store = live.store_bytes();
    let holds = |needle: &str| store.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds("acme") && holds("mk1.dek"), "these are the files of the store");
    for (what, secret) in [("credential", secret), ("API key", key_secret), ("API key", &key), ("key", kek.trim())] {
        assert!(!holds(secret), "the {what} is in the store");
    }
}

#[cfg(unix)]
#[test]
fn the_files_of_a_live_store_are_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (live, key) = Live::with_tenant();
    let server = live.serve();
    assert!(answered(&server.ask(&search(&key))));
    let entries: Vec<_> = std::fs::read_dir(live.folder.path().join("data")).unwrap().flatten().collect();
    assert!(entries.len() >= 2, "the database and its log");
    for entry in entries {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
}
