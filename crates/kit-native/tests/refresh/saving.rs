//! Criteria 4 to 6: nothing is used before it is stored, and nothing good is lost.

use std::sync::Arc;

use kit::observe::Alarm;
use kit::store::connections::ConnectionState;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::net::{Place, Reply};
use crate::sql::Fault;
use crate::world::{DAY, HOUR, Replica, SECOND, World, all, bad, good, pass, until};

/// Part of the statement that stores refreshed tokens.
const COMMIT: &str = "AND lease_owner = $12";

/// A replica dies between the answer of the token endpoint and the commit; the next one starts.
async fn died_before_the_commit(grace: bool) -> (World, Replica) {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.grace = grace);
    let a = one.tenant("a", "shop", "R-a-0").await;
    one.sql.plan(COMMIT, 1, Fault::Held(Arc::new(Semaphore::new(0))));
    let calls = one.calls(&a, "shop_me", 1);
    until("the token request is made", || world.net.counts().0 == 1).await;
    pass(SECOND).await;
    assert_eq!(world.net.counts(), (1, 0), "nobody uses what is not stored");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    one.die();
    let next = world.replica().await;
    (world, next)
}

#[tokio::test(start_paused = true)]
async fn criterion_04_a_death_before_the_commit_is_recovered_where_the_old_token_may_be_used_again() {
    let (world, next) = died_before_the_commit(true).await;
    let a = next.local("a").await;
    while let Err(error) = next.call(&a, "shop_me").await {
        assert_eq!(Err(error), bad("unavailable", "the connection to Shop is being renewed"));
    }
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-0"]);
    assert_eq!((next.state("a").await, world.alarms()), (ConnectionState::Active, vec![]));
}

#[tokio::test(start_paused = true)]
async fn criterion_04_a_death_before_the_commit_needs_a_reconnect_where_it_may_not() {
    let (world, next) = died_before_the_commit(false).await;
    let a = next.local("a").await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(next.call(&a, "shop_me").await);
    }
    let dead = bad("reconnect_required", "Shop no longer accepts the credential of this connection");
    assert_eq!(answers.last(), Some(&dead));
    assert_eq!(world.net.counts(), (2, 0), "one last try, and no loop");
    assert_eq!(
        (next.state("a").await, world.alarms()),
        (ConnectionState::NeedsReconnect, vec![Alarm::ReconnectNeeded])
    );
}

#[tokio::test(start_paused = true)]
async fn criterion_05_a_failing_write_is_repeated_with_the_pair_in_memory() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    one.sql.plan(COMMIT, 6, Fault::Lost);
    assert_eq!(all(one.calls(&a, "shop_me", 10)).await, vec![good("a"); 10]);
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
    assert_eq!(world.alarms(), [Alarm::RefreshUnsaved]);
    pass(HOUR).await;
    assert_eq!(world.replica().await.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"], "the pair was stored");
}

#[tokio::test(start_paused = true)]
async fn criterion_05_a_store_that_is_away_for_five_minutes_costs_nothing_but_time() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    one.sql.plan(COMMIT, usize::MAX, Fault::Lost);
    assert_eq!(one.call(&a, "shop_me").await, bad("unavailable", "the connection to Shop is being renewed"));
    pass(300 * SECOND).await;
    assert_eq!(one.kit.refresher.under_way(), 1);
    one.sql.heal();
    until("the pair is stored", || one.kit.refresher.under_way() == 0).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!((world.net.counts().0, world.alarms()), (1, vec![Alarm::RefreshUnsaved]));
}

