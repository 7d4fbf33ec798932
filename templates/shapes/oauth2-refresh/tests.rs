//! Each tool against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::prelude::*;
use kit_native::testing::TestKit;

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("a", super::integration())).await
}

#[tokio::test]
async fn list_goes_on_at_the_cursor() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let first = kit.call(&tenant, "a_list", json!({"limit": 2})).await.unwrap();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(2));
    let rest = kit.call(&tenant, "a_list", json!({"limit": 2, "cursor": first["next_cursor"]})).await.unwrap();
    assert_eq!(rest, json!({"items": [{"id": "item-3", "name": "Retargeting", "status": "active"}]}));
}

#[tokio::test]
async fn get_gives_one_item() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let item = kit.call(&tenant, "a_get", json!({"id": "item-2"})).await.unwrap();
    assert_eq!(item, json!({"id": "item-2", "name": "Newsletter", "status": "paused"}));
}

#[tokio::test]
async fn an_item_that_is_not_there_is_not_found() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "a_get", json!({"id": "item-9"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_told_the_way_out() {
    let kit = test_kit().await;
    let tenant = kit.bare_tenant("acme").await;
    let error = kit.call(&tenant, "a_list", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoCredentials);
    assert!(error.to_string().contains("test-server connection set a --tenant acme"));
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_on_the_way() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..3 {
        assert!(kit.call(&tenant, "a_list", json!({})).await.is_ok());
        kit.clock.advance_ms(2 * 3_600_000);
    }
}

#[tokio::test]
async fn a_connection_whose_refresh_token_is_dead_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let dead = NewConnection::new("acme", "a", Secret::from("revoked"));
    kit.kit.operator.connection_set(dead).await.unwrap();
    for _ in 0..2 {
        let error = kit.call(&tenant, "a_list", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
        assert!(error.to_string().contains("test-server connection set a --tenant acme"));
    }
}

#[tokio::test]
async fn without_the_owners_app_the_operator_is_told_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.app_remove("a", None).await.unwrap();
    let error = kit.call(&tenant, "a_list", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("test-server app set a --client-id ID"));
}
