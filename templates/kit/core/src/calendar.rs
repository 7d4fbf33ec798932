// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The proleptic Gregorian calendar in whole days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
//! Algorithms").

/// Days from 1970-01-01 to a day. Months and days count from one.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year and month of the day that is `days` from 1970-01-01.
pub(crate) fn month_of(days: i64) -> (i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (of_era + era * 400 + i64::from(month <= 2), month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_where_the_calendar_has_them() {
        // `date -u -d 2026-11-23 +%s`, over 86,400.
        assert_eq!(days_from_civil(2026, 11, 23), 20_780);
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2024, 2, 29), 19_782);
    }

    #[test]
    fn every_day_of_four_centuries_is_in_the_month_that_it_was_made_from() {
        for month in 0..4_800 {
            let (year, month) = (1_900 + month / 12, month % 12 + 1);
            let first = days_from_civil(year, month, 1);
            assert_eq!(month_of(first), (year, month));
            assert_ne!(month_of(first - 1), (year, month));
        }
    }
}
