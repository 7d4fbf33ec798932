//! Criteria 10 to 12: what the token endpoint's no means.

use std::sync::Arc;

use kit::observe::Alarm;
use kit::operator::NewConnection;
use kit::ports::SendError;
use kit::prelude::{Secret, json};
use kit::store::connections::ConnectionState;
use tokio::sync::Semaphore;

use crate::net::{CLIENT_SECRET, Place, Reply};
use crate::world::{HOUR, MINUTE, SECOND, World, all, bad, good, pair, pass, until};

const WRONG_APP: &str = "cannot be reached: the authorization server refuses the app's id or secret";

fn dead(title: &str) -> crate::world::Called {
    bad("reconnect_required", &format!("{title} no longer accepts the credential of this connection"))
}

// 10: dead.

#[tokio::test(start_paused = true)]
async fn criterion_10_invalid_grant_needs_a_reconnect_and_stops_all_requests() {
    for (integration, title) in [("shop", "Shop"), ("ads", "Ads"), ("link", "Link"), ("lwa", "Lwa"), ("chat", "Chat")] {
        let (world, one) = World::with_one().await;
        let (a, tool) = (one.tenant("a", integration, "R-a-0").await, format!("{integration}_me"));
        world.net.revoke("a");
        let other = world.replica().await;
        for _ in 0..20 {
            assert_eq!(one.call(&a, &tool).await, dead(title));
            assert_eq!(other.call(&a, &tool).await, dead(title));
            pass(HOUR).await;
        }
        assert_eq!(world.net.counts(), (1, 0), "{integration}");
        let connection = one.connection("a").await;
        assert_eq!(connection.state, ConnectionState::NeedsReconnect);
        let reason = "the authorization server no longer accepts the refresh token";
        assert_eq!(connection.reason.as_deref(), Some(reason), "{integration}");
        assert!((1_800_000_000_000..1_800_000_010_000).contains(&connection.changed_ms), "when it was found out");
        assert_eq!(world.alarms(), [Alarm::ReconnectNeeded], "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_10_a_no_with_status_200_needs_a_reconnect() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "chat", "R-a-0").await;
    world.net.script_token(Reply::json(200, &json!({"ok": false, "error": "invalid_refresh_token"})));
    assert_eq!(one.call(&a, "chat_me").await, dead("Chat"));
    assert_eq!((one.state("a").await, world.net.counts()), (ConnectionState::NeedsReconnect, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn criterion_10_code_190_at_the_exchange_of_a_machine_token_needs_a_reconnect() {
    let (world, one) = World::with_one().await;
    let kept = json!({"access_token": "A-a-0", "expires_in": 60 * 86_400});
    let a = one.tenant("a", "meta", kept.to_string()).await;
    pass(55 * 24 * HOUR).await;
    world.net.script_token(Reply::json(400, &json!({"error": {"code": 190, "error_subcode": 460}})));
    assert_eq!(one.call(&a, "meta_me").await, good("a"), "the token at hand is still sent");
    until("the exchange is over", || one.kit.refresher.under_way() == 0).await;
    assert_eq!(one.call(&a, "meta_me").await, dead("Meta"));
    assert_eq!((one.state("a").await, world.net.counts()), (ConnectionState::NeedsReconnect, (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn criterion_10_a_new_connection_ends_the_silence() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    world.net.revoke("a");
    assert_eq!(one.call(&a, "shop_me").await, dead("Shop"));
    one.connect("a", "shop", "R-b-0").await;
    assert_eq!(one.call(&a, "shop_me").await, good("b"));
}

#[tokio::test(start_paused = true)]
async fn criterion_10_who_finds_that_another_has_won_marks_nothing() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let gate = Arc::new(Semaphore::new(0));
    world.net.script_token(Reply::Held(gate.clone()));
    let calls = one.calls(&a, "shop_me", 3);
    until("the token request is under way", || world.net.counts().0 == 1).await;
    world.replica().await.connect("a", "shop", pair("b", 3_600)).await;
    world.net.revoke("a");
    gate.add_permits(1);
    assert_eq!(all(calls).await, vec![good("b"); 3]);
    assert_eq!((one.state("a").await, world.alarms()), (ConnectionState::Active, vec![]));
}

// 11: the owner's fault.

#[tokio::test(start_paused = true)]
async fn criterion_11_a_refused_app_blames_no_tenant_and_alarms_once() {
    for reply in [
        Reply::error(401, "invalid_client"),
        Reply::error(400, "invalid_client"),
        Reply::error(400, "unauthorized_client"),
        Reply::html(401),
        Reply::json(200, &json!({"ok": false, "error": "bad_client_secret"})),
    ] {
        let (world, one) = World::with_one().await;
        for name in ["a", "b", "c"] {
            let tenant = one.tenant(name, "shop", format!("R-{name}-0")).await;
            for _ in 0..3 {
                world.net.script_family(name, reply.clone());
            }
            for _ in 0..5 {
                assert_eq!(one.call(&tenant, "shop_me").await, bad("misconfigured", &format!("Shop {WRONG_APP}")));
            }
            assert_eq!(one.state(name).await, ConnectionState::Misconfigured);
        }
        assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-b-0", "R-c-0"]);
        assert_eq!(world.named_alarms(), [(Alarm::AppRejected, "a".to_owned(), "shop".to_owned())]);
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_11_a_good_app_puts_all_its_connections_back_to_work() {
    let (world, one) = World::with_one().await;
    world.net.manner(|manner| manner.client_secret = "another".to_owned());
    let mut tenants = Vec::new();
    for name in ["a", "b"] {
        tenants.push(one.tenant(name, "shop", format!("R-{name}-0")).await);
    }
    for tenant in &tenants {
        one.call(tenant, "shop_me").await.unwrap_err();
    }
    one.app_set("shop", "another").await;
    for (tenant, name) in tenants.iter().zip(["a", "b"]) {
        assert_eq!(one.state(name).await, ConnectionState::Active);
        assert_eq!(one.call(tenant, "shop_me").await, good(name));
    }
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-b-0", "R-a-0", "R-b-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_11_an_app_that_is_refused_again_later_alarms_again() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    for _ in 0..2 {
        world.net.manner(|manner| manner.client_secret = "another".to_owned());
        one.call(&a, "shop_me").await.unwrap_err();
        world.net.manner(|manner| manner.client_secret = CLIENT_SECRET.to_owned());
        one.app_set("shop", CLIENT_SECRET).await;
        assert_eq!(one.call(&a, "shop_me").await, good("a"));
        pass(HOUR).await;
    }
    assert_eq!(world.alarms(), [Alarm::AppRejected; 2]);
}

#[tokio::test(start_paused = true)]
async fn criterion_11_a_token_that_is_still_good_is_used_while_the_app_is_wrong() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    world.net.manner(|manner| manner.client_secret = "another".to_owned());
    pass(57 * MINUTE).await;
    for _ in 0..100 {
        assert_eq!(one.call(&a, "shop_me").await, good("a"));
        pass(SECOND).await;
    }
    assert_eq!((one.state("a").await, world.alarms()), (ConnectionState::Active, vec![Alarm::AppRejected]));
    let requests = world.net.counts().0;
    assert!((5..=7).contains(&requests), "backed off: {requests}");
    // The cool-down of the wrong app does not hold up the good one.
    one.app_set("shop", "another").await;
    pass(100 * SECOND).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
}

#[tokio::test(start_paused = true)]
async fn criterion_11_an_app_set_on_another_process_is_used_at_once() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "lwa", 3_600).await;
    assert_eq!(one.call(&a, "lwa_me").await, good("a"));
    // The command line is a process of its own; the server believes what it has read of the app for ten seconds.
    world.net.manner(|manner| manner.client_secret = "another".to_owned());
    world.replica().await.app_set("lwa", "another").await;
    world.net.refuse("A-a-0");
    assert_eq!(one.call(&a, "lwa_me").await, good("a"));
    let secrets: Vec<_> =
        world.net.seen(Place::Token).iter().map(|seen| seen.params["client_secret"].clone()).collect();
    assert_eq!(secrets, [CLIENT_SECRET, "another"]);
    assert_eq!((one.state("a").await, world.alarms()), (ConnectionState::Active, vec![]));
}

#[tokio::test(start_paused = true)]
async fn criterion_11_an_app_set_while_the_old_one_is_refused_puts_the_connection_back_to_work() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    world.net.script_token(Reply::error(401, "invalid_client"));
    let gate = Arc::new(Semaphore::new(0));
    one.sql.plan("SET state = $5, reason = $6", 1, crate::sql::Fault::Held(gate.clone()));
    let calls = one.calls(&a, "shop_me", 1);
    pass(SECOND).await;
    world.replica().await.app_set("shop", CLIENT_SECRET).await;
    gate.add_permits(1);
    all(calls).await;
    pass(10 * SECOND).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(one.state("a").await, ConnectionState::Active);
}

#[tokio::test(start_paused = true)]
async fn criterion_11_a_tenants_own_app_that_is_refused_is_not_the_owners() {
    let (world, one) = World::with_one().await;
    let (a, b) = (one.tenant("a", "shop", "R-a-0").await, one.tenant("b", "shop", "R-b-0").await);
    one.kit.operator.app_set("shop", Some("a"), "client", Secret::from("wrong")).await.unwrap();
    assert_eq!(one.call(&a, "shop_me").await, bad("misconfigured", &format!("Shop {WRONG_APP}")));
    assert_eq!(one.call(&b, "shop_me").await, good("b"));
    assert_eq!(world.named_alarms(), [(Alarm::AppRejected, "a".to_owned(), "shop".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn criterion_11_a_connection_without_target_is_not_active_after_a_good_app() {
    let (world, one) = World::with_one().await;
    one.kit.operator.tenant_add("a").await.unwrap();
    let new = NewConnection { site: Some("eu"), ..NewConnection::new("a", "lwa", Secret::from("R-a-0")) };
    one.kit.operator.connection_set(new).await.unwrap();
    world.net.manner(|manner| manner.client_secret = "another".to_owned());
    let error = one.kit.operator.connection_targets("a", "lwa", "default").await.unwrap_err();
    assert_eq!(error.to_string(), format!("Lwa {WRONG_APP}"));
    one.app_set("lwa", "another").await;
    assert_eq!(one.state("a").await, ConnectionState::NeedsTarget);
    assert_eq!(one.kit.operator.connection_targets("a", "lwa", "default").await.unwrap().len(), 2);
}

// 12: its own trouble.

#[tokio::test(start_paused = true)]
async fn criterion_12_trouble_of_the_token_endpoint_keeps_the_connection_and_backs_off() {
    for (reply, reason) in [
        (Reply::json(500, &json!({})), "the authorization server failed"),
        (Reply::html(503), "the authorization server failed"),
        (Reply::limit(429, "0"), "the authorization server limits its requests"),
        (Reply::Never, "the authorization server did not answer in time"),
        (Reply::Fail(SendError::Timeout), "the authorization server did not answer in time"),
        (Reply::Fail(SendError::Connect), "the authorization server cannot be reached"),
    ] {
        let (world, one) = World::with_one().await;
        let a = one.tenant("a", "shop", "R-a-0").await;
        world.net.script_token(reply);
        let message = format!("the connection to Shop could not be renewed: {reason}");
        assert_eq!(one.call(&a, "shop_me").await, bad("unavailable", &message));
        let error = one.raw(&a, "shop_me").await.unwrap_err();
        assert_eq!(error.message(), "the connection to Shop cannot be renewed just now");
        let wait = error.to_value()["error"]["retry_after_ms"].as_i64().unwrap();
        assert!((1..=1_250).contains(&wait), "{wait}");
        assert_eq!((world.net.counts(), one.state("a").await), ((1, 0), ConnectionState::Active));
        pass(wait).await;
        assert_eq!(one.call(&a, "shop_me").await, good("a"));
        assert_eq!((world.net.counts(), world.alarms()), ((2, 1), vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_12_each_further_failure_doubles_the_wait_up_to_five_minutes_with_jitter() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "shop", "R-a-0").await;
    let mut waits = Vec::new();
    for _ in 0..12 {
        world.net.script_token(Reply::html(500));
        one.call(&a, "shop_me").await.unwrap_err();
        let now = 1_800_000_000_000 + world.net.now_ms();
        let wait = world.column::<i64>("a", "retry_at_ms") - now;
        waits.push(wait);
        pass(wait + 1).await;
    }
    let bases = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
    for (wait, base) in waits.iter().zip(bases) {
        assert!((base * SECOND - 2..=base * 1_250).contains(wait), "{base}: {waits:?}");
    }
    let exact = waits.iter().zip(bases).filter(|(wait, base)| **wait <= *base * SECOND).count();
    assert!(exact < 4, "jitter: {waits:?}");
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.column::<i64>("a", "failures"), 0);
}

#[tokio::test(start_paused = true)]
async fn criterion_12_retry_after_is_honoured_in_its_three_forms() {
    let date = |ms: i64| {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms.unsigned_abs());
        httpdate(at)
    };
    for (text, headers_date, wait) in [
        ("120".to_owned(), None, 120_000),
        ("90.5".to_owned(), None, 90_500),
        (date(1_700_000_060_000), Some(date(1_700_000_000_000)), 60_000),
    ] {
        for status in [429, 503] {
            let (world, one) = World::with_one().await;
            let a = one.tenant("a", "shop", "R-a-0").await;
            let mut headers = vec![("Retry-After", text.clone())];
            headers.extend(headers_date.clone().map(|date| ("Date", date)));
            world.net.script_token(Reply::Give(status, headers, "{}".to_owned()));
            one.call(&a, "shop_me").await.unwrap_err();
            pass(wait - 100).await;
            one.call(&a, "shop_me").await.unwrap_err();
            assert_eq!(world.net.counts(), (1, 0), "{text}");
            pass(100).await;
            assert_eq!(one.call(&a, "shop_me").await, good("a"), "{text}");
        }
    }
}

/// A date as HTTP writes it; only whole days since a known Tuesday are needed here.
fn httpdate(at: std::time::SystemTime) -> String {
    let seconds = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() - 1_699_920_000;
    assert!(seconds < 86_400 * 3);
    let (day, rest) = (seconds / 86_400, seconds % 86_400);
    let name = ["Tue", "Wed", "Thu"][usize::try_from(day).unwrap()];
    format!("{name}, {:02} Nov 2023 {:02}:{:02}:{:02} GMT", 14 + day, rest / 3_600, rest / 60 % 60, rest % 60)
}

#[tokio::test(start_paused = true)]
async fn criterion_12_a_token_that_is_still_good_is_used_and_the_endpoint_left_alone() {
    let (world, replicas) = World::with_three().await;
    let a = replicas[0].tenant_with_pair("a", "shop", 3_600).await;
    pass(57 * MINUTE).await;
    world.net.script_token(Reply::limit(429, "60"));
    for _ in 0..50 {
        let calls = replicas.iter().flat_map(|replica| replica.calls(&a, "shop_me", 2)).collect();
        assert_eq!(all(calls).await, vec![good("a"); 6]);
        pass(SECOND).await;
    }
    assert_eq!((world.net.counts(), replicas[0].state("a").await), ((1, 300), ConnectionState::Active));
    pass(20 * SECOND).await;
    assert_eq!(replicas[0].call(&a, "shop_me").await, good("a"));
    until("the refresh is over", || replicas[0].kit.refresher.under_way() == 0).await;
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0", "R-a-0"]);
}
