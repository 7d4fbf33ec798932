//! Each tool against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::{ErrorKind, ToolError};
use kit::inbound::TenantCtx;
use kit::operator::{NewConnection, SecretForm};
use kit::prelude::*;
use kit_native::testing::TestKit;

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> (TestKit, TenantCtx) {
    let kit = TestKit::new(&App::new("test-server", "0.0.0").integration("s", super::integration())).await;
    let tenant = kit.tenant("acme").await;
    (kit, tenant)
}

/// Connects the tenant `acme` with `secret`.
async fn connect(kit: &TestKit, secret: &str) {
    let new = NewConnection::new("acme", "s", Secret::from(secret));
    kit.kit.operator.connection_set(new).await.unwrap();
}

async fn post(kit: &TestKit, tenant: &TenantCtx, channel: &str) -> Result<Value, ToolError> {
    kit.call(tenant, "s_post_message", json!({"channel": channel, "text": "The lamps are lit."})).await
}

#[tokio::test]
async fn channels_come_with_topics_and_members_and_without_the_archived() {
    let (kit, tenant) = test_kit().await;
    let answer = kit.call(&tenant, "s_channels", json!({})).await.unwrap();
    let channel = |id: &str, name: &str, joined: bool, topic: &str, members: u64| json!({"id": id, "name": name, "private": false, "joined": joined, "topic": topic, "members": members});
    let channels = [
        channel("C0LANTERN01", "general", true, "News for everybody", 9),
        channel("C0LANTERN02", "orders", true, "What came in, what went out", 4),
        channel("C0LANTERN04", "kitchen", false, "Who has the good kettle", 7),
    ];
    assert_eq!(answer, json!({"channels": channels}));
}

#[tokio::test]
async fn channels_go_on_at_the_cursor_until_there_are_no_more() {
    let (kit, tenant) = test_kit().await;
    let (mut pages, mut arguments) = (Vec::new(), json!({"limit": 2, "include_private": true}));
    loop {
        let page = kit.call(&tenant, "s_channels", arguments.clone()).await.unwrap();
        let names = page["channels"].as_array().unwrap().iter().map(|channel| channel["name"].clone());
        pages.push(Value::Array(names.collect()));
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => break,
        }
    }
    // The archived one leaves a gap.
    assert_eq!(pages, [json!(["general", "orders"]), json!(["kitchen"]), json!(["agency"])]);
}

#[tokio::test]
async fn a_message_is_posted_and_can_be_answered_in_its_thread() {
    let (kit, tenant) = test_kit().await;
    let posted = post(&kit, &tenant, "C0LANTERN02").await.unwrap();
    assert_eq!(posted, json!({"channel": "C0LANTERN02", "timestamp": "1763894400.000100"}));
    let answer = json!({"channel": "C0LANTERN02", "text": "Thanks.", "thread": posted["timestamp"]});
    assert!(kit.call(&tenant, "s_post_message", answer).await.is_ok());
}

#[tokio::test]
async fn a_message_without_text_is_refused_before_any_request() {
    let (kit, tenant) = test_kit().await;
    let error = kit.call(&tenant, "s_post_message", json!({"channel": "C0LANTERN02", "text": ""})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArguments);
}

