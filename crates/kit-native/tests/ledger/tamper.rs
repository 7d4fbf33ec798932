//! What somebody can do who owns the database and does not have the key: each is found, and named by its row.

use kit::ledger::verify::{CHECKPOINTS, What};
use kit::ports::Val;
use serde_json::json;

use crate::world::World;

/// Six rows of `a` behind the one of its making, a checkpoint, two more; and four of `b`. The stream of `a`.
async fn history(world: &World) -> String {
    world.kit.operator.tenant_add("b").await.unwrap();
    for n in 0..6 {
        world.clock.advance_ms(1_000);
        world.call_with("a", "p_get", json!({"limit": n})).await.unwrap();
    }
    for _ in 0..3 {
        world.call_with("b", "p_get", json!({})).await.unwrap();
    }
    world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
    world.call("p_get").await.unwrap();
    world.call("p_get").await.unwrap();
    assert_eq!(world.findings().await, []);
    world.unguard().await;
    world.stream("a").await
}

async fn run(world: &World, sql: &str, values: &[Val]) {
    world.rows(sql, values).await;
}

/// One finding, about one row.
fn one(stream: &str, seq: i64, what: What) -> Vec<(String, i64, i64, What)> {
    vec![(stream.to_owned(), seq, seq, what)]
}

on_both! {
    async fn a_row_that_was_changed_is_named(world) {
        let stream = history(&world).await;
        let sql = "UPDATE audit SET record = replace(record, '\"outcome\":\"ok\"', '\"outcome\":\"no\"') \
                   WHERE stream = $1 AND seq = 3";
        run(&world, sql, &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 3, What::Changed));
    }

    async fn each_of_two_neighbours_that_were_changed_is_named(world) {
        let stream = history(&world).await;
        let sql = "UPDATE audit SET record = replace(record, '\"outcome\":\"ok\"', '\"outcome\":\"no\"') \
                   WHERE stream = $1 AND seq IN (3, 4)";
        run(&world, sql, &[stream.as_str().into()]).await;
        let expected = [one(&stream, 3, What::HashNotOurs), one(&stream, 4, What::Unanchored)].concat();
        assert_eq!(world.findings().await, expected);
    }

    async fn a_row_that_is_no_record_is_named(world) {
        let stream = history(&world).await;
        run(&world, "UPDATE audit SET record = 'x' WHERE stream = $1 AND seq = 3", &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 3, What::Changed));
    }

    async fn a_row_that_was_removed_is_named(world) {
        let stream = history(&world).await;
        run(&world, "DELETE FROM audit WHERE stream = $1 AND seq = 3", &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 3, What::Removed));
    }

    async fn rows_that_were_removed_are_named_as_a_range(world) {
        let stream = history(&world).await;
        run(&world, "DELETE FROM audit WHERE stream = $1 AND seq <= 4", &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, [(stream, 1, 4, What::Removed)]);
    }

    async fn rows_that_changed_their_places_are_named(world) {
        let stream = history(&world).await;
        for (from, to) in [(3, -1), (4, 3), (-1, 4)] {
            let values = [stream.as_str().into(), Val::I64(from), Val::I64(to)];
            run(&world, "UPDATE audit SET seq = $3 WHERE stream = $1 AND seq = $2", &values).await;
        }
        let expected = [one(&stream, 3, What::Reordered), one(&stream, 4, What::Reordered)].concat();
        assert_eq!(world.findings().await, expected);
    }

    async fn a_tail_that_was_cut_behind_a_checkpoint_is_named(world) {
        let stream = history(&world).await;
        run(&world, "DELETE FROM audit WHERE stream = $1 AND seq >= 6", &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, [(stream, 6, 7, What::TailCut)]);
    }

    async fn a_stream_that_was_dropped_is_named(world) {
        let stream = history(&world).await;
        run(&world, "DELETE FROM audit WHERE stream = $1", &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, [(stream, 1, 7, What::StreamDropped)]);
    }

    async fn a_row_that_was_copied_from_another_tenant_is_named(world) {
        let (stream, other) = (history(&world).await, world.stream("b").await);
        let sql = "INSERT INTO audit (stream, seq, tenant_id, at_ms, call_id, record, hash) \
                   SELECT $1, 10, 'a', at_ms, call_id, record, hash FROM audit WHERE stream = $2 AND seq = 2";
        run(&world, sql, &[stream.as_str().into(), other.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 10, What::Copied));
        let finding = world.kit.operator.audit_verify().await.unwrap().findings.remove(0);
        assert_eq!(finding.from, Some(format!("{other} 2")));
    }

    async fn a_row_that_was_written_over_by_another_tenants_is_named(world) {
        let (stream, other) = (history(&world).await, world.stream("b").await);
        let sql = "UPDATE audit SET record = (SELECT record FROM audit WHERE stream = $2 AND seq = 3), \
                   hash = (SELECT hash FROM audit WHERE stream = $2 AND seq = 3) WHERE stream = $1 AND seq = 3";
        run(&world, sql, &[stream.as_str().into(), other.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 3, What::Copied));
    }

    async fn a_row_that_is_booked_on_another_tenant_is_named(world) {
        let stream = history(&world).await;
        run(&world, "UPDATE audit SET tenant_id = 'b' WHERE stream = $1 AND seq = 3", &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 3, What::Moved));
    }

    async fn a_row_that_was_put_between_others_is_named(world) {
        let stream = history(&world).await;
        let s = [Val::from(stream.as_str())];
        run(&world, "UPDATE audit SET seq = seq + 1000 WHERE stream = $1 AND seq >= 4", &s).await;
        run(&world, "UPDATE audit SET seq = seq - 999 WHERE stream = $1 AND seq >= 1000", &s).await;
        let sql = "INSERT INTO audit (stream, seq, tenant_id, at_ms, call_id, record, hash) \
                   SELECT stream, 4, tenant_id, at_ms, call_id, replace(record, '\"seq\":3', '\"seq\":4'), \
                   replace(hash, 'a', 'b') FROM audit WHERE stream = $1 AND seq = 3";
        run(&world, sql, &s).await;
        assert_eq!(world.findings().await, one(&stream, 4, What::Inserted));
    }

    async fn a_row_that_was_put_at_the_end_is_named(world) {
        let stream = history(&world).await;
        let sql = "INSERT INTO audit (stream, seq, tenant_id, at_ms, call_id, record, hash) \
                   SELECT stream, 10, tenant_id, at_ms, call_id, replace(record, '\"seq\":9', '\"seq\":10'), hash \
                   FROM audit WHERE stream = $1 AND seq = 9";
        run(&world, sql, &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 10, What::Changed));
    }

    /// A hash of something else than the key makes: here that of another row.
    async fn a_hash_that_was_made_without_the_key_is_named(world) {
        let stream = history(&world).await;
        let sql = "UPDATE audit SET record = replace(record, '\"outcome\":\"ok\"', '\"outcome\":\"no\"'), \
                   hash = (SELECT hash FROM audit WHERE stream = $1 AND seq = 5) WHERE stream = $1 AND seq = 3";
        run(&world, sql, &[stream.as_str().into()]).await;
        let expected = [one(&stream, 3, What::HashNotOurs), one(&stream, 4, What::Unanchored)].concat();
        assert_eq!(world.findings().await, expected);
    }

    async fn a_head_that_a_checkpoint_has_seen_is_not_replaced(world) {
        let stream = history(&world).await;
        let sql = "UPDATE audit SET hash = (SELECT hash FROM audit WHERE stream = $1 AND seq = 5) \
                   WHERE stream = $1 AND seq = 7";
        run(&world, sql, &[stream.as_str().into()]).await;
        assert_eq!(world.findings().await, one(&stream, 7, What::HashNotOurs));
    }

    async fn a_checkpoint_that_was_changed_is_named(world) {
        history(&world).await;
        run(&world, "UPDATE audit_checkpoints SET body = replace(body, '\"v\":1', '\"v\":2')", &[]).await;
        let expected = one(CHECKPOINTS, 1, What::CheckpointChanged);
        assert_eq!(world.findings().await, expected);
    }

    async fn a_checkpoint_that_was_removed_between_others_is_named(world) {
        history(&world).await;
        for _ in 0..2 {
            world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        }
        assert_eq!(world.findings().await, []);
        run(&world, "DELETE FROM audit_checkpoints WHERE seq = 2", &[]).await;
        assert_eq!(world.findings().await, one(CHECKPOINTS, 2, What::CheckpointRemoved));
    }

    async fn the_last_checkpoint_is_missed_too(world) {
        history(&world).await;
        run(&world, "DELETE FROM audit_checkpoints", &[]).await;
        assert_eq!(world.findings().await, one(CHECKPOINTS, 1, What::CheckpointRemoved));
    }

    async fn a_tombstone_that_is_not_ours_is_named_and_stands_for_nothing(world) {
        let stream = history(&world).await;
        let hash = "0".repeat(64);
        let body = format!(r#"{{"at_ms":1,"count":3,"last":"{hash}","stream":"{stream}","through":3,"v":1}}"#);
        let values = [stream.as_str().into(), Val::from(body), hash.into()];
        run(&world, "INSERT INTO audit_tombstones (stream, through, body, hash) VALUES ($1, 3, $2, $3)", &values).await;
        run(&world, "DELETE FROM audit WHERE stream = $1 AND seq <= 3", &values[..1]).await;
        let expected = [(stream.clone(), 3, 3, What::TombstoneForged), (stream, 1, 3, What::Removed)];
        let mut found = world.findings().await;
        found.sort_by_key(|finding| -finding.1);
        assert_eq!(found, expected);
    }

    async fn the_store_refuses_what_is_no_addition(world) {
        world.call("p_get").await.unwrap();
        world.kit.operator.audit_checkpoint().await.unwrap().unwrap();
        let refused = [
            "UPDATE audit SET record = 'x'",
            "UPDATE audit SET hash = 'x'",
            "UPDATE audit SET seq = seq + 100",
            "UPDATE audit SET tenant_id = 'b' WHERE tenant_id = 'a'",
            "DELETE FROM audit",
            "UPDATE audit_checkpoints SET body = 'x'",
            "DELETE FROM audit_checkpoints",
        ];
        for sql in refused {
            assert_eq!(world.sql.query(sql, &[]).await, Err(kit::ports::SqlError::Constraint), "{sql}");
        }
        assert_eq!(world.findings().await, []);
    }
}
