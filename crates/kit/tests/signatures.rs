//! Signatures that come in, against vectors made by npm @shopify/shopify-api 13.1.0 and PyPI slack_sdk 3.47.0.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kit::secret::Secret;
use kit::upstream::{callback_hmac, request_signature};
use serde_json::Value;

fn file(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn shopify() -> Value {
    file(include_str!("fixtures/shopify-hmac-vectors.json"))
}

fn pairs(vector: &Value) -> Vec<(String, String)> {
    let query = vector["query"].as_object().unwrap();
    query.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

fn signed(vector: &Value) -> Vec<(String, String)> {
    let mut query = pairs(vector);
    query.push(("hmac".to_owned(), vector["hmac"].as_str().unwrap().to_owned()));
    query
}

fn secret(vector: &Value) -> Secret {
    Secret::from(vector["client_secret"].as_str().unwrap())
}

#[test]
fn every_callback_of_shopify_is_accepted_for_ninety_seconds() {
    let file = shopify();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 10);
    for vector in vectors {
        let (query, secret) = (signed(vector), secret(vector));
        let then: i64 = vector["query"]["timestamp"].as_str().unwrap().parse().unwrap();
        assert_eq!(callback_hmac::signature(&query, &secret).as_deref(), vector["hmac"].as_str(), "{vector}");
        for (skew, expected) in [(0, true), (90, true), (-90, true), (91, false), (-91, false)] {
            assert_eq!(callback_hmac::verify(&query, &secret, then + skew), expected, "{skew} {vector}");
        }
    }
}

#[test]
fn every_callback_that_shopify_did_not_sign_is_refused() {
    let file = shopify();
    let vectors = file["negative"].as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        assert!(!callback_hmac::verify(&pairs(vector), &secret(vector), 1_764_000_000), "{vector}");
    }
}

#[test]
fn a_callback_with_two_values_under_one_name_is_refused() {
    let file = shopify();
    let vector = &file["vectors"][0];
    for name in ["shop", "hmac", "timestamp"] {
        let mut query = signed(vector);
        let twice = query.iter().find(|(key, _)| key == name).unwrap().clone();
        query.push(twice);
        assert!(!callback_hmac::verify(&query, &secret(vector), 1_764_000_000), "{name}");
    }
}

#[test]
fn nothing_is_signed_without_a_secret() {
    let file = shopify();
    let query = signed(&file["vectors"][0]);
    assert_eq!(callback_hmac::signature(&query, &Secret::from("")), None);
    assert!(!callback_hmac::verify(&query, &Secret::from(""), 1_764_000_000));
    assert!(!request_signature::verify(&Secret::from(""), "1764000000", b"", "v0=", 1_764_000_000));
}

#[test]
fn every_request_of_slack_is_accepted_for_five_minutes() {
    let file = file(include_str!("fixtures/slack-signature-vectors.json"));
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let (secret, timestamp, body) = (Secret::from(text("signing_secret")), text("timestamp"), text("body"));
        let then: i64 = timestamp.parse().unwrap();
        let verify = |body: &str, now: i64| {
            request_signature::verify(&secret, timestamp, body.as_bytes(), text("signature"), now)
        };
        for (skew, expected) in [(0, "valid_now"), (300, "valid_at_plus_300"), (301, "valid_at_plus_301")] {
            assert_eq!(verify(body, then + skew), vector[expected] == true, "{skew} {vector}");
        }
        assert!(verify(body, then - 300) && !verify(body, then - 301));
        assert_eq!(verify(&format!("{body} "), then), vector["valid_tampered"] == true, "{vector}");
        let bare = text("signature").strip_prefix("v0=").unwrap();
        assert!(!request_signature::verify(&secret, timestamp, body.as_bytes(), bare, then));
    }
}

#[test]
fn a_timestamp_is_digits() {
    let secret = Secret::from("hush");
    for timestamp in ["+1764000000", " 1764000000", "1764000000.0", "", "99999999999999999999"] {
        let query = vec![("shop".to_owned(), "a.myshopify.com".to_owned()), ("timestamp".to_owned(), timestamp.into())];
        let mut signed = query.clone();
        signed.push(("hmac".to_owned(), callback_hmac::signature(&query, &secret).unwrap()));
        assert!(!callback_hmac::verify(&signed, &secret, 1_764_000_000), "{timestamp:?}");
    }
}
