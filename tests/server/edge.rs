//! Bad input at the HTTP edge of a generated server: each kind gets the answer that the protocol has for it, nothing
//! hangs (the client gives up after five seconds and fails the test), and the server goes on.

use serde_json::{Value, json};

use crate::harness::Dev;
use crate::wire::{Connection, LEGACY, MODERN, Request, Response, call, legacy, modern};

/// A server whose limits a test can reach.
fn start() -> Dev {
    Dev::with(&[("MCP__SERVER__MAX_BODY_BYTES", "4096"), ("MCP__CALLS__PER_MINUTE", "0")])
}

#[track_caller]
fn goes_on(dev: &Dev) {
    let response = dev.ask(call("notion_search", json!({"query": "media"})));
    assert_eq!((response.status, &response.json()["result"]["isError"]), (200, &json!(false)), "{}", response.text());
}

fn list() -> Request {
    modern("tools/list", json!({}))
}

/// Status and code of a JSON-RPC error.
fn refusal(response: &Response) -> (u16, i64) {
    (response.status, response.json()["error"]["code"].as_i64().unwrap_or_default())
}

// Who is calling.

#[test]
fn without_a_key_there_is_only_a_challenge() {
    let dev = start();
    for request in [list(), legacy("tools/list", json!({})), Request::post("{"), Request::new("GET", "/mcp")] {
        let response = dev.ask_bare(&request);
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")), "{request:?}");
        assert_eq!(response.text(), "");
    }
}

#[test]
fn what_is_not_a_key_of_this_server_is_turned_away() {
    let dev = start();
    let good = dev.key.clone();
    let mut last = good.clone();
    let replaced = if last.ends_with('0') { "1" } else { "0" };
    last.replace_range(good.len() - 1.., replaced);
    let long = "x".repeat(4_000);
    let wrong = [
        "x",
        "mk_dev_000000000000_00000000000000000000000000000000_000000",
        &last,
        &good[1..],
        &good.to_uppercase(),
        &good.replace("_dev_", "_live_"),
        &format!("{good}{good}"),
        &long,
    ];
    for key in wrong {
        let response = dev.ask_bare(&list().key(key));
        let challenge = response.header("www-authenticate");
        assert_eq!((response.status, challenge), (401, Some("Bearer error=\"invalid_token\"")), "{key}");
        assert_eq!(response.text(), "");
    }
    goes_on(&dev);
}

#[test]
fn a_key_counts_in_its_header_and_nowhere_else() {
    let dev = start();
    let key = &dev.key;
    let mut in_query = list();
    in_query.target = format!("/mcp?key={key}&api_key={key}&access_token={key}&authorization=Bearer%20{key}");
    let elsewhere = [
        in_query,
        list().header("X-Api-Key", key),
        list().header("Cookie", &format!("key={key}; authorization=Bearer {key}")),
        list().header("Authorization", key),
        list().header("Authorization", &format!("Basic {key}")),
        list().header("Authorization", &format!("Token {key}")),
        list().header("Proxy-Authorization", &format!("Bearer {key}")),
    ];
    for request in elsewhere {
        let response = dev.ask_bare(&request);
        assert_eq!((response.status, response.header("www-authenticate")), (401, Some("Bearer")), "{request:?}");
    }
    let lower = dev.ask_bare(&list().header("authorization", &format!("bearer {key}")));
    assert_eq!(lower.status, 200, "the name of the scheme has no case");
}

// From where.

#[test]
fn a_foreign_host_is_refused_with_a_good_key() {
    let dev = start();
    let port = dev.listening.address.port();
    for host in [
        "evil.test",
        "evil.test:80",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "169.254.169.254",
        "0.0.0.0",
        "localhost@evil.test",
    ] {
        let response = dev.ask(list().header("Host", host));
        assert!(matches!(response.status, 400 | 403), "{host}: {}", response.status);
        assert_eq!(response.json(), Value::Null, "{host}");
    }
    assert_eq!(dev.ask(list().header("Host", "evil.test")).status, 403);
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}"), "LOCALHOST".into()]
    {
        assert_eq!(dev.ask(list().header("Host", &host)).status, 200, "{host}");
    }
}

