//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;
use serde_json::Map;

pub(super) fn tools() -> Tools {
    Tools::new()
        .read("search", "Search the pages and data sources that are shared with this connection, by title.", search)
        .read("page", "Title, address and properties of one page, by the id that `{search}` gave.", page)
        .read("page_text", "The text of one page, by the id that `{search}` gave. Long pages come in parts.", page_text)
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Page,
    DataSource,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Words to look for in titles; empty lists what was edited last.
    #[serde(default)]
    query: String,
    /// Only pages, or only data sources (the tables of a database).
    kind: Option<Kind>,
    /// How many results at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

fn default_limit() -> u32 {
    25
}

#[derive(Debug, Serialize, JsonSchema)]
struct Hits {
    results: Vec<Hit>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Hit {
    id: String,
    /// `page` or `data_source`.
    kind: String,
    title: String,
    url: String,
    /// RFC 3339.
    last_edited: String,
}

async fn search(call: Call, args: Search) -> Result<Hits, ToolError> {
    let mut body = json!({"query": args.query, "page_size": args.limit});
    if let Some(kind) = args.kind {
        body["filter"] = json!({"property": "object", "value": kind});
    }
    if let Some(cursor) = args.cursor {
        body["start_cursor"] = cursor.into();
    }
    let found: List<Object> = call.upstream().post("/v1/search").body(&body).safe().json().await?;
    Ok(Hits { results: found.results.into_iter().map(Object::into_hit).collect(), next_cursor: found.next_cursor })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageId {
    /// Id of the page.
    id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Page {
    id: String,
    title: String,
    url: String,
    /// RFC 3339.
    last_edited: String,
    /// Whether the page lies in the trash.
    in_trash: bool,
    /// The properties as Notion gives them, by name.
    properties: Map<String, Value>,
}

async fn page(call: Call, args: PageId) -> Result<Page, ToolError> {
    let object: Object = call.upstream().get("/v1/pages").segment(&args.id).json().await?;
    Ok(Page {
        title: object.title(),
        id: object.id,
        url: object.url,
        last_edited: object.last_edited_time,
        in_trash: object.in_trash,
        properties: object.properties,
    })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PageText {
    /// Id of the page.
    id: String,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PagePart {
    /// One line a block.
    text: String,
    /// Give this as `cursor` to get the next part; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

async fn page_text(call: Call, args: PageText) -> Result<PagePart, ToolError> {
    let blocks: List<Block> = call
        .upstream()
        .get("/v1/blocks")
        .segment(&args.id)
        .segment("children")
        .query("page_size", 100)
        .query_opt("start_cursor", args.cursor)
        .json()
        .await?;
    let lines: Vec<String> = blocks.results.iter().map(Block::text).collect();
    Ok(PagePart { text: lines.join("\n"), next_cursor: blocks.next_cursor })
}

// What Notion answers, as far as the tools read it.

#[derive(Deserialize)]
struct List<T> {
    results: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    object: String,
    id: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    last_edited_time: String,
    #[serde(default)]
    in_trash: bool,
    /// A data source has its title here; a page has it in the one property of type `title`.
    #[serde(default)]
    title: Vec<RichText>,
    #[serde(default)]
    properties: Map<String, Value>,
}

impl Object {
    fn title(&self) -> String {
        let of_page = || self.properties.values().find_map(|property| property.get("title")?.as_array());
        match of_page() {
            Some(parts) => parts.iter().filter_map(|part| part.get("plain_text")?.as_str()).collect(),
            None => self.title.iter().map(|part| part.plain_text.as_str()).collect(),
        }
    }

    fn into_hit(self) -> Hit {
        let title = self.title();
        Hit { id: self.id, kind: self.object, title, url: self.url, last_edited: self.last_edited_time }
    }
}

#[derive(Deserialize)]
struct RichText {
    plain_text: String,
}

/// A block is `{"type": "paragraph", "paragraph": {"rich_text": […]}}`, the inner key following the type.
#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    content: Map<String, Value>,
}

impl Block {
    fn text(&self) -> String {
        let rich_text = self.content.get(&self.kind).and_then(|inner| inner.get("rich_text")).and_then(Value::as_array);
        rich_text.into_iter().flatten().filter_map(|part| part.get("plain_text")?.as_str()).collect()
    }
}
