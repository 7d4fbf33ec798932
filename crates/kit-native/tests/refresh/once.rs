//! Criteria 1 to 3: one refresh, whoever asks.

use std::sync::Arc;

use kit::observe::Alarm;
use kit::store::connections::ConnectionState;
use tokio::sync::Semaphore;

use crate::net::{Place, Reply};
use crate::sql::Fault;
use crate::world::{HOUR, Replica, SECOND, World, all, bad, good, pass, until};

/// Part of the statement that stores refreshed tokens.
const COMMIT: &str = "AND lease_owner = $12";

#[tokio::test(start_paused = true)]
async fn criterion_01_a_hundred_and_two_calls_on_three_replicas_make_one_token_request() {
    let (world, replicas) = World::with_three().await;
    let a = replicas[0].tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    let calls = replicas.iter().flat_map(|replica| replica.calls(&a, "shop_me", 34)).collect();
    assert_eq!(all(calls).await, vec![good("a"); 102]);
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
    assert_eq!(world.net.tokens(Place::Api), vec!["A-a-1"; 102]);
}

#[tokio::test(start_paused = true)]
async fn criterion_01_each_hour_of_a_day_makes_one_token_request_on_three_replicas() {
    let (world, replicas) = World::with_three().await;
    let a = replicas[0].tenant("a", "shop", "R-a-0").await;
    for _ in 0..24 {
        let calls = replicas.iter().flat_map(|replica| replica.calls(&a, "shop_me", 5)).collect();
        assert_eq!(all(calls).await, vec![good("a"); 15]);
        pass(HOUR).await;
    }
    let expected: Vec<String> = (0..24).map(|n| format!("R-a-{n}")).collect();
    assert_eq!(world.net.tokens(Place::Token), expected);
}

#[tokio::test(start_paused = true)]
async fn criterion_01_calls_in_the_window_go_on_with_the_old_token_and_make_one_token_request() {
    let (world, replicas) = World::with_three().await;
    let a = replicas[0].tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR - 30 * SECOND).await;
    let calls = replicas.iter().flat_map(|replica| replica.calls(&a, "shop_me", 34)).collect();
    assert_eq!(all(calls).await, vec![good("a"); 102]);
    assert_eq!(world.net.tokens(Place::Api), vec!["A-a-0"; 102]);
    until("the refresh is over", || replicas.iter().all(|replica| replica.kit.refresher.under_way() == 0)).await;
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
    replicas[0].call(&a, "shop_me").await.unwrap();
    assert_eq!(world.net.tokens(Place::Api).last().unwrap(), "A-a-1");
}

#[tokio::test(start_paused = true)]
async fn criterion_01_a_caller_that_leaves_does_not_take_the_refresh_with_it() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let calls = one.calls(&a, "shop_me", 3);
    until("the token request is under way", || world.net.counts().0 == 1).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    until("the refresh is over", || one.kit.refresher.under_way() == 0).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_02_who_loses_the_lease_reads_the_row_again_and_asks_nobody() {
    let (world, [one, two, _]) = World::with_three().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let gate = Arc::new(Semaphore::new(0));
    world.net.script_token(Reply::Held(gate.clone()));
    let first = one.calls(&a, "shop_me", 1);
    until("the token request is under way", || world.net.counts().0 == 1).await;
    let second = two.calls(&a, "shop_me", 1);
    pass(3 * SECOND).await;
    gate.add_permits(1);
    assert_eq!(all(first).await, [good("a")]);
    assert_eq!(all(second).await, [good("a")]);
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
}

/// The lease is somebody's who says nothing.
async fn held_by_a_stranger() -> (World, Replica, kit::inbound::TenantCtx) {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let until = 1_800_000_000_000_i64 + world.net.now_ms() + 30_000;
    let sql = "UPDATE connections SET lease_owner = 'stranger', lease_until_ms = ?1";
    world.database().execute(sql, [until]).unwrap();
    (world, one, a)
}