#[test]
fn a_foreign_origin_is_refused_with_a_good_key() {
    let dev = start();
    let port = dev.listening.address.port();
    for origin in [
        "https://evil.test",
        "http://localhost.evil.test",
        "https://localhost",
        "http://127.0.0.1.evil.test",
        "null",
        "file://",
        "not an origin",
        "",
    ] {
        let response = dev.ask(list().header("Origin", origin));
        assert_eq!(response.status, 403, "{origin}: {}", response.text());
    }
    for origin in [format!("http://localhost:{port}"), "http://127.0.0.1:6274".into()] {
        assert_eq!(dev.ask(list().header("Origin", &origin)).status, 200, "{origin}");
    }
}

// What is not a request of the protocol.

#[test]
fn a_body_that_is_not_one_message_is_refused_without_repeating_it() {
    let dev = start();
    let canary = "canary-93b1";
    let bodies: [Vec<u8>; 14] = [
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"1".to_vec(),
        format!("\"{canary}\"").into_bytes(),
        format!("{{\"{canary}\": ").into_bytes(),
        format!("{{\"jsonrpc\": \"1.0\", \"id\": 1, \"method\": \"{canary}\"}}").into_bytes(),
        format!("{{\"id\": 1, \"method\": \"{canary}\"}}").into_bytes(),
        format!("{{\"jsonrpc\": \"2.0\", \"id\": {{}}, \"method\": \"{canary}\"}}").into_bytes(),
        format!("[{}]", json!({"jsonrpc": "2.0", "id": 1, "method": canary})).into_bytes(),
        b"[]".to_vec(),
        b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"\xff\xfe\"}".to_vec(),
        b"\0\0\0\0".to_vec(),
        "[".repeat(4_000).into_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        for request in [Request::post(body.clone()).header("MCP-Protocol-Version", MODERN), Request::post(body.clone())]
        {
            let response = dev.ask(request);
            assert!((400..500).contains(&response.status), "{shown}: {} {}", response.status, response.text());
            assert!(!response.text().contains(canary), "{shown}: {}", response.text());
        }
    }
    for body in ["{", "[]"] {
        assert_eq!(dev.ask(Request::post(body)).status, 415, "{body}");
    }
    goes_on(&dev);
}

