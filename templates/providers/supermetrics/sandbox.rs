//! A stand-in for Supermetrics, for `dev` and tests: it insists on the key in its header, knows its parameters, pages and
//! lets slow queries wait.
//!
//! An invented bakery has connected Google Analytics 4 (`GAWA`) with the accounts `184200417` and `184200418`. Some
//! accounts provoke what data cannot, and are never listed: `slow` is pending until its result is asked for the second
//! time; `expired`, `forbidden`, `throttled` and `broken` answer 401, 403, 429 and 500.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kit::prelude::*;

const KEY: &str = "api_sandbox_00000000000000000000000000000000";
/// So many rows are in one page of an answer.
const PAGE: usize = 3;

#[derive(Default)]
pub(super) struct SupermetricsSandbox {
    queries: Mutex<BTreeMap<String, Query>>,
}

/// A query as it was asked, and how often its answer is still pending.
#[derive(Clone)]
struct Query {
    fields: Vec<usize>,
    rows: Vec<&'static Fact>,
    pending: u32,
}

impl Sandbox for SupermetricsSandbox {
    fn seed(&self) -> Seed {
        Secret::from(KEY).into()
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if request.header("authorization") != Some(&format!("Bearer {KEY}")) {
            return no(401, "ACCESS_TOKEN_INVALID");
        }
        let answer = match (request.method, request.url.path()) {
            (Method::Get, "/query/accounts") => accounts(request),
            (Method::Get, "/query/data/json") => self.data(request),
            _ => Err(no(404, "NOT_FOUND")),
        };
        answer.unwrap_or_else(|no| no)
    }
}

fn no(status: u16, code: &str) -> HttpResponse {
    let message = "The request was refused";
    let error = json!({"code": code, "message": message, "description": "See the documentation of the sandbox"});
    HttpResponse::json(status, &json!({"meta": {"request_id": "req-0"}, "error": error}))
}

/// The values of a parameter. Lists are repeated keys.
fn all(request: &HttpRequest, name: &str) -> Vec<String> {
    request.url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
}

fn only(request: &HttpRequest, known: &[&str]) -> Result<(), HttpResponse> {
    match request.url.query_pairs().all(|(key, _)| known.contains(&&*key)) {
        true => Ok(()),
        false => Err(no(400, "BAD_REQUEST")),
    }
}

fn accounts(request: &HttpRequest) -> Result<HttpResponse, HttpResponse> {
    only(request, &["ds_id", "ds_users", "cache_minutes"])?;
    if all(request, "ds_id") != ["GAWA"] {
        return Err(no(422, "UNPROCESSABLE_ENTITY"));
    }
    let account = |id: &str, name: &str| json!({"account_id": id, "account_name": name, "group_name": ""});
    let accounts = [account("184200417", "Kornblume shop"), account("184200418", "Kornblume blog")];
    let login = json!({"ds_user": "reports@kornblume.example", "display_name": "Reports", "accounts": accounts});
    Ok(HttpResponse::json(200, &json!({"meta": {"request_id": "req-0"}, "data": [login]})))
}

impl SupermetricsSandbox {
    fn data(&self, request: &HttpRequest) -> Result<HttpResponse, HttpResponse> {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, mut query) = match all(request, "schedule_id").as_slice() {
            [] => (format!("req-{}", queries.len() + 1), asked(request)?),
            [id] => {
                only(request, &["ds_id", "schedule_id", "offset_start", "offset_end"])?;
                (id.clone(), queries.get(id).cloned().ok_or_else(|| no(404, "NOT_FOUND"))?)
            }
            _ => return Err(no(400, "BAD_REQUEST")),
        };
        let pending = query.pending > 0;
        query.pending = query.pending.saturating_sub(1);
        queries.insert(id.clone(), query.clone());
        let fields: Vec<Value> = query.fields.iter().map(|at| described(*at)).collect();
        let mut meta =
            json!({"request_id": id, "schedule_id": id, "status_code": "pending", "query": {"fields": fields}});
        if pending {
            return Ok(HttpResponse::json(200, &json!({"meta": meta, "data": []})));
        }
        let offset =
            |name: &str| request.query(name).map(|text| text.parse::<usize>().map_err(|_| no(400, "BAD_REQUEST")));
        let start = offset("offset_start").transpose()?.unwrap_or(0);
        let end = offset("offset_end").transpose()?.unwrap_or(start + PAGE - 1);
        let rows: Vec<Vec<&str>> =
            query.rows.iter().map(|fact| query.fields.iter().map(|at| fact[*at]).collect()).collect();
        let page = rows.iter().skip(start).take((end + 1).saturating_sub(start).min(PAGE));
        let header: Vec<&str> = query.fields.iter().map(|at| FIELDS[*at].0).collect();
        let data: Vec<&Vec<&str>> = [&header].into_iter().chain(page).collect();
        let next = start + data.len() - 1;
        let mut address = request.url.clone();
        address
            .query_pairs_mut()
            .clear()
            .extend_pairs(request.url.query_pairs().filter(|(name, _)| !name.starts_with("offset_")));
        address.query_pairs_mut().append_pair("offset_start", &next.to_string());
        address.query_pairs_mut().append_pair("offset_end", &(next + PAGE - 1).to_string());
        meta["status_code"] = "SUCCESS".into();
        meta["result"] = json!({"total_rows": rows.len(), "total_columns": header.len(), "cache_used": false});
        meta["paginate"] = json!({"prev": null, "next": (next < rows.len()).then(|| address.to_string())});
        Ok(HttpResponse::json(200, &json!({"meta": meta, "data": data})))
    }
}

