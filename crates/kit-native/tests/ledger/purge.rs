//! Old rows leave the store, and what is left still verifies; a deleted tenant's name leaves it too.

use kit::day::Day;
use kit::ledger::verify::What;
use kit::operator::Purged;
use kit::ports::Val;
use kit::store::tenants::TenantState;

use crate::world::World;

/// The clock stands at 2027-01-15.
fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

/// Takes an export to its end; its lines.
async fn export(world: &World, before: &str) -> Vec<String> {
    let mut export = world.kit.operator.audit_export(day(before));
    let mut lines = Vec::new();
    loop {
        let page = world.kit.operator.audit_export_page(&mut export).await.unwrap();
        if page.is_empty() {
            break;
        }
        lines.extend(page);
    }
    world.kit.operator.audit_exported(export).await.unwrap();
    lines
}

async fn purge(world: &World, before: &str) -> (usize, i64, i64) {
    let Purged { streams, rows, left } = world.kit.operator.audit_purge(day(before)).await.unwrap();
    (streams, rows, left)
}

/// A day with four rows of `a`, and the next day with one.
async fn two_days(world: &World) {
    for _ in 0..3 {
        world.call("p_get").await.unwrap();
    }
    world.clock.advance_ms(86_400_000);
    world.call("p_get").await.unwrap();
}

