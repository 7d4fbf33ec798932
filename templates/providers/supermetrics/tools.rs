//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;

pub(super) fn tools() -> Tools {
    Tools::new()
        .read("accounts", "List the accounts of one data source that Supermetrics can query.", accounts)
        .read(
            "query",
            "Query a data source through Supermetrics: fields of accounts over a time. Account ids come from \
             `{accounts}`. If the answer is `pending`, wait some seconds and fetch it with `{query_result}`.",
            query,
        )
        .read("query_result", "The rows of a query that `{query}` left pending, by its `query_id`.", query_result)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Accounts {
    /// Id of the data source in Supermetrics: `GAWA` is Google Analytics 4.
    #[schemars(length(min = 1, max = 64))]
    data_source: String,
    /// How many accounts at most.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

fn two_hundred() -> usize {
    200
}

#[derive(Debug, Serialize, JsonSchema)]
struct FoundAccounts {
    accounts: Vec<Account>,
    /// How many accounts more there are than `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<usize>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Account {
    #[serde(rename(deserialize = "account_id"))]
    id: String,
    #[serde(default, rename(deserialize = "account_name"))]
    name: String,
    /// Group that the source puts it in.
    #[serde(default, rename(deserialize = "group_name"), skip_serializing_if = "String::is_empty")]
    group: String,
}

async fn accounts(call: Call, args: Accounts) -> Result<FoundAccounts, ToolError> {
    let found: Logins = call.upstream().get("/query/accounts").query("ds_id", args.data_source).json().await?;
    let mut accounts: Vec<Account> = found.data.into_iter().flat_map(|login| login.accounts).collect();
    let left_out = accounts.len().saturating_sub(args.limit);
    accounts.truncate(args.limit);
    Ok(FoundAccounts { accounts, left_out: (left_out > 0).then_some(left_out) })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Id of the data source in Supermetrics: `GAWA` is Google Analytics 4.
    #[schemars(length(min = 1, max = 64))]
    data_source: String,
    /// Ids of accounts.
    #[schemars(length(min = 1, max = 50))]
    accounts: Vec<String>,
    /// Ids of fields of the data source: dimensions and metrics.
    #[schemars(length(min = 1, max = 50))]
    fields: Vec<String>,
    /// First day: YYYY-MM-DD, or relative: `7daysAgo`.
    #[schemars(length(min = 1, max = 32))]
    start: String,
    /// Last day, included: YYYY-MM-DD, or relative: `yesterday`.
    #[schemars(length(min = 1, max = 32))]
    end: String,
    /// How many rows the query gives at most, all pages together.
    #[serde(default = "two_hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
    /// `next_cursor` of the answer before, to go on from there; the other arguments must stay the same.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Rows {
    /// Whether the query is still running: then there are no rows yet.
    pending: bool,
    /// What `query_result` asks with.
    query_id: String,
    /// What the cells of a row are, in their order.
    columns: Vec<Column>,
    /// Cells are text, as Supermetrics gives them.
    rows: Vec<Vec<Value>>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Column {
    #[serde(rename(deserialize = "field_id"))]
    id: String,
    #[serde(default, rename(deserialize = "field_name"))]
    name: String,
    /// Type of its values.
    #[serde(default, rename(deserialize = "data_type"), skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

async fn query(call: Call, args: Query) -> Result<Rows, ToolError> {
    let mut request = call.upstream().get(DATA).query("ds_id", args.data_source);
    // Lists are repeated keys.
    for account in &args.accounts {
        request = request.query("ds_accounts", account);
    }
    request = request.query("start_date", args.start).query("end_date", args.end);
    for field in &args.fields {
        request = request.query("fields", field);
    }
    let [start, end] = offsets(args.cursor)?;
    let request = request.query("max_rows", args.limit).query_opt(OFFSETS[0], start).query_opt(OFFSETS[1], end);
    Ok(request.json::<Answer>().await?.into_rows())
}

const DATA: &str = "/query/data/json";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueryResult {
    /// `query_id` of the pending answer.
    #[schemars(length(min = 1, max = 128))]
    query_id: String,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

async fn query_result(call: Call, args: QueryResult) -> Result<Rows, ToolError> {
    let [start, end] = offsets(args.cursor)?;
    // The source is a required parameter that means nothing here.
    let request = call.upstream().get(DATA).query("ds_id", "").query("schedule_id", args.query_id);
    let request = request.query_opt(OFFSETS[0], start).query_opt(OFFSETS[1], end);
    Ok(request.json::<Answer>().await?.into_rows())
}

/// The parameters that say which rows of a result are wanted. A cursor is their values, joined by `-`.
const OFFSETS: [&str; 2] = ["offset_start", "offset_end"];

fn offsets(cursor: Option<String>) -> Result<[Option<u64>; 2], ToolError> {
    let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) else { return Ok([None; 2]) };
    let (start, end) = cursor.split_once('-').map_or((cursor.as_str(), None), |(start, end)| (start, Some(end)));
    match (start.parse(), end.map(str::parse).transpose()) {
        (Ok(start), Ok(end)) => Ok([Some(start), end]),
        _ => Err(ToolError::invalid("`cursor` is not one that this tool gave")),
    }
}

// What Supermetrics answers, as far as the tools read it.

#[derive(Deserialize)]
struct Logins {
    #[serde(default)]
    data: Vec<Login>,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Answer {
    meta: Meta,
    #[serde(default)]
    data: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
struct Meta {
    request_id: String,
    #[serde(default)]
    status_code: String,
    #[serde(default)]
    query: Described,
    #[serde(default)]
    paginate: Paginate,
}

#[derive(Default, Deserialize)]
struct Described {
    #[serde(default)]
    fields: Vec<Column>,
}

#[derive(Default, Deserialize)]
struct Paginate {
    next: Option<String>,
}

impl Answer {
    fn into_rows(self) -> Rows {
        let Self { meta, data: mut rows } = self;
        let columns = meta.query.fields;
        // The first row repeats the names of the columns.
        let names = |row: &Vec<Value>| {
            row.len() == columns.len()
                && row.iter().zip(&columns).all(|(cell, column)| *cell == *column.name || *cell == *column.id)
        };
        if rows.first().is_some_and(names) {
            rows.remove(0);
        }
        let next_cursor = meta.paginate.next.as_deref().and_then(cursor);
        let pending = meta.status_code.eq_ignore_ascii_case("pending");
        Rows { pending, query_id: meta.request_id, columns, rows, next_cursor }
    }
}

/// The offsets in the address of the next page. The address itself repeats the whole query and is not handed on.
fn cursor(next: &str) -> Option<String> {
    let pairs: Vec<(&str, &str)> = next.split_once('?')?.1.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let value = |name: &&str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
    let values: Vec<&str> = OFFSETS.iter().map_while(value).collect();
    (!values.is_empty()).then(|| values.join("-"))
}
