// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `audit`. What is wrong goes to standard output and into the exit code; an export is on the disk before it is called one.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use kit::boot::Kit;
use kit::day::Day;
use kit::ledger::verify::{CHECKPOINTS, Finding, Verified};
use kit::operator::AuditLine;
use serde_json::Value;

use super::args::{Audit, Capture};
use crate::out;

pub(super) async fn run(kit: &Kit, command: Audit) -> anyhow::Result<ExitCode> {
    let operator = &kit.operator;
    match command {
        Audit::Tail { tenant, limit, json } => {
            let lines = operator.audit_tail(tenant.as_deref(), limit).await?;
            match json {
                true => lines.iter().for_each(out::json),
                false => table(&lines),
            }
        }
        Audit::Verify { json } => return Ok(report(&operator.audit_verify().await?, json)),
        Audit::Export { before, out } => export(kit, before, &out).await?,
        Audit::Purge { before } => {
            let purged = operator.audit_purge(before).await?;
            out::note(&format!("purged {} row(s) of {} stream(s)", purged.rows, purged.streams));
            if purged.left > 0 {
                let server = kit.registry.name;
                out::note(&format!(
                    "{} row(s) from before {before} stay: they were not exported, or no checkpoint has seen them\n\
                     hint: run `{server} audit checkpoint`, then `{server} audit export --before {before} --out FILE`",
                    purged.left
                ));
            }
        }
        Audit::Checkpoint => match operator.audit_checkpoint().await? {
            Some(made) => out::json(&made),
            None => out::note("another process has just made one"),
        },
        Audit::Show { call, tenant } => out::json(&operator.audit_show(&tenant, &call).await?),
    }
    Ok(ExitCode::SUCCESS)
}

/// `capture`.
pub(super) async fn capture(kit: &Kit, command: Capture) -> anyhow::Result<()> {
    match command {
        Capture::On { tenant, span_ms } => {
            let until = kit.operator.audit_capture(&tenant, Some(span_ms)).await?;
            let until = until.map(out::time).unwrap_or_default();
            out::note(&format!(
                "the calls of tenant `{tenant}` are captured until {until}, by every replica within 15 s"
            ));
        }
        Capture::Off { tenant } => {
            kit.operator.audit_capture(&tenant, None).await?;
            out::note(&format!("the calls of tenant `{tenant}` are captured no more, by any replica within 15 s"));
        }
    }
    Ok(())
}

fn table(lines: &[AuditLine]) {
    let row = |line: &AuditLine| {
        let field = |name: &str| match &line.record[name] {
            Value::String(text) => text.clone(),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        let tenant = if line.tenant.is_empty() { "-".to_owned() } else { line.tenant.clone() };
        let [kind, tool, outcome, actor] = ["kind", "tool", "outcome", "actor"].map(field);
        vec![out::time(line.at_ms), tenant, kind, tool, outcome, actor, line.call.clone()]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
    out::table(&["TIME", "TENANT", "KIND", "TOOL", "OUTCOME", "ACTOR", "CALL"], &rows, "there are no rows yet");
}

fn report(verified: &Verified, json: bool) -> ExitCode {
    if json {
        out::json(verified);
    } else {
        verified.findings.iter().for_each(|finding| out::data(&sentence(finding)));
        let Verified { streams, rows, checkpoints, tombstones, .. } = verified;
        let counts =
            format!("{rows} row(s) in {streams} stream(s), {checkpoints} checkpoint(s), {tombstones} tombstone(s)");
        match verified.findings.len() {
            0 => out::note(&format!("the audit is whole: {counts}")),
            wrong => out::note(&format!("the audit is not whole, {wrong} finding(s): {counts}")),
        }
        if let Some((seq, hash)) = &verified.last_checkpoint {
            out::note(&format!("the last checkpoint is {seq}, {hash}; compare it with the log"));
        }
    }
    if verified.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn sentence(finding: &Finding) -> String {
    let rows = match finding.through {
        Some(through) => format!("{} to {through}", finding.seq),
        None => finding.seq.to_string(),
    };
    let subject = match finding.stream.as_str() {
        CHECKPOINTS => format!("checkpoint {rows}"),
        stream => format!("stream {stream}, row {rows}"),
    };
    let from = finding.from.as_ref().map(|from| format!(" (written as {from})")).unwrap_or_default();
    format!("{subject} {}{from}", finding.what.as_str())
}

async fn export(kit: &Kit, before: Day, path: &Path) -> anyhow::Result<()> {
    let failed = || format!("failed to write `{}`", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = BufWriter::new(options.open(path).with_context(failed)?);
    let mut export = kit.operator.audit_export(before);
    loop {
        let lines = kit.operator.audit_export_page(&mut export).await?;
        if lines.is_empty() {
            break;
        }
        lines.iter().try_for_each(|line| writeln!(file, "{line}")).with_context(failed)?;
    }
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    let rows = export.rows();
    kit.operator.audit_exported(export).await?;
    out::note(&format!("exported {rows} row(s) from before {before} to `{}`", path.display()));
    Ok(())
}
