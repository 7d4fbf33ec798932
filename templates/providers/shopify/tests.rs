//! Each tool against the sandbox, through the whole pipeline, as a tenant that authenticated.

use kit::App;
use kit::connect::{Callback, ConnectError, Finished, Start};
use kit::error::{ErrorKind, ToolError};
use kit::operator::NewConnection;
use kit::ports::Clock as _;
use kit::prelude::*;
use kit::tenant::{Account, TenantId};
use kit_native::testing::TestKit;

use super::provider::is_shop;

/// The tests name their own instance, so they hold under any name in `integrations/mod.rs`.
async fn test_kit() -> TestKit {
    TestKit::new(&App::new("test-server", "0.0.0").integration("s", super::integration())).await
}

/// Connects the tenant `acme` to `shop` with `secret`.
async fn connect(kit: &TestKit, shop: &str, secret: &Value) {
    let secret = Secret::from(secret.to_string().as_str());
    let new = NewConnection { site: Some(shop), ..NewConnection::new("acme", "s", secret) };
    kit.kit.operator.connection_set(new).await.unwrap();
}

/// What a call for orders of `shop` fails with.
async fn refused_by(shop: &str) -> ToolError {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    connect(&kit, shop, &json!({"access_token": FIRST_ACCESS_TOKEN})).await;
    kit.call(&tenant, "s_orders", json!({})).await.unwrap_err()
}

#[tokio::test]
async fn orders_come_newest_first_with_their_totals() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "s_orders", json!({"limit": 1})).await.unwrap();
    let order = json!({
        "id": "gid://shopify/Order/1005",
        "name": "#1005",
        "created_at": "2026-11-22T18:04:11Z",
        "financial_status": "PENDING",
        "fulfillment_status": "UNFULFILLED",
        "total": "36.5",
        "currency": "EUR",
    });
    assert_eq!(answer, json!({"orders": [order], "next_cursor": "sandbox-1"}));
}

#[tokio::test]
async fn orders_go_on_at_the_cursor_until_there_are_no_more() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let (mut names, mut arguments) = (Vec::new(), json!({"limit": 2}));
    loop {
        let page = kit.call(&tenant, "s_orders", arguments.clone()).await.unwrap();
        names.extend(page["orders"].as_array().unwrap().iter().map(|order| order["name"].clone()));
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => break,
        }
    }
    assert_eq!(names, ["#1005", "#1004", "#1003", "#1002", "#1001"]);
}

#[tokio::test]
async fn orders_keep_to_a_filter() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for (query, expected) in [
        ("financial_status:paid created_at:>=2026-11-10", json!(["#1004", "#1003"])),
        ("fulfillment_status:unfulfilled", json!(["#1005", "#1004"])),
        ("name:#1002", json!(["#1002"])),
        // It stays a value, whatever it holds.
        ("\"){shop{id}}", json!([])),
    ] {
        let answer = kit.call(&tenant, "s_orders", json!({"query": query})).await.unwrap();
        let names: Vec<&Value> = answer["orders"].as_array().unwrap().iter().map(|order| &order["name"]).collect();
        assert_eq!(json!(names), expected, "{query}");
    }
}

#[tokio::test]
async fn products_come_with_their_stock() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let answer = kit.call(&tenant, "s_products", json!({"query": "status:active wick"})).await.unwrap();
    let product = json!({
        "id": "gid://shopify/Product/9002",
        "title": "Wick trimmer",
        "handle": "wick-trimmer",
        "status": "ACTIVE",
        "vendor": "Little Lantern",
        "stock": -2,
        "updated_at": "2026-11-03T07:15:28Z",
    });
    assert_eq!(answer, json!({"products": [product]}));
    let first = kit.call(&tenant, "s_products", json!({"limit": 3})).await.unwrap();
    let rest = kit.call(&tenant, "s_products", json!({"limit": 3, "cursor": first["next_cursor"]})).await.unwrap();
    assert_eq!((rest["products"].as_array().map(Vec::len), rest.get("next_cursor")), (Some(1), None));
}

#[tokio::test]
async fn a_throttle_inside_a_200_says_how_long_to_wait() {
    let error = refused_by("throttled.myshopify.com").await;
    assert_eq!(error.kind(), ErrorKind::UpstreamRateLimited);
    // (252 - 48) / 100 a second.
    assert_eq!(error.to_value()["error"]["retry_after_ms"], 2_040);
}

#[tokio::test]
async fn what_a_shop_does_not_allow_is_no_matter_of_the_token() {
    for (shop, kind) in [
        ("narrow.myshopify.com", ErrorKind::Forbidden),
        ("frozen.myshopify.com", ErrorKind::Forbidden),
        ("locked.myshopify.com", ErrorKind::Forbidden),
        ("gone.myshopify.com", ErrorKind::NotFound),
    ] {
        assert_eq!(refused_by(shop).await.kind(), kind, "{shop}");
    }
}

