// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! How long an upstream asks to wait. `Retry-After` comes in three forms: whole seconds, seconds with a fraction (Shopify),
//! and a date, which is read against the answer's own `Date` so that a wrong clock on either side does no harm. What stands
//! in bodies and other headers, each provider's `classify` reads, with [`seconds_ms`] and [`duration_ms`].
//!
//! What cannot be read is no wait, and the breaker falls back to its own times. A wait of a year is read as a day here; the
//! breaker asks again after an hour at the latest.

//!
//! Some providers also say with a good answer how much of a limit is used up ([`LimitHint`]). Who is nearly there is stopped
//! before the upstream has to: some hold it against an app that goes on.

use std::time::UNIX_EPOCH;

use crate::breaker::ThrottleScope;
use crate::ports::HttpResponse;

/// From this part of a limit on, in percent, nothing more is sent for a while.
const SPENT_PERCENT: f64 = 95.0;
/// For how long, where the provider does not say.
const SPENT_MS: i64 = 60_000;

/// How much of a limit is used up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitHint {
    /// In percent.
    pub used_percent: f64,
    /// Milliseconds until there is room again, if the provider says so.
    pub regain_ms: Option<i64>,
    /// Whose limit it is.
    pub scope: ThrottleScope,
}

/// How long to send nothing after an answer with `hints`, and for whom. Where the app's limit is used up and an account's too,
/// the app's counts, under which the account stands still as well.
pub(crate) fn spent(hints: &[LimitHint]) -> Option<(i64, ThrottleScope)> {
    let wait_ms = |hint: &LimitHint| hint.regain_ms.filter(|ms| *ms > 0).unwrap_or(SPENT_MS).min(LONGEST_MS);
    let of = |app: bool| {
        let near = hints.iter().filter(|hint| hint.used_percent >= SPENT_PERCENT);
        near.filter(|hint| (hint.scope == ThrottleScope::App) == app).max_by_key(|hint| wait_ms(hint))
    };
    of(true).or_else(|| of(false)).map(|hint| (wait_ms(hint), hint.scope))
}

/// A longer wait is taken for this: a day.
const LONGEST_MS: i64 = 86_400_000;

/// The wait that `Retry-After` asks for, if it can be read.
pub fn retry_after_ms(response: &HttpResponse, now_ms: i64) -> Option<i64> {
    let text = response.header("retry-after")?.trim();
    seconds_ms(text).or_else(|| {
        let now = response.header("date").and_then(date_ms).unwrap_or(now_ms);
        Some((date_ms(text)? - now).clamp(0, LONGEST_MS))
    })
}

/// A number of seconds, also with a fraction, as milliseconds (rounded up).
pub fn seconds_ms(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| plain)?;
    #[allow(clippy::cast_possible_truncation, reason = "clamped to a day first")]
    let ms = (seconds.clamp(0.0, 86_400.0) * 1_000.0).ceil() as i64;
    Some(ms)
}

/// A duration as protobuf writes it, `"30s"` or `"1.5s"`, as milliseconds (rounded up).
pub fn duration_ms(text: &str) -> Option<i64> {
    seconds_ms(text.strip_suffix('s')?)
}

/// Until the day ends by UTC, where the answer came from.
pub fn midnight_ms(response: &HttpResponse, now_ms: i64) -> i64 {
    let now = response.header("date").and_then(date_ms).unwrap_or(now_ms);
    LONGEST_MS - now.rem_euclid(LONGEST_MS)
}

fn date_ms(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(headers: &[(&str, &str)]) -> Option<i64> {
        let mut response = HttpResponse { status: 429, headers: Vec::new(), body: Vec::new() };
        for (name, value) in headers {
            response = response.with_header(name, value);
        }
        retry_after_ms(&response, 784_111_777_000)
    }

    #[test]
    fn whole_seconds() {
        assert_eq!(wait(&[("Retry-After", "30")]), Some(30_000));
    }

    #[test]
    fn seconds_with_a_fraction() {
        assert_eq!(wait(&[("Retry-After", "2.0")]), Some(2_000));
        assert_eq!(wait(&[("Retry-After", "0.25")]), Some(250));
    }

    #[test]
    fn a_date_is_read_against_the_date_of_the_answer() {
        let later = ("Retry-After", "Sun, 06 Nov 1994 08:50:07 GMT");
        assert_eq!(wait(&[later, ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(30_000));
        assert_eq!(wait(&[later]), Some(30_000));
    }

    #[test]
    fn a_date_that_has_passed_is_no_wait() {
        assert_eq!(wait(&[("Retry-After", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(0));
    }

    #[test]
    fn the_longest_wait_is_a_day() {
        assert_eq!(wait(&[("Retry-After", "99999999999999999999")]), Some(LONGEST_MS));
    }

    #[test]
    fn a_date_a_year_ahead_is_a_day() {
        let year = [("Retry-After", "Mon, 06 Nov 1995 08:49:37 GMT"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(wait(&year), Some(LONGEST_MS));
    }

    #[test]
    fn a_duration_has_its_unit() {
        let texts = ["30s", "1.5s", "0s", "30", "s", "-1s", "1m", "1.5.1s", "99999999999s"];
        let read = texts.map(duration_ms);
        let none = None;
        assert_eq!(read, [Some(30_000), Some(1_500), Some(0), none, none, none, none, none, Some(LONGEST_MS)]);
    }

    #[test]
    fn the_day_ends_at_midnight_of_the_answers_own_clock() {
        let response = HttpResponse { status: 429, headers: Vec::new(), body: Vec::new() };
        assert_eq!(midnight_ms(&response, 86_400_000 * 20_000), LONGEST_MS);
        assert_eq!(midnight_ms(&response, 86_400_000 * 20_000 - 1), 1);
        assert_eq!(midnight_ms(&response, -1), 1);
        let dated = response.with_header("Date", "Sun, 06 Nov 1994 23:59:00 GMT");
        assert_eq!(midnight_ms(&dated, 0), 60_000);
    }

    #[test]
    fn a_limit_is_spent_from_ninety_five_percent_on_for_as_long_as_is_said_or_a_minute() {
        use ThrottleScope::{Account, App};
        let hint = |used_percent, regain_ms, scope| LimitHint { used_percent, regain_ms, scope };
        assert_eq!(spent(&[]), None);
        for (used, expected) in
            [(94.999, None), (95.0, Some((60_000, Account))), (f64::NAN, None), (1e300, Some((60_000, Account)))]
        {
            assert_eq!(spent(&[hint(used, None, Account)]), expected, "{used}");
        }
        for (said, ms) in [
            (Some(0), 60_000),
            (Some(-5), 60_000),
            (Some(1), 1),
            (Some(300_000), 300_000),
            (Some(i64::MAX), LONGEST_MS),
        ] {
            assert_eq!(spent(&[hint(100.0, said, App)]), Some((ms, App)), "{said:?}");
        }
        // The longest of those that are spent; and the app's before any.
        let two = [hint(96.0, Some(5_000), Account), hint(99.0, Some(90_000), Account), hint(10.0, Some(900_000), App)];
        assert_eq!(spent(&two), Some((90_000, Account)));
        assert_eq!(spent(&[two[1], hint(95.0, Some(2_000), App)]), Some((2_000, App)));
    }

    #[test]
    fn what_is_neither_is_not_read() {
        for text in ["", "soon", "-1", "-0.5", "inf", "1e9", "NaN", "1.2.3", ".", "0x10", "1 s", "Sun, 06 Nov"] {
            assert_eq!(wait(&[("Retry-After", text)]), None, "{text}");
        }
    }
}