#[test]
fn an_answer_from_a_client_is_refused() {
    let dev = start();
    let response = dev.ask(Request::post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
    assert_eq!(refusal(&response), (400, -32600));
}

#[test]
fn a_notification_is_accepted_without_an_answer() {
    let dev = start();
    for method in ["notifications/initialized", "notifications/cancelled"] {
        let params = json!({"requestId": 1, "reason": "x"});
        let response =
            dev.ask(Request::post(json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()));
        assert_eq!((response.status, response.text().as_str()), (202, ""), "{method}");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
    let dev = start();
    let padding = |size: usize| {
        let mut request = call("notion_search", json!({"query": ""}));
        let missing = size - request.body.len();
        request.body = String::from_utf8(request.body)
            .unwrap()
            .replace(r#""query":"""#, &format!(r#""query":"{}""#, "x".repeat(missing)))
            .into_bytes();
        assert_eq!(request.body.len(), size);
        request
    };
    assert_eq!(dev.ask(padding(4_096)).status, 200, "at the limit");
    assert_eq!(dev.ask(padding(4_097)).status, 413);

    let chunked = |body: &[u8]| {
        let mut request = padding(4_096).header("Transfer-Encoding", "chunked");
        request.body = body
            .chunks(512)
            .flat_map(|part| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat())
            .collect();
        request.body.extend_from_slice(b"0\r\n\r\n");
        request
    };
    assert_eq!(dev.ask(chunked(&padding(4_096).body)).status, 200, "at the limit, in chunks");
    assert_eq!(dev.ask(chunked(&padding(4_097).body)).status, 413, "in chunks");
    goes_on(&dev);
}

/// The limit is one of memory: the answer comes before the body has been sent.
#[test]
fn a_body_without_end_is_cut_off_at_the_limit() {
    let dev = start();
    let mut connection = Connection::open(dev.listening.address).unwrap();
    let mut endless = Request::post("").key(&dev.key).header("Transfer-Encoding", "chunked");
    endless.body = format!("{:x}\r\n{}\r\n", 6_000, "x".repeat(6_000)).into_bytes();
    assert_eq!(connection.exchange(&endless).unwrap().status, 413);
    goes_on(&dev);
}

#[test]
fn half_a_request_keeps_nobody_else_waiting() {
    let dev = start();
    let mut halves: Vec<Connection> = (0..64).map(|_| Connection::open(dev.listening.address).unwrap()).collect();
    for (n, half) in halves.iter_mut().enumerate() {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: 100\r\n\r\n{{",
            dev.key
        );
        half.write(&head.as_bytes()[..head.len() - n]).unwrap();
    }
    goes_on(&dev);
}

#[test]
fn only_post_is_a_method_of_the_endpoint() {
    let dev = start();
    for method in ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "BREW"] {
        let response = dev.ask(Request { method: method.into(), ..list() });
        assert_eq!((response.status, response.header("allow")), (405, Some("POST")), "{method}");
    }
}

#[test]
fn a_client_accepts_both_forms_of_an_answer_or_gets_none() {
    let dev = start();
    for accept in
        ["application/json", "text/event-stream", "*/*", "text/html", "", "application/json;q=0, text/event-stream"]
    {
        assert_eq!(dev.ask(list().header("Accept", accept)).status, 406, "{accept}");
    }
    assert_eq!(dev.ask(list().without("Accept")).status, 406);
    let both = "text/event-stream;q=0.5, application/json; charset=utf-8";
    assert_eq!(dev.ask(list().header("Accept", both)).status, 200);
}

#[test]
fn a_body_of_another_type_is_refused() {
    let dev = start();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        assert_eq!(dev.ask(list().header("Content-Type", content_type)).status, 415, "{content_type}");
    }
    assert_eq!(dev.ask(list().header("Content-Type", "application/json; charset=utf-8")).status, 200);
}

// Headers against the body.

#[test]
fn headers_that_contradict_the_body_or_are_missing_are_refused() {
    let dev = start();
    let tool = || call("notion_search", json!({"query": "media"}));
    let requests = [
        tool().header("Mcp-Method", "tools/list"),
        tool().header("Mcp-Method", "TOOLS/CALL"),
        tool().without("Mcp-Method"),
        tool().header("Mcp-Name", "notion_page"),
        tool().header("Mcp-Name", ""),
        tool().without("Mcp-Name"),
        tool().header("MCP-Protocol-Version", LEGACY),
        tool().without("MCP-Protocol-Version"),
        modern("prompts/get", json!({"name": "notion_summarize", "arguments": {"topic": "x"}})).without("Mcp-Name"),
        modern("resources/read", json!({"uri": "notion://workspace"})).header("Mcp-Name", "notion://other"),
    ];
    for request in requests {
        let response = dev.ask(request.clone());
        assert_eq!(refusal(&response), (400, -32020), "{:?} {}", request.headers, response.text());
        assert_eq!(response.json()["id"], 1, "the answer says which request it is for");
    }
    let encoded = tool().header("Mcp-Name", "=?base64?bm90aW9uX3NlYXJjaA==?=");
    assert_eq!(dev.ask(encoded).status, 200, "the same name in base64");
}

#[test]
fn metadata_that_is_missing_is_refused() {
    let dev = start();
    let without = |name: &str| {
        let request = list();
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        match name {
            "_meta" => body["params"].as_object_mut().unwrap().remove("_meta"),
            name => body["params"]["_meta"].as_object_mut().unwrap().remove(name),
        };
        Request { body: body.to_string().into_bytes(), ..request }
    };
    for name in ["_meta", "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"] {
        let response = dev.ask(without(name));
        assert_eq!(refusal(&response), (400, -32602), "{name}: {}", response.text());
    }
}

#[test]
fn a_version_that_nobody_knows_is_refused_with_those_that_are() {
    let dev = start();
    let request = list().header("MCP-Protocol-Version", "1900-01-01");
    let body = String::from_utf8(request.body.clone()).unwrap().replace(MODERN, "1900-01-01");
    let response = dev.ask(Request { body: body.into_bytes(), ..request });
    assert_eq!(refusal(&response), (400, -32022));
    let data = response.json()["error"]["data"].clone();
    assert_eq!(data["requested"], "1900-01-01");
    assert_eq!(
        data["supported"],
        json!(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]),
        "{data}"
    );
    assert_eq!(dev.ask(legacy("tools/list", json!({})).header("MCP-Protocol-Version", "1900-01-01")).status, 400);
}

// Methods and tools that are not there.

#[test]
fn an_unknown_method_is_not_found() {
    let dev = start();
    for method in ["no/such/method", "tools", "initialize2", "ping", "logging/setLevel", "subscriptions/listen"] {
        let response = dev.ask(modern(method, json!({})));
        assert_eq!(refusal(&response), (404, -32601), "{method}: {}", response.text());
    }
    let response = dev.ask(legacy("no/such/method", json!({})));
    assert_eq!(refusal(&response), (200, -32601), "before 2026-07-28 the status stays 200");
}

#[test]
fn an_unknown_tool_is_an_error_of_the_protocol() {
    let dev = start();
    for tool in ["no_such_tool", "search", "notion_search ", "NOTION_SEARCH", "notion_", "../notion_search"] {
        let response = dev.ask(call(tool, json!({})).header("Mcp-Name", tool.trim()));
        let expected = if tool.ends_with(' ') { (400, -32020) } else { (200, -32602) };
        assert_eq!(refusal(&response), expected, "{tool:?}: {}", response.text());
    }
    let error = dev.ask(call("no_such_tool", json!({}))).json()["error"].clone();
    assert_eq!(error, json!({"code": -32602, "message": "tool not found"}));
    assert_eq!(refusal(&dev.ask(legacy("tools/call", json!({"name": "no_such_tool"})))), (200, -32602));
}

#[test]
fn arguments_that_do_not_fit_are_told_to_the_model() {
    let dev = start();
    let wrong = [
        (
            "notion_search",
            json!({"limit": "ten"}),
            "INVALID_ARGUMENTS: invalid arguments: invalid type: string \"ten\", expected u32",
        ),
        ("notion_search", json!({"limit": 0}), "INVALID_ARGUMENTS: `arguments.limit` must have a value of at least 1"),
        (
            "notion_search",
            json!({"limit": 101}),
            "INVALID_ARGUMENTS: `arguments.limit` must have a value of at most 100",
        ),
        (
            "notion_search",
            json!({"tenant": "demo"}),
            "INVALID_ARGUMENTS: invalid arguments: unknown field `tenant`, expected one of `query`, `kind`, `limit`, `cursor`",
        ),
        ("notion_page", json!({}), "INVALID_ARGUMENTS: invalid arguments: missing field `id`"),
        ("notion_page", json!({"id": ".."}), "INVALID_ARGUMENTS: an id holds a path of its own or a control character"),
    ];
    for (tool, arguments, text) in wrong {
        for request in
            [call(tool, arguments.clone()), legacy("tools/call", json!({"name": tool, "arguments": arguments}))]
        {
            let response = dev.ask(request);
            let result = response.json()["result"].clone();
            assert_eq!((response.status, &result["isError"]), (200, &json!(true)), "{arguments}");
            assert_eq!(result["content"][0]["text"], text, "{arguments}");
            assert_eq!(result["structuredContent"]["error"]["type"], "invalid_arguments", "{arguments}");
        }
    }
}

#[test]
fn arguments_that_are_no_object_are_refused() {
    let dev = start();
    for arguments in [json!([]), json!("x"), json!(1), json!(true)] {
        let response = dev.ask(call("notion_search", arguments.clone()));
        assert!(
            (400..500).contains(&response.status) || response.json()["error"]["code"] == -32602,
            "{arguments}: {} {}",
            response.status,
            response.text()
        );
    }
    assert_eq!(dev.ask(call("notion_search", Value::Null)).status, 200, "none at all is the same as an empty object");
}

#[test]
fn an_id_comes_back_as_it_was_sent() {
    let dev = start();
    for id in [json!(0), json!(-1), json!(9_007_199_254_740_991_i64), json!("a"), json!(""), json!("漢\u{0000}")] {
        let request = list();
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["id"] = id.clone();
        let response = dev.ask(Request { body: body.to_string().into_bytes(), ..request });
        assert_eq!((response.status, &response.json()["id"]), (200, &id), "{id}");
    }
}

// Connections and sessions.

#[test]
fn sessions_and_stream_positions_of_old_clients_are_ignored_and_never_given_out() {
    let dev = start();
    for request in [list(), legacy("tools/list", json!({})), legacy("initialize", initialize("2025-11-25"))] {
        let response = dev.ask(request.header("Mcp-Session-Id", "1234").header("Last-Event-ID", "7"));
        assert_eq!((response.status, response.header("mcp-session-id")), (200, None), "{}", response.text());
    }
}

#[test]
fn many_requests_share_one_connection_and_requests_sent_ahead_wait_for_their_turn() {
    let dev = start();
    let mut connection = Connection::open(dev.listening.address).unwrap();
    for _ in 0..5 {
        assert_eq!(connection.exchange(&list().key(&dev.key)).unwrap().status, 200);
    }
    for method in ["tools/list", "prompts/list", "no/such/method"] {
        connection.send(&modern(method, json!({})).key(&dev.key)).unwrap();
    }
    let answers = [0, 1, 2].map(|_| connection.receive().unwrap());
    assert!(answers[0].json()["result"]["tools"].is_array() && answers[1].json()["result"]["prompts"].is_array());
    assert_eq!(answers[2].status, 404);
}

#[test]
fn bytes_that_are_not_http_are_answered_and_cut_off() {
    let dev = start();
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"HELLO\r\n\r\n", b"POST /mcp HTTP/9.9\r\n\r\n"]
    {
        let mut connection = Connection::open(dev.listening.address).unwrap();
        connection.write(bytes).unwrap();
        if let Ok(response) = connection.receive() {
            assert!((400..600).contains(&response.status), "{}", response.status);
        }
        assert!(connection.ends(), "{bytes:?}");
    }
    goes_on(&dev);
}

