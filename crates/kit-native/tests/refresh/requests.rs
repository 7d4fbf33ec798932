//! Criteria 13 to 17 and 20: what an upstream's no means, what is sent twice, and whose token a request carries.

use std::sync::{Arc, Mutex};

use kit::error::ErrorKind;
use kit::operator::NewConnection;
use kit::ports::SendError;
use kit::secret::Secret;
use kit::store::connections::ConnectionState;
use serde_json::json;

use crate::net::{Place, Reply};
use crate::world::{HOUR, SECOND, World, all, bad, good, pass, until};

#[tokio::test(start_paused = true)]
async fn criterion_13_a_refused_token_is_renewed_once_and_the_request_sent_once_more() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    world.net.refuse("A-a-0");
    let calls = one.calls(&a, "shop_me", 10);
    assert_eq!(all(calls).await, vec![good("a"); 10]);
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
    assert_eq!(world.net.tokens(Place::Api).iter().filter(|token| *token == "A-a-1").count(), 10);
}

#[tokio::test(start_paused = true)]
async fn criterion_13_a_fresh_token_that_is_refused_too_ends_the_call_and_starts_no_storm() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    ["A-a-0", "A-a-1"].iter().for_each(|token| world.net.refuse(token));
    let refused = bad("upstream_error", "Shop refused a credential that was just renewed");
    assert_eq!(one.call(&a, "shop_me").await, refused);
    assert_eq!(world.net.counts(), (1, 2));
    for _ in 0..5 {
        assert!(one.call(&a, "shop_me").await.is_err());
    }
    assert_eq!(world.net.counts().0, 1);
    pass(31 * SECOND).await;
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    assert_eq!(one.state("a").await, ConnectionState::Active);
}

#[tokio::test(start_paused = true)]
async fn criterion_13_a_token_that_another_replica_renewed_is_taken_and_not_renewed_again() {
    let (world, [one, two, _]) = World::with_three().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    assert_eq!(two.call(&a, "shop_me").await, good("a"));
    world.net.refuse("A-a-0");
    assert_eq!(one.call(&a, "shop_me").await, good("a"));
    // The second one still has the old token in its cache.
    assert_eq!(two.call(&a, "shop_me").await, good("a"));
    assert_eq!(world.net.tokens(Place::Token), ["R-a-0"]);
}

