// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! A day of the calendar, as tools take it from a model: `2026-10-31` and nothing else. What is not a day is refused with
//! the arguments, before any request.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A day. Days are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// The day with these numbers, if there is one.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let fits = (1..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=last).contains(&day);
        fits.then_some(Self { year, month, day })
    }

    /// Reads `2026-10-31`.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
        let plain = digits(year, 4) && digits(month, 2) && digits(day, 2);
        Self::new(year.parse().ok().filter(|_| plain)?, month.parse().ok()?, day.parse().ok()?)
    }

    /// Its year.
    pub fn year(self) -> u16 {
        self.year
    }

    /// Its month, from 1.
    pub fn month(self) -> u8 {
        self.month
    }

    /// Its day of the month, from 1.
    pub fn day(self) -> u8 {
        self.day
    }

    /// `20261031`, as some providers write it.
    pub fn compact(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("a date must be a day of the calendar, as YYYY-MM-DD"))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Day {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date"})
    }
}

/// The moment `wall_ms` as programs write it, by UTC and to the second above: `2026-10-31T12:00:00Z`.
pub(crate) fn moment(wall_ms: i64) -> String {
    let seconds = wall_ms.max(0).saturating_add(999) / 1_000;
    // Howard Hinnant's civil_from_days.
    let days = seconds / 86_400 + 719_468;
    let (era, doe) = (days / 146_097, days % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let shifted = (5 * doy + 2) / 153;
    let (month, day) = (if shifted < 10 { shifted + 3 } else { shifted - 9 }, doy - (153 * shifted + 2) / 5 + 1);
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_to_the_second_above() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(951_782_399_001), "2000-02-29T00:00:00Z");
        assert_eq!(moment(1_800_000_000_000), "2027-01-15T08:00:00Z");
        assert_eq!(moment(1_798_761_599_999), "2027-01-01T00:00:00Z");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_day_is_written_as_it_was_read() {
        let day = Day::parse("2028-02-29").unwrap();
        assert_eq!((day.to_string(), day.compact()), ("2028-02-29".into(), "20280229".into()));
        assert!(day < Day::parse("2028-03-01").unwrap());
    }

    #[test]
    fn what_is_not_a_day_is_refused() {
        for text in ["2026-02-29", "2100-02-29", "2026-04-31", "2026-13-01", "2026-00-01", "2026-1-01", "26-01-01"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        for text in ["", "today", "2026-01-01T00:00:00Z", "+026-01-01", "0000-01-01", "2026-01-0١"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
