//! The admin API and the commands that ask it: what the operator is told of a server that runs, and what it does when told.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Ended, Live, finish, wait_until};
use crate::wire::{Request, call};

#[track_caller]
fn refused(ended: &Ended, message: &str) {
    assert_eq!((ended.code, ended.err.as_str(), ended.out.as_str()), (Some(1), message, ""));
}

const PLANS: &str = "[plans.starter]\nper_minute = 60\nburst = 10\nconcurrency = 4\ndaily = 1000\ntool_per_minute = 1\n\
                     tool_burst = 5\n";

/// Adds `text` to the configuration.
fn configure(live: &Live, text: &str) {
    let path = live.folder.path().join("config/server.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{before}\n{text}")).unwrap();
}

/// Calls the search tool of Notion; its outcome is of no interest.
fn search(server: &crate::harness::Listening, key: &str) -> Value {
    server.ask(&call("notion_search", json!({"query": "x"})).key(key)).json()
}

#[test]
fn the_operator_sees_a_tenants_limits_in_the_server_that_runs() {
    let live = Live::empty();
    configure(&live, PLANS);
    let key = live.tenant("acme");
    live.run(&["tenant", "plan", "acme", "starter"]).ok();
    let server = live.serve();
    search(&server, &key);
    search(&server, &key);
    let shown = live.run(&["limits", "show", "--tenant", "acme"]);
    assert_eq!(shown.err, "tenant `acme` is on the plan `starter`\n\n");
    let shown = shown.ok();
    let rows: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(rows[0], ["WHAT", "NOW", "AT MOST"]);
    assert_eq!(rows[1], ["calls under way", "0", "4"]);
    assert_eq!(rows[2], ["units today", "2", "1000"]);
    assert_eq!(rows[3], ["units this month", "2", "-"]);
    assert_eq!((rows[4][0], rows[4][2]), ("calls", "10, 60 a minute"));
    assert_eq!((rows[5][0], rows[5][2]), ("calls of notion_search", "5, 1 a minute"));
    let json: Value = serde_json::from_str(&live.run(&["limits", "show", "--tenant", "acme", "--json"]).ok()).unwrap();
    assert_eq!((&json["plan"]["name"], &json["today"], &json["in_flight"]), (&json!("starter"), &json!(2), &json!(0)));
    refused(
        &live.run(&["limits", "show", "--tenant", "nobody"]),
        "error: there is no tenant `nobody`\n\nhint: add it with `zz-everything tenant add nobody`\n",
    );
}

#[test]
fn the_operator_sees_which_upstreams_are_not_asked() {
    let (live, key) = Live::with_tenant();
    let server = live.serve();
    assert_eq!(live.run(&["limits", "breakers"]).err, "every upstream is asked\n");
    live.upstream.answer_with(429);
    for _ in 0..4 {
        search(&server, &key);
    }
    let table = live.run(&["limits", "breakers"]).ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    assert_eq!(rows, [["INTEGRATION", "TENANT", "ACCOUNT", "WHY"], ["notion", "acme", "default", "throttled"]]);
    let json: Value = serde_json::from_str(&live.run(&["limits", "breakers", "--json"]).ok()).unwrap();
    assert_eq!((&json["open"][0]["cause"], &json["connections"]), (&json!("throttled"), &json!(1)));
}

#[test]
fn a_reload_puts_limits_and_plans_in_place_and_a_bad_one_changes_nothing() {
    let (live, key) = Live::with_tenant();
    let server = live.serve();
    search(&server, &key);
    configure(&live, "[calls]\nper_minute = 1\nburst = 1\n");
    let said = live.run(&["config", "reload"]);
    assert_eq!(
        said.err,
        "read again and in force: calls.per_minute and calls.burst, limits, plans, log.level; the rest takes a restart\n"
    );
    search(&server, &key);
    let limited = search(&server, &key);
    assert_eq!(limited["result"]["structuredContent"]["error"]["scope"], "tenant_tool", "{limited}");
    configure(&live, "[limits]\nburst = \"many\"\n");
    let bad = live.run(&["config", "reload"]);
    assert_eq!(bad.code, Some(1));
    assert!(bad.err.contains("`limits.burst`"), "{}", bad.err);
    assert_eq!(search(&server, &key)["result"]["structuredContent"]["error"]["type"], "rate_limited");
}