fn described(at: usize) -> Value {
    let (name, kind) = FIELDS[at];
    json!({"field_id": name.to_lowercase(), "field_name": name, "data_type": kind})
}

/// The query of `request`, if it is a good one.
fn asked(request: &HttpRequest) -> Result<Query, HttpResponse> {
    only(
        request,
        &["ds_id", "ds_accounts", "start_date", "end_date", "fields", "max_rows", "offset_start", "offset_end"],
    )?;
    let accounts = all(request, "ds_accounts");
    for account in &accounts {
        match account.as_str() {
            "184200417" | "184200418" | "slow" => {}
            "expired" => return Err(no(401, "ACCESS_TOKEN_EXPIRED")),
            "forbidden" => return Err(no(403, "FORBIDDEN")),
            "throttled" => return Err(no(429, "TOO_MANY_REQUESTS").with_header("Retry-After", "5")),
            "broken" => return Err(no(500, "INTERNAL_SERVER_ERROR")),
            _ => return Err(no(422, "UNPROCESSABLE_ENTITY")),
        }
    }
    let position = |wanted: &String| FIELDS.iter().position(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let fields: Option<Vec<usize>> = all(request, "fields").iter().map(position).collect();
    let fields =
        fields.filter(|fields| !fields.is_empty() && !accounts.is_empty() && all(request, "ds_id") == ["GAWA"]);
    let fields = fields.ok_or_else(|| no(422, "UNPROCESSABLE_ENTITY"))?;
    let bounds = (day(request, "start_date", "0000")?, day(request, "end_date", "9999")?);
    let limit = request.query("max_rows").map_or(Some(10_000), |text| text.parse().ok()).filter(|limit| *limit > 0);
    let within = |fact: &&&Fact| (bounds.0.as_str()..=bounds.1.as_str()).contains(&fact[0]);
    let rows = FACTS.iter().collect::<Vec<_>>();
    let rows = rows.iter().filter(within).take(limit.ok_or_else(|| no(400, "BAD_REQUEST"))?).copied().collect();
    Ok(Query { fields, rows, pending: if accounts.iter().any(|account| account == "slow") { 2 } else { 0 } })
}

/// A bound of the time: a day, or `open` for a relative one.
fn day(request: &HttpRequest, name: &str, open: &str) -> Result<String, HttpResponse> {
    let text = request.query(name).unwrap_or_default();
    let relative = matches!(text.as_str(), "today" | "yesterday")
        || text.strip_suffix("daysAgo").is_some_and(|days| days.parse::<u32>().is_ok());
    match Day::parse(&text) {
        Some(day) => Ok(day.to_string()),
        None if relative => Ok(open.to_owned()),
        None => Err(no(400, "BAD_REQUEST")),
    }
}

const FIELDS: [(&str, &str); 3] =
    [("Date", "string.time.date"), ("Sessions", "int.number.value"), ("Users", "int.number.value")];

type Fact = [&'static str; 3];

const FACTS: [Fact; 5] = [
    ["2026-10-01", "12", "9"],
    ["2026-10-02", "15", "11"],
    ["2026-10-03", "9", "9"],
    ["2026-10-04", "21", "17"],
    ["2026-10-05", "14", "10"],
];