on_both! {
    async fn rows_that_were_exported_and_checkpointed_are_purged_and_the_rest_verifies(world) {
        two_days(&world).await;
        assert_eq!(purge(&world, "2027-01-16").await, (0, 0, 4));
        let lines = export(&world, "2027-01-16").await;
        assert_eq!(lines.len(), 4);
        // No checkpoint has seen them.
        assert_eq!(purge(&world, "2027-01-16").await, (0, 0, 4));
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        assert_eq!(purge(&world, "2027-01-16").await, (1, 4, 0));
        assert_eq!(world.audit().await, ["call p_get ok"]);
        assert_eq!(world.findings().await, []);
        // And goes on.
        world.call("p_get").await.unwrap();
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        world.clock.advance_ms(86_400_000);
        export(&world, "2027-01-17").await;
        let (streams, rows, _) = purge(&world, "2027-01-17").await;
        assert!(streams >= 1 && rows >= 2, "{streams} {rows}");
        assert_eq!(world.findings().await, []);
        assert_eq!(world.kit.operator.audit_verify().await.unwrap().tombstones, streams + 1);
    }

    async fn an_export_holds_the_bytes_that_the_hashes_cover(world) {
        two_days(&world).await;
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        let lines = export(&world, "2027-01-16").await;
        let sql = "SELECT record, hash FROM audit WHERE tenant_id = 'a' ORDER BY seq LIMIT 4";
        let mut expected = Vec::new();
        for row in world.rows(sql, &[]).await {
            let [Val::Text(record), Val::Text(hash)] = &row[..] else { panic!("{row:?}") };
            expected.push(format!(r#"{{"hash":"{hash}","record":{record}}}"#));
        }
        assert_eq!(lines[1..], expected);
        assert!(lines[0].starts_with(r#"{"checkpoint":{"at_ms":"#), "{}", lines[0]);
        assert!(lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }

    async fn what_was_removed_behind_a_tombstone_is_named(world) {
        two_days(&world).await;
        export(&world, "2027-01-16").await;
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        purge(&world, "2027-01-16").await;
        world.call("p_get").await.unwrap();
        let stream = world.stream("a").await;
        world.unguard().await;
        world.rows("DELETE FROM audit WHERE stream = $1 AND seq = 5", &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, [(stream, 5, 5, What::Removed)]);
    }

    async fn a_tombstone_that_was_removed_is_noticed(world) {
        two_days(&world).await;
        export(&world, "2027-01-16").await;
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        purge(&world, "2027-01-16").await;
        let stream = world.stream("a").await;
        world.unguard().await;
        world.rows("DELETE FROM audit_tombstones", &[]).await;
        assert_eq!(world.findings().await, [(stream, 1, 4, What::Removed)]);
    }

    async fn a_purged_row_that_was_put_back_is_named(world) {
        two_days(&world).await;
        export(&world, "2027-01-16").await;
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        let stream = world.stream("a").await;
        let row = world.rows("SELECT record, hash FROM audit WHERE stream = $1 AND seq = 2", &[stream.as_str().into()]).await;
        purge(&world, "2027-01-16").await;
        let values = [stream.as_str().into(), row[0][0].clone(), row[0][1].clone()];
        let sql = "INSERT INTO audit (stream, seq, tenant_id, at_ms, call_id, record, hash) VALUES ($1, 2, 'a', 1, 'x', $2, $3)";
        world.rows(sql, &values).await;
        assert_eq!(world.findings().await, [(stream, 2, 2, What::Inserted)]);
    }

    async fn an_audit_that_does_not_verify_is_not_purged(world) {
        two_days(&world).await;
        export(&world, "2027-01-16").await;
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        world.unguard().await;
        world.rows("UPDATE audit SET record = replace(record, 'p_get', 'p_got')", &[]).await;
        let error = world.kit.operator.audit_purge(day("2027-01-16")).await.unwrap_err();
        assert_eq!(error.to_string(), "the audit does not verify; nothing was purged");
    }

    async fn a_deleted_tenant_is_known_by_its_pseudonym_and_the_audit_still_verifies(world) {
        world.call("p_get").await.unwrap();
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        let stream = world.stream("a").await;
        world.kit.operator.tenant_delete("a").await.unwrap();
        assert_eq!(world.findings().await, []);
        for table in ["audit", "usage_rollup", "usage_clients"] {
            let names = world.rows(&format!("SELECT DISTINCT tenant_id FROM {table} WHERE tenant_id <> ''"), &[]).await;
            assert_eq!(names, [[Val::from(&stream[..18])]], "{table}");
        }
        assert_eq!(world.usage().await, ["p_get ok 1 1"]);
    }

    /// A call under way when its tenant is deleted is written down after that.
    async fn a_name_that_comes_back_behind_the_deletion_is_forgotten_again(world) {
        world.call("p_get").await.unwrap();
        let waiting = world.spawn("p_wait").await;
        while world.bench.waiting.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let stream = world.stream("a").await;
        world.kit.operator.tenant_delete("a").await.unwrap();
        world.bench.gate.notify_one();
        waiting.await.unwrap().unwrap();
        assert_eq!(world.rows("SELECT 1 FROM audit WHERE tenant_id = 'a'", &[]).await.len(), 1);
        world.kit.ledger.tidy().await.unwrap();
        for table in ["audit", "usage_rollup", "usage_clients"] {
            let names = world.rows(&format!("SELECT DISTINCT tenant_id FROM {table} WHERE tenant_id <> ''"), &[]).await;
            assert_eq!(names, [[Val::from(&stream[..18])]], "{table}");
        }
        assert_eq!(world.usage().await, ["p_get ok 1 1", "p_wait ok 1 1"]);
        assert_eq!(world.findings().await, []);
    }

    async fn of_many_replicas_one_makes_the_checkpoint(world) {
        world.call("p_get").await.unwrap();
        let other = world.another(None).await;
        let hour = 3_600_000;
        assert!(world.kit.ledger.checkpoint(hour).await.unwrap().is_some());
        assert_eq!(other.kit.ledger.checkpoint(hour).await.unwrap(), None);
        world.clock.advance_ms(hour);
        other.call("p_get").await.unwrap();
        let made = other.kit.ledger.checkpoint(hour).await.unwrap().unwrap();
        assert_eq!(world.kit.ledger.checkpoint(hour).await.unwrap(), None);
        // The other's stream of `a`, and the owner's stream of this process, which tells of the first checkpoint.
        assert_eq!((made.seq, made.streams), (2, 2));
        world.kit.operator.tenant_state("a", TenantState::Suspended).await.unwrap();
        world.clock.advance_ms(hour);
        assert!(world.kit.ledger.checkpoint(hour).await.unwrap().is_some());
        assert_eq!(other.findings().await, []);
    }
}
