// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Usage in the forms that billing systems take. The id of a row is a hash of what it is about, so a batch that is sent twice
//! is known to be the same; a delta has a revision, and so an id of its own.
//!
//! Sources: RFC 4180 (CSV), CloudEvents 1.0.2, Lago's `POST /api/v1/events/batch` (100 events at most), Stripe's
//! `POST /v1/billing/meter_events` (an identifier counts once in 24 hours at least, a timestamp is at most 35 days old).

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::usage::HOUR_MS;
use crate::day;

/// A form of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One object a line.
    Jsonl,
    /// One CloudEvent a line, as OpenMeter and others take them.
    CloudEvents,
    /// One request body a line for Lago.
    Lago,
    /// The parameters of one meter event a line for Stripe.
    Stripe,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Jsonl, Self::CloudEvents, Self::Lago, Self::Stripe];

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::CloudEvents => "cloudevents",
            Self::Lago => "lago",
            Self::Stripe => "stripe",
        }
    }
}

/// One row of usage to be billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Known to be the same wherever it comes from again: 32 hex letters.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// What the billing system calls it; its name where nothing else is set.
    pub billing_id: String,
    /// Full name of the tool.
    pub tool: String,
    /// Hours since the Unix epoch.
    pub hour: i64,
    /// Class of the answer.
    pub outcome: String,
    /// 1 for what is given out first, then one more for what came late.
    pub revision: i64,
    /// Calls.
    pub calls: i64,
    /// What they cost.
    pub units: i64,
}

