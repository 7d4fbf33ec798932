//! Criteria 6 to 9: what is kept, when it is renewed, and what the sweep does.

use kit::observe::Alarm;

use crate::net::Place;
use crate::world::{DAY, HOUR, MINUTE, SECOND, World, good, pass, until};

#[tokio::test(start_paused = true)]
async fn criterion_06_without_a_refresh_token_in_the_answer_the_old_one_is_kept() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.rotates = false);
    let a = one.tenant_with_pair("a", "ads", 3_600).await;
    for _ in 0..2 {
        pass(HOUR).await;
        assert_eq!(one.call(&a, "ads_me").await, good("a"));
    }
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_06_a_refresh_token_in_the_answer_replaces_the_old_one_for_every_provider() {
    for integration in ["shop", "ads", "link", "lwa", "chat"] {
        let (world, one) = World::with_one().await;
        let a = one.tenant_with_pair("a", integration, 3_600).await;
        for _ in 0..2 {
            pass(HOUR).await;
            assert_eq!(one.call(&a, &format!("{integration}_me")).await, good("a"), "{integration}");
        }
        assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"], "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_06_a_token_without_a_known_end_is_renewed_when_it_is_refused_and_not_before() {
    for expires_in in [None, Some(0)] {
        let (world, one) = World::with_one().await;
        let a = one.tenant_with_pair("a", "shop", 3_600).await;
        pass(HOUR).await;
        world.net.script_token(crate::net::Reply::Amend(serde_json::json!({"expires_in": expires_in})));
        assert_eq!(one.call(&a, "shop_me").await, good("a"));
        pass(30 * MINUTE).await;
        for _ in 0..3 {
            assert_eq!(one.call(&a, "shop_me").await, good("a"));
        }
        assert_eq!(world.net.counts().0, 1, "{expires_in:?}");
        world.net.refuse("A-a-1");
        assert_eq!(one.call(&a, "shop_me").await, good("a"));
        assert_eq!(world.net.counts().0, 2, "{expires_in:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_07_each_provider_is_asked_in_its_own_window_and_the_call_does_not_wait() {
    // The life of a token, and how long before its end the window begins.
    let windows = [
        ("shop", HOUR, 5 * MINUTE),
        ("ads", HOUR, 5 * MINUTE),
        ("lwa", HOUR, 5 * MINUTE),
        ("chat", 12 * HOUR, 2 * HOUR),
        ("link", 60 * DAY, 7 * DAY),
        ("meta", 60 * DAY, 10 * DAY),
        // A fifth of a life, where that is shorter.
        ("shop", 10 * MINUTE, 2 * MINUTE),
    ];
    for (integration, life, window) in windows {
        let (world, one) = World::with_one().await;
        world.net.manner(|manner| manner.expires_in = Some(life / SECOND));
        let a = one.tenant_with_pair("a", integration, life / SECOND).await;
        let tool = format!("{integration}_me");
        pass(life - window - SECOND).await;
        assert_eq!(one.call(&a, &tool).await, good("a"), "{integration}");
        assert_eq!(world.net.counts().0, 0, "{integration}");
        // By the end of its first fifth, wherever in it this connection's turn is.
        pass(window / 5 + 2 * SECOND).await;
        assert_eq!(one.call(&a, &tool).await, good("a"), "{integration}");
        assert_eq!(world.net.tokens(Place::Api), ["A-a-0", "A-a-0"], "{integration}");
        until("it was renewed", || world.net.counts().0 == 1 && one.kit.refresher.under_way() == 0).await;
        assert_eq!(one.call(&a, &tool).await, good("a"), "{integration}");
        assert_eq!(world.net.tokens(Place::Api)[2], "A-a-1", "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_08_a_token_ends_counted_from_when_it_was_asked_for() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    // The answer takes nine seconds of a life of ninety.
    world.net.manner(|manner| (manner.latency_ms, manner.expires_in) = (9_000, Some(90)));
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    world.net.manner(|manner| manner.latency_ms = 200);
    // Eighteen seconds have passed since it was asked for: the token and the request itself took nine each.
    pass(90 * SECOND - 18 * SECOND).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
    assert_eq!(world.net.tokens(Place::Api), ["A-a-1", "A-a-2"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_08_a_wall_clock_that_is_set_during_a_request_changes_no_life() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    world.net.manner(|manner| manner.latency_ms = 5_000);
    let call = one.calls(&a, "shop_me", 1);
    until("it asks", || world.net.counts().0 == 1).await;
    one.clock.set_wrong_ms(HOUR);
    assert_eq!(crate::world::all(call).await, [good("a")]);
    pass(50 * MINUTE).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.counts().0, 1);
}

#[tokio::test(start_paused = true)]
async fn criterion_08_replicas_whose_clocks_are_two_minutes_wrong_do_not_renew_for_each_other() {
    let (world, replicas) = World::with_three().await;
    replicas[1].clock.set_wrong_ms(2 * MINUTE);
    replicas[2].clock.set_wrong_ms(-2 * MINUTE);
    let a = replicas[0].tenant_with_pair("a", "shop", 3_600).await;
    for _ in 0..180 {
        pass(MINUTE).await;
        for replica in &replicas {
            assert_eq!(replica.call(&a, "shop_me").await, good("a"));
        }
    }
    // Three hours, and tokens of one hour.
    let asked = world.net.counts().0;
    assert!((3..=4).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn criterion_09_the_sweep_keeps_idle_connections_alive() {
    let (world, [one, two, _]) = World::with_three().await;
    world.net.manner(|manner| manner.refresh_expires_in = Some(90 * DAY / SECOND));
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    pass(75 * DAY).await;
    assert_eq!(one.kit.sweeper.pass().await.unwrap().renewed, 0);
    pass(2 * DAY).await;
    let (first, second) = tokio::join!(one.kit.sweeper.pass(), two.kit.sweeper.pass());
    assert!(first.unwrap().renewed + second.unwrap().renewed >= 1);
    // Two replicas swept, and the provider heard of one.
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_a_connection_that_dies_unused_is_refreshed_after_a_hundred_and_fifty_days() {
    let (world, one) = World::with_one().await;
    one.tenant_with_pair("a", "ads", 3_600).await;
    pass(149 * DAY).await;
    assert_eq!(one.kit.sweeper.pass().await.unwrap().renewed, 0);
    pass(DAY).await;
    assert_eq!(one.kit.sweeper.pass().await.unwrap().renewed, 1);
    assert_eq!(world.net.counts().0, 1);
}

#[tokio::test(start_paused = true)]
async fn criterion_09_an_end_that_nothing_moves_is_told_at_thirty_fourteen_and_three_days_once_each() {
    let (world, [one, two, _]) = World::with_three().await;
    world.net.manner(|m| (m.expires_in, m.refresh_expires_in) = (Some(60 * DAY / SECOND), Some(365 * DAY / SECOND)));
    let a = one.tenant_with_pair("a", "link", 3_600).await;
    pass(HOUR).await;
    assert_eq!(one.call(&a, "link_me").await, good("a"));
    // From now on the server counts down, whenever it is asked.
    for day in 1..=364 {
        pass(DAY).await;
        let left = (365 - day) * DAY / SECOND;
        world.net.manner(|manner| manner.refresh_expires_in = Some(left));
        one.kit.sweeper.pass().await.unwrap();
        two.kit.sweeper.pass().await.unwrap();
    }
    let days = world.alarms().into_iter().map(|alarm| match alarm {
        Alarm::EndsSoon { days } => days,
        other => panic!("{other:?}"),
    });
    assert_eq!(days.collect::<Vec<_>>(), [30, 14, 3]);
    assert_eq!(one.call(&a, "link_me").await, good("a"));
}
