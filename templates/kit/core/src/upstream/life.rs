// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The life of a credential: whether it can be used now, when to renew it, and when a person has to act. Pure; times are
//! milliseconds since the epoch.
//!
//! A token is renewed in a window before its end: what the provider's data says, or the last fifth of its life if that is
//! shorter. Where in the window depends on the connection's version, so that a thousand tokens issued in one minute are
//! not renewed in one minute.

use std::time::Duration;

use super::oauth::RefreshLife;
use super::provider::AuthShape;
use crate::vault::credential::{Credential, Kind, Token, Tokens};

const DAY_MS: i64 = 86_400_000;

/// Whether a credential can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can.
    Ready,
    /// It can, and it is time to renew it.
    Due,
    /// It has to be renewed first.
    Expired,
    /// It has ended and nothing of ours can renew it.
    Ended,
}

/// Whether `credential` can be used at `now`. `seed` is the connection's version.
pub(crate) fn readiness(shape: &AuthShape, credential: &Credential, seed: i64, now: i64) -> Readiness {
    match &credential.kind {
        Kind::ApiKey(_) => Readiness::Ready,
        Kind::LongLived(token) => match (token.expires_ms, due_ms(shape, credential, seed)) {
            // An ended token of this kind cannot be exchanged any more.
            (Some(end), _) if end <= now => Readiness::Ended,
            (_, Some(due)) if due <= now => Readiness::Due,
            _ => Readiness::Ready,
        },
        Kind::OAuth(tokens) => {
            let renewable = tokens.refresh.is_some() && tokens.refresh_expires_ms.is_none_or(|end| end > now);
            match &tokens.access {
                Some(Token { expires_ms: None, .. }) => Readiness::Ready,
                Some(Token { expires_ms: Some(end), .. }) if *end > now => match due_ms(shape, credential, seed) {
                    Some(due) if due <= now && renewable => Readiness::Due,
                    _ => Readiness::Ready,
                },
                _ if renewable => Readiness::Expired,
                _ => Readiness::Ended,
            }
        }
    }
}

/// When the token that requests carry is to be renewed; `None` if it has no known end or nothing renews it.
fn due_ms(shape: &AuthShape, credential: &Credential, seed: i64) -> Option<i64> {
    let (token, before) = match (&credential.kind, shape) {
        (Kind::LongLived(token), AuthShape::SystemUser(user)) => (token, user.exchange?.refresh_before),
        (Kind::OAuth(tokens), _) => {
            tokens.refresh.as_ref()?;
            (tokens.access.as_ref()?, shape.oauth()?.refresh_before)
        }
        _ => return None,
    };
    let end = token.expires_ms?;
    let window = window_ms(before, end.saturating_sub(token.issued_ms));
    // Fibonacci hashing spreads versions that follow each other over the first fifth of the window.
    let spread = seed.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    let jitter = i64::try_from(spread).unwrap_or_default() * (window / 5) / 1_024;
    Some(end - window + jitter)
}

/// How long the provider may still refuse this token though it is good; `None` once that is over.
pub(crate) fn settling_ms(shape: &AuthShape, credential: &Credential, now: i64) -> Option<i64> {
    let issued = credential.tokens()?.access.as_ref()?.issued_ms;
    let settles_in = i64::try_from(shape.oauth()?.settles_in.as_millis()).unwrap_or(i64::MAX);
    // A clock that was ahead makes it no longer than the whole time.
    let left = issued.saturating_add(settles_in).saturating_sub(now).min(settles_in);
    (left > 0).then_some(left)
}

fn window_ms(before: Duration, life_ms: i64) -> i64 {
    i64::try_from(before.as_millis()).unwrap_or(i64::MAX).min(life_ms.max(0) / 5)
}

/// When the background sweep should renew this connection though nobody uses it. Access tokens that live for hours are
/// left to the next call: renewing them all the time would be most of what a provider hears from us. `seed` is now, which
/// the version follows.
pub(crate) fn sweep_ms(shape: &AuthShape, credential: &Credential, seed: i64) -> Option<i64> {
    let tokens = match &credential.kind {
        Kind::ApiKey(_) => return None,
        Kind::LongLived(_) => return due_ms(shape, credential, seed),
        Kind::OAuth(tokens) => tokens,
    };
    tokens.refresh.as_ref()?;
    let long = tokens.access.as_ref().is_some_and(|t| t.expires_ms.is_some_and(|end| end - t.issued_ms >= DAY_MS));
    let due = long.then(|| due_ms(shape, credential, seed)).flatten();
    due.into_iter().chain(keep_alive_ms(shape.oauth()?.refresh_life, tokens, seed)).min()
}

