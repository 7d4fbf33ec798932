//! Whole calls, kept for a while because the operator asked for it.

use kit::error::ErrorKind;
use kit::operator::OperatorError;
use kit::ports::Val;
use serde_json::json;

use crate::world::World;

/// By then every process has seen a change of the rule.
const STALE_MS: i64 = 15_000;
const HOUR_MS: i64 = 3_600_000;

async fn last_call(world: &World) -> String {
    world.kit.operator.audit_tail(Some("a"), 1).await.unwrap().remove(0).call
}

async fn captured(world: &World) -> i64 {
    match world.rows("SELECT COUNT(*) FROM captures", &[]).await[0][0] {
        Val::I64(count) => count,
        ref other => panic!("{other:?}"),
    }
}

on_both! {
    async fn a_captured_call_is_shown_in_full_and_that_is_written_down(world) {
        let operator = &world.kit.operator;
        world.call_with("a", "p_get", json!({"text": "before"})).await.unwrap();
        operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.call_with("a", "p_get", json!({"text": "canary-4b1d"})).await.unwrap();
        let call = last_call(&world).await;
        let shown = operator.audit_show("a", &call).await.unwrap();
        let whole = json!({"arguments": {"text": "canary-4b1d"}, "result": {"said": "canary-4b1d"}});
        assert_eq!((shown.rows.len(), shown.captured), (1, Some(whole)));
        let line = operator.audit_tail(Some("a"), 1).await.unwrap().remove(0);
        assert_eq!((&line.record["tool"], &line.record["args"]), (&json!("audit show"), &json!({"call": call})));
        for table in ["audit", "captures"] {
            let rows = world.rows(&format!("SELECT * FROM {table}"), &[]).await;
            assert!(!format!("{rows:?}").contains("canary-4b1d"), "{table}");
        }
    }

    async fn an_error_is_captured_too(world) {
        world.kit.operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.call("p_fail").await.unwrap_err();
        let shown = world.kit.operator.audit_show("a", &last_call(&world).await).await.unwrap();
        let error = json!({"type": ErrorKind::NotFound.as_str(), "message": "no such thing"});
        assert_eq!(shown.captured, Some(json!({"arguments": {"text": "hello"}, "error": error})));
    }

    async fn capturing_ends_by_itself_or_when_it_is_told_to(world) {
        let other = world.another(None).await;
        other.call("p_get").await.unwrap();
        world.kit.operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.clock.advance_ms(STALE_MS);
        other.call("p_get").await.unwrap();
        assert_eq!(captured(&world).await, 1);
        world.clock.advance_ms(HOUR_MS);
        other.call("p_get").await.unwrap();
        world.kit.operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.kit.operator.audit_capture("a", None).await.unwrap();
        world.call("p_get").await.unwrap();
        assert_eq!(captured(&world).await, 1);
    }

    async fn a_captured_call_expires(world) {
        world.kit.operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.call("p_get").await.unwrap();
        let call = last_call(&world).await;
        world.clock.advance_ms(7 * 24 * HOUR_MS);
        assert_eq!(world.kit.operator.audit_show("a", &call).await.unwrap().captured, None);
        world.kit.ledger.tidy().await.unwrap();
        assert_eq!(captured(&world).await, 0);
        assert_eq!(world.rows("SELECT * FROM capture_rules", &[]).await.len(), 0);
    }

    async fn a_captured_call_is_of_its_tenant_alone(world) {
        world.kit.operator.tenant_add("b").await.unwrap();
        world.kit.operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.call("p_get").await.unwrap();
        let call = last_call(&world).await;
        let error = world.kit.operator.audit_show("b", &call).await.unwrap_err();
        assert_eq!(error.to_string(), "tenant `b` has no such call");
        // Not even for whoever can write the database.
        world.rows("UPDATE captures SET tenant_id = 'b'", &[]).await;
        let error = world.kit.operator.audit_show("b", &call).await.unwrap_err();
        assert!(matches!(error, OperatorError::Vault(_)), "{error:?}");
    }

    async fn captured_calls_go_with_their_tenant(world) {
        world.kit.operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.call("p_get").await.unwrap();
        world.kit.operator.tenant_delete("a").await.unwrap();
        assert_eq!(captured(&world).await, 0);
        assert_eq!(world.rows("SELECT * FROM capture_rules", &[]).await.len(), 0);
    }

    async fn captured_calls_are_sealed_anew_with_a_new_data_key(world) {
        let operator = &world.kit.operator;
        operator.audit_capture("a", Some(HOUR_MS)).await.unwrap();
        world.call("p_get").await.unwrap();
        let call = last_call(&world).await;
        let resealed = operator.vault_rotate_dek("a").await.unwrap();
        assert_eq!(resealed.records, 1);
        world.clock.advance_ms(STALE_MS);
        assert_eq!(operator.vault_destroy_retired("a").await.unwrap().destroyed, 1);
        let shown = operator.audit_show("a", &call).await.unwrap();
        assert_eq!(shown.captured, Some(json!({"arguments": {"text": "hello"}, "result": {"said": "hello"}})));
    }
}
