// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The signature that Slack puts on what it sends to an app (<https://docs.slack.dev/authentication/verifying-requests-from-slack>):
//! events, commands, buttons. Nothing here receives those yet; an owner who does asks this first.

use subtle::ConstantTimeEq as _;

use super::callback_hmac::recent;
use super::sign::hmac_hex;
use crate::secret::Secret;

/// How old a request may be, and how far ahead of our clock.
const WINDOW_S: u64 = 300;

/// Whether Slack signed `body`, as it came, within the last five minutes. `timestamp` is the header
/// `X-Slack-Request-Timestamp`, `signature` the header `X-Slack-Signature`.
pub fn verify(signing_secret: &Secret, timestamp: &str, body: &[u8], signature: &str, now_s: i64) -> bool {
    let Some(expected) = hmac_hex(signing_secret, &[b"v0:", timestamp.as_bytes(), b":", body]) else { return false };
    let given = signature.strip_prefix("v0=").unwrap_or_default();
    expected.as_bytes().ct_eq(given.as_bytes()).into() && recent(timestamp, now_s, WINDOW_S)
}
