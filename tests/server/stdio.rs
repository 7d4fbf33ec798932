//! The server as a child process: standard output is the protocol's alone, and every request belongs to a tenant that
//! was named when the process was started.

use serde_json::{Value, json};

use crate::harness::{Live, Pipe, finish, server};

fn initialize() -> Value {
    json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}})
}

/// A live server on stdio.
fn stdio(live: &Live, args: &[&str]) -> Pipe {
    Pipe::start(live.command(&[&["stdio"], args].concat()))
}

fn tools(pipe: &mut Pipe) -> Vec<Value> {
    pipe.ask("tools/list", json!({}))["result"]["tools"].as_array().unwrap().clone()
}

#[test]
fn standard_output_carries_the_protocol_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = server();
    command.args(["dev", "--stdio", "--folder"]).arg(folder.path().join(".dev"));
    let mut pipe = Pipe::start(command);
    assert_eq!(pipe.ask_as_is("initialize", initialize())["result"]["protocolVersion"], "2025-11-25");
    pipe.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let answer = pipe.ask_as_is("tools/call", json!({"name": "notion_search", "arguments": {"query": "media"}}));
    assert!(answer.to_string().contains("Media plan 2027"), "{answer}");
    // What is not JSON is ignored, and what is unknown is answered.
    pipe.send("this is not JSON");
    let failed = pipe.ask_as_is("tools/call", json!({"name": "notion_search", "arguments": {"limit": "many"}}));
    assert_eq!(failed["result"]["isError"], true);
    assert_eq!(pipe.ask_as_is("no/such/method", json!({}))["error"]["code"], -32601);
    let (rest, code) = pipe.close();
    for line in &rest {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not JSON: {line}");
    }
    assert_eq!(code, Some(0), "the client closed the pipe: nothing went wrong");
}

