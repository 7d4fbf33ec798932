//! The Amazon Attribution API as data (<https://advertising.amazon.com/API/docs>).

use kit::prelude::*;

/// What the app asks for. Apps that were approved long ago may know it as `cpc_advertising:campaign_management`.
pub(super) const SCOPE: &str = "advertising::campaign_management";

/// The headers with your app's client id and with the profile that a request is for.
pub(super) const CLIENT_ID_HEADER: &str = "Amazon-Advertising-API-ClientId";
pub(super) const PROFILE_HEADER: &str = "Amazon-Advertising-API-Scope";

pub(super) const PROVIDER: Provider = Provider {
    id: "amazon-attribution",
    title: "Amazon Attribution",
    auth: AuthShape::LwaProfile(LwaProfile {
        // Access for an hour. A refresh token ends when its person removes the app, and at no other time.
        oauth: OAuth { scopes: SCOPE, ..OAuth::STANDARD },
        client_id_header: CLIENT_ID_HEADER,
    }),
    sites: Sites::Regions(&[
        Region {
            name: "na",
            title: "North America",
            authorize_url: "https://www.amazon.com/ap/oa",
            token_url: "https://api.amazon.com/auth/o2/token",
            api_url: "https://advertising-api.amazon.com",
        },
        Region {
            name: "eu",
            title: "Europe",
            authorize_url: "https://eu.account.amazon.com/ap/oa",
            token_url: "https://api.amazon.co.uk/auth/o2/token",
            api_url: "https://advertising-api-eu.amazon.com",
        },
        Region {
            name: "fe",
            title: "Far East",
            authorize_url: "https://apac.account.amazon.com/ap/oa",
            token_url: "https://api.amazon.co.jp/auth/o2/token",
            api_url: "https://advertising-api-fe.amazon.com",
        },
    ]),
    targets: Some(Targets {
        noun: "profile",
        header: Some(PROFILE_HEADER),
        path: "/v2/profiles",
        query: &[],
        discover,
    }),
    headers: &[("Accept", "application/json")],
    // 429 with `Retry-After` in seconds; the limits themselves move and are not documented.
    classify,
    ..Provider::PLAIN
};

/// Reads `[{"profileId": 1, "countryCode": "US", "accountInfo": {"name": "…", "type": "vendor", "subType": "…"}}]`. Ids stay
/// text: some are larger than 64 bits.
fn discover(list: &Value) -> Vec<Target> {
    let target = |profile: &Value| {
        let id = match &profile["profileId"] {
            Value::String(id) => id.clone(),
            id => id.as_u64()?.to_string(),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let account = &profile["accountInfo"];
        // Profiles that are made for attribution say so in `subType`, which the others may leave out.
        let facts = [&account["type"], &account["subType"], &profile["countryCode"]].map(text);
        let facts: Vec<String> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
        Some(Target { id, label: format!("{} ({})", text(&account["name"]), facts.join(", ")) })
    };
    list.as_array().into_iter().flatten().filter_map(target).collect()
}

/// Amazon says of a profile that is not this connection's "not authorized to access scope", with 403 and also with 401. No
/// new token helps then. Its other noes are read by their status: their bodies come in several forms.
fn classify(response: &HttpResponse) -> Outcome {
    let error: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let texts = || [&error["details"], &error["message"]].into_iter().filter_map(Value::as_str).map(str::to_lowercase);
    match response.status {
        401 if texts().any(|text| text.contains("not authorized") && text.contains("scope")) => Outcome::Forbidden,
        _ => classify_status(response),
    }
}
