//! Criteria 1 to 5: one refresh, whoever asks and whatever breaks.

use std::sync::Arc;

use kit::observe::Alarm;
use kit::store::connections::ConnectionState;
use tokio::sync::Semaphore;

use crate::net::{Place, Reply};
use crate::sql::Fault;
use crate::world::{HOUR, SECOND, World, all, good, pass, until};

/// Part of the statement that commits a refresh.
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
async fn criterion_02_a_replica_that_comes_second_waits_and_reads_again() {
    let (world, [one, two, _]) = World::with_three().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    let gate = Arc::new(Semaphore::new(0));
    world.net.script_token(Reply::Held(gate.clone()));
    let first = one.calls(&a, "shop_me", 1);
    until("the first asks", || world.net.counts().0 == 1).await;
    let second = two.calls(&a, "shop_me", 5);
    pass(3 * SECOND).await;
    gate.add_permits(1);
    assert_eq!(all(first).await, [good("a")]);
    assert_eq!(all(second).await, vec![good("a"); 5]);
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
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

/// The first process dies between the answer and the commit; a second one starts.
async fn after_a_death(grace: bool) -> (World, crate::world::Called) {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.grace = grace);
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    one.sql.plan(COMMIT, 1_000, Fault::Held(Arc::new(Semaphore::new(0))));
    let lost = one.calls(&a, "shop_me", 1);
    until("it asks", || world.net.counts().0 == 1).await;
    pass(SECOND).await;
    lost.iter().for_each(tokio::task::JoinHandle::abort);
    let two = world.replica().await;
    let mut answer = two.call(&a, "shop_me").await;
    while answer.as_ref().is_err_and(|(kind, _)| kind == "unavailable") {
        pass(10 * SECOND).await;
        answer = two.call(&a, "shop_me").await;
    }
    // What is settled stays settled: nothing goes round and round.
    for _ in 0..5 {
        assert_eq!(two.call(&a, "shop_me").await, answer);
    }
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-0"]);
    (world, answer)
}

#[tokio::test(start_paused = true)]
async fn criterion_04_after_a_death_before_the_commit_the_next_process_recovers_where_the_provider_lets_it() {
    assert_eq!(after_a_death(true).await.1, good("a"));
}

#[tokio::test(start_paused = true)]
async fn criterion_04_after_a_death_before_the_commit_a_person_is_asked_for_where_nothing_else_helps() {
    let (world, answer) = after_a_death(false).await;
    assert_eq!(answer.unwrap_err().0, "reconnect_required");
    assert_eq!(world.column::<String>("a", "state"), ConnectionState::NeedsReconnect.as_str());
}

#[tokio::test(start_paused = true)]
async fn criterion_05_tokens_that_cannot_be_written_are_kept_and_written_again() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    one.sql.plan(COMMIT, 5, Fault::Lost);
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
    assert_eq!(world.alarms(), [Alarm::RefreshUnsaved]);
}

#[tokio::test(start_paused = true)]
async fn criterion_05_a_write_whose_answer_is_lost_is_found_done() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    one.sql.plan(COMMIT, 1, Fault::Unheard);
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
    assert_eq!(world.net.tokens(Place::Revoke), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn criterion_05_a_caller_that_leaves_takes_no_refresh_with_it() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    pass(HOUR).await;
    let calls = one.calls(&a, "shop_me", 3);
    until("it asks", || world.net.counts().0 == 1).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    until("it is done", || one.kit.refresher.under_way() == 0).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
}
