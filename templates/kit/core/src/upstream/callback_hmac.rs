// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The signature that Shopify puts on the way back from a consent
//! (<https://shopify.dev/docs/apps/build/authentication-authorization>): without it anybody could send a browser to our
//! callback with a shop of their own. Pure; whoever answers the callback asks here before anything else is believed.

use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::sign::hmac_hex;
use crate::secret::Secret;

/// How old a callback may be, and how far ahead of our clock.
const WINDOW_S: u64 = 90;

/// Whether `query` was signed with the app's secret, within the last ninety seconds. Two values under one name are
/// refused: what was signed and what is read could be different ones.
pub fn verify(query: &[(String, String)], client_secret: &Secret, now_s: i64) -> bool {
    let (Some(given), Some(timestamp)) = (only(query, "hmac"), only(query, "timestamp")) else { return false };
    let Some(signature) = signature(query, client_secret) else { return false };
    signature.as_bytes().ct_eq(given.as_bytes()).into() && recent(timestamp, now_s, WINDOW_S)
}

/// The signature of `query`, in which `hmac` and the older `signature` do not count. `None` without a secret: a signature
/// under an empty one could be anybody's.
pub fn signature(query: &[(String, String)], client_secret: &Secret) -> Option<String> {
    let signed = |(name, _): &&(String, String)| !matches!(name.as_str(), "hmac" | "signature");
    let mut pairs: Vec<&(String, String)> = query.iter().filter(signed).collect();
    pairs.sort();
    if pairs.windows(2).any(|two| two[0].0 == two[1].0) {
        return None;
    }
    let message = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    hmac_hex(client_secret, &[message.as_bytes()])
}

/// The pairs of a query.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// A query of these pairs.
pub fn query(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The value of `name`, if there is exactly one.
fn only<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    values.next().filter(|_| values.next().is_none())
}

/// Whether `timestamp`, in seconds since the epoch, is no further than `window_s` from now.
pub(super) fn recent(timestamp: &str, now_s: i64, window_s: u64) -> bool {
    let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    timestamp.parse::<i64>().is_ok_and(|then| digits && now_s.abs_diff(then) <= window_s)
}
