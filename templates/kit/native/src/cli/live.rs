// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `limits`, `config reload` and `drain`: what only the process that serves can answer or do. They ask it over its admin API.

use kit::App;
use reqwest::Method;
use serde_json::Value;

use super::args::Limits;
use crate::admin::client::ask;
use crate::out;
use crate::settings::AdminListen;

pub(super) async fn limits(app: &App, listen: &AdminListen, command: Limits) -> anyhow::Result<()> {
    match command {
        Limits::Show { tenant, json } => {
            let standing = ask(app, listen, Method::GET, &["limits", &tenant]).await?;
            if json {
                out::json(&standing);
            } else {
                show(&tenant, &standing);
            }
        }
        Limits::Breakers { json } => {
            let breakers = ask(app, listen, Method::GET, &["breakers"]).await?;
            if json {
                out::json(&breakers);
            } else {
                list(&breakers);
            }
        }
    }
    Ok(())
}

pub(super) async fn reload(app: &App, listen: &AdminListen) -> anyhow::Result<()> {
    let answer = ask(app, listen, Method::POST, &["reload"]).await?;
    let applied: Vec<&str> = answer["applied"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    out::note(&format!("read again and in force: {}; the rest takes a restart", applied.join(", ")));
    Ok(())
}

pub(super) async fn drain(app: &App, listen: &AdminListen) -> anyhow::Result<()> {
    let answer = ask(app, listen, Method::POST, &["drain"]).await?;
    out::note(&format!("the server finishes its calls ({} under way) and ends", text(&answer["in_flight"])));
    Ok(())
}

/// A number, or `-` for none.
fn text(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn show(tenant: &str, standing: &Value) {
    let plan = &standing["plan"];
    let on = match plan["name"].as_str() {
        Some("") | None => "no plan".to_owned(),
        Some(name) => format!("the plan `{name}`"),
    };
    out::note(&format!("tenant `{tenant}` is on {on}\n"));
    let quantity = |what: &str, now: &str, most: &str| vec![what.to_owned(), text(&standing[now]), text(&plan[most])];
    let mut rows = vec![
        quantity("calls under way", "in_flight", "concurrency"),
        quantity("units today", "today", "daily"),
        quantity("units this month", "this_month", "monthly"),
    ];
    for bucket in standing["buckets"].as_array().into_iter().flatten() {
        let what = bucket["tool"].as_str().map_or_else(|| "calls".to_owned(), |tool| format!("calls of {tool}"));
        let interval_us = bucket["rate"]["interval_us"].as_i64().unwrap_or(1).max(1);
        let most = format!("{}, {} a minute", text(&bucket["rate"]["burst"]), 60_000_000 / interval_us);
        rows.push(vec![what, format!("{} left", text(&bucket["left"])), most]);
    }
    out::table(&["WHAT", "NOW", "AT MOST"], &rows, "");
}

fn list(breakers: &Value) {
    let row = |breaker: &Value| {
        let name = |key: &str| breaker[key].as_str().unwrap_or("-").to_owned();
        let ms = breaker["retry_after_ms"].as_i64().unwrap_or(0);
        let again = if ms > 0 { format!("in {} s", (ms + 999) / 1_000) } else { "with the next call".to_owned() };
        vec![name("integration"), name("tenant"), name("account"), name("cause"), again]
    };
    let rows: Vec<Vec<String>> = breakers["open"].as_array().into_iter().flatten().map(row).collect();
    let none = "every upstream is asked";
    out::table(&["INTEGRATION", "TENANT", "ACCOUNT", "WHY", "ASKED AGAIN"], &rows, none);
}