#[test]
fn a_head_without_end_is_refused() {
    let dev = start();
    let mut connection = Connection::open(dev.listening.address).unwrap();
    connection.write(b"POST /mcp HTTP/1.1\r\n").unwrap();
    let header = format!("X-Filler: {}\r\n", "x".repeat(8_000));
    // It may close while this is still writing.
    let refused = (0..200).any(|_| connection.write(header.as_bytes()).is_err());
    let status = connection.receive().map(|response| response.status);
    assert!(refused || status.as_ref().is_ok_and(|status| *status == 431), "{status:?}");
    goes_on(&dev);
}

// Other paths.

#[test]
fn health_is_open_and_says_nothing_else() {
    let dev = start();
    for (path, text) in [("/health/live", "live\n"), ("/health/ready", "ready\n")] {
        let response = dev.ask_bare(&Request::new("GET", path));
        assert_eq!((response.status, response.text().as_str()), (200, text));
    }
}

/// Clients look for the description of an authorization server after a 401; there is none, and 404 is how to say so.
#[test]
fn a_path_that_is_not_there_is_not_found() {
    let dev = start();
    for path in ["/", "/nothing", "/mcp/", "/mcp/x", "/.well-known/oauth-protected-resource", "/health"] {
        assert_eq!(dev.ask_bare(&Request::new("GET", path)).status, 404, "{path}");
    }
}

