//! The part of the sandbox that answers queries, and refuses those that Google refuses.

use kit::prelude::*;

use super::sandbox::{MANAGER, REQUEST_ID};
use super::sandbox_data::{Campaign, account, figures};
use super::sandbox_gaql::{Condition, Query, QueryError, parse};

/// The answer to `query`: batches of two rows.
pub(super) fn search(customer: &str, query: &str) -> Result<Value, QueryError> {
    let query = parse(query)?;
    check(customer, &query)?;
    let mut rows = rows(customer, &query);
    for (field, descending) in query.order.iter().rev() {
        let key = |row: &Value| {
            let text = row.pointer(&pointer(field)).and_then(Value::as_str).unwrap_or_default().to_owned();
            (text.parse::<u64>().unwrap_or_default(), text)
        };
        rows.sort_by(|a, b| if *descending { key(b).cmp(&key(a)) } else { key(a).cmp(&key(b)) });
    }
    rows.truncate(query.limit);
    let mask = query.fields.iter().map(|field| camel(field)).collect::<Vec<_>>().join(",");
    let batch = |rows: &[Value]| json!({"results": rows, "fieldMask": mask, "requestId": REQUEST_ID});
    let batches: Vec<Value> = rows.chunks(2).map(batch).collect();
    if batches.is_empty() { Ok(json!([{"fieldMask": mask, "requestId": REQUEST_ID}])) } else { Ok(batches.into()) }
}

/// The rows before they are sorted. A row of one day is there only if something happened on it.
fn rows(customer: &str, query: &Query) -> Vec<Value> {
    let account = account(customer);
    let kept = |campaign: &&Campaign| {
        query.conditions.iter().all(|condition| match condition {
            Condition::Status(values) => values.iter().any(|value| value == campaign.status),
            Condition::Campaign(id) => campaign.id == *id,
            Condition::After(id) => campaign.id > *id,
            Condition::Days(..) => true,
        })
    };
    let campaigns: Vec<&Campaign> = account.campaigns.iter().filter(kept).collect();
    let groups: Vec<Vec<&Campaign>> = match query.resource.as_str() {
        "customer" => vec![campaigns],
        _ => campaigns.into_iter().map(|campaign| vec![campaign]).collect(),
    };
    let days: Vec<u64> = (1..=30)
        .filter(|day| {
            query.conditions.iter().all(|condition| match condition {
                Condition::Days(first, last) => (first.as_str()..=last.as_str()).contains(&date(*day).as_str()),
                _ => true,
            })
        })
        .collect();
    let daily = query.fields.iter().any(|field| field == "segments.date");
    let spans: Vec<Vec<u64>> = if daily { days.into_iter().map(|day| vec![day]).collect() } else { vec![days] };
    let mut rows = Vec::new();
    for group in &groups {
        for span in &spans {
            let [impressions, clicks, cost, conversions] = figures(group, span);
            if daily && impressions == 0 {
                continue;
            }
            let campaign = group.first().map_or(Value::Null, |one| {
                json!({"id": one.id.to_string(), "name": one.name, "status": one.status,
                       "advertisingChannelType": one.channel})
            });
            let full = json!({
                "customer": {"id": customer, "descriptiveName": account.name, "currencyCode": account.currency},
                "campaign": campaign,
                "segments": {"date": span.first().map(|day| date(*day))},
                "metrics": {"impressions": impressions.to_string(), "clicks": clicks.to_string(),
                            "costMicros": cost.to_string(), "conversions": conversions as f64 / 4.0},
            });
            rows.push(selected(&full, query, customer));
        }
    }
    rows
}

/// What was asked for of `full`, and the names that Google adds unasked.
fn selected(full: &Value, query: &Query, customer: &str) -> Value {
    let mut row = json!({});
    for field in &query.fields {
        let name = camel(field);
        let (part, name) = name.split_once('.').unwrap_or_default();
        row[part][name] = full[part][name].clone();
    }
    let names = [
        ("customer", format!("customers/{customer}")),
        ("campaign", format!("customers/{customer}/campaigns/{}", full["campaign"]["id"].as_str().unwrap_or_default())),
    ];
    for (part, name) in names {
        if row.get(part).is_some() || query.resource == part {
            row[part]["resourceName"] = name.into();
        }
    }
    row
}

/// The sandbox has figures for one month.
fn date(day: u64) -> String {
    format!("2026-11-{day:02}")
}

/// `metrics.costMicros` for `metrics.cost_micros`.
fn camel(field: &str) -> String {
    let mut parts = field.split('_');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_at(1);
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}

fn pointer(field: &str) -> String {
    format!("/{}", camel(field).replace('.', "/"))
}

/// What Google refuses about a query that reads well.
fn check(customer: &str, query: &Query) -> Result<(), QueryError> {
    let refuse = |code, message: &str| Err((code, message.to_owned()));
    let selected = |field: &str| query.fields.iter().any(|one| one == field);
    if !matches!(query.resource.as_str(), "campaign" | "customer") {
        return refuse("BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", "The resource in the FROM clause is not known.");
    }
    let named = |condition: &Condition| !matches!(condition, Condition::Days(..));
    if query.resource == "customer" && query.conditions.iter().any(named) {
        return refuse(
            "PROHIBITED_RESOURCE_TYPE_IN_WHERE_CLAUSE",
            "The resource cannot be filtered on from 'customer'.",
        );
    }
    if query.resource == "customer" && query.fields.iter().any(|field| field.starts_with("campaign.")) {
        return refuse("PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE", "The resource cannot be selected from 'customer'.");
    }
    let dated = query.conditions.iter().any(|condition| matches!(condition, Condition::Days(..)));
    if selected("segments.date") && !dated {
        let message = "The query selects a date segment and does not filter on a finite date range.";
        return refuse("EXPECTED_FILTERS_ON_DATE_RANGE", message);
    }
    if let Some((field, _)) = query.order.iter().find(|(field, _)| !selected(field)) {
        let message = format!("The field '{field}' must be in the SELECT clause.");
        return refuse("EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE", &message);
    }
    if customer == MANAGER && query.fields.iter().any(|field| field.starts_with("metrics.")) {
        return refuse("REQUESTED_METRICS_FOR_MANAGER", "Metrics cannot be requested for a manager account.");
    }
    Ok(())
}