#[tokio::test(start_paused = true)]
async fn criterion_05_a_store_that_is_away_for_longer_than_ten_minutes_costs_the_pair_and_holds_nobody_up() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.grace = true);
    let a = one.tenant("a", "shop", "R-a-0").await;
    one.sql.plan(COMMIT, usize::MAX, Fault::Lost);
    one.call(&a, "shop_me").await.unwrap_err();
    pass(560 * SECOND).await;
    assert_eq!(one.kit.refresher.under_way(), 1, "it is still trying");
    pass(60 * SECOND).await;
    assert_eq!(one.kit.refresher.under_way(), 0, "it has given up");
    one.sql.heal();
    // Its lease has to pass first; then this provider lets the old refresh token be used once more.
    one.call(&a, "shop_me").await.unwrap_err();
    pass(30 * SECOND).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_05_a_write_whose_answer_was_lost_is_found_done_and_nothing_is_revoked() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    one.sql.plan(COMMIT, 1, Fault::Unheard);
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Revoke), [""; 0]);
    pass(HOUR).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
    assert_eq!(world.alarms(), [Alarm::RefreshUnsaved]);
}

#[tokio::test(start_paused = true)]
async fn criterion_05_a_store_that_cannot_say_why_it_refused_is_asked_with_pauses() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let gate = Arc::new(Semaphore::new(0));
    one.sql.plan(COMMIT, 1, Fault::Held(gate.clone()));
    let calls = one.calls(&a, "shop_me", 1);
    until("the token request is made", || world.net.counts().0 == 1).await;
    pass(SECOND).await;
    world.database().execute("DELETE FROM connections", []).unwrap();
    one.sql.plan("FROM connections WHERE tenant_id = $1 AND integration = $2 AND account = $3", 4, Fault::Lost);
    let began = world.net.now_ms();
    gate.add_permits(1);
    all(calls).await;
    let waited = world.net.now_ms() - began;
    assert!(waited >= 25 + 50 + 100 + 200 + 200, "four pauses, and the way to the place of revocation: {waited}");
    assert_eq!(world.net.tokens(Place::Revoke), ["R-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_06_an_absent_refresh_token_keeps_the_old_one_in_every_shape() {
    for integration in ["shop", "ads", "link", "lwa", "chat"] {
        let (world, one) = World::with_one().await;
        world.net.manner(|manner| manner.rotates = false);
        let (a, tool) = (one.tenant("a", integration, "R-a-0").await, format!("{integration}_me"));
        for _ in 0..3 {
            assert_eq!(one.call(&a, &tool).await, good("a"), "{integration}");
            pass(HOUR).await;
        }
        assert_eq!(world.net.tokens(Place::Token), ["R-a-0"; 3], "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_06_a_present_refresh_token_replaces_the_old_one_in_every_shape() {
    for integration in ["shop", "ads", "link", "lwa", "chat"] {
        let (world, one) = World::with_one().await;
        let (a, tool) = (one.tenant("a", integration, "R-a-0").await, format!("{integration}_me"));
        for _ in 0..3 {
            assert_eq!(one.call(&a, &tool).await, good("a"), "{integration}");
            pass(HOUR).await;
        }
        assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1", "R-a-2"], "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_06_a_token_without_expiry_is_renewed_when_it_is_refused_and_not_before() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.expires_in = None);
    let a = one.tenant("a", "shop", "R-a-0").await;
    for _ in 0..5 {
        assert_eq!(one.call(&a, "shop_me").await, good("a"));
        pass(10 * DAY).await;
    }
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
    world.net.refuse("A-a-1");
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_06_the_same_refresh_token_given_again_without_a_date_keeps_its_date() {
    let (world, one) = World::with_one().await;
    let kept = json!({"refresh_token": "R-a-0", "refresh_token_expires_in": 31_536_000});
    let a = one.tenant("a", "link", kept.to_string()).await;
    let end = world.column::<i64>("a", "ends_ms");
    world.net.manner(|manner| manner.rotates = false);
    world.net.script_token(Reply::Amend(json!({"refresh_token": "R-a-0"})));
    assert_eq!(one.call(&a, "link_me").await, good("a"));
    assert_eq!(world.column::<Option<i64>>("a", "ends_ms"), Some(end));
}