#[tokio::test]
async fn each_no_inside_a_200_has_its_kind() {
    let (kit, tenant) = test_kit().await;
    for (channel, kind) in [
        ("missing_scope", ErrorKind::Forbidden),
        ("C0LANTERN03", ErrorKind::Forbidden),
        ("C0LANTERN04", ErrorKind::Forbidden),
        ("C0LANTERN06", ErrorKind::NotFound),
        ("C0NOWHERE", ErrorKind::NotFound),
        ("internal_error", ErrorKind::Upstream),
        ("fatal_error", ErrorKind::Upstream),
        ("service_unavailable", ErrorKind::Upstream),
    ] {
        assert_eq!(post(&kit, &tenant, channel).await.unwrap_err().kind(), kind, "{channel}");
    }
    let error = kit.call(&tenant, "s_channels", json!({"cursor": "made-up"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    // None of it was held against the connection.
    assert!(post(&kit, &tenant, "C0LANTERN01").await.is_ok());
}

#[tokio::test]
async fn a_limit_says_how_long_to_wait() {
    let (kit, tenant) = test_kit().await;
    let error = kit.call(&tenant, "s_channels", json!({"cursor": "ratelimited"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UpstreamRateLimited);
    assert_eq!(error.to_value()["error"]["retry_after_ms"], 30_000);
}

#[tokio::test]
async fn a_token_that_does_not_rotate_is_pasted_as_it_is_and_needs_no_app() {
    let (kit, tenant) = test_kit().await;
    assert_eq!(kit.kit.operator.secret_form("s").unwrap(), SecretForm::AccessToken);
    kit.kit.operator.app_remove("s", None).await.unwrap();
    connect(&kit, FIRST_ACCESS_TOKEN).await;
    for _ in 0..2 {
        assert!(kit.call(&tenant, "s_channels", json!({})).await.is_ok());
        kit.clock.advance_ms(365 * 86_400_000);
    }
}

#[tokio::test]
async fn a_dead_token_asks_for_a_person() {
    let (kit, tenant) = test_kit().await;
    for token in ["unknown", "account_inactive", "token_revoked", "user_removed_from_team", "token_expired"] {
        connect(&kit, token).await;
        for _ in 0..2 {
            let error = kit.call(&tenant, "s_channels", json!({})).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReconnectRequired, "{token}");
        }
    }
}

#[tokio::test]
async fn a_token_that_rotates_is_renewed_on_the_way() {
    let (kit, tenant) = test_kit().await;
    for _ in 0..3 {
        assert!(kit.call(&tenant, "s_channels", json!({})).await.is_ok());
        kit.clock.advance_ms(13 * 3_600_000);
    }
}

#[tokio::test]
async fn a_token_that_slack_calls_expired_is_renewed() {
    let (kit, tenant) = test_kit().await;
    let secret = json!({"access_token": "token_expired", "refresh_token": FIRST_REFRESH_TOKEN});
    connect(&kit, &secret.to_string()).await;
    assert!(post(&kit, &tenant, "C0LANTERN01").await.is_ok());
}

#[tokio::test]
async fn a_dead_refresh_token_inside_a_200_asks_for_a_person() {
    let (kit, tenant) = test_kit().await;
    connect(&kit, &json!({"refresh_token": "revoked"}).to_string()).await;
    for _ in 0..2 {
        let error = kit.call(&tenant, "s_channels", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    }
}

#[tokio::test]
async fn without_the_owners_app_or_with_a_wrong_one_the_operator_is_told_the_command() {
    for wrong in [false, true] {
        let (kit, tenant) = test_kit().await;
        kit.kit.operator.app_remove("s", None).await.unwrap();
        if wrong {
            kit.kit.operator.app_set("s", None, CLIENT_ID, Secret::from("wrong")).await.unwrap();
        }
        let error = kit.call(&tenant, "s_channels", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains("test-server app set s --client-id ID"));
    }
}

#[tokio::test]
async fn a_consent_connects_a_workspace() {
    let (kit, _) = test_kit().await;
    let other = kit.bare_tenant("other").await;
    kit.consent(&other, "s", None, "allow").await.unwrap();
    for _ in 0..2 {
        assert!(kit.call(&other, "s_channels", json!({})).await.is_ok());
        kit.clock.advance_ms(13 * 3_600_000);
    }
    let error = kit.consent(&other, "s", None, "deny").await.unwrap_err();
    assert_eq!(error.to_string(), "the consent was not given");
}

#[test]
fn arguments_are_also_read_from_a_form_as_slacks_own_packages_send_it() {
    let form = ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned());
    let request = HttpRequest {
        integration: "s".into(),
        method: Method::Post,
        url: "https://slack.com/api/conversations.list".parse().unwrap(),
        headers: vec![("authorization".into(), format!("Bearer {FIRST_ACCESS_TOKEN}")), form],
        body: b"types=public_channel%2Cprivate_channel&exclude_archived=1&limit=3".to_vec(),
        timeout: Duration::from_secs(1),
        max_response_bytes: 1 << 20,
    };
    let answer: Value = serde_json::from_slice(&super::sandbox::SlackSandbox::default().handle(&request).body).unwrap();
    let names: Vec<&Value> = answer["channels"].as_array().unwrap().iter().map(|channel| &channel["name"]).collect();
    assert_eq!(names, ["general", "orders"], "the third is archived");
    assert_eq!(answer["response_metadata"]["next_cursor"], "sandbox-3");
}
