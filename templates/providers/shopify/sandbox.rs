//! A stand-in for Shopify and its authorization server, for `dev` and tests: it insists on the token, on JSON and on fields
//! that exist, filters and pages, and fails in Shopify's words. Every name under `myshopify.com` is the same small shop,
//! save these, which show what else a shop can answer:
//!
//! - `throttled`: the budget is used up, inside a 200; so it is for what lies behind the cursor `throttled`;
//! - `narrow`: the app has no leave to read orders, inside a 200;
//! - `frozen` (402), `locked` (423), `gone` (404).

use kit::prelude::*;

use super::graphql::{Field, Searched, meets, select, selection};
use super::provider::is_shop;

const VERSION: &str = "2026-10";
const SHOP: &str = "little-lantern.myshopify.com";

pub(super) struct ShopifySandbox {
    tokens: TokenServer,
}

impl Default for ShopifySandbox {
    fn default() -> Self {
        let tokens = TokenServer::new(3_600)
            .refresh_life(90 * 86_400)
            .scopes("read_orders read_products", ",")
            .with(|answer| drop(answer.remove("token_type")));
        Self { tokens }
    }
}

impl Sandbox for ShopifySandbox {
    fn seed(&self) -> Seed {
        Seed { site: Some(SHOP), ..self.tokens.seed() }
    }

    fn tokens(&self) -> Option<&TokenServer> {
        Some(&self.tokens)
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let host = request.url.host_str().unwrap_or_default();
        let path: Vec<&str> = request.url.path().trim_matches('/').split('/').collect();
        match (request.method, path.as_slice()) {
            (Method::Get, ["admin", "oauth", "authorize"]) => self.authorize(request),
            (Method::Post, ["admin", "oauth", "access_token"]) => self.token(request),
            (Method::Post, ["admin", "api", VERSION, "graphql.json"]) => self.graphql(request, host),
            _ => refusal(404, "Not Found"),
        }
    }
}

/// What Shopify answers outside GraphQL.
fn refusal(status: u16, text: &str) -> HttpResponse {
    HttpResponse::json(status, &json!({"errors": text}))
}

/// Adds to the address that the browser is sent back to what Shopify adds: the shop, the time, and the proof that it is
/// from Shopify.
fn sign(location: &mut String, request: &HttpRequest) {
    let (shop, now) = (request.url.host_str().unwrap_or_default(), request.header(SANDBOX_NOW).unwrap_or_default());
    let Some((path, query)) = location.split_once('?') else { return };
    let mut pairs: Vec<(String, String)> = callback_hmac::pairs(query);
    pairs.extend([("shop".to_owned(), shop.to_owned()), ("timestamp".to_owned(), now.to_owned())]);
    let proof = callback_hmac::signature(&pairs, &Secret::from(CLIENT_SECRET)).unwrap_or_default();
    pairs.push(("hmac".to_owned(), proof));
    *location = format!("{path}?{}", callback_hmac::query(&pairs));
}

fn is_json(request: &HttpRequest) -> bool {
    request.header("content-type").is_some_and(|value| value.starts_with("application/json"))
}

impl ShopifySandbox {
    fn authorize(&self, request: &HttpRequest) -> HttpResponse {
        let scopes = request.query("scope").unwrap_or_default();
        if scopes.is_empty() || scopes.contains(' ') {
            return HttpResponse::json(400, &json!({"error": "invalid_scope"}));
        }
        let mut answer = self.tokens.authorize(request);
        let back = answer.headers.iter_mut().find(|(name, _)| name == "Location");
        back.into_iter().for_each(|(_, location)| sign(location, request));
        answer
    }

    fn token(&self, request: &HttpRequest) -> HttpResponse {
        let Some(asked) = serde_json::from_slice::<Value>(&request.body).ok().filter(|_| is_json(request)) else {
            return HttpResponse::json(400, &json!({"error": "invalid_request"}));
        };
        let mut answer = self.tokens.handle(request);
        let given = serde_json::from_slice::<Value>(&answer.body).ok().filter(|_| answer.status == 200);
        if let Some(given) = given.filter(|_| asked.get("code").is_some() && asked["expiring"] != "1") {
            // Nobody asked for a token that ends.
            answer = HttpResponse::json(200, &json!({"access_token": given["access_token"], "scope": given["scope"]}));
        }
        answer
    }

    fn graphql(&self, request: &HttpRequest, host: &str) -> HttpResponse {
        if !request.header("x-shopify-access-token").is_some_and(|token| self.tokens.knows(token)) {
            return refusal(401, "[API] Invalid API key or access token (unrecognized login or wrong password)");
        }
        let body = serde_json::from_slice::<Value>(&request.body).ok().filter(|_| is_json(request));
        let Some(body) = body else { return refusal(400, "Bad Request") };
        let shop = host.strip_suffix(".myshopify.com").filter(|_| is_shop(host)).unwrap_or_default();
        match shop {
            "frozen" => return refusal(402, "Payment Required"),
            "locked" => return refusal(423, "Locked"),
            "gone" => return refusal(404, "Not Found"),
            _ => {}
        }
        let answer = query(&body, shop).unwrap_or_else(|error| error);
        HttpResponse::json(200, &answer).with_header("X-Shopify-API-Version", VERSION)
    }
}

