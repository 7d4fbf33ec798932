//! A provider for each of the five shapes, and Slack, which says no with status 200. All of them answer at `*.test`.

use std::collections::BTreeMap;

use kit::App;
use kit::prelude::*;
use serde_json::Map;

/// Rotating refresh tokens that live for 90 days (Shopify).
const SHOP: Provider = Provider {
    id: "shop",
    title: "Shop",
    base_url: "https://api.shop.test",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://auth.shop.test/authorize",
            token_url: "https://auth.shop.test/token",
            revoke_url: Some("https://auth.shop.test/revoke"),
            client_auth: ClientAuth::BodyJson,
            pkce: false,
            scopes: "read_orders read_products",
            scope_separator: ",",
            exchange_params: &[("expiring", "1")],
            refresh_life: RefreshLife::Sliding { refresh_before_days: 14 },
            ..OAuth::STANDARD
        },
        header: "X-Shop-Access-Token",
        prefix: "",
    },
    classify: classify_shop,
    ..Provider::PLAIN
};

/// Refresh tokens that stay, and end after half a year without use (Google).
const ADS: Provider = Provider {
    id: "ads",
    title: "Ads",
    base_url: "https://api.ads.test",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://auth.ads.test/authorize",
            token_url: "https://auth.ads.test/token",
            revoke_url: Some("https://auth.ads.test/revoke"),
            scopes: "adwords email",
            authorize_params: &[("access_type", "offline"), ("prompt", "consent")],
            refresh_life: RefreshLife::Idle { refresh_after_days: 150 },
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    classify: classify_ads,
    ..Provider::PLAIN
};

/// A year from the consent, whatever is done (LinkedIn).
const LINK: Provider = Provider {
    id: "link",
    title: "Link",
    base_url: "https://api.link.test",
    auth: AuthShape::Restli {
        oauth: OAuth {
            authorize_url: "https://auth.link.test/authorize",
            token_url: "https://auth.link.test/token",
            pkce: false,
            scopes: "r_ads r_ads_reporting",
            refresh_before: Duration::from_secs(7 * 86_400),
            refresh_life: RefreshLife::Absolute,
            ..OAuth::STANDARD
        },
        version: "202607",
    },
    throttle: Throttle::Silent,
    ..Provider::PLAIN
};

/// A token that is exchanged for another before its end, and a proof with each request (Meta).
const META: Provider = Provider {
    id: "meta",
    title: "Meta",
    base_url: "https://api.meta.test/v26.0",
    auth: AuthShape::SystemUser(SystemUser {
        header: "Authorization",
        prefix: "Bearer ",
        proof_param: Some("appsecret_proof"),
        exchange: Some(Exchange {
            url: "https://api.meta.test/v26.0/oauth/access_token",
            token_param: "fb_exchange_token",
            params: &[("grant_type", "fb_exchange_token"), ("set_token_expires_in_60_days", "true")],
            refresh_before: Duration::from_secs(10 * 86_400),
        }),
    }),
    throttle: Throttle::Silent,
    classify: classify_meta,
    ..Provider::PLAIN
};

/// Two regions, and a profile in a header (Amazon).
const LWA: Provider = Provider {
    id: "lwa",
    title: "Lwa",
    base_url: "",
    auth: AuthShape::LwaProfile(LwaProfile {
        oauth: OAuth { scopes: "campaigns", ..OAuth::STANDARD },
        client_id_header: "Client-Id",
    }),
    sites: Sites::Regions(REGIONS),
    targets: Some(Targets {
        noun: "profile",
        header: Some("Profile"),
        path: "/v2/profiles",
        query: &[],
        discover: profiles,
    }),
    ..Provider::PLAIN
};

/// A key that nothing renews.
const KEY: Provider = Provider {
    id: "key",
    title: "Key",
    base_url: "https://api.key.test",
    auth: AuthShape::ApiKey { header: "Authorization", prefix: "Bearer " },
    ..Provider::PLAIN
};

/// Refuses with status 200 and a word; tokens of twelve hours (Slack with rotation).
const CHAT: Provider = Provider {
    id: "chat",
    title: "Chat",
    base_url: "https://api.chat.test",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            token_url: "https://auth.chat.test/token",
            client_auth: ClientAuth::BasicForm,
            refresh_before: Duration::from_secs(7_200),
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    classify: classify_chat,
    ..Provider::PLAIN
};

