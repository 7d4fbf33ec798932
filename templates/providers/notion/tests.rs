//! Each tool against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::pipeline::Caller;
use kit::prelude::*;
use kit_native::testing::TestKit;

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("n", super::integration())).await
}

#[tokio::test]
async fn search_finds_by_title() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "n_search", json!({"query": "media plan"})).await.unwrap();
    let hit = json!({
        "id": "5f2c0001-0000-4000-8000-000000000000",
        "kind": "page",
        "title": "Media plan 2027",
        "url": "https://www.notion.so/5f2c0001-0000-4000-8000-000000000000",
        "last_edited": "2026-11-20T09:30:00.000Z",
    });
    assert_eq!(answer, json!({"results": [hit]}));
}

#[tokio::test]
async fn search_goes_on_at_the_cursor() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let first = kit.call(&tenant, "n_search", json!({"limit": 2})).await.unwrap();
    let rest = kit.call(&tenant, "n_search", json!({"limit": 2, "cursor": first["next_cursor"]})).await.unwrap();
    assert_eq!(rest["results"][0]["title"], "Campaigns");
    assert_eq!(rest.get("next_cursor"), None);
}

#[tokio::test]
async fn search_keeps_to_one_kind() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "n_search", json!({"kind": "data_source"})).await.unwrap();
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_page_comes_with_title_and_text() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let id = json!({"id": "5f2c0001-0000-4000-8000-000000000000"});
    let page = kit.call(&tenant, "n_page", id.clone()).await.unwrap();
    assert_eq!(page["title"], "Media plan 2027");
    let part = kit.call(&tenant, "n_page_text", id).await.unwrap();
    assert!(part["text"].as_str().unwrap().starts_with("Goals\nGrow returning customers"));
}

#[tokio::test]
async fn a_page_that_is_not_shared_is_not_found() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "n_page", json!({"id": "missing"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_limit_out_of_bounds_is_refused_before_any_request() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "n_search", json!({"limit": 101})).await.unwrap_err();
    assert_eq!(error.to_string(), "INVALID_ARGUMENTS: `arguments.limit` must have a value of at most 100");
}

#[tokio::test]
async fn the_prompt_names_the_tools_of_this_instance() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let arguments = json!({"topic": "budget"});
    let messages = kit.kit.pipeline.prompt(&tenant, "n_summarize", arguments, Caller::patient()).await.unwrap();
    assert!(messages[0].text.contains("about \"budget\" with the tool n_search"));
}

#[tokio::test]
async fn the_resource_tells_the_workspace() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (media_type, text) = kit.kit.pipeline.resource(&tenant, "n://workspace", Caller::patient()).await.unwrap();
    assert_eq!(
        (media_type, text.as_str()),
        ("application/json", r#"{"name":"Reporting","workspace":"Sandbox workspace"}"#)
    );
}

#[tokio::test]
async fn each_no_of_notion_has_its_kind() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for (id, kind) in [
        ("restricted", ErrorKind::Forbidden),
        ("conflict", ErrorKind::Upstream),
        ("throttled", ErrorKind::UpstreamRateLimited),
    ] {
        let error = kit.call(&tenant, "n_page", json!({"id": id})).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{id}");
    }
    let error = kit.call(&tenant, "n_page", json!({"id": "throttled"})).await.unwrap_err();
    assert_eq!(error.to_value()["error"]["retry_after_ms"], 2_000);
}

/// Stores the app that consents and refreshes need.
async fn app(kit: &TestKit) {
    kit.kit.operator.app_set("n", None, CLIENT_ID, Secret::from(CLIENT_SECRET)).await.unwrap();
}

/// Connects the tenant `acme` with `secret`.
async fn connect(kit: &TestKit, secret: &str) {
    let new = NewConnection::new("acme", "n", Secret::from(secret));
    kit.kit.operator.connection_set(new).await.unwrap();
}

#[tokio::test]
async fn an_internal_token_does_not_end() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..2 {
        assert!(kit.call(&tenant, "n_search", json!({})).await.is_ok());
        kit.clock.advance_ms(365 * 86_400_000);
    }
}

#[tokio::test]
async fn an_internal_token_that_was_taken_back_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    connect(&kit, "ntn_taken_back").await;
    for _ in 0..2 {
        let error = kit.call(&tenant, "n_search", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    }
}

#[tokio::test]
async fn a_consent_connects_a_workspace_and_its_token_is_used_until_it_is_refused() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    app(&kit).await;
    kit.consent(&tenant, "n", None, "allow").await.unwrap();
    for _ in 0..2 {
        assert!(kit.call(&tenant, "n_search", json!({})).await.is_ok());
        kit.clock.advance_ms(365 * 86_400_000);
    }
    let error = kit.consent(&tenant, "n", None, "deny").await.unwrap_err();
    assert_eq!(error.to_string(), "the consent was not given");
}

#[tokio::test]
async fn a_token_of_a_consent_that_notion_refuses_is_renewed() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    app(&kit).await;
    connect(&kit, &json!({"access_token": "ended", "refresh_token": FIRST_REFRESH_TOKEN}).to_string()).await;
    for _ in 0..2 {
        assert!(kit.call(&tenant, "n_search", json!({})).await.is_ok());
    }
}

#[tokio::test]
async fn a_dead_refresh_token_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    app(&kit).await;
    connect(&kit, &json!({"access_token": "ended", "refresh_token": "revoked"}).to_string()).await;
    for _ in 0..2 {
        let error = kit.call(&tenant, "n_search", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    }
}

#[tokio::test]
async fn a_refresh_without_the_owners_app_tells_the_operator_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    connect(&kit, &json!({"refresh_token": FIRST_REFRESH_TOKEN}).to_string()).await;
    let error = kit.call(&tenant, "n_search", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("test-server app set n --client-id ID"));
}
