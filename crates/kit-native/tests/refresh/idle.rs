//! Criterion 9: what is done for connections that nobody uses.

use kit::observe::Alarm;
use kit::store::connections::ConnectionState;
use kit::upstream::sweep::Swept;
use serde_json::json;

use crate::net::{CLIENT_SECRET, Place, Reply};
use crate::world::{DAY, HOUR, MINUTE, Replica, SECOND, World, good, pass};

const QUARTER_S: i64 = 90 * 86_400;

/// All replicas sweep at once; what they did in all.
async fn sweep(replicas: &[Replica]) -> Swept {
    let passes: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let kit = replica.kit.clone();
            tokio::spawn(async move { kit.sweeper.pass().await.unwrap() })
        })
        .collect();
    let mut all = Swept::default();
    for pass in passes {
        let one = pass.await.unwrap();
        all.renewed += one.renewed;
        all.failed += one.failed;
        all.warned += one.warned;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_sliding_life_is_renewed_once_when_fourteen_days_are_left() {
    let (world, replicas) = World::with_three().await;
    world.net.manner(|manner| manner.refresh_expires_in = Some(QUARTER_S));
    let a = replicas[0].tenant("a", "shop", "R-a-0").await;
    assert_eq!(replicas[0].call(&a, "shop_me").await, good("a"));
    for round in 1..=3 {
        pass(76 * DAY - HOUR).await;
        assert_eq!(sweep(&replicas).await, Swept::default());
        pass(HOUR).await;
        sweep(&replicas).await;
        assert_eq!(world.net.counts().0, 1 + round);
        assert_eq!(sweep(&replicas).await, Swept::default(), "it is done");
    }
    assert_eq!(replicas[1].call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1", "R-a-2", "R-a-3"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_an_idle_life_is_renewed_once_a_hundred_and_fifty_days_after_its_last_use() {
    let (world, replicas) = World::with_three().await;
    world.net.manner(|manner| manner.rotates = false);
    let a = replicas[0].tenant("a", "ads", "R-a-0").await;
    pass(100 * DAY).await;
    assert_eq!(replicas[0].call(&a, "ads_me").await, good("a"));
    pass(150 * DAY - HOUR).await;
    assert_eq!(sweep(&replicas).await, Swept::default());
    pass(HOUR).await;
    sweep(&replicas).await;
    assert_eq!(world.net.counts().0, 2);
    assert_eq!(sweep(&replicas).await, Swept::default());
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_refresh_token_that_was_typed_in_and_never_used_is_kept_alive_too() {
    for (integration, days) in [("ads", 150), ("shop", 0)] {
        let (world, one) = World::with_one().await;
        world.net.manner(|manner| manner.refresh_expires_in = Some(QUARTER_S));
        one.tenant("a", integration, "R-a-0").await;
        pass(days * DAY + 1).await;
        assert_eq!(
            sweep(std::slice::from_ref(&one)).await,
            Swept { renewed: 1, failed: 0, warned: 0 },
            "{integration}"
        );
        assert_eq!(sweep(&[one]).await, Swept::default(), "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_provider_that_names_no_end_is_not_renewed_by_every_pass() {
    let (world, one) = World::with_one().await;
    one.tenant("a", "shop", "R-a-0").await;
    for _ in 0..10 {
        sweep(std::slice::from_ref(&one)).await;
        pass(MINUTE).await;
    }
    assert_eq!(world.net.counts().0, 1);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_no_refresh_moves_an_absolute_end_and_its_owner_is_warned_three_times() {
    let (world, replicas) = World::with_three().await;
    world.net.manner(|manner| (manner.rotates, manner.expires_in) = (false, Some(60 * 86_400)));
    let kept = json!({
        "access_token": "A-a-0", "refresh_token": "R-a-0", "expires_in": 60 * 86_400,
        "refresh_token_expires_in": 365 * 86_400,
    });
    replicas[0].tenant("a", "link", kept.to_string()).await;
    let mut warned = Vec::new();
    for day in 1..=364 {
        pass(DAY).await;
        let before = world.alarms().len();
        sweep(&replicas).await;
        warned.extend(world.alarms()[before..].iter().map(|alarm| (365 - day, *alarm)));
    }
    assert_eq!(
        warned,
        [(30, Alarm::EndsSoon { days: 30 }), (14, Alarm::EndsSoon { days: 14 }), (3, Alarm::EndsSoon { days: 3 })]
    );
    assert_eq!(world.net.counts().0, 6, "the access token of sixty days is renewed meanwhile");
    assert_eq!(world.column::<i64>("a", "ends_ms") - 1_800_000_000_000, 365 * DAY);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_connection_without_refresh_token_warns_before_its_access_token_ends() {
    let (world, one) = World::with_one().await;
    let kept = json!({"access_token": "A-a-0", "expires_in": 60 * 86_400});
    one.tenant("a", "link", kept.to_string()).await;
    pass(50 * DAY).await;
    assert_eq!(sweep(&[one]).await, Swept { renewed: 0, failed: 0, warned: 1 });
    assert_eq!(world.alarms(), [Alarm::EndsSoon { days: 14 }]);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_machine_token_is_exchanged_by_the_sweep_before_it_ends() {
    let (world, replicas) = World::with_three().await;
    world.net.manner(|manner| manner.expires_in = Some(60 * 86_400));
    let kept = json!({"access_token": "A-a-0", "expires_in": 60 * 86_400});
    replicas[0].tenant("a", "meta", kept.to_string()).await;
    for _ in 0..210 {
        pass(DAY).await;
        sweep(&replicas).await;
    }
    assert_eq!(world.net.tokens(Place::Token), ["A-a-0", "A-a-1", "A-a-2", "A-a-3"]);
    assert_eq!(world.alarms(), []);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_connections_that_cannot_be_renewed_do_not_keep_others_waiting() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.refresh_expires_in = Some(QUARTER_S));
    let a = one.tenant("a", "shop", "R-a-0").await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    // More than one pass takes up, more urgent, and of an integration that was taken out of the project.
    world
        .database()
        .execute_batch(
            "INSERT INTO connections (tenant_id, integration, account, state, sealed, version, changed_ms, refresh_at_ms)
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 450)
             SELECT 'a', 'gone', 'n' || x, 'active', 'sealed', 1, 1, 1 FROM n;",
        )
        .unwrap();
    pass(77 * DAY).await;
    for _ in 0..3 {
        sweep(std::slice::from_ref(&one)).await;
    }
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_connection_that_cannot_be_renewed_is_left_alone_for_ten_minutes() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.refresh_expires_in = Some(QUARTER_S));
    let a = one.tenant("a", "shop", "R-a-0").await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    pass(77 * DAY).await;
    one.kit.operator.app_remove("shop", None).await.unwrap();
    let swept = async || one.kit.sweeper.pass().await.unwrap().failed;
    assert_eq!((swept().await, swept().await), (1, 0));
    pass(599 * SECOND).await;
    assert_eq!(swept().await, 0);
    pass(2 * SECOND).await;
    assert_eq!(swept().await, 1);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_records_that_do_not_open_do_not_keep_others_waiting() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.refresh_expires_in = Some(QUARTER_S));
    let a = one.tenant("a", "shop", "R-a-0").await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    world
        .database()
        .execute_batch(
            "INSERT INTO connections (tenant_id, integration, account, state, sealed, version, changed_ms, refresh_at_ms)
             WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 450)
             SELECT 'a', 'ads', 'n' || x, 'active', 'sealed', 1, 1, 1 FROM n;",
        )
        .unwrap();
    pass(77 * DAY).await;
    for _ in 0..3 {
        sweep(std::slice::from_ref(&one)).await;
    }
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_connection_that_waited_for_a_good_app_is_kept_alive_again() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.refresh_expires_in = Some(QUARTER_S));
    let a = one.tenant("a", "shop", "R-a-0").await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    pass(77 * DAY).await;
    world.net.script_token(Reply::error(401, "invalid_client"));
    let replicas = std::slice::from_ref(&one);
    assert_eq!(sweep(replicas).await, Swept { renewed: 0, failed: 1, warned: 0 });
    assert_eq!(one.state("a").await, ConnectionState::Misconfigured);
    assert_eq!(sweep(replicas).await, Swept::default());
    one.app_set("shop", CLIENT_SECRET).await;
    pass(10 * MINUTE).await;
    assert_eq!(sweep(replicas).await, Swept { renewed: 1, failed: 0, warned: 0 });
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1", "R-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_what_a_tenant_that_is_suspended_has_is_left_alone() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.refresh_expires_in = Some(QUARTER_S));
    one.tenant("a", "shop", "R-a-0").await;
    one.kit.operator.tenant_state("a", kit::store::tenants::TenantState::Suspended).await.unwrap();
    pass(77 * DAY).await;
    assert_eq!(sweep(&[one]).await, Swept::default());
    assert_eq!(world.net.counts().0, 0);
}