const REGIONS: &[Region] = &[
    Region {
        name: "eu",
        title: "eu",
        authorize_url: "https://auth.lwa-eu.test/authorize",
        token_url: "https://auth.lwa-eu.test/token",
        api_url: "https://api.lwa-eu.test",
    },
    Region {
        name: "na",
        title: "na",
        authorize_url: "https://auth.lwa-na.test/authorize",
        token_url: "https://auth.lwa-na.test/token",
        api_url: "https://api.lwa-na.test",
    },
];

fn profiles(list: &Value) -> Vec<Target> {
    let list = list.as_array().into_iter().flatten();
    list.map(|one| Target { id: one["profileId"].to_string(), label: one["name"].as_str().unwrap_or("").to_owned() })
        .collect()
}

fn body(response: &HttpResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

fn classify_shop(response: &HttpResponse) -> Outcome {
    let body = body(response);
    match body["errors"][0]["extensions"]["code"].as_str() {
        Some("THROTTLED") => {
            let (cost, status) = (&body["extensions"]["cost"], &body["extensions"]["cost"]["throttleStatus"]);
            let number = |value: &Value| value.as_i64().unwrap_or_default();
            let short = number(&cost["requestedQueryCost"]) - number(&status["currentlyAvailable"]);
            Outcome::throttled(Some(short * 1_000 / number(&status["restoreRate"]).max(1)))
        }
        Some("ACCESS_DENIED") => Outcome::Forbidden,
        _ => classify_status(response),
    }
}

fn classify_ads(response: &HttpResponse) -> Outcome {
    let body = body(response);
    let delay = &body["error"]["details"][0]["errors"][0]["details"]["quotaErrorDetails"]["retryDelay"];
    match (response.status, delay.as_str().and_then(|text| text.strip_suffix('s'))) {
        (429, Some(seconds)) => Outcome::throttled(kit::upstream::throttle::seconds_ms(seconds)),
        _ => classify_status(response),
    }
}

fn classify_meta(response: &HttpResponse) -> Outcome {
    match body(response)["error"]["code"].as_i64() {
        Some(102 | 190) => Outcome::AuthDead,
        Some(4 | 17 | 32 | 341 | 613 | 80_000..=80_014) => Outcome::throttled(None),
        Some(10 | 200..=299) => Outcome::Forbidden,
        Some(1 | 2 | 368) => Outcome::Transient,
        Some(_) => Outcome::Invalid,
        None => classify_status(response),
    }
}

fn classify_chat(response: &HttpResponse) -> Outcome {
    let body = body(response);
    match body["error"].as_str() {
        Some("token_expired") => Outcome::AuthExpired,
        Some("invalid_auth" | "not_authed" | "account_inactive" | "token_revoked") => Outcome::AuthDead,
        Some("missing_scope") => Outcome::Forbidden,
        Some("ratelimited") => Outcome::throttled(None),
        Some("internal_error" | "fatal_error") => Outcome::Transient,
        _ => classify_status(response),
    }
}

type Anything = BTreeMap<String, Value>;
type Answer = Result<Map<String, Value>, ToolError>;

async fn me(call: Call, _: Anything) -> Answer {
    call.upstream().get("/v1/me").json().await
}

async fn choices(call: Call, _: Anything) -> Answer {
    let list: Value = call.upstream().get("/v2/profiles").without_target().json().await?;
    Ok(Map::from_iter([("list".to_owned(), list)]))
}

async fn write(call: Call, _: Anything) -> Answer {
    call.upstream().post("/v1/write").body(&json!({"x": 1})).json().await
}

async fn search(call: Call, _: Anything) -> Answer {
    call.upstream().post("/v1/search").body(&json!({"q": 1})).safe().json().await
}

/// All of them, under their own names.
pub fn app() -> App {
    [("shop", SHOP), ("ads", ADS), ("link", LINK), ("meta", META), ("lwa", LWA), ("key", KEY), ("chat", CHAT)]
        .into_iter()
        .fold(App::new("acme", "1.2.3"), |app, (name, provider)| {
            let tools = Tools::new()
                .read("me", "Who the credential belongs to.", me)
                .read("choices", "What the credential can be for.", choices)
                .write("write", "Write something.", write)
                .read("search", "Search by POST.", search);
            app.integration(name, Integration::new(provider).tools(tools))
        })
}
