// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The only module that writes to standard output and standard error. Standard output carries data, nothing else: on
//! stdio it is the protocol's.

use std::io::Write;

use serde::Serialize;

/// One line of data. A reader that has left is not an error.
pub fn data(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// One line for the person.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A value as one line of JSON.
pub fn json(value: &impl Serialize) {
    data(&serde_json::to_string(value).unwrap_or_default());
}

/// Rows as columns, the header first; a line that says so if there are none.
pub fn table(header: &[&str], rows: &[Vec<String>], none: &str) {
    if rows.is_empty() {
        return note(none);
    }
    let width =
        |column: usize| rows.iter().map(|row| row[column].len()).chain([header[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        data(padded.join("  ").trim_end());
    };
    line(header.to_vec());
    rows.iter().for_each(|row| line(row.iter().map(String::as_str).collect()));
}

/// Milliseconds since the epoch as `2026-11-23 05:37 UTC`.
pub fn time(ms: i64) -> String {
    let (days, minutes) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) / 60_000);
    // Howard Hinnant's civil_from_days: the proleptic Gregorian calendar in integers.
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_reads_as_a_date() {
        assert_eq!(super::time(0), "1970-01-01 00:00 UTC");
        assert_eq!(super::time(1_709_209_800_000), "2024-02-29 12:30 UTC");
    }
}
