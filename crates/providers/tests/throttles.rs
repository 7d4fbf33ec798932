//! Every provider's "too many requests", as its sandbox gives it: which breaker it opens, when, and for how long, and what the
//! caller is told. The table is `tests/fixtures/throttles.json`; `tests/server` asks a generated server the same through a
//! client that nobody here wrote. On a clock that is moved by hand: 2027-01-15T08:00:00Z.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use kit::App;
use kit::breaker::{Cause, View};
use kit::inbound::TenantCtx;
use kit::ports::Clock as _;
use kit::prelude::*;
use kit_native::testing::TestKit;

const TABLE: &str = include_str!("../../../tests/fixtures/throttles.json");

/// One answer of one provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    integration: String,
    title: String,
    tool: String,
    /// Of the call that is answered so.
    arguments: Value,
    /// What the provider asks for.
    says_ms: Option<i64>,
    /// How many of these in a row open a breaker.
    times: usize,
    /// Whose.
    opens: String,
    /// At least and at most.
    for_ms: [i64; 2],
    /// Of a call that goes well.
    good: Value,
}

fn integration(id: &str) -> Integration {
    match id {
        "amazon-ads" => providers::amazon_ads::integration(),
        "amazon-attribution" => providers::amazon_attribution::integration(),
        "google-ads" => providers::google_ads::integration(),
        "linkedin" => providers::linkedin::integration(),
        "meta" => providers::meta::integration(),
        "notion" => providers::notion::integration(),
        "shopify" => providers::shopify::integration(),
        "slack" => providers::slack::integration(),
        "supermetrics" => providers::supermetrics::integration(),
        other => panic!("{other}"),
    }
}

/// The error of a call, as a client gets it.
async fn refused(kit: &TestKit, tenant: &TenantCtx, tool: &str, arguments: &Value) -> Value {
    let error = kit.call(tenant, tool, arguments.clone()).await.expect_err("a refusal");
    error.to_value()["error"].clone()
}

/// Seconds behind eight o'clock, as RFC 3339 has it.
fn at(kit: &TestKit, wait_ms: i64) -> String {
    let ms = kit.clock.wall_ms() + wait_ms - 1_800_000_000_000;
    let seconds = 8 * 3_600 + (ms + 999) / 1_000;
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    format!("2027-01-{:02}T{:02}:{:02}:{:02}Z", 15 + days, seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// The whole error, whose wait is `wait_ms`.
fn expected(kit: &TestKit, row: &Row, wait_ms: Option<i64>) -> Value {
    let kind = "upstream_rate_limited";
    match wait_ms {
        Some(ms) => {
            let message = format!("Upstream rate limit: {} asked us to wait {} s", row.title, (ms + 999) / 1_000);
            json!({"type": kind, "message": message, "scope": "upstream", "retry_after_ms": ms, "retry_at": at(kit, ms)})
        }
        None => {
            let message =
                format!("Upstream rate limit: {} limits its requests and does not say for how long", row.title);
            json!({"type": kind, "message": message, "scope": "upstream"})
        }
    }
}

async fn holds(row: &Row) {
    let case = format!("{} {} {}", row.integration, row.tool, row.arguments);
    let kit = TestKit::new(&App::new("test-server", "0.0.0").integration("x", integration(&row.integration))).await;
    let (tenant, other) = (kit.tenant("acme").await, kit.tenant("other").await);
    let (tool, now_us) = (format!("x_{}", row.tool), || kit.clock.monotonic_us());
    // Until it opens, each caller is told what the provider says.
    for _ in 1..row.times {
        assert_eq!(refused(&kit, &tenant, &tool, &row.arguments).await, expected(&kit, row, row.says_ms), "{case}");
        assert_eq!(kit.kit.breakers.open(now_us()), [], "{case}");
    }
    let opened = refused(&kit, &tenant, &tool, &row.arguments).await;
    let wait_ms = opened["retry_after_ms"].as_i64().unwrap_or_default();
    assert!((row.for_ms[0]..=row.for_ms[1]).contains(&wait_ms), "{case}: {opened}");
    assert_eq!(opened, expected(&kit, row, Some(wait_ms)), "{case}");
    let open = kit.kit.breakers.open(now_us());
    let of_app = row.opens == "app";
    let whose = |name: &str| (!of_app).then(|| name.to_owned());
    let [View { retry_after_us, .. }] = open[..] else { panic!("{case}: {open:?}") };
    assert!(wait_ms * 1_000 - retry_after_us < 1_000, "{case}: {retry_after_us}");
    let view = View {
        integration: "x".into(),
        tenant: whose("acme"),
        account: whose("default"),
        cause: Cause::Throttled,
        retry_after_us,
    };
    assert_eq!(open, [view], "{case}");
    // Nothing is sent for it meanwhile, not even what would go well; for others it depends on whose limit it is.
    assert_eq!(refused(&kit, &tenant, &tool, &row.good).await, opened, "{case}");
    match of_app {
        true => assert_eq!(refused(&kit, &other, &tool, &row.good).await, opened, "{case}"),
        false => drop(kit.call(&other, &tool, row.good.clone()).await.unwrap()),
    }
    kit.clock.advance_ms(wait_ms - 1);
    assert_eq!(refused(&kit, &tenant, &tool, &row.good).await["type"], "upstream_rate_limited", "{case}");
    kit.clock.advance_ms(1);
    kit.call(&tenant, &tool, row.good.clone()).await.unwrap();
    assert_eq!(kit.kit.breakers.open(now_us()), [], "{case}");
}

#[tokio::test]
async fn every_providers_limit_opens_the_right_breaker_for_the_right_time() {
    let table: Vec<Row> = serde_json::from_str(TABLE).unwrap();
    for row in &table {
        holds(row).await;
    }
    let seen: BTreeSet<&str> = table.iter().map(|row| row.integration.as_str()).collect();
    assert_eq!(seen.len(), 9, "{seen:?}");
}