/// The id of a row: of what it is about, each part behind its length.
pub(crate) fn id(tenant: &str, tool: &str, hour: i64, outcome: &str, revision: i64) -> String {
    let mut hash = Sha256::new();
    for part in [tenant, tool, &hour.to_string(), outcome, &revision.to_string()] {
        hash.update(u64::try_from(part.len()).unwrap_or_default().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Events in one request to Lago at most.
const LAGO_BATCH: usize = 100;

/// `rows` in a form. `server` is the server's name, `meter` what the billing system calls what is counted.
pub fn write(format: Format, rows: &[UsageRow], server: &str, meter: &str) -> String {
    let lines: Vec<String> = match format {
        Format::Csv => return csv(rows),
        Format::Jsonl => rows.iter().map(|row| plain(row).to_string()).collect(),
        Format::CloudEvents => rows.iter().map(|row| cloud_event(row, server, meter).to_string()).collect(),
        Format::Lago => {
            let body = |rows: &[UsageRow]| {
                let events: Vec<Value> = rows.iter().map(|row| lago(row, meter)).collect();
                json!({ "events": events }).to_string()
            };
            rows.chunks(LAGO_BATCH).map(body).collect()
        }
        Format::Stripe => rows.iter().map(|row| stripe(row, meter).to_string()).collect(),
    };
    lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
}

fn starts(row: &UsageRow) -> String {
    day::moment(row.hour.saturating_mul(HOUR_MS))
}

fn csv(rows: &[UsageRow]) -> String {
    let mut text = "id,tenant,billing_id,tool,hour,outcome,revision,calls,units\r\n".to_owned();
    for row in rows {
        let (revision, calls, units) = (row.revision.to_string(), row.calls.to_string(), row.units.to_string());
        let hour = starts(row);
        let fields = [&row.id, &row.tenant, &row.billing_id, &row.tool, &hour, &row.outcome, &revision, &calls, &units];
        let quoted: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        text += &quoted.join(",");
        text += "\r\n";
    }
    text
}

/// A field of CSV. What a spreadsheet would run is kept from it by an apostrophe.
fn quoted(field: &str) -> String {
    let guard = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    match field.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{guard}{}\"", field.replace('"', "\"\"")),
        false => format!("{guard}{field}"),
    }
}

fn plain(row: &UsageRow) -> Value {
    json!({
        "id": row.id, "tenant": row.tenant, "billing_id": row.billing_id, "tool": row.tool, "hour": starts(row),
        "outcome": row.outcome, "revision": row.revision, "calls": row.calls, "units": row.units,
    })
}

fn cloud_event(row: &UsageRow, server: &str, meter: &str) -> Value {
    json!({
        "specversion": "1.0", "id": row.id, "source": format!("urn:mcp:{server}"), "type": meter,
        "subject": row.billing_id, "time": starts(row), "datacontenttype": "application/json",
        "data": {
            "tenant": row.tenant, "tool": row.tool, "outcome": row.outcome, "calls": row.calls, "units": row.units,
        },
    })
}

fn lago(row: &UsageRow, meter: &str) -> Value {
    json!({
        "transaction_id": row.id, "external_subscription_id": row.billing_id, "code": meter,
        "timestamp": row.hour * 3_600,
        "properties": {"tool": row.tool, "outcome": row.outcome, "calls": row.calls, "units": row.units},
    })
}

fn stripe(row: &UsageRow, meter: &str) -> Value {
    json!({
        "event_name": meter, "identifier": row.id, "timestamp": row.hour * 3_600,
        "payload": {"stripe_customer_id": row.billing_id, "value": row.units.to_string()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> UsageRow {
        UsageRow {
            id: id("acme", "notion_search", 498_700, "ok", 1),
            tenant: "acme".into(),
            billing_id: "cus_1".into(),
            tool: "notion_search".into(),
            hour: 498_700,
            outcome: "ok".into(),
            revision: 1,
            calls: 3,
            units: 15,
        }
    }

    #[test]
    fn an_id_is_of_what_a_row_is_about_and_of_nothing_else() {
        assert_eq!(row().id, id("acme", "notion_search", 498_700, "ok", 1));
        for other in [
            id("acme", "notion_search", 498_700, "ok", 2),
            id("acme", "notion_search", 498_701, "ok", 1),
            id("acm", "enotion_search", 498_700, "ok", 1),
        ] {
            assert_ne!(other, row().id);
        }
        assert_eq!(row().id.len(), 32);
    }

    #[test]
    fn csv_has_a_header_and_quotes_what_needs_it() {
        let odd = UsageRow { billing_id: "=1+1,\"x\"".into(), id: "i".into(), ..row() };
        assert_eq!(
            write(Format::Csv, &[odd], "acme-ads", "mcp_units"),
            "id,tenant,billing_id,tool,hour,outcome,revision,calls,units\r\n\
             i,acme,\"'=1+1,\"\"x\"\"\",notion_search,2026-11-22T04:00:00Z,ok,1,3,15\r\n"
        );
    }

    #[test]
    fn each_form_has_what_its_reader_asks_for() {
        let line =
            |format| serde_json::from_str::<Value>(write(format, &[row()], "acme-ads", "mcp_units").trim()).unwrap();
        assert_eq!(
            line(Format::CloudEvents),
            json!({
                "specversion": "1.0", "id": row().id, "source": "urn:mcp:acme-ads", "type": "mcp_units",
                "subject": "cus_1", "time": "2026-11-22T04:00:00Z", "datacontenttype": "application/json",
                "data": {"tenant": "acme", "tool": "notion_search", "outcome": "ok", "calls": 3, "units": 15},
            })
        );
        assert_eq!(
            line(Format::Lago),
            json!({"events": [{
                "transaction_id": row().id, "external_subscription_id": "cus_1", "code": "mcp_units",
                "timestamp": 1_795_320_000,
                "properties": {"tool": "notion_search", "outcome": "ok", "calls": 3, "units": 15},
            }]})
        );
        assert_eq!(
            line(Format::Stripe),
            json!({
                "event_name": "mcp_units", "identifier": row().id, "timestamp": 1_795_320_000,
                "payload": {"stripe_customer_id": "cus_1", "value": "15"},
            })
        );
    }

    #[test]
    fn lago_gets_a_hundred_events_a_request() {
        let text = write(Format::Lago, &vec![row(); 201], "acme-ads", "mcp_units");
        let counts =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["events"].as_array().unwrap().len());
        assert_eq!(counts.collect::<Vec<_>>(), [100, 100, 1]);
    }
}