/// `now` is the last use of a refresh token that was typed in and has given nothing yet.
fn keep_alive_ms(life: RefreshLife, tokens: &Tokens, now: i64) -> Option<i64> {
    match life {
        RefreshLife::Endless | RefreshLife::Absolute => None,
        RefreshLife::Idle { refresh_after_days } => {
            let used = tokens.access.as_ref().map_or(now, |access| access.issued_ms);
            Some(used + i64::from(refresh_after_days) * DAY_MS)
        }
        RefreshLife::Sliding { refresh_before_days } => match (tokens.refresh_expires_ms, &tokens.access) {
            (Some(end), _) => Some(end - i64::from(refresh_before_days) * DAY_MS),
            // When it ends is known after the first use only.
            (None, None) => Some(now),
            (None, Some(_)) => None,
        },
    }
}

/// The day after which only a person can mend this connection, if there is such a day.
pub(crate) fn ends_ms(shape: &AuthShape, credential: &Credential) -> Option<i64> {
    match &credential.kind {
        Kind::ApiKey(_) => None,
        Kind::LongLived(token) => match shape {
            AuthShape::SystemUser(user) if user.exchange.is_some() => None,
            _ => token.expires_ms,
        },
        Kind::OAuth(tokens) => match (&tokens.refresh, shape.oauth()?.refresh_life) {
            (None, _) => tokens.access.as_ref()?.expires_ms,
            (Some(_), RefreshLife::Absolute) => tokens.refresh_expires_ms,
            (Some(_), _) => None,
        },
    }
}

