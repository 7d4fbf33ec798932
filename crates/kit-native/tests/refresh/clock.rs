//! Criteria 7 and 8: when a token is renewed, and what wrong clocks do to that.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use crate::net::{Place, Reply};
use crate::world::{DAY, HOUR, MINUTE, Replica, SECOND, World, all, good, pass, until};

/// When the world began, on a right clock.
const BEGAN_MS: i64 = 1_800_000_000_000;

/// A connection to `integration` whose access token was just given and lives for `life_s`.
async fn fresh(integration: &str, life_s: i64) -> (World, Replica, kit::inbound::TenantCtx) {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.latency_ms = 1);
    let kept = match integration {
        "meta" => json!({"access_token": "A-a-0", "expires_in": life_s}),
        _ => json!({"access_token": "A-a-0", "refresh_token": "R-a-0", "expires_in": life_s}),
    };
    let a = one.tenant("a", integration, kept.to_string()).await;
    (world, one, a)
}

async fn settled(one: &Replica) {
    until("the refresh is over", || one.kit.refresher.under_way() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn criterion_07_each_provider_has_its_window_and_a_short_life_a_fifth() {
    let cases = [
        ("shop", 3_600, 300),
        ("ads", 3_599, 300),
        ("lwa", 3_600, 300),
        ("chat", 43_200, 7_200),
        ("link", 5_184_000, 604_800),
        ("meta", 5_184_000, 864_000),
        ("shop", 100, 20),
        ("meta", 100, 20),
    ];
    for (integration, life_s, window_s) in cases {
        let (world, one, a) = fresh(integration, life_s).await;
        let tool = format!("{integration}_me");
        pass((life_s - window_s) * SECOND - 100).await;
        assert_eq!(one.call(&a, &tool).await, good("a"));
        settled(&one).await;
        assert_eq!(world.net.counts().0, 0, "{integration} {life_s}: before the window");
        // The first fifth of the window is spread.
        pass(window_s * SECOND / 5 + 100).await;
        assert_eq!(one.call(&a, &tool).await, good("a"));
        settled(&one).await;
        assert_eq!(world.net.counts().0, 1, "{integration} {life_s}: in the window");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_07_connections_made_one_after_another_are_not_renewed_at_one_moment() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.latency_ms = 1);
    let mut tenants = Vec::new();
    for n in 0..40 {
        tenants.push(one.tenant_with_pair(&format!("t{n}"), "shop", 3_600).await);
        pass(1).await;
    }
    pass(55 * MINUTE - 200).await;
    let mut renewed = Vec::new();
    for _ in 0..6 {
        for tenant in &tenants {
            one.call(tenant, "shop_me").await.unwrap();
        }
        settled(&one).await;
        renewed.push(world.net.counts().0);
        pass(12 * SECOND).await;
    }
    let per_step: Vec<usize> = renewed.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(renewed.last(), Some(&40));
    assert!(per_step.iter().all(|count| (4..=12).contains(count)), "{per_step:?}");
}

/// The end of a refresh token is in the open; that of an access token is counted from the same moment.
async fn end_after(latency_ms: u64, wall_step_ms: i64) -> i64 {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| (manner.latency_ms, manner.refresh_expires_in) = (latency_ms, Some(1_000_000)));
    let a = one.tenant("a", "link", "R-a-0").await;
    let began = world.net.now_ms();
    let calls = one.calls(&a, "link_me", 1);
    until("the token request is under way", || world.net.counts().0 == 1).await;
    one.clock.set_wrong_ms(wall_step_ms);
    assert_eq!(all(calls).await, [good("a")]);
    let requested = world.net.seen(Place::Token)[0].at_ms;
    assert!(requested - began < 100);
    world.column::<i64>("a", "ends_ms") - BEGAN_MS - requested
}

#[tokio::test(start_paused = true)]
async fn criterion_08_expiry_counts_from_the_start_of_the_request() {
    assert_eq!(end_after(5_000, 0).await, 1_000_000_000);
}

#[tokio::test(start_paused = true)]
async fn criterion_08_a_wall_clock_that_steps_an_hour_during_the_request_moves_the_end_with_it() {
    assert_eq!(end_after(5_000, HOUR).await, 1_000_000_000 + HOUR);
    assert_eq!(end_after(5_000, -HOUR).await, 1_000_000_000 - HOUR);
}

/// Token requests in two hours in which replicas with these clocks call every ten seconds.
async fn requests_with_clocks(wrong_ms: [i64; 3], life_s: i64) -> usize {
    let (world, replicas) = World::with_three().await;
    world.net.manner(|manner| (manner.expires_in, manner.latency_ms) = (Some(life_s), 50));
    let a = replicas[0].tenant("a", "shop", "R-a-0").await;
    for (replica, wrong) in replicas.iter().zip(wrong_ms) {
        replica.clock.set_wrong_ms(wrong);
    }
    for _ in 0..720 {
        let calls = replicas.iter().flat_map(|replica| replica.calls(&a, "shop_me", 1)).collect();
        assert_eq!(all(calls).await, vec![good("a"); 3]);
        pass(10 * SECOND).await;
    }
    world.net.counts().0
}

#[tokio::test(start_paused = true)]
async fn criterion_08_replicas_whose_clocks_differ_do_not_renew_for_each_other() {
    let agreed = requests_with_clocks([0, 0, 0], 3_600).await;
    assert_eq!(agreed, 3);
    for wrong in [[0, 120 * SECOND, 0], [120 * SECOND, 0, -120 * SECOND], [-120 * SECOND, 0, 0]] {
        assert_eq!(requests_with_clocks(wrong, 3_600).await, agreed, "{wrong:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_08_a_short_life_with_clocks_that_differ_is_renewed_once_a_life() {
    // 600 s, renewed 120 s before the end at the earliest: fifteen lives in two hours; the fast clock shortens each.
    let agreed = requests_with_clocks([0, 0, 0], 600).await;
    assert!((12..=16).contains(&agreed), "{agreed}");
    let wrong = requests_with_clocks([0, 120 * SECOND, 0], 600).await;
    assert!((12..=20).contains(&wrong), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn criterion_08_a_replica_whose_clock_is_ahead_takes_no_lease_away() {
    for ahead in [240 * SECOND, HOUR, 12 * HOUR] {
        let (world, [one, two, _]) = World::with_three().await;
        let a = one.tenant("a", "shop", "R-a-0").await;
        two.clock.set_wrong_ms(ahead);
        world.net.manner(|manner| manner.expires_in = Some(10 * 86_400));
        let gate = Arc::new(Semaphore::new(0));
        world.net.script_token(Reply::Held(gate.clone()));
        let first = one.calls(&a, "shop_me", 1);
        until("the token request is under way", || world.net.counts().0 == 1).await;
        let second = two.calls(&a, "shop_me", 1);
        pass(5 * SECOND).await;
        gate.add_permits(1);
        assert_eq!(all(first).await, [good("a")], "{ahead}");
        assert_eq!(all(second).await, [good("a")], "{ahead}");
        assert_eq!(world.net.tokens(Place::Token), ["R-a-0"], "{ahead}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_08_a_token_that_ended_before_a_slow_clock_says_so_costs_one_more_request() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.latency_ms = 1);
    let a = one.tenant("a", "shop", "R-a-0").await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    one.clock.set_wrong_ms(-2 * HOUR);
    pass(HOUR + DAY / 24).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
    assert_eq!(world.net.tokens(Place::Api), ["A-a-1", "A-a-1", "A-a-2"]);
}
