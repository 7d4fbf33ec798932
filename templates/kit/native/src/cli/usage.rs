// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `usage`: what was used, for people as a table with bars, for billing systems as batches.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use kit::boot::Kit;
use kit::ledger::export;
use kit::operator::{By, Difference, UsageBatch, UsageLine};

use super::args;
use super::args::Usage;
use crate::out;

/// A bar is so many characters at most.
const LONGEST_BAR: i64 = 24;
/// Whoever forgets what it was sent takes this long at least.
const FORGOTTEN_MS: i64 = 86_400_000;

pub(super) async fn run(kit: &Kit, command: Usage) -> anyhow::Result<ExitCode> {
    let operator = &kit.operator;
    match command {
        Usage::Report { period, by, json } => {
            let by = match by {
                args::By::Tenant => By::Tenant,
                args::By::Tool => By::Tool,
                args::By::Day => By::Day,
            };
            let lines = operator.usage_report(&period.period(), by).await?;
            if json { out::json(&lines) } else { table(&lines, by) }
        }
        Usage::Clients { period, json } => {
            let lines = operator.usage_clients(&period.period()).await?;
            if json {
                out::json(&lines);
            } else {
                let rows: Vec<Vec<String>> = lines
                    .into_iter()
                    .map(|l| {
                        let (client, version) = (or_dash(l.client), or_dash(l.version));
                        vec![client, version, l.server, l.tenants.to_string(), l.calls.to_string(), l.last]
                    })
                    .collect();
                out::table(
                    &["CLIENT", "VERSION", "SERVER", "TENANTS", "CALLS", "LAST"],
                    &rows,
                    "nobody has called yet",
                );
            }
        }
        Usage::Deprecated { period, json } => {
            let lines = operator.usage_deprecated(&period.period()).await?;
            if json {
                out::json(&lines);
            } else {
                let rows: Vec<Vec<String>> = lines
                    .into_iter()
                    .map(|l| {
                        vec![l.tool, l.successor, l.ends, l.tenant, or_dash(l.client), l.calls.to_string(), l.last]
                    })
                    .collect();
                let header = ["TOOL", "INSTEAD", "GOES ON", "TENANT", "CLIENT", "CALLS", "LAST"];
                out::table(&header, &rows, "nobody calls a tool that goes");
            }
        }
        Usage::Export { format, to, meter, outcomes, out } => {
            let destination = to.unwrap_or_else(|| format.as_str().to_owned());
            match operator.usage_export(&destination, format, &outcomes).await? {
                Some(batch) => {
                    let text = export::write(format, &batch.rows, kit.registry.name, &meter);
                    give_out(&text, out.as_deref())?;
                    tell(kit, &batch, &destination);
                }
                None => out::note(&format!("`{destination}` has everything up to the last full hour")),
            }
        }
        Usage::Ack { batch, to } => {
            operator.usage_ack(&to, batch).await?;
            out::note(&format!("batch {batch} is with `{to}`"));
        }
        Usage::Reconcile { period, json } => {
            let differences = operator.usage_reconcile(&period.period()).await?;
            if json {
                out::json(&differences);
            } else if differences.is_empty() {
                out::note("usage and audit agree");
            } else {
                differ(&differences);
            }
            return Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn table(lines: &[UsageLine], by: By) {
    let names: &[&str] = match by {
        By::Tenant => &["TENANT"],
        By::Tool => &["TENANT", "TOOL"],
        By::Day => &["DAY"],
    };
    // For programs, columns of numbers are enough.
    let bars = std::io::stdout().is_terminal();
    let most = lines.iter().map(|line| line.units).max().unwrap_or(0).max(1);
    let row = |line: &UsageLine| {
        let named = [&line.tenant, &line.tool, &line.day].into_iter().flatten().cloned();
        let numbers = [line.calls, line.units, line.failed].map(|number| number.to_string());
        let bar = bars.then(|| bar(line.units, most));
        named.chain(numbers).chain(bar).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    let header: Vec<&str> =
        names.iter().copied().chain(["CALLS", "UNITS", "FAILED"]).chain(bars.then_some("")).collect();
    out::table(&header, &rows, "nothing was used");
}

/// `units` of `most` as blocks, in eighths.
fn bar(units: i64, most: i64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = usize::try_from(units.max(0).saturating_mul(LONGEST_BAR * 8) / most).unwrap_or(0);
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}

/// All of it, on the disk, before anybody is told that it was given out.
fn give_out(text: &str, path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else {
        let mut stdout = std::io::stdout().lock();
        return stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("failed to write the batch");
    };
    let failed = || format!("failed to write `{}`", path.display());
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)
}

fn tell(kit: &Kit, batch: &UsageBatch, destination: &str) {
    let UsageBatch { batch: number, made_ms, again, rows } = batch;
    let server = kit.registry.name;
    let ack = format!("`{server} usage ack {number} --to {destination}`");
    out::note(&format!("batch {number} for `{destination}`: {} row(s)", rows.len()));
    if *again {
        out::note(&format!("it was given out before, first at {}, and has the same ids", out::time(*made_ms)));
        let now_ms = kit::ports::Clock::wall_ms(&crate::clock::SystemClock);
        if now_ms - made_ms > FORGOTTEN_MS {
            out::note("look first whether it arrived then: after a day a billing system may not know the ids any more");
        }
    }
    out::note(&format!("\nonce it has arrived: {ack}"));
}

fn differ(differences: &[Difference]) {
    let pair = |(calls, units): (i64, i64)| format!("{calls} calls, {units} units");
    let row = |d: &Difference| {
        let hour = out::time(d.hour * 3_600_000);
        vec![d.tenant.clone(), d.tool.clone(), hour, d.outcome.clone(), pair(d.usage), pair(d.audit)]
    };
    let rows: Vec<Vec<String>> = differences.iter().map(row).collect();
    out::table(&["TENANT", "TOOL", "HOUR", "OUTCOME", "USAGE", "AUDIT"], &rows, "");
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_is_as_long_as_its_part_of_the_most() {
        let lengths = [0, 1, 8, 96, 191, 192].map(|units| super::bar(units, 192));
        assert_eq!(lengths[0], "");
        assert_eq!(lengths[1], "▏");
        assert_eq!(lengths[2], "█");
        assert_eq!(lengths[3], "█".repeat(12));
        assert_eq!(lengths[4], "█".repeat(23) + "▉");
        assert_eq!(lengths[5], "█".repeat(24));
    }
}