#[test]
fn a_plan_that_tenants_are_on_is_not_taken_away_by_a_reload() {
    let live = Live::empty();
    configure(&live, PLANS);
    live.tenant("acme");
    live.run(&["tenant", "plan", "acme", "starter"]).ok();
    let _server = live.serve();
    let path = live.folder.path().join("config/server.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("plans.starter", "plans.other")).unwrap();
    // The command reads the configuration too, for where the server answers; it is the server that refuses.
    refused(
        &live.run(&["config", "reload"]),
        "error: 1 problem(s) in the configuration\n  `plans.starter` (tenants): tenants are on this plan, and it is not \
         described\n    describe it under `[plans.starter]`, or see who is on it with `zz-everything tenant list`\n",
    );
    assert_eq!(live.run(&["limits", "show", "--tenant", "acme"]).err, "tenant `acme` is on the plan `starter`\n\n");
}

#[test]
fn a_hangup_is_a_reload() {
    let (live, key) = Live::with_tenant();
    let server = live.serve();
    configure(&live, "[calls]\nper_minute = 1\nburst = 1\n");
    server.signal("HUP");
    wait_until("the reload", Duration::from_secs(20), || server.log.text().contains("read the configuration again"));
    search(&server, &key);
    assert_eq!(search(&server, &key)["result"]["structuredContent"]["error"]["type"], "rate_limited");
}

#[test]
fn drain_ends_the_server_as_a_signal_does() {
    let (live, _) = Live::with_tenant();
    let mut server = live.serve_with(&[("MCP__SHUTDOWN__GRACE_MS", "0")]);
    let socket = live.folder.path().join("data/admin.sock");
    assert!(socket.exists());
    assert_eq!(live.run(&["drain"]).err, "the server finishes its calls (0 under way) and ends\n");
    assert!(server.ended(Duration::from_secs(20)).is_some_and(|status| status.success()));
    assert!(!socket.exists(), "the socket went with it");
}

#[test]
fn without_a_server_the_commands_say_where_they_looked() {
    let (live, _) = Live::with_tenant();
    let nobody = "error: failed to ask the server on unix:data/admin.sock: no server answers there\n\n\
                  hint: start it with `zz-everything serve`, and run this as its user, in its folder: `admin.listen` says \
                  where it answers\n";
    let commands: [&[&str]; 4] =
        [&["limits", "show", "--tenant", "acme"], &["limits", "breakers"], &["config", "reload"], &["drain"]];
    for command in commands {
        refused(&live.run(command), nobody);
    }
    configure(&live, "[admin]\nlisten = \"none\"\n");
    refused(
        &live.run(&["drain"]),
        "error: the server has no place where it answers its operator\n\n\
         hint: set `admin.listen` in config/server.toml, and start the server again\n",
    );
}

#[test]
fn only_the_servers_user_can_open_the_socket_and_one_left_behind_is_replaced() {
    let (live, _) = Live::with_tenant();
    let socket = live.folder.path().join("data/admin.sock");
    live.serve().kill();
    assert!(socket.exists(), "a killed server leaves it");
    let _server = live.serve();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(live.run(&["limits", "breakers"]).err, "every upstream is asked\n");
    // Another server in the same folder goes without, unless it was told to answer just there.
    let other = live.serve();
    assert!(
        other.log.text().contains("another server answers its operator on unix:data/admin.sock"),
        "{}",
        other.log.text()
    );
    let mut insists = live.command(&["serve"]);
    let there = format!("unix:{}", socket.display());
    insists.env("MCP__SERVER__BIND", "127.0.0.1:0").env("MCP__ADMIN__LISTEN", &there);
    let insists = finish(insists, b"");
    assert_eq!(insists.code, Some(1));
    assert!(
        insists.err.ends_with(&format!(
            "error: another server answers its operator on {there}\n\n\
             hint: stop the other server, or give this one an `admin.listen` of its own\n"
        )),
        "{}",
        insists.err
    );
}

#[test]
fn over_an_address_the_operator_shows_a_token_and_a_web_page_gets_nothing() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let (live, _) = Live::with_tenant();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let environment = [("MCP__ADMIN__LISTEN", address.as_str()), ("MCP__ADMIN__TOKEN", TOKEN)];
    let _server = live.serve_with(&environment);
    let mut drain = live.command(&["limits", "breakers"]);
    drain.envs(environment);
    assert_eq!(finish(drain, b"").err, "every upstream is asked\n");
    let ask = |request: Request| crate::wire::ask(address.parse().unwrap(), &request);
    let wrong = json!({"error": {"message": "the token is missing or wrong", "hint": null}});
    for request in [Request::new("GET", "/status"), Request::new("POST", "/drain").key("wrong")] {
        let answer = ask(request);
        assert_eq!((answer.status, answer.json()), (401, wrong.clone()));
    }
    let page = ask(Request::new("POST", "/drain").key(TOKEN).header("Origin", &format!("http://{address}")));
    assert_eq!(page.status, 403);
    let status = ask(Request::new("GET", "/status").key(TOKEN));
    assert_eq!(status.json()["draining"], false);
    assert_eq!(ask(Request::new("GET", "/nothing").key(TOKEN)).status, 404);
}

#[test]
fn what_tenants_reach_has_none_of_it() {
    let (live, key) = Live::with_tenant();
    let server = live.serve();
    for path in ["/status", "/limits/acme", "/breakers", "/reload", "/drain"] {
        assert_eq!(server.ask(&Request::new("GET", path).key(&key)).status, 404, "{path}");
        assert_eq!(server.ask(&Request::new("POST", path).key(&key)).status, 404, "{path}");
    }
    assert_eq!(server.ready(), 200);
}