/// Data, or what Shopify says instead; both are a 200.
fn query(body: &Value, shop: &str) -> Result<Value, Value> {
    let document = selection(body["query"].as_str().unwrap_or_default());
    let root = document.first().and_then(|query| query.fields.first());
    let Some(Field { name, fields }) = root else {
        return Err(error("syntax error, unexpected end of file", "parseError"));
    };
    let variables = &body["variables"];
    let Some(first) = variables["first"].as_u64().filter(|first| (1..=250).contains(first)) else {
        return Err(error("Variable $first of type Int! was provided invalid value", "INVALID_VARIABLE"));
    };
    let requested = first + 2;
    if shop == "throttled" || variables["after"] == "throttled" {
        let refused = json!({"message": "Throttled", "extensions": {"code": "THROTTLED"}});
        return Err(json!({"errors": [refused], "extensions": cost(252, &Value::Null, 48)}));
    }
    let (items, of): (Vec<Value>, Searched) = match name.as_str() {
        "orders" if shop == "narrow" => return Err(denied(requested)),
        "orders" => (orders(), of_order),
        "products" => (products(), of_product),
        _ => return Err(undefined(name, "QueryRoot")),
    };
    let wanted = variables["query"].as_str().unwrap_or_default();
    let found: Vec<Value> = items.into_iter().filter(|item| meets(item, wanted, of)).collect();
    let start = match variables["after"].as_str() {
        None => 0,
        Some(cursor) => cursor.strip_prefix("sandbox-").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX),
    };
    if start > found.len() {
        return Err(error("Invalid cursor for current pagination sort.", "BAD_REQUEST"));
    }
    let nodes: Vec<Value> = found.iter().skip(start).take(usize::try_from(first).unwrap_or(250)).cloned().collect();
    let end = start + nodes.len();
    let page = json!({"hasNextPage": end < found.len(), "endCursor": format!("sandbox-{end}")});
    let page = select(&json!({"nodes": nodes, "pageInfo": page}), fields).map_err(|field| undefined(&field, name))?;
    Ok(json!({"data": {name: page}, "extensions": cost(requested, &requested.into(), 2_000 - requested)}))
}

fn error(message: &str, code: &str) -> Value {
    json!({"errors": [{"message": message, "extensions": {"code": code}}]})
}

fn undefined(field: &str, on: &str) -> Value {
    error(&format!("Field '{field}' doesn't exist on type '{on}'"), "undefinedField")
}

fn denied(requested: u64) -> Value {
    let access = "`read_orders` access scope.";
    let extensions = json!({"code": "ACCESS_DENIED", "requiredAccess": access});
    let message = format!("Access denied for orders field. Required access: {access}");
    let error = json!({"message": message, "extensions": extensions, "path": ["orders"]});
    json!({"errors": [error], "data": {"orders": null}, "extensions": cost(requested, &2.into(), 1_998)})
}

fn cost(requested: u64, actual: &Value, available: u64) -> Value {
    let status = json!({"maximumAvailable": 2_000.0, "currentlyAvailable": available, "restoreRate": 100.0});
    json!({"cost": {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}})
}

fn of_order(order: &Value, field: &str) -> Option<String> {
    let key = match field {
        "financial_status" => "displayFinancialStatus",
        "fulfillment_status" => "displayFulfillmentStatus",
        "created_at" => "createdAt",
        "name" => "name",
        _ => return None,
    };
    order[key].as_str().map(str::to_owned)
}

fn of_product(product: &Value, field: &str) -> Option<String> {
    let searched = matches!(field, "status" | "vendor" | "handle" | "title");
    product[field].as_str().filter(|_| searched).map(str::to_owned)
}

/// The newest first, as the tool asks for them.
fn orders() -> Vec<Value> {
    let order = |number: u32, created: &str, paid: &str, sent: &str, amount: &str| {
        json!({"id": format!("gid://shopify/Order/{number}"), "name": format!("#{number}"), "createdAt": created,
               "displayFinancialStatus": paid, "displayFulfillmentStatus": sent,
               "totalPriceSet": {"shopMoney": {"amount": amount, "currencyCode": "EUR"}}})
    };
    vec![
        order(1005, "2026-11-22T18:04:11Z", "PENDING", "UNFULFILLED", "36.5"),
        order(1004, "2026-11-21T09:30:52Z", "PAID", "UNFULFILLED", "128.0"),
        order(1003, "2026-11-19T14:12:40Z", "PAID", "FULFILLED", "24.9"),
        order(1002, "2026-11-12T20:47:03Z", "REFUNDED", "FULFILLED", "59.0"),
        order(1001, "2026-11-03T07:15:27Z", "PAID", "FULFILLED", "210.75"),
    ]
}

/// The last changed first, as the tool asks for them.
fn products() -> Vec<Value> {
    let product = |number: u32, title: &str, handle: &str, status: &str, stock: i64, updated: &str| {
        json!({"id": format!("gid://shopify/Product/{number}"), "title": title, "handle": handle, "status": status,
               "vendor": "Little Lantern", "totalInventory": stock, "updatedAt": updated})
    };
    vec![
        product(9003, "Storm lantern", "storm-lantern", "ACTIVE", 14, "2026-11-22T18:04:12Z"),
        product(9001, "Beeswax candle", "beeswax-candle", "ACTIVE", 320, "2026-11-21T09:30:53Z"),
        product(9004, "Lantern of glass", "lantern-of-glass", "DRAFT", 0, "2026-11-10T11:00:00Z"),
        product(9002, "Wick trimmer", "wick-trimmer", "ACTIVE", -2, "2026-11-03T07:15:28Z"),
    ]
}
