//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;
use serde_json::Map;

use super::provider::COLLECTION;

pub(super) fn tools() -> Tools {
    Tools::new().read("list", "List the items, a page at a time.", list).read(
        "get",
        "One item, by the id that `{list}` gave.",
        get,
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct List {
    /// How many items at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

fn default_limit() -> u32 {
    20
}

/// One page of the collection. Name the fields of `Item` as the API documents them: the model plans with what it can
/// see in the schema.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Items {
    items: Vec<Item>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema)]
struct Item {
    id: String,
    /// Everything else that the API says of the item.
    #[serde(flatten)]
    fields: Map<String, Value>,
}

async fn list(call: Call, args: List) -> Result<Items, ToolError> {
    call.upstream().get(COLLECTION).query("limit", args.limit).query_opt("cursor", args.cursor).json().await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Get {
    /// Id of the item.
    id: String,
}

async fn get(call: Call, args: Get) -> Result<Item, ToolError> {
    call.upstream().get(COLLECTION).segment(&args.id).json().await
}
