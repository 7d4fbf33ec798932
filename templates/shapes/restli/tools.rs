//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;
use serde_json::Map;

use super::provider::COLLECTION;

pub(super) fn tools() -> Tools {
    Tools::new().read("search", "Search the items by status, a page at a time.", search).read(
        "get",
        "One item, by the id that `{search}` gave.",
        get,
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Only items in one of these states; all if empty.
    #[serde(default)]
    status: Vec<Status>,
    /// How many items at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// `next_page_token` of the answer before, to go on from there.
    page_token: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Active,
    Paused,
}

fn default_limit() -> u32 {
    20
}

/// One page of the search. Name the fields of `Item` as the API documents them: the model plans with what it can see in
/// the schema.
#[derive(Debug, Serialize, JsonSchema)]
struct Found {
    items: Vec<Item>,
    /// Give this as `page_token` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Item {
    id: u64,
    /// Everything else that the API says of the item.
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// What the API answers.
#[derive(Deserialize)]
struct Page {
    elements: Vec<Item>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    next_page_token: Option<String>,
}

async fn search(call: Call, args: Search) -> Result<Found, ToolError> {
    let mut params = vec![("q", json!("search")), ("pageSize", json!(args.limit))];
    if !args.status.is_empty() {
        params.push(("search", json!({"status": {"values": args.status}})));
    }
    params.extend(args.page_token.map(|token| ("pageToken", json!(token))));
    let page: Page = call.upstream().restli(RestMethod::Finder, COLLECTION, &params, None).json().await?;
    Ok(Found { items: page.elements, next_page_token: page.metadata.next_page_token })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// Id of the item.
    id: u64,
}

async fn get(call: Call, args: Get) -> Result<Item, ToolError> {
    call.upstream().restli(RestMethod::Get, COLLECTION, &[], None).segment(args.id).json().await
}
