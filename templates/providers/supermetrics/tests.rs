//! Each tool and each kind of failure against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

use super::sandbox::SupermetricsSandbox;

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("s", super::integration())).await
}

fn sessions(account: &str) -> Value {
    json!({"data_source": "GAWA", "accounts": [account], "fields": ["Date", "Sessions"],
           "start": "2026-10-01", "end": "2026-10-02"})
}

fn columns() -> Value {
    json!([{"id": "date", "name": "Date", "kind": "string.time.date"},
           {"id": "sessions", "name": "Sessions", "kind": "int.number.value"}])
}

#[tokio::test]
async fn accounts_are_those_of_the_data_source() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "s_accounts", json!({"data_source": "GAWA", "limit": 1})).await.unwrap();
    assert_eq!(answer, json!({"accounts": [{"id": "184200417", "name": "Kornblume shop"}], "left_out": 1}));
}

#[tokio::test]
async fn a_query_gives_columns_and_rows() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "s_query", sessions("184200417")).await.unwrap();
    let rows = [["2026-10-01", "12"], ["2026-10-02", "15"]];
    assert_eq!(answer, json!({"pending": false, "query_id": "req-1", "columns": columns(), "rows": rows}));
}

#[tokio::test]
async fn a_query_takes_several_accounts_and_relative_days() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let mut arguments = sessions("184200417");
    arguments["accounts"] = json!(["184200417", "184200418"]);
    (arguments["start"], arguments["end"], arguments["limit"]) = (json!("7daysAgo"), json!("yesterday"), json!(1));
    let answer = kit.call(&tenant, "s_query", arguments).await.unwrap();
    assert_eq!(answer["rows"], json!([["2026-10-01", "12"]]));
}

#[tokio::test]
async fn a_query_comes_in_pages_to_the_end() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (mut days, mut arguments) = (Vec::new(), sessions("184200417"));
    (arguments["end"], arguments["cursor"]) = (json!("2026-10-31"), json!(""));
    while !arguments["cursor"].is_null() {
        let mut page = kit.call(&tenant, "s_query", arguments.clone()).await.unwrap();
        days.extend(page["rows"].as_array_mut().into_iter().flatten().map(|row| row[0].take()));
        arguments["cursor"] = page["next_cursor"].take();
    }
    assert_eq!(days, ["2026-10-01", "2026-10-02", "2026-10-03", "2026-10-04", "2026-10-05"]);
}

#[tokio::test]
async fn a_slow_query_is_asked_for_until_it_is_done() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let mut arguments = sessions("slow");
    arguments["end"] = json!("2026-10-31");
    let mut answer = kit.call(&tenant, "s_query", arguments).await.unwrap();
    let pending = json!({"pending": true, "query_id": "req-1", "columns": columns(), "rows": []});
    assert_eq!(answer, pending);
    let id = json!({"query_id": answer["query_id"].take()});
    assert_eq!(kit.call(&tenant, "s_query_result", id.clone()).await, Ok(pending));
    let mut done = kit.call(&tenant, "s_query_result", id).await.unwrap();
    assert_eq!((&done["pending"], done["rows"].as_array().map(Vec::len)), (&json!(false), Some(3)));
    let rest = json!({"query_id": "req-1", "cursor": done["next_cursor"].take()});
    let rest = kit.call(&tenant, "s_query_result", rest).await.unwrap();
    assert_eq!(rest["rows"], json!([["2026-10-04", "21"], ["2026-10-05", "14"]]));
}

#[tokio::test]
async fn a_query_that_nobody_asked_is_not_found() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "s_query_result", json!({"query_id": "req-9"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn each_refusal_has_its_kind() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let kinds = [
        ("unknown", ErrorKind::Upstream),
        ("forbidden", ErrorKind::Forbidden),
        ("throttled", ErrorKind::UpstreamRateLimited),
        ("broken", ErrorKind::Upstream),
        ("expired", ErrorKind::ReconnectRequired),
    ];
    for (account, kind) in kinds {
        let error = kit.call(&tenant, "s_query", sessions(account)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    // A dead key stays dead until somebody puts another one in its place.
    let error = kit.call(&tenant, "s_query", sessions("184200417")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
}

#[tokio::test]
async fn a_throttle_says_how_long_to_wait() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "s_query", sessions("throttled")).await.unwrap_err();
    assert_eq!(error.to_value()["error"]["retry_after_ms"], 5_000);
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused_before_any_request() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for cursor in ["next", "1-2-3", "-1", "https://api.supermetrics.com/"] {
        let error =
            kit.call(&tenant, "s_query_result", json!({"query_id": "req-1", "cursor": cursor})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArguments, "{cursor}");
    }
}

#[tokio::test]
async fn a_key_that_fits_into_no_header_is_refused_without_being_shown() {
    let kit = test_kit().await;
    kit.tenant("acme").await;
    for key in ["api_line\nbreak", "api_space here", "api_tab\there", "api_smart’quote", "", " "] {
        let new = NewConnection::new("acme", "s", Secret::from(key));
        let error = kit.kit.operator.connection_set(new).await.unwrap_err();
        assert!(!error.to_string().contains("api_"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_key_asks_for_another() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.connection_set(NewConnection::new("acme", "s", Secret::from("api_other"))).await.unwrap();
    let error = kit.call(&tenant, "s_accounts", json!({"data_source": "GAWA"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    assert!(error.to_string().contains("test-server connection set s --tenant acme"));
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_the_way_out() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    let error = kit.call(&tenant, "s_accounts", json!({"data_source": "GAWA"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains("test-server connection set s --tenant acme"));
}

#[test]
fn a_query_is_read_strictly() {
    let sandbox = SupermetricsSandbox::default();
    let key = sandbox.seed().secret;
    let good = "ds_id=GAWA&ds_accounts=184200417&start_date=2026-10-01&end_date=2026-10-31&fields=Date";
    let status = |query: &str| {
        let request = HttpRequest {
            integration: "s".into(),
            method: Method::Get,
            url: format!("https://api.supermetrics.com/query/data/json?{query}").parse().unwrap(),
            headers: vec![("authorization".into(), format!("Bearer {}", key.expose_str().unwrap()))],
            body: Vec::new(),
            timeout: Duration::from_secs(1),
            max_response_bytes: 1 << 20,
        };
        sandbox.handle(&request).status
    };
    assert_eq!(status(good), 200);
    for bad in ["&api_key=x", "&max_rows=0", "&offset_start=a", "&schedule_id=a&schedule_id=b"] {
        assert_eq!(status(&format!("{good}{bad}")), 400, "{bad}");
    }
    assert_eq!(status(&good.replace("2026-10-01", "october")), 400);
    for (from, to) in [("GAWA", "NONE"), ("184200417", "1"), ("fields=Date", "fields=Date,Sessions")] {
        assert_eq!(status(&good.replace(from, to)), 422, "{to}");
    }
}