#[tokio::test]
async fn an_order_that_may_not_be_read_leaves_the_products_readable() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    connect(&kit, "narrow.myshopify.com", &json!({"access_token": FIRST_ACCESS_TOKEN})).await;
    assert!(kit.call(&tenant, "s_products", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_cursor_that_shopify_did_not_give_is_refused() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.call(&tenant, "s_orders", json!({"cursor": "made-up"})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_on_the_way() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for _ in 0..3 {
        assert!(kit.call(&tenant, "s_orders", json!({})).await.is_ok());
        kit.clock.advance_ms(2 * 3_600_000);
    }
}

#[tokio::test]
async fn a_token_that_shopify_refuses_is_renewed_once() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let secret = json!({"access_token": "revoked", "refresh_token": FIRST_REFRESH_TOKEN, "expires_in": 3_600});
    connect(&kit, "little-lantern.myshopify.com", &secret).await;
    assert!(kit.call(&tenant, "s_orders", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_connection_whose_refresh_token_is_dead_asks_for_a_person() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for secret in [json!({"refresh_token": "revoked"}), json!({"access_token": "revoked"})] {
        connect(&kit, "little-lantern.myshopify.com", &secret).await;
        for _ in 0..2 {
            let error = kit.call(&tenant, "s_orders", json!({})).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
        }
    }
}

#[tokio::test]
async fn without_the_owners_app_the_operator_is_told_the_command() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    kit.kit.operator.app_remove("s", None).await.unwrap();
    let error = kit.call(&tenant, "s_orders", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_consent_connects_a_shop_with_tokens_that_end() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let shop = Some("other-shop.myshopify.com");
    kit.consent(&tenant, "s", shop, "allow").await.unwrap();
    assert!(kit.call(&tenant, "s_orders", json!({})).await.is_ok());
    // Had Shopify given a token for ever, nothing could renew it now.
    kit.clock.advance_ms(80 * 86_400_000);
    assert!(kit.call(&tenant, "s_orders", json!({})).await.is_ok());
    kit.clock.advance_ms(91 * 86_400_000);
    assert_eq!(kit.call(&tenant, "s_orders", json!({})).await.unwrap_err().kind(), ErrorKind::ReconnectRequired);
}

/// What somebody does to a query.
type Change = fn(&mut Vec<(String, String)>);

/// The way back from a consent, with something changed in it.
async fn forged(kit: &TestKit, change: Change) -> Result<Finished, ConnectError> {
    let tenant = kit.kit.authenticator.local(&TenantId::parse("acme").unwrap()).await.unwrap();
    let (account, site) = (Account::parse("default").unwrap(), Some("other-shop.myshopify.com"));
    let redirect_uri = "https://mcp.test/connect/callback";
    let start = Start { integration: "s", account: &account, site, redirect_uri, browser: "cookie", link: None };
    let mut url = kit.kit.connector.begin(&tenant, &start).await.unwrap().authorize_url;
    url.query_pairs_mut().append_pair("decision", "allow");
    let page = kit.kit.sandboxes.as_ref().unwrap().visit("s", url, kit.clock.wall_ms() / 1_000).unwrap();
    let mut query = callback_hmac::pairs(page.header("location").unwrap().split_once('?').unwrap().1);
    change(&mut query);
    kit.kit.connector.finish(&Callback { query: &query, browser: "cookie" }).await
}

#[tokio::test]
async fn a_way_back_that_shopify_did_not_sign_connects_nothing() {
    let kit = test_kit().await;
    kit.bare_tenant("first").await;
    kit.tenant("acme").await;
    assert!(forged(&kit, |_| {}).await.is_ok());
    let changes: [Change; 4] = [
        |query| query.retain(|(name, _)| name != "hmac"),
        |query| query.iter_mut().filter(|(name, _)| name == "hmac").for_each(|(_, value)| *value = "0".repeat(64)),
        |query| {
            query.iter_mut().filter(|(name, _)| name == "shop").for_each(|(_, value)| *value = "evil.test".to_owned())
        },
        |query| query.iter_mut().filter(|(name, _)| name == "timestamp").for_each(|(_, value)| value.push('0')),
    ];
    for change in changes {
        assert_eq!(forged(&kit, change).await, Err(ConnectError::Forged));
    }
    // Signed by Shopify, but for another shop than the one that was named.
    let other: Change = |query| {
        query.retain(|(name, _)| name != "hmac");
        query.iter_mut().filter(|(name, _)| name == "shop").for_each(|(_, value)| value.insert(0, 'x'));
        query.push(("hmac".to_owned(), callback_hmac::signature(query, &Secret::from(CLIENT_SECRET)).unwrap()));
    };
    assert_eq!(forged(&kit, other).await, Err(ConnectError::Forged));
}

#[tokio::test]
async fn a_consent_that_leaves_a_scope_out_names_it() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    let error = kit.consent(&tenant, "s", Some("little-lantern.myshopify.com"), "narrow").await.unwrap_err();
    assert_eq!(error.to_string(), "the consent left out: read_products");
}

#[tokio::test]
async fn nothing_is_sent_to_a_host_that_is_no_shop() {
    let kit = test_kit().await;
    let tenant = kit.tenant("acme").await;
    for host in ["evil.example", "myshopify.com", ".myshopify.com", "-a.myshopify.com", "a.b.myshopify.com", "a@b", ""]
    {
        assert!(!is_shop(host), "{host}");
        let new = NewConnection { site: Some(host), ..NewConnection::new("acme", "s", Secret::from("token")) };
        assert!(kit.kit.operator.connection_set(new).await.is_err(), "{host}");
        assert!(kit.consent(&tenant, "s", Some(host), "allow").await.is_err(), "{host}");
    }
    for host in ["a.myshopify.com", "Little-Lantern_2.myshopify.com"] {
        assert!(is_shop(host), "{host}");
    }
}