#[tokio::test(start_paused = true)]
async fn criterion_02_a_loser_waits_twelve_seconds_and_makes_no_request() {
    let (world, one, a) = held_by_a_stranger().await;
    let began = world.net.now_ms();
    assert_eq!(one.call(&a, "shop_me").await, bad("unavailable", "the connection to Shop is being renewed"));
    let waited = world.net.now_ms() - began;
    assert!((12_000..=12_250).contains(&waited), "{waited}");
    assert_eq!(world.net.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn criterion_02_the_lease_of_a_holder_that_says_nothing_is_taken_after_thirty_seconds() {
    let (world, one, a) = held_by_a_stranger().await;
    let began = world.net.now_ms();
    while one.call(&a, "shop_me").await.is_err() {}
    let waited = world.net.seen(Place::Token)[0].at_ms - began;
    assert!((30_000..=30_250).contains(&waited), "{waited}");
    assert_eq!(world.net.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn criterion_03_a_token_request_ends_before_its_lease_does() {
    let (world, replicas) = World::with_three().await;
    let a = replicas[0].tenant("a", "shop", "R-a-0").await;
    world.net.script_token(Reply::Never);
    let calls = replicas.iter().flat_map(|replica| replica.calls(&a, "shop_me", 2)).collect();
    all(calls).await;
    while replicas[2].call(&a, "shop_me").await.is_err() {
        pass(100).await;
    }
    let requests = world.net.seen(Place::Token);
    assert_eq!(requests.iter().map(|seen| (seen.token.as_str(), seen.together)).collect::<Vec<_>>(), [("R-a-0", 1); 2]);
    assert!(requests[1].at_ms - requests[0].at_ms >= 11_000, "ten seconds, and one of back-off");
}

#[tokio::test(start_paused = true)]
async fn criterion_03_a_holder_that_lost_its_lease_writes_nothing() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let (gate, version) = (Arc::new(Semaphore::new(0)), world.column::<i64>("a", "version"));
    one.sql.plan(COMMIT, 1, Fault::Held(gate.clone()));
    let calls = one.calls(&a, "shop_me", 1);
    until("the answer is there", || world.net.counts().0 == 1).await;
    pass(SECOND).await;
    world.database().execute("UPDATE connections SET lease_owner = 'other'", []).unwrap();
    gate.add_permits(1);
    assert_eq!(all(calls).await, [bad("unavailable", "the connection to Shop is being renewed")]);
    assert_eq!(world.column::<i64>("a", "version"), version);
    assert_eq!(world.column::<String>("a", "lease_owner"), "other");
    assert_eq!(world.alarms(), [Alarm::LeaseLost]);
    assert_eq!((world.net.counts(), one.state("a").await), ((1, 0), ConnectionState::Active));
}

#[tokio::test(start_paused = true)]
async fn criterion_03_a_holder_that_was_stopped_until_its_lease_is_nearly_over_sends_nothing() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let gate = Arc::new(Semaphore::new(0));
    one.sql.plan("FROM apps", 1, Fault::Held(gate.clone()));
    let calls = one.calls(&a, "shop_me", 1);
    pass(21 * SECOND).await;
    gate.add_permits(1);
    assert_eq!(all(calls).await, [bad("unavailable", "the connection to Shop is being renewed")]);
    assert_eq!(world.net.counts(), (0, 0));
    assert_eq!(world.column::<Option<String>>("a", "lease_owner"), None);
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
}

#[tokio::test(start_paused = true)]
async fn criterion_03_a_holder_that_was_overtaken_writes_nothing_and_revokes_nothing() {
    let (world, [one, two, _]) = World::with_three().await;
    world.net.manner(|manner| manner.grace = true);
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    let gate = Arc::new(Semaphore::new(0));
    one.sql.plan(COMMIT, 1, Fault::Held(gate.clone()));
    let first = one.calls(&a, "shop_me", 1);
    until("the first asks", || world.net.counts().0 == 1).await;
    // The other one waits for the lease to pass, and then asks with the old token, which is still good here.
    let mut answer = two.call(&a, "shop_me").await;
    while answer.is_err() {
        pass(10 * SECOND).await;
        answer = two.call(&a, "shop_me").await;
    }
    assert_eq!(answer, good("a"));
    gate.add_permits(1);
    drop(all(first).await);
    until("the first has ended", || one.kit.refresher.under_way() == 0).await;
    assert_eq!(world.net.tokens(Place::Revoke), [""; 0]);
    assert_eq!(world.alarms(), [Alarm::LeaseLost]);
    assert_eq!(two.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-0"]);
}