// The handshake of the older era.

fn initialize(version: &str) -> Value {
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}})
}

#[test]
fn every_older_revision_is_spoken_as_it_was_asked_for() {
    let dev = start();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let request = legacy("initialize", initialize(version)).header("MCP-Protocol-Version", version);
        let result = dev.ask(request).json()["result"].clone();
        assert_eq!(
            (&result["protocolVersion"], &result["serverInfo"]["name"]),
            (&json!(version), &json!("zz-everything"))
        );
        let tools = dev.ask(legacy("tools/list", json!({})).header("MCP-Protocol-Version", version)).json();
        assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 5, "{version}");
        assert_eq!(tools["result"].get("resultType"), None, "{version}");
    }
}

#[test]
fn a_handshake_never_leads_to_the_revision_without_one() {
    let dev = start();
    let request = legacy("initialize", initialize(MODERN)).without("MCP-Protocol-Version");
    assert_eq!(dev.ask(request).json()["result"]["protocolVersion"], "2025-11-25");
}

#[test]
fn a_request_without_a_version_is_one_of_the_first_revision() {
    let dev = start();
    let response = dev.ask(legacy("tools/list", json!({})).without("MCP-Protocol-Version"));
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["result"].get("resultType"), None);
}

#[test]
fn the_server_describes_itself_without_a_handshake() {
    let dev = start();
    let result = dev.ask(modern("server/discover", json!({}))).json()["result"].clone();
    assert_eq!(
        result["supportedVersions"],
        json!(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
    );
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "zz-everything");
    assert!(result["ttlMs"].is_u64() && result["capabilities"]["tools"].is_object());
}