#[test]
fn a_request_of_the_stateless_era_needs_no_handshake() {
    let (live, _) = Live::with_tenant();
    let mut pipe = stdio(&live, &["--tenant", "acme"]);
    let discovered = pipe.ask("server/discover", json!({}));
    assert!(discovered["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
    let answer = pipe.call("notion_search", json!({"query": "media"}));
    assert_eq!(answer["result"]["structuredContent"]["results"][0]["title"], "Media plan 2027");
    assert_eq!(live.upstream.seen(), ["Bearer token-of-acme"]);
    assert_eq!(pipe.close().1, Some(0));
}

#[test]
fn a_client_that_says_nothing_ends_the_server_without_an_error() {
    let (live, _) = Live::with_tenant();
    let pipe = stdio(&live, &["--tenant", "acme"]);
    let (rest, code) = pipe.close();
    assert_eq!((rest, code), (vec![], Some(0)));
}

#[test]
fn a_signal_ends_the_server_without_an_error() {
    let (live, _) = Live::with_tenant();
    for signal in ["TERM", "INT"] {
        let mut pipe = stdio(&live, &["--tenant", "acme"]);
        tools(&mut pipe);
        pipe.signal(signal);
        assert_eq!(pipe.end().1, Some(0), "SIG{signal}");
    }
}

#[test]
fn without_a_tenant_nothing_is_served() {
    let (live, _) = Live::with_tenant();
    let ended = live.run(&["stdio"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert_eq!(
        ended.err,
        "error: no tenant was named\n\n\
         hint: run `zz-everything stdio --tenant NAME`, or set MCP__TENANT; see `zz-everything tenant list`\n"
    );
    let mut command = live.command(&["stdio"]);
    command.env("MCP__TENANT", "");
    assert_eq!(finish(command, b"").code, Some(1), "an empty name is none");
}

#[test]
fn the_environment_can_name_the_tenant() {
    let (live, _) = Live::with_tenant();
    let mut command = live.command(&["stdio"]);
    command.env("MCP__TENANT", "acme");
    let mut pipe = Pipe::start(command);
    pipe.call("notion_search", json!({}));
    assert_eq!(live.upstream.seen(), ["Bearer token-of-acme"]);
}

#[test]
fn the_command_line_goes_above_the_environment() {
    let (live, _) = Live::with_tenant();
    live.tenant("other");
    let mut command = live.command(&["stdio", "--tenant", "other"]);
    command.env("MCP__TENANT", "acme");
    let mut pipe = Pipe::start(command);
    pipe.call("notion_search", json!({}));
    assert_eq!(live.upstream.seen(), ["Bearer token-of-other"]);
}

#[test]
fn a_tenant_that_is_not_there_is_refused_with_the_way_out() {
    let (live, _) = Live::with_tenant();
    let ended = live.run(&["stdio", "--tenant", "nobody"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.starts_with("error: failed to serve tenant `nobody`: "), "{}", ended.err);
    assert!(
        ended
            .err
            .ends_with("\n\nhint: see `zz-everything tenant list`, or add it with `zz-everything tenant add nobody`\n"),
        "{}",
        ended.err
    );
    // Its reason is about a tenant: no API key is in play here.
    assert!(!ended.err.contains("API key"), "{}", ended.err);
}

#[test]
fn a_suspended_tenant_is_refused() {
    let (live, _) = Live::with_tenant();
    live.run(&["tenant", "suspend", "acme"]).ok();
    let ended = live.run(&["stdio", "--tenant", "acme"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("error: failed to serve tenant `acme`: the tenant is suspended\n"), "{}", ended.err);
}

#[test]
fn with_one_tenant_the_tools_have_no_tenant_argument() {
    let (live, _) = Live::with_tenant();
    let mut pipe = stdio(&live, &["--tenant", "acme"]);
    for tool in tools(&mut pipe) {
        assert_eq!(tool["inputSchema"]["properties"].get("tenant"), None, "{}", tool["name"]);
    }
    let answer = pipe.call("notion_search", json!({"tenant": "acme"}));
    assert_eq!(answer["result"]["structuredContent"]["error"]["type"], "invalid_arguments");
    assert_eq!(live.upstream.seen(), [""; 0]);
}

#[test]
fn with_several_tenants_every_tool_requires_one_of_exactly_those() {
    let (live, _) = Live::with_tenant();
    live.tenant("beta");
    live.tenant("gamma");
    let mut pipe = stdio(&live, &["--tenants", "acme,beta"]);
    for tool in tools(&mut pipe) {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["properties"]["tenant"]["enum"], json!(["acme", "beta"]), "{}", tool["name"]);
        assert_eq!(schema["properties"]["tenant"]["type"], "string");
        assert!(schema["required"].as_array().unwrap().contains(&json!("tenant")), "{}", tool["name"]);
    }
    for (tenant, expected) in [("acme", "Bearer token-of-acme"), ("beta", "Bearer token-of-beta")] {
        let answer = pipe.call("notion_search", json!({"tenant": tenant, "query": "media"}));
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        assert_eq!(live.upstream.seen(), [expected]);
    }
    // Present on the server, absent from this process: refused like one that does not exist.
    for arguments in [
        json!({"tenant": "gamma"}),
        json!({"tenant": "nobody"}),
        json!({"tenant": "ACME"}),
        json!({"tenant": ["acme"]}),
        json!({"tenant": null}),
        json!({}),
    ] {
        let answer = pipe.call("notion_search", arguments.clone());
        assert_eq!(
            answer["error"],
            json!({"code": -32602, "message": "the argument `tenant` must be one of: acme, beta"}),
            "{arguments}"
        );
    }
    assert_eq!(live.upstream.seen(), [""; 0]);
}

#[test]
fn a_tenant_suspended_under_a_running_server_is_refused_in_the_promised_time() {
    let (live, _) = Live::with_tenant();
    live.tenant("beta");
    let mut pipe = stdio(&live, &["--tenants", "acme,beta"]);
    assert_eq!(pipe.call("notion_search", json!({"tenant": "acme"}))["result"]["isError"], false);
    live.run(&["tenant", "suspend", "acme"]).ok();
    crate::harness::wait_until("acme is refused", std::time::Duration::from_secs(15), || {
        let answer = pipe.call("notion_search", json!({"tenant": "acme"}));
        answer["error"]["message"] == "tenant `acme`: the tenant is suspended"
    });
    assert_eq!(pipe.call("notion_search", json!({"tenant": "beta"}))["result"]["isError"], false, "beta goes on");
}

/// Prompts and resources carry no `tenant` argument, so a process for several tenants must not offer what nobody can
/// use.
#[test]
fn with_several_tenants_what_is_listed_can_be_used() {
    let (live, _) = Live::with_tenant();
    live.tenant("beta");
    let mut pipe = stdio(&live, &["--tenants", "acme,beta"]);
    for prompt in pipe.ask("prompts/list", json!({}))["result"]["prompts"].as_array().unwrap().clone() {
        let arguments = json!({"topic": "budget", "tenant": "acme"});
        let answer = pipe.ask("prompts/get", json!({"name": prompt["name"], "arguments": arguments}));
        assert_eq!(answer.get("error"), None, "{answer}");
    }
    for resource in pipe.ask("resources/list", json!({}))["result"]["resources"].as_array().unwrap().clone() {
        let answer = pipe.ask("resources/read", json!({"uri": resource["uri"]}));
        assert_eq!(answer.get("error"), None, "{answer}");
    }
}

#[test]
fn one_tenant_and_several_exclude_each_other() {
    let (live, _) = Live::with_tenant();
    let ended = live.run(&["stdio", "--tenant", "acme", "--tenants", "acme"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
}
