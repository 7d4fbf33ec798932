//! Where the browser is led to, and the requests for tokens: by form (Google), by HTTP Basic and a form (Slack), by HTTP Basic and
//! JSON (Notion), by JSON (Shopify).

use serde_json::{Value, json};

use crate::requests::{consent, equal, nothing, take};

/// What both OAuth clients do that is the same in other words.
fn oauth(request: &mut Value) {
    // They name the charset, which a form has only one of.
    if request["headers"]["content-type"] == "application/x-www-form-urlencoded;charset=UTF-8" {
        request["headers"]["content-type"] = "application/x-www-form-urlencoded".into();
    }
    // `openid-client` escapes even the `-` of id and secret before they become HTTP Basic; RFC 6749 §2.3.1 has both as a form
    // would have them, and forms leave it.
    let (bare, escaped) = (
        "Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1jbGllbnQtc2VjcmV0",
        "Basic c2FuZGJveCUyRGNsaWVudDpzYW5kYm94JTJEY2xpZW50JTJEc2VjcmV0",
    );
    if request["headers"]["authorization"] == escaped {
        request["headers"]["authorization"] = bare.into();
    }
    // Authlib repeats the scopes in a refresh. RFC 6749 §6 has them default to what was granted.
    let is_refresh =
        request["body"].as_array().is_some_and(|pairs| pairs.contains(&json!(["grant_type", "refresh_token"])));
    if is_refresh {
        take(&mut request["body"], "scope");
    }
}

#[tokio::test]
async fn google_is_asked_for_tokens_as_independent_clients_ask() {
    let ours = consent(providers::google_ads::integration(), None, "customers").await;
    equal("google_oauth.py", ours.clone(), oauth);
    equal("google_oauth.mjs", ours, oauth);
}

#[tokio::test]
async fn slack_is_asked_for_tokens_as_independent_clients_ask() {
    let ours = consent(providers::slack::integration(), None, "channels").await;
    equal("slack_oauth.py", ours.clone(), oauth);
    equal("slack_oauth.mjs", ours, oauth);
}

#[tokio::test]
async fn notion_is_asked_for_tokens_as_its_client_asks() {
    equal("notion_oauth.mjs", consent(providers::notion::integration(), None, "search").await, nothing);
}

#[tokio::test]
async fn linkedin_is_asked_for_tokens_as_its_python_client_asks() {
    equal("linkedin_oauth.py", consent(providers::linkedin::integration(), None, "ad_accounts").await, nothing);
}

#[tokio::test]
async fn shopify_is_asked_for_tokens_as_its_library_asks() {
    let ours = consent(providers::shopify::integration(), Some("little-lantern.myshopify.com"), "orders").await;
    equal("shopify_oauth.mjs", ours, shopify_oauth);
}

fn shopify_oauth(request: &mut Value) {
    // Empty, it asks for a token that is not bound to the person at the browser, as its absence does.
    take(&mut request["query"], "grant_options[]");
    // Shopify leaves out what RFC 6749 requires at these two places (§4.1.1, §4.1.3), and passes it over where it is there.
    if request["method"] == "GET" {
        let query = request["query"].as_array_mut().unwrap();
        query.push(json!(["response_type", "code"]));
        query.sort_by_key(|pair| pair[0].as_str().map(str::to_owned));
    } else if request["body"].get("code").is_some() {
        request["body"]["grant_type"] = "authorization_code".into();
        request["body"]["redirect_uri"] = "https://mcp.test/callback".into();
    }
}
