//! Criterion 18: who disconnects or connects anew wins over a refresh under way.

use std::sync::Arc;

use kit::inbound::TenantCtx;
use kit::observe::Alarm;
use kit::store::connections::ConnectionState;
use tokio::sync::Semaphore;

use crate::net::{Place, Reply};
use crate::sql::Fault;
use crate::world::{Called, HOUR, Replica, World, all, bad, good, pair, pass, until};

type Calls = Vec<tokio::task::JoinHandle<Called>>;

/// A refresh whose token request waits for a permit of the semaphore.
async fn under_way(integration: &str, tool: &'static str) -> (World, Replica, TenantCtx, Calls, Arc<Semaphore>) {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", integration, "R-a-0").await;
    let gate = Arc::new(Semaphore::new(0));
    world.net.script_token(Reply::Held(gate.clone()));
    let calls = one.calls(&a, tool, 3);
    until("the token request is under way", || world.net.counts().0 == 1).await;
    (world, one, a, calls, gate)
}

#[tokio::test(start_paused = true)]
async fn criterion_18_a_disconnect_during_a_refresh_wins_and_the_result_is_revoked() {
    let (world, one, _, calls, gate) = under_way("shop", "shop_me").await;
    one.kit.operator.connection_remove("a", "shop", "default").await.unwrap();
    gate.add_permits(1);
    let gone = bad("no_credentials", "tenant `a` has no Shop connection for the integration `shop`");
    assert_eq!(all(calls).await, vec![gone; 3]);
    assert_eq!(world.net.tokens(Place::Revoke), ["R-a-1"]);
    assert!(one.kit.operator.connection_list("a").await.unwrap().is_empty());
    assert_eq!((world.net.counts(), world.alarms()), ((1, 0), vec![]));
}

