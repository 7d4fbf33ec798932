//! The limit by address as a client meets it: over a real connection, on a clock that is moved by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::wire::{self, Connection, Request, Response};
use common::{Listening, Spy, app, settings};
use kit_native::testing::TestKit;
use serde_json::json;
use tokio::runtime::Runtime;

/// A token a second, three at once.
const THREE: [(&str, &str); 2] = [("MCP__LIMITS__IP_PER_MINUTE", "60"), ("MCP__LIMITS__IP_BURST", "3")];

/// A server whose clock stands still.
struct World {
    server: Listening,
    test: TestKit,
    upstream: Spy,
    key: String,
    _runtime: Runtime,
}

impl World {
    fn new(environment: &[(&str, &str)]) -> Self {
        let (runtime, upstream) = (Runtime::new().unwrap(), Spy::default());
        let app = app(&upstream);
        let test = runtime.block_on(TestKit::new(&app));
        let key = runtime.block_on(async {
            test.tenant("a").await;
            test.kit.operator.key_create("a", "", None).await.unwrap().key.expose_str().unwrap().to_owned()
        });
        let server = Listening::on(&runtime, test.kit.clone(), &settings(&app, environment));
        Self { server, test, upstream, key, _runtime: runtime }
    }

    /// A good call.
    fn call(&self) -> Request {
        wire::call("crm_me", json!({})).key(&self.key)
    }

    fn ask(&self, request: &Request) -> Response {
        self.server.ask(request)
    }

    /// A good call that a proxy says it has from `said`.
    fn from(&self, said: &str) -> u16 {
        self.ask(&self.call().header("X-Forwarded-For", said)).status
    }

    /// Uses up what there is.
    fn empty(&self) {
        for _ in 0..3 {
            assert_eq!(self.ask(&self.call()).status, 200);
        }
        assert_eq!(self.upstream.keys().len(), 3);
    }
}

/// Everything that the answer says, but for what every answer has.
fn said(response: &Response) -> (u16, Vec<(&str, &str)>, String) {
    let mut fields: Vec<(&str, &str)> =
        response.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.retain(|(name, _)| *name != "date");
    fields.sort_unstable();
    (response.status, fields, response.text())
}

#[test]
fn who_calls_too_often_is_told_when_to_come_back_and_no_tool_runs() {
    let world = World::new(&THREE);
    world.empty();
    world.test.clock.advance_ms(400);
    let fields = |seconds: &'static str, limit: &'static str| {
        vec![
            ("content-length", "0"),
            ("ratelimit", limit),
            ("ratelimit-policy", "\"address\";q=3;w=3"),
            ("retry-after", seconds),
        ]
    };
    let refused = world.ask(&world.call());
    assert_eq!(said(&refused), (429, fields("1", "\"address\";r=0;t=1"), String::new()));
    assert!(world.upstream.keys().is_empty(), "no tool ran");
    // A millisecond before the token is there, and then.
    world.test.clock.advance_ms(599);
    assert_eq!(world.ask(&world.call()).status, 429);
    world.test.clock.advance_ms(1);
    assert_eq!((world.ask(&world.call()).status, world.upstream.keys().len()), (200, 1));
}

/// A body would be of no use, so it is not waited for: half of it, or none of what was announced, changes nothing.
#[test]
fn the_refusal_comes_before_the_body_and_the_key_are_looked_at() {
    let world = World::new(&THREE);
    world.empty();
    let announced = |length: &str| Request::post("").header("Content-Length", length).key(&world.key);
    let unfinished = Request::post("{\"jsonrpc\"").header("Content-Length", "100000").key(&world.key);
    for request in [
        Request::post("{").key(&world.key),
        Request::post(vec![0xff; 4_000]).key(&world.key),
        Request::post("{").key("mk_dev_wrong"),
        Request::post("{"),
        announced("100000"),
        announced("99999999999"),
        unfinished,
        Request::new("GET", "/mcp"),
        Request::new("DELETE", "/mcp"),
        world.call().header("Host", "evil.test"),
    ] {
        let mut connection = Connection::open(world.server.address).unwrap();
        connection.send(&request).unwrap();
        let response = connection.receive().unwrap();
        assert_eq!((response.status, response.header("retry-after")), (429, Some("1")), "{request:?}");
        assert_eq!(response.text(), "", "{request:?}");
    }
    assert!(world.upstream.keys().is_empty());
    // Health is for load balancers, which ask often.
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(world.ask(&Request::new("GET", path)).status, 200, "{path}");
    }
}

#[test]
fn garbage_is_refused_as_garbage_while_there_are_tokens() {
    let world = World::new(&THREE);
    for expected in [415, 415, 415, 429] {
        let response = world.ask(&Request::post("{").key(&world.key));
        assert_eq!(response.status, expected);
    }
}

/// Sixty at once: three wrong keys, since each costs twenty.
#[test]
fn a_wrong_key_costs_as_much_as_twenty_calls() {
    let world = World::new(&[("MCP__LIMITS__IP_PER_MINUTE", "60"), ("MCP__LIMITS__IP_BURST", "60")]);
    for expected in [401, 401, 401, 429] {
        assert_eq!(world.ask(&wire::call("crm_me", json!({})).key("mk_dev_wrong")).status, expected);
    }
    assert_eq!(world.ask(&world.call()).status, 429, "and the good one of that address waits with it");
    world.test.clock.advance_ms(1_000);
    assert_eq!(world.ask(&world.call()).status, 200);
}

#[test]
fn behind_a_trusted_proxy_each_client_has_its_own_limit() {
    let trusted = [THREE[0], THREE[1], ("MCP__LIMITS__TRUSTED_PROXIES", "127.0.0.1")];
    let world = World::new(&trusted);
    let calls = |said: &str| [(); 4].map(|()| world.from(said));
    assert_eq!(calls("203.0.113.9"), [200, 200, 200, 429]);
    // What the client itself wrote stands before what the proxy adds.
    assert_eq!(world.from("198.51.100.1, 203.0.113.9"), 429);
    assert_eq!(calls("198.51.100.1"), [200, 200, 200, 429]);
    assert_eq!(calls("2001:db8:1:2::7"), [200, 200, 200, 429]);
    assert_eq!(world.from("2001:db8:1:2::8"), 429, "a /64 is one caller");
    // Without the header it is the proxy's own address.
    let own = || world.ask(&world.call()).status;
    assert_eq!([own(), own(), own(), own()], [200, 200, 200, 429]);
    assert_eq!(world.from("not an address"), 429);
}

#[test]
fn from_anybody_else_the_header_changes_nothing() {
    for environment in [&THREE[..], &[THREE[0], THREE[1], ("MCP__LIMITS__TRUSTED_PROXIES", "10.0.0.0/8, ::1")]] {
        let world = World::new(environment);
        let answers = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"].map(|said| world.from(said));
        assert_eq!(answers, [200, 200, 200, 429], "{environment:?}");
    }
}

#[test]
fn without_a_limit_nobody_is_refused() {
    let world = World::new(&[("MCP__LIMITS__IP_PER_MINUTE", "0"), ("MCP__LIMITS__IP_BURST", "1")]);
    assert_eq!([(); 5].map(|()| world.ask(&world.call()).status), [200; 5]);
    assert_eq!(world.ask(&Request::post("{").key("mk_dev_wrong")).status, 401);
}
