//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;

pub(super) fn tools() -> Tools {
    Tools::new()
        .read(
            "orders",
            "Orders of the shop, the newest first, with what was paid and whether it was sent. As a rule only those of \
             the last 60 days can be seen.",
            orders,
        )
        .read("products", "Products of the shop, the last changed first, with their stock.", products)
}

const ORDERS: &str = "query($first:Int!,$query:String,$after:String){\
    orders(first:$first,query:$query,after:$after,sortKey:CREATED_AT,reverse:true){\
    nodes{id name createdAt displayFinancialStatus displayFulfillmentStatus \
    totalPriceSet{shopMoney{amount currencyCode}}} \
    pageInfo{hasNextPage endCursor}}}";

const PRODUCTS: &str = "query($first:Int!,$query:String,$after:String){\
    products(first:$first,query:$query,after:$after,sortKey:UPDATED_AT,reverse:true){\
    nodes{id title handle status vendor totalInventory updatedAt} \
    pageInfo{hasNextPage endCursor}}}";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FindOrders {
    /// A filter in Shopify's search syntax: `financial_status:paid`, `fulfillment_status:unfulfilled`,
    /// `created_at:>=2026-11-01`, `name:#1001`; several with spaces between them must all hold.
    query: Option<String>,
    /// How many orders at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 250))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there with the same filter.
    cursor: Option<String>,
}

fn default_limit() -> u32 {
    50
}

#[derive(Debug, Serialize, JsonSchema)]
struct Orders {
    orders: Vec<Order>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Order {
    id: String,
    /// What the shop calls it: `#1001`.
    name: String,
    /// RFC 3339.
    created_at: String,
    /// `PAID`, `PENDING`, `REFUNDED` and others; absent where nothing was to be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    financial_status: Option<String>,
    /// `UNFULFILLED`, `FULFILLED` and others.
    fulfillment_status: String,
    /// The total in `currency`, as a decimal number.
    total: String,
    /// ISO 4217, the currency of the shop.
    currency: String,
}

async fn orders(call: Call, args: FindOrders) -> Result<Orders, ToolError> {
    let variables = json!({"first": args.limit, "query": args.query, "after": args.cursor});
    let found: Answer<OrdersData> = graphql(&call, ORDERS, &variables).await?;
    let next_cursor = found.data.orders.page_info.next();
    Ok(Orders { orders: found.data.orders.nodes.into_iter().map(OrderNode::into_order).collect(), next_cursor })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FindProducts {
    /// A filter in Shopify's search syntax: words of the title, `status:active`, `vendor:Lumen`; several with spaces
    /// between them must all hold.
    query: Option<String>,
    /// How many products at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 250))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there with the same filter.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Products {
    products: Vec<Product>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Product {
    id: String,
    title: String,
    /// Its name in the address of its page.
    handle: String,
    /// `ACTIVE`, `DRAFT` or `ARCHIVED`.
    status: String,
    vendor: String,
    /// How many are in stock, all variants together; below zero when more were sold.
    stock: i64,
    /// RFC 3339.
    updated_at: String,
}

async fn products(call: Call, args: FindProducts) -> Result<Products, ToolError> {
    let variables = json!({"first": args.limit, "query": args.query, "after": args.cursor});
    let found: Answer<ProductsData> = graphql(&call, PRODUCTS, &variables).await?;
    let next_cursor = found.data.products.page_info.next();
    Ok(Products {
        products: found.data.products.nodes.into_iter().map(ProductNode::into_product).collect(),
        next_cursor,
    })
}

/// Values go in as variables: what a model writes never becomes part of the query itself.
async fn graphql<T>(call: &Call, query: &str, variables: &Value) -> Result<T, ToolError>
where
    T: for<'a> Deserialize<'a>,
{
    let body = json!({"query": query, "variables": variables});
    // A query only reads. Leave `.safe()` out for a mutation.
    call.upstream().post("/graphql.json").body(&body).safe().json().await
}

// What Shopify answers, as far as the tools read it.

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct OrdersData {
    orders: Page<OrderNode>,
}

#[derive(Deserialize)]
struct ProductsData {
    products: Page<ProductNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    nodes: Vec<T>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl PageInfo {
    /// The end of the last page has a cursor too.
    fn next(&self) -> Option<String> {
        self.end_cursor.clone().filter(|_| self.has_next_page)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderNode {
    id: String,
    name: String,
    created_at: String,
    display_financial_status: Option<String>,
    display_fulfillment_status: String,
    total_price_set: MoneyBag,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoneyBag {
    shop_money: Money,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Money {
    amount: String,
    currency_code: String,
}

impl OrderNode {
    fn into_order(self) -> Order {
        let Money { amount: total, currency_code: currency } = self.total_price_set.shop_money;
        Order {
            id: self.id,
            name: self.name,
            created_at: self.created_at,
            financial_status: self.display_financial_status,
            fulfillment_status: self.display_fulfillment_status,
            total,
            currency,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProductNode {
    id: String,
    title: String,
    handle: String,
    status: String,
    vendor: String,
    total_inventory: i64,
    updated_at: String,
}

impl ProductNode {
    fn into_product(self) -> Product {
        let Self { id, title, handle, status, vendor, total_inventory: stock, updated_at } = self;
        Product { id, title, handle, status, vendor, stock, updated_at }
    }
}
