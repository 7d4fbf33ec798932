//! `appsecret_proof` against vectors made by PyPI facebook_business 26.0.3.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kit::secret::Secret;
use kit::upstream::sign::proof;
use serde_json::Value;

#[test]
fn every_vector_is_met_exactly() {
    let file: Value = serde_json::from_str(include_str!("fixtures/meta-appsecret-proof-vectors.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 10);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap();
        let made = proof(&Secret::from(text("app_secret")), &Secret::from(text("access_token")));
        assert_eq!(made, text("appsecret_proof"), "{vector}");
    }
}