/// The warning that is due `left_ms` before the end: at 30, 14 and 3 days.
pub(crate) fn warning_days(left_ms: i64) -> Option<i64> {
    [3, 14, 30].into_iter().find(|days| left_ms <= days * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::super::oauth::{Exchange, OAuth, SystemUser};
    use super::*;
    use crate::secret::Secret;

    const HOUR: i64 = 3_600_000;

    fn shape(before: u64, refresh_life: RefreshLife) -> AuthShape {
        let oauth = OAuth { refresh_before: Duration::from_secs(before), refresh_life, ..OAuth::STANDARD };
        AuthShape::OAuth2Refresh { oauth, header: "Authorization", prefix: "Bearer " }
    }

    fn oauth(life_ms: Option<i64>, refresh: bool, refresh_expires_ms: Option<i64>) -> Credential {
        let access = Token { secret: Secret::from("a"), issued_ms: 0, expires_ms: life_ms };
        let refresh = refresh.then(|| Secret::from("r"));
        let tokens = Tokens { access: Some(access), refresh, refresh_expires_ms, scopes: Vec::new() };
        Credential::new(Vec::new(), Kind::OAuth(tokens))
    }

    #[test]
    fn a_token_is_due_in_its_window_and_expired_at_its_end() {
        let (shape, credential) = (shape(300, RefreshLife::Endless), oauth(Some(HOUR), true, None));
        let at = |now| readiness(&shape, &credential, 0, now);
        assert_eq!(at(HOUR - 300_001), Readiness::Ready);
        assert_eq!(at(HOUR - 300_000), Readiness::Due);
        assert_eq!(at(HOUR - 1), Readiness::Due);
        assert_eq!(at(HOUR), Readiness::Expired);
    }

    #[test]
    fn the_window_is_a_fifth_of_a_short_life() {
        let (shape, credential) = (shape(300, RefreshLife::Endless), oauth(Some(10_000), true, None));
        assert_eq!(readiness(&shape, &credential, 0, 7_999), Readiness::Ready);
        assert_eq!(readiness(&shape, &credential, 0, 8_000), Readiness::Due);
    }

    #[test]
    fn connections_spread_over_the_first_fifth_of_the_window() {
        let (shape, credential) = (shape(300, RefreshLife::Endless), oauth(Some(HOUR), true, None));
        let due: Vec<i64> = (0..1_000).filter_map(|version| due_ms(&shape, &credential, version)).collect();
        let (first, last) = (due.iter().min().copied(), due.iter().max().copied());
        assert!(first >= Some(HOUR - 300_000) && last < Some(HOUR - 240_000), "{first:?} {last:?}");
        assert!(last.unwrap() - first.unwrap() > 55_000, "{first:?} {last:?}");
    }

    #[test]
    fn a_token_settles_where_the_provider_says_so() {
        let credential = oauth(Some(HOUR), true, None);
        let settles = OAuth { settles_in: Duration::from_secs(60), ..OAuth::STANDARD };
        let slow = AuthShape::Restli { oauth: settles, version: "" };
        let left = |shape, now| settling_ms(shape, &credential, now);
        assert_eq!([left(&slow, 0), left(&slow, 59_999), left(&slow, 60_000)], [Some(60_000), Some(1), None]);
        assert_eq!([left(&slow, -1), left(&shape(300, RefreshLife::Endless), -1)], [Some(60_000), None]);
    }

    #[test]
    fn a_token_without_a_known_end_is_ready() {
        let credential = oauth(None, true, None);
        assert_eq!(readiness(&shape(300, RefreshLife::Endless), &credential, 0, i64::MAX), Readiness::Ready);
    }

    #[test]
    fn without_a_refresh_token_the_end_is_the_end() {
        let (shape, credential) = (shape(300, RefreshLife::Endless), oauth(Some(HOUR), false, None));
        assert_eq!(readiness(&shape, &credential, 0, HOUR - 1), Readiness::Ready);
        assert_eq!(readiness(&shape, &credential, 0, HOUR), Readiness::Ended);
        assert_eq!(ends_ms(&shape, &credential), Some(HOUR));
    }

    #[test]
    fn a_refresh_token_that_has_ended_renews_nothing() {
        let credential = oauth(Some(HOUR), true, Some(HOUR));
        assert_eq!(readiness(&shape(300, RefreshLife::Absolute), &credential, 0, HOUR), Readiness::Ended);
    }

    #[test]
    fn a_machine_token_is_exchanged_before_its_end_and_never_after() {
        let exchange = Exchange { url: "", token_param: "", params: &[], refresh_before: Duration::from_secs(864_000) };
        let shape =
            AuthShape::SystemUser(SystemUser { header: "", prefix: "", proof_param: None, exchange: Some(exchange) });
        let end = 60 * DAY_MS;
        let token = Token { secret: Secret::from("t"), issued_ms: 0, expires_ms: Some(end) };
        let credential = Credential::new(Vec::new(), Kind::LongLived(token));
        assert_eq!(readiness(&shape, &credential, 0, 50 * DAY_MS - 1), Readiness::Ready);
        assert_eq!(readiness(&shape, &credential, 0, 50 * DAY_MS), Readiness::Due);
        assert_eq!(readiness(&shape, &credential, 0, end), Readiness::Ended);
        assert_eq!(sweep_ms(&shape, &credential, 0), Some(50 * DAY_MS));
    }

    #[test]
    fn idle_connections_are_kept_alive_by_the_rule_of_their_provider() {
        let idle = shape(300, RefreshLife::Idle { refresh_after_days: 150 });
        assert_eq!(sweep_ms(&idle, &oauth(Some(HOUR), true, None), 0), Some(150 * DAY_MS));
        let sliding = shape(300, RefreshLife::Sliding { refresh_before_days: 14 });
        assert_eq!(sweep_ms(&sliding, &oauth(Some(HOUR), true, Some(90 * DAY_MS)), 0), Some(76 * DAY_MS));
        let endless = shape(300, RefreshLife::Endless);
        assert_eq!(sweep_ms(&endless, &oauth(Some(HOUR), true, None), 0), None);
    }

    #[test]
    fn access_tokens_that_live_for_days_are_renewed_by_the_sweep() {
        let weekly = shape(7 * 86_400, RefreshLife::Absolute);
        assert_eq!(sweep_ms(&weekly, &oauth(Some(60 * DAY_MS), true, Some(365 * DAY_MS)), 0), Some(53 * DAY_MS));
        assert_eq!(ends_ms(&weekly, &oauth(Some(60 * DAY_MS), true, Some(365 * DAY_MS))), Some(365 * DAY_MS));
    }

    #[test]
    fn warnings_come_thirty_fourteen_and_three_days_before() {
        let days = |left: i64| warning_days(left * DAY_MS);
        assert_eq!(
            [days(31), days(30), days(15), days(14), days(4), days(3), days(0)],
            [None, Some(30), Some(30), Some(14), Some(14), Some(3), Some(3)]
        );
    }
}