#[tokio::test(start_paused = true)]
async fn criterion_18_the_deletion_of_the_tenant_during_a_refresh_wins() {
    let (world, one, _, calls, gate) = under_way("shop", "shop_me").await;
    one.kit.operator.tenant_delete("a").await.unwrap();
    gate.add_permits(1);
    let gone = bad("no_credentials", "tenant `a` has no Shop connection for the integration `shop`");
    assert_eq!(all(calls).await, vec![gone; 3]);
    assert_eq!(one.kit.refresher.under_way(), 0);
    assert_eq!((world.net.tokens(Place::Revoke), world.alarms()), (vec!["R-a-1".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn criterion_18_nothing_is_revoked_where_the_provider_has_no_place_for_it() {
    let (world, one, _, calls, gate) = under_way("link", "link_me").await;
    one.kit.operator.connection_remove("a", "link", "default").await.unwrap();
    gate.add_permits(1);
    all(calls).await;
    assert_eq!(world.net.tokens(Place::Revoke), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn criterion_18_a_replacement_during_a_refresh_wins_and_the_result_is_revoked() {
    let (world, one, a, calls, gate) = under_way("shop", "shop_me").await;
    one.connect("a", "shop", pair("b", 3_600)).await;
    gate.add_permits(1);
    assert_eq!(all(calls).await, vec![good("b"); 3]);
    assert_eq!(world.net.tokens(Place::Revoke), ["R-a-1"]);
    pass(HOUR).await;
    assert_eq!(one.call(&a, "shop_me").await, good("b"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-b-0"]);
    assert_eq!(world.alarms(), []);
}

#[tokio::test(start_paused = true)]
async fn criterion_18_a_refresh_token_that_did_not_change_is_not_revoked_after_a_replacement() {
    // Google ends a whole consent when any token of it is revoked, the replacement's too.
    let (world, one, _, calls, gate) = under_way("ads", "ads_me").await;
    world.net.manner(|manner| manner.rotates = false);
    one.connect("a", "ads", pair("b", 3_600)).await;
    gate.add_permits(1);
    assert_eq!(all(calls).await, vec![good("b"); 3]);
    assert_eq!(world.net.tokens(Place::Revoke), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn criterion_18_the_same_refresh_token_set_again_during_a_refresh_is_not_revoked() {
    let (world, one, a, calls, gate) = under_way("ads", "ads_me").await;
    world.net.manner(|manner| manner.rotates = false);
    one.connect("a", "ads", "R-a-0").await;
    gate.add_permits(1);
    all(calls).await;
    assert_eq!(world.net.tokens(Place::Revoke), [""; 0]);
    assert_eq!(one.call(&a, "ads_me").await, good("a"));
}

#[tokio::test(start_paused = true)]
async fn criterion_18_a_replacement_that_meets_a_commit_wins() {
    let (world, one) = World::with_one().await;
    let (a, gate) = (one.tenant("a", "shop", "R-a-0").await, Arc::new(Semaphore::new(0)));
    // The replacement has read the old version when the refresh commits.
    one.sql.plan("INSERT INTO connections", 1, Fault::Held(gate.clone()));
    let other = one.clone();
    let replacing = tokio::spawn(async move { other.connect("a", "shop", pair("b", 3_600)).await });
    pass(1).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    gate.add_permits(1);
    replacing.await.unwrap();
    assert_eq!(one.call(&a, "shop_me").await, good("b"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_18_another_target_chosen_during_a_refresh_keeps_both() {
    let (world, one, a, calls, gate) = under_way("lwa", "lwa_me").await;
    one.kit.operator.connection_target("a", "lwa", "default", "22").await.unwrap();
    gate.add_permits(1);
    assert_eq!(all(calls).await, vec![good("a"); 3]);
    let sent: Vec<_> = world.net.seen(Place::Api).into_iter().map(|seen| (seen.token, seen.profile.unwrap())).collect();
    assert_eq!(sent, vec![("A-a-1".to_owned(), "22".to_owned()); 3]);
    pass(HOUR).await;
    assert_eq!(one.call(&a, "lwa_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-1"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_18_another_target_chosen_while_the_refresh_token_is_refused_is_dead_at_once() {
    let (world, one, a, calls, gate) = under_way("lwa", "lwa_me").await;
    one.kit.operator.connection_target("a", "lwa", "default", "22").await.unwrap();
    world.net.revoke("a");
    gate.add_permits(1);
    let dead = bad("reconnect_required", "Lwa no longer accepts the credential of this connection");
    assert_eq!(all(calls).await, vec![dead.clone(); 3]);
    assert_eq!(one.call(&a, "lwa_me").await, dead);
    assert_eq!((one.state("a").await, world.alarms()), (ConnectionState::NeedsReconnect, vec![Alarm::ReconnectNeeded]));
    assert_eq!(world.net.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn criterion_18_a_data_key_replaced_during_a_refresh_costs_no_token() {
    let (world, one, _, calls, gate) = under_way("shop", "shop_me").await;
    one.kit.operator.vault_rotate_dek("a").await.unwrap();
    gate.add_permits(1);
    assert_eq!(all(calls).await, vec![good("a"); 3]);
    assert_eq!(world.net.tokens(Place::Api), vec!["A-a-1"; 3]);
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_18_a_data_key_replaced_during_the_exchange_of_a_machine_token_costs_no_token() {
    let (world, one) = World::with_one().await;
    let kept = serde_json::json!({"access_token": "A-a-0", "expires_in": 60 * 86_400});
    let a = one.tenant("a", "meta", kept.to_string()).await;
    pass(55 * 24 * HOUR).await;
    let gate = Arc::new(Semaphore::new(0));
    world.net.script_token(Reply::Held(gate.clone()));
    assert_eq!(one.call(&a, "meta_me").await, good("a"), "the token at hand is still good");
    until("the exchange is under way", || world.net.counts().0 == 1).await;
    one.kit.operator.vault_rotate_dek("a").await.unwrap();
    gate.add_permits(1);
    until("the exchange is over", || one.kit.refresher.under_way() == 0).await;
    assert_eq!(one.call(&a, "meta_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Api), ["A-a-0", "A-a-1"]);
}