#[tokio::test(start_paused = true)]
async fn criterion_14_a_key_that_is_refused_asks_for_a_person_at_once() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "key", "A-a-0").await;
    world.net.refuse("A-a-0");
    for _ in 0..3 {
        assert_eq!(one.call(&a, "key_me").await.unwrap_err().0, "reconnect_required");
    }
    assert_eq!(world.net.counts(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn criterion_14_a_dead_token_inside_a_400_asks_for_a_person_and_is_not_exchanged() {
    let (world, one) = World::with_one().await;
    let a = one.tenant("a", "meta", "A-a-0").await;
    world.net.script_api(Reply::json(400, &json!({"error": {"code": 190, "message": "CANARY"}})));
    assert_eq!(one.call(&a, "meta_me").await.unwrap_err().0, "reconnect_required");
    assert_eq!((world.net.counts(), one.state("a").await), ((0, 1), ConnectionState::NeedsReconnect));
}

#[tokio::test(start_paused = true)]
async fn criterion_14_an_expired_token_inside_a_200_is_renewed() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "chat", 43_200).await;
    world.net.script_api(Reply::json(200, &json!({"ok": false, "error": "token_expired"})));
    assert_eq!(one.call(&a, "chat_me").await, good("a"));
    assert_eq!(world.net.counts(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn criterion_14_what_a_credential_may_not_do_renews_nothing() {
    let refusals = [
        ("shop", Reply::json(403, &json!({}))),
        ("shop", Reply::json(200, &json!({"errors": [{"extensions": {"code": "ACCESS_DENIED"}}]}))),
        ("ads", Reply::json(403, &json!({}))),
        ("link", Reply::json(403, &json!({}))),
        ("lwa", Reply::json(403, &json!({}))),
        ("meta", Reply::json(400, &json!({"error": {"code": 200}}))),
        ("chat", Reply::json(200, &json!({"ok": false, "error": "missing_scope"}))),
    ];
    for (integration, reply) in refusals {
        let (world, one) = World::with_one().await;
        let a = one.tenant_with_pair("a", integration, 3_600).await;
        world.net.script_api(reply);
        let error = one.raw(&a, &format!("{integration}_me")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{integration}");
        assert_eq!((world.net.counts(), one.state("a").await), ((0, 1), ConnectionState::Active), "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_15_a_limit_is_read_in_every_form_and_renews_nothing() {
    let throttled = json!({"errors": [{"extensions": {"code": "THROTTLED"}}],
        "extensions": {"cost": {"requestedQueryCost": 252, "throttleStatus": {"currentlyAvailable": 48, "restoreRate": 100}}}});
    // In the form of `throttled`: the code of the error stands in the list, its cost beside it.
    let shop = json!({"errors": [{"extensions": {"code": "THROTTLED", "cost": throttled["extensions"]["cost"]}}]});
    let delay =
        json!({"error": {"details": [{"errors": [{"details": {"quotaErrorDetails": {"retryDelay": "1.5s"}}}]}]}});
    let limits = [
        ("shop", Reply::limit(429, "2.0"), Some(2_000)),
        ("ads", Reply::json(429, &delay), Some(1_500)),
        ("ads", Reply::limit(429, "30"), Some(30_000)),
        ("lwa", Reply::limit(429, "Fri, 15 Jan 2027 08:00:30 GMT"), Some(30_000)),
        ("chat", Reply::limit(429, "5"), Some(5_000)),
        ("meta", Reply::json(400, &json!({"error": {"code": 80_004}})), None),
        ("shop", Reply::json(200, &shop), Some(0)),
    ];
    for (integration, reply, expected) in limits {
        let (world, one) = World::with_one().await;
        let a = one.tenant_with_pair("a", integration, 3_600).await;
        world.net.script_api(reply);
        let error = one.raw(&a, &format!("{integration}_me")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UpstreamRateLimited, "{integration}");
        let wait = error.to_value()["error"]["retry_after_ms"].as_i64();
        let close = wait.zip(expected).is_none_or(|(wait, expected): (i64, i64)| (wait - expected).abs() <= 1_000);
        assert!(wait.is_some() == expected.is_some() && close, "{integration}: {wait:?} for {expected:?}");
        assert_eq!((world.net.counts(), one.state("a").await), ((0, 1), ConnectionState::Active), "{integration}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_16_only_what_reads_is_sent_again_when_a_connection_breaks() {
    for (tool, requests, ok) in [("shop_me", 2, true), ("shop_search", 2, true), ("shop_write", 1, false)] {
        let (world, one) = World::with_one().await;
        let a = one.tenant_with_pair("a", "shop", 3_600).await;
        world.net.script_api(Reply::Fail(SendError::Broken));
        assert_eq!(one.call(&a, tool).await.is_ok(), ok, "{tool}");
        assert_eq!(world.net.counts(), (0, requests), "{tool}");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_16_nothing_is_sent_again_after_a_time_out_or_a_failure() {
    for reply in [Reply::Fail(SendError::Timeout), Reply::json(500, &json!({})), Reply::json(503, &json!({}))] {
        let (world, one) = World::with_one().await;
        let a = one.tenant_with_pair("a", "shop", 3_600).await;
        world.net.script_api(reply);
        assert!(one.call(&a, "shop_write").await.is_err());
        assert_eq!(world.net.counts(), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_16_a_write_whose_token_was_refused_was_not_done_and_is_sent_again() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("a", "shop", 3_600).await;
    world.net.refuse("A-a-0");
    assert_eq!(one.call(&a, "shop_write").await, good("a"));
    assert_eq!(world.net.counts(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn criterion_17_a_tenant_whose_refresh_hangs_delays_no_other() {
    let (world, one) = World::with_one().await;
    let (a, b) = (one.tenant_with_pair("a", "shop", 3_600).await, one.tenant_with_pair("b", "shop", 3_600).await);
    pass(HOUR).await;
    world.net.script_family("a", Reply::Never);
    let hanging = one.calls(&a, "shop_me", 5);
    until("it asks", || world.net.counts().0 == 1).await;
    let began = world.net.now_ms();
    assert_eq!(one.call(&b, "shop_me").await, good("b"));
    assert!(world.net.now_ms() - began < 1_000);
    assert!(all(hanging).await.iter().all(Result::is_err));
}

/// Every shape, on its good and its bad ways.
/// Everything that is logged, at the most talkative level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_17_no_secret_is_in_a_report_a_log_an_error_or_the_database() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let (world, one) = World::with_one().await;
    let mut said = String::new();
    for integration in ["shop", "ads", "link", "meta", "lwa", "chat", "key"] {
        let (name, tool) = (format!("canary-{integration}"), format!("{integration}_me"));
        let tenant = match integration {
            "key" => one.tenant(&name, integration, format!("A-{name}-0")).await,
            _ => one.tenant_with_pair(&name, integration, 3_600).await,
        };
        drop(one.call(&tenant, &tool).await);
        let troubles = [
            Reply::html(500),
            Reply::json(403, &json!({"error": "CANARY"})),
            Reply::limit(429, "1"),
            Reply::error(418, "CANARY"),
        ];
        for reply in troubles {
            world.net.script_api(reply);
            said += &format!("{:?}", one.raw(&tenant, &tool).await.err());
        }
        pass(HOUR).await;
        for reply in [Reply::html(500), Reply::error(400, "CANARY"), Reply::Never] {
            world.net.script_token(reply);
            said += &format!("{:?}", one.raw(&tenant, &tool).await.err());
            pass(60 * SECOND).await;
        }
        drop(one.call(&tenant, &tool).await);
        world.net.revoke(&name);
        pass(HOUR).await;
        said += &format!("{:?}", one.raw(&tenant, &tool).await.err());
        said += &format!("{:?}", one.connection(&name).await);
    }
    said += &world.reported();
    let logged = String::from_utf8(std::mem::take(&mut *log.0.lock().unwrap())).unwrap();
    assert!(logged.contains("tenant=\"canary-link\""), "the log is there: {logged}");
    said += &logged;
    let mut stored = Vec::new();
    for file in ["store.db", "store.db-wal"] {
        stored.extend(std::fs::read(world.folder.path().join(file)).unwrap_or_default());
    }
    let stored = String::from_utf8_lossy(&stored);
    assert!(said.contains("canary-link") && stored.contains("canary-link"), "the names are there");
    for secret in ["CANARY", "A-canary", "R-canary"] {
        assert!(!said.contains(secret), "{secret}: {said}");
        assert!(!stored.contains(secret), "{secret} is in the database");
    }
}

#[tokio::test(start_paused = true)]
async fn criterion_20_a_connection_without_a_profile_is_not_active_and_choosing_one_asks_for_no_token() {
    let (world, one) = World::with_one().await;
    let a = one.tenant_with_pair("b", "key", 3_600).await;
    drop(a);
    one.kit.operator.tenant_add("a").await.unwrap();
    let secret = Secret::from(crate::world::pair("a", 3_600).as_str());
    let new = NewConnection { site: Some("eu"), ..NewConnection::new("a", "lwa", secret) };
    one.kit.operator.connection_set(new).await.unwrap();
    let a = one.local("a").await;
    assert_eq!(one.state("a").await, ConnectionState::NeedsTarget);
    assert_eq!(one.raw(&a, "lwa_me").await.unwrap_err().kind(), ErrorKind::NeedsTarget);
    assert_eq!(world.net.counts(), (0, 0));
    let targets = one.kit.operator.connection_targets("a", "lwa", "default").await.unwrap();
    assert_eq!(targets.iter().map(|target| target.id.as_str()).collect::<Vec<_>>(), ["11", "22"]);
    for id in ["11", "22"] {
        one.kit.operator.connection_target("a", "lwa", "default", id).await.unwrap();
        assert_eq!(one.call(&a, "lwa_me").await, good("a"));
        assert_eq!(world.net.seen(Place::Api).last().unwrap().profile.as_deref(), Some(id));
    }
    assert_eq!(world.net.counts().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_no_target_works_before_one_is_chosen_and_names_none_after() {
    let (world, one) = World::with_one().await;
    one.kit.operator.tenant_add("a").await.unwrap();
    let secret = Secret::from(crate::world::pair("a", 3_600).as_str());
    let new = NewConnection { site: Some("eu"), ..NewConnection::new("a", "lwa", secret) };
    one.tenant_with_pair("b", "key", 3_600).await;
    one.kit.operator.connection_set(new).await.unwrap();
    let a = one.local("a").await;
    let before = one.raw(&a, "lwa_choices").await.unwrap();
    one.kit.operator.connection_target("a", "lwa", "default", "22").await.unwrap();
    assert_eq!(one.raw(&a, "lwa_choices").await.unwrap(), before);
    assert!(world.net.seen(Place::Api).iter().all(|seen| seen.profile.is_none()));
}

/// There is no argument, header or setting by which a request could name another tenant's profile: it is sealed in the
/// same record as the tokens. The test counts what left the process.
#[tokio::test(start_paused = true)]
async fn criterion_20_each_tenants_token_travels_with_its_own_profile() {
    let (world, one) = World::with_one().await;
    let (a, b) = (one.tenant_with_pair("a", "lwa", 3_600).await, one.tenant_with_pair("b", "lwa", 3_600).await);
    one.kit.operator.connection_target("b", "lwa", "default", "22").await.unwrap();
    let calls = (0..20).flat_map(|n| one.calls(if n % 2 == 0 { &a } else { &b }, "lwa_me", 1)).collect();
    drop(all(calls).await);
    for seen in world.net.seen(Place::Api) {
        let expected = if seen.token.starts_with("A-a-") { "11" } else { "22" };
        assert_eq!(seen.profile.as_deref(), Some(expected), "{seen:?}");
    }
}
