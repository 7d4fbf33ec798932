//! How a person connects an account: every page from request to reply, with the stand-ins' own authorization server behind it.
//! A browser here is a cookie and the ability to follow what it is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::App;
use kit::boot::Kit;
use kit::connect::web::{Asked, Reply};
use kit::error::ToolError;
use kit::inbound::TenantCtx;
use kit::pipeline::{Caller, Failure};
use kit::prelude::*;
use kit::store::connections::ConnectionState;
use kit_native::testing::TestKit;
use serde_json::Map;
use url::Url;

const HOUR_MS: i64 = 3_600_000;
const BASE: &str = "https://mcp.test";

const KEY: Provider = Provider { id: "key", title: "Key & Co", base_url: "https://api.key.test", ..Provider::PLAIN };

const ADS: Provider = Provider {
    id: "ads",
    title: "Ads",
    base_url: "https://api.ads.test",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://auth.ads.test/authorize",
            token_url: "https://auth.ads.test/token",
            scopes: "read write",
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    ..Provider::PLAIN
};

const SHOP: Provider = Provider {
    id: "shop",
    title: "Shop",
    base_url: "https://{site}/api",
    auth: AuthShape::OAuth2Refresh {
        oauth: OAuth {
            authorize_url: "https://{site}/authorize",
            token_url: "https://{site}/token",
            scopes: "read write",
            ..OAuth::STANDARD
        },
        header: "Authorization",
        prefix: "Bearer ",
    },
    sites: Sites::Hosts(Hosts {
        noun: "shop",
        example: "example.shops.test",
        check: |host| host.ends_with(".shops.test"),
    }),
    ..Provider::PLAIN
};

const LWA: Provider = Provider {
    id: "lwa",
    title: "Lwa",
    auth: AuthShape::LwaProfile(LwaProfile {
        oauth: OAuth { scopes: "read write", ..OAuth::STANDARD },
        client_id_header: "Client-Id",
    }),
    sites: Sites::Regions(&[
        Region {
            name: "eu",
            title: "Europe",
            authorize_url: "https://auth.eu.test/authorize",
            token_url: "https://auth.eu.test/token",
            api_url: "https://api.eu.test",
        },
        Region {
            name: "na",
            title: "North America",
            authorize_url: "https://auth.na.test/authorize",
            token_url: "https://auth.na.test/token",
            api_url: "https://api.na.test",
        },
    ]),
    targets: Some(Targets {
        noun: "profile",
        header: Some("Profile"),
        path: "/profiles",
        query: &[],
        discover: profiles,
    }),
    ..Provider::PLAIN
};

fn profiles(list: &Value) -> Vec<Target> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.as_array().unwrap().iter().map(|one| Target { id: text(&one["id"]), label: text(&one["name"]) }).collect()
}

/// An authorization server and an API that says whose token it saw, with as many profiles as it was made with.
struct StandIn(TokenServer, usize, Option<&'static str>);

impl Sandbox for StandIn {
    fn seed(&self) -> Seed {
        Seed { site: self.2, ..self.0.seed() }
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        match request.url.path() {
            "/authorize" => self.0.authorize(request),
            "/token" => self.0.handle(request),
            "/profiles" => {
                let one = |n: usize| json!({"id": format!("p{n}"), "name": format!("Profile <{n}>")});
                HttpResponse::json(200, &Value::Array((0..self.1).map(one).collect()))
            }
            _ => {
                let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
                match token.is_some_and(|token| self.0.knows(token)) {
                    true => HttpResponse::json(200, &json!({"profile": request.header("profile")})),
                    false => HttpResponse::json(401, &json!({})),
                }
            }
        }
    }
}

async fn me(call: Call, _: BTreeMap<String, Value>) -> Result<Map<String, Value>, ToolError> {
    call.upstream().get("/me").json().await
}

/// A tenant `a` without connections, and the owner's apps.
struct World {
    test: TestKit,
    a: TenantCtx,
}

impl World {
    async fn new() -> Self {
        Self::with_profiles(3).await
    }

    async fn with_profiles(profiles: usize) -> Self {
        let tools = || Tools::new().read("me", "Who this is.", me);
        let stand_in = |site| move || StandIn(TokenServer::new(3_600).scopes("read write", " "), profiles, site);
        let app = App::new("acme", "0.0.0")
            .integration("key", Integration::new(KEY).tools(tools()))
            .integration("ads", Integration::new(ADS).tools(tools()).sandbox(stand_in(None)))
            .integration("shop", Integration::new(SHOP).tools(tools()).sandbox(stand_in(Some("demo.shops.test"))))
            .integration("lwa", Integration::new(LWA).tools(tools()).sandbox(stand_in(Some("eu"))));
        let test = TestKit::new(&app).await;
        test.kit.connector.reached_at(BASE.parse().unwrap());
        for integration in ["ads", "shop", "lwa"] {
            test.kit.operator.app_set(integration, None, CLIENT_ID, Secret::from(CLIENT_SECRET)).await.unwrap();
        }
        let a = test.bare_tenant("a").await;
        Self { test, a }
    }

    fn kit(&self) -> &Arc<Kit> {
        &self.test.kit
    }

    /// The operator's link, as a path.
    async fn link(&self, integration: &str) -> String {
        let link = self.kit().connector.link("a", integration, "default").await.unwrap();
        assert!(link.url.as_str().starts_with("https://mcp.test/connect/"), "{}", link.url);
        link.url.path().to_owned()
    }

    fn browser(&self) -> Browser {
        Browser { kit: self.kit().clone(), cookie: None }
    }

    async fn call(&self, tool: &str) -> Result<Value, ToolError> {
        match self.kit().pipeline.tool(&self.a, tool, json!({}), Caller::patient()).await {
            Ok(answer) => Ok(answer.value),
            Err(Failure::Tool(error)) => Err(error),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Integration and state of the connections of `a`.
    async fn connections(&self) -> Vec<(String, ConnectionState)> {
        let list = self.kit().operator.connection_list("a").await.unwrap();
        list.into_iter().map(|connection| (connection.integration, connection.state)).collect()
    }
}

struct Browser {
    kit: Arc<Kit>,
    cookie: Option<String>,
}

/// What a browser has arrived at.
struct Seen {
    status: u16,
    body: String,
    path: String,
}

impl Seen {
    fn heading(&self) -> &str {
        self.body.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).unwrap_or_default()
    }

    fn says(&self, status: u16, heading: &str) {
        assert_eq!((self.status, self.heading()), (status, heading), "{}", self.body);
    }
}

impl Browser {
    async fn ask(&mut self, method: &str, path: &str, query: &str, form: &str) -> Reply {
        let asked = Asked {
            post: method == "POST",
            path: path.strip_prefix("/connect/").unwrap(),
            query,
            cookie: self.cookie.as_deref(),
            form: form.as_bytes(),
        };
        let reply = self.kit.connector.answer(&asked).await;
        if let Some((_, cookie)) = reply.headers.iter().find(|(name, _)| *name == "set-cookie") {
            self.cookie = Some(format!("other=1; {}", cookie.split(';').next().unwrap()));
        }
        reply
    }

    /// Asks and follows. At the provider it takes `decision`.
    async fn go(&mut self, method: &str, path: &str, form: &str, decision: &str) -> Seen {
        let (mut method, mut path, mut query, mut form) =
            (method.to_owned(), path.to_owned(), String::new(), form.to_owned());
        loop {
            let reply = self.ask(&method, &path, &query, &form).await;
            let Some((_, to)) = reply.headers.iter().find(|(name, _)| *name == "location") else {
                return Seen { status: reply.status, body: reply.body, path };
            };
            assert_eq!(reply.status, 303);
            let mut to = Url::parse(to).unwrap();
            if to.path().starts_with("/sandbox/") {
                to = self.consent(&to, decision).await;
            }
            (method, path) = ("GET".to_owned(), to.path().to_owned());
            (query, form) = (to.query().unwrap_or_default().to_owned(), String::new());
        }
    }

    async fn get(&mut self, path: &str) -> Seen {
        self.go("GET", path, "", "allow").await
    }

    async fn post(&mut self, path: &str, form: &str) -> Seen {
        self.go("POST", path, form, "allow").await
    }

    /// At the provider: where it sends the browser back to.
    async fn consent(&self, page: &Url, decision: &str) -> Url {
        let mut parts = page.path().trim_start_matches("/sandbox/").splitn(2, '/');
        let (integration, path) = (parts.next().unwrap().to_owned(), parts.next().unwrap());
        let mut url = Url::parse(&format!("http://localhost/{path}")).unwrap();
        url.set_query(page.query());
        url.query_pairs_mut().append_pair("decision", decision);
        let reply = self.kit.sandboxes.as_ref().unwrap().visit(&integration, url, 0).unwrap();
        let location = reply.headers.iter().find(|(name, _)| name == "Location").unwrap();
        assert!(location.1.starts_with("https://mcp.test/connect/callback?"), "{}", location.1);
        location.1.parse().unwrap()
    }
}

// The way through.

#[tokio::test]
async fn a_link_leads_through_the_consent_to_a_connection() {
    let (world, link) = {
        let world = World::new().await;
        let link = world.link("ads").await;
        (world, link)
    };
    let mut browser = world.browser();
    let page = browser.get(&link).await;
    page.says(200, "Connect Ads");
    for text in ["<dt>For</dt><dd>a</dd>", "<dt>Used by</dt><dd>acme</dd>", "<button>Continue to Ads</button>"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    let done = browser.post(&link, "").await;
    done.says(200, "Done");
    assert_eq!(done.path, "/connect/done/ads");
    assert_eq!(world.connections().await, [("ads".to_owned(), ConnectionState::Active)]);
    assert_eq!(world.call("ads_me").await.unwrap(), json!({"profile": null}));
}

#[tokio::test]
async fn opening_a_link_changes_nothing() {
    let world = World::new().await;
    let link = world.link("ads").await;
    for _ in 0..3 {
        let mut scanner = world.browser();
        scanner.get(&link).await.says(200, "Connect Ads");
        assert_eq!(scanner.cookie, None);
    }
    world.browser().post(&link, "").await.says(200, "Done");
}

#[tokio::test]
async fn a_key_is_pasted() {
    let world = World::new().await;
    let link = world.link("key").await;
    let mut browser = world.browser();
    let page = browser.get(&link).await;
    page.says(200, "Connect Key &amp; Co");
    assert!(page.body.contains("type=\"password\""), "{}", page.body);
    let wrong = browser.post(&link, "secret=two%0Alines").await;
    wrong.says(422, "Connect Key &amp; Co");
    assert!(
        wrong.body.contains("role=\"alert\">That is not a key or token as the provider writes it.<"),
        "{}",
        wrong.body
    );
    assert!(!wrong.body.contains("two"), "what was pasted is not shown again");
    browser.post(&link, "secret=").await.says(422, "Connect Key &amp; Co");
    browser.post(&link, "secret=good-key").await.says(200, "Done");
    assert_eq!(world.connections().await, [("key".to_owned(), ConnectionState::Active)]);
}

#[tokio::test]
async fn a_host_that_is_not_the_providers_is_refused_before_anything_is_sent() {
    let world = World::new().await;
    let link = world.link("shop").await;
    let mut browser = world.browser();
    for host in ["", "evil.test", "shops.test.evil.test", "https%3A%2F%2Fa.shops.test", "a.shops.test%2F.."] {
        let page = browser.post(&link, &format!("site={host}")).await;
        page.says(422, "Connect Shop");
        let text = "That is not a shop of this provider. It looks like example.shops.test.";
        assert!(page.body.contains(text), "{host}: {}", page.body);
    }
    browser.post(&link, "site=A.Shops.Test").await.says(200, "Done");
    assert_eq!(world.call("shop_me").await.unwrap(), json!({"profile": null}));
}

// What is chosen after it.

#[tokio::test]
async fn a_region_and_a_profile_are_chosen() {
    let world = World::new().await;
    let link = world.link("lwa").await;
    let mut browser = world.browser();
    assert!(browser.get(&link).await.body.contains("<option value=\"na\">North America</option>"));
    browser.post(&link, "").await.says(422, "Connect Lwa");
    let page = browser.post(&link, "site=na").await;
    page.says(200, "Choose a profile");
    assert!(page.body.contains("Profile &lt;1&gt;"), "escaped: {}", page.body);
    assert_eq!(world.connections().await, [("lwa".to_owned(), ConnectionState::NeedsTarget)]);
    let choose = format!("{link}/choose");
    browser.get(&link).await.says(200, "Choose a profile");
    browser.post(&choose, "").await.says(422, "Choose a profile");
    browser.post(&choose, "target=p9").await.says(422, "Choose a profile");
    browser.post(&choose, "target=p1").await.says(200, "Done");
    assert_eq!(world.call("lwa_me").await.unwrap(), json!({"profile": "p1"}));
    browser.post(&choose, "target=p2").await.says(410, "This link leads nowhere any more");
    assert_eq!(world.call("lwa_me").await.unwrap(), json!({"profile": "p1"}));
}

#[tokio::test]
async fn nothing_to_choose_from_and_fifty_are_both_pages() {
    let world = World::with_profiles(0).await;
    let link = world.link("lwa").await;
    let page = world.browser().post(&link, "site=eu").await;
    page.says(200, "No profile yet");
    assert!(page.body.contains("Ask whoever manages the account to share one, then load this page again."));

    let world = World::with_profiles(50).await;
    let link = world.link("lwa").await;
    let page = world.browser().post(&link, "site=eu").await;
    assert_eq!(page.body.matches("type=\"radio\"").count(), 50);
}

#[tokio::test]
async fn another_browser_cannot_choose() {
    let world = World::new().await;
    let link = world.link("lwa").await;
    let mut browser = world.browser();
    browser.post(&link, "site=eu").await.says(200, "Choose a profile");
    let mut other = world.browser();
    for cookie in [None, Some("__Host-connect=00000000000000000000000000000000".to_owned())] {
        other.cookie = cookie;
        other.get(&format!("{link}/choose")).await.says(410, "This link leads nowhere any more");
        other.post(&format!("{link}/choose"), "target=p2").await.says(410, "This link leads nowhere any more");
    }
    assert_eq!(world.connections().await, [("lwa".to_owned(), ConnectionState::NeedsTarget)]);
}

// What goes wrong.

#[tokio::test]
async fn a_link_is_good_once() {
    let world = World::new().await;
    let link = world.link("ads").await;
    let mut browser = world.browser();
    browser.post(&link, "").await.says(200, "Done");
    browser.get(&link).await.says(410, "This link leads nowhere any more");
    world.browser().post(&link, "").await.says(410, "This link leads nowhere any more");
}

#[tokio::test]
async fn a_link_runs_out_after_three_days() {
    let world = World::new().await;
    let link = world.link("ads").await;
    world.test.clock.advance_ms(72 * HOUR_MS - 1_000);
    world.browser().get(&link).await.says(200, "Connect Ads");
    world.test.clock.advance_ms(1_000);
    world.browser().get(&link).await.says(410, "This link leads nowhere any more");
    world.browser().post(&link, "").await.says(410, "This link leads nowhere any more");
}

#[tokio::test]
async fn of_two_browsers_the_one_that_went_on_first_keeps_the_link() {
    let world = World::new().await;
    let link = world.link("ads").await;
    let (mut first, mut second) = (world.browser(), world.browser());
    first.go("POST", &link, "", "deny").await.says(403, "Nothing was connected");
    second.post(&link, "").await.says(409, "This link is in use");
    assert_eq!(world.connections().await, []);
    first.post(&link, "").await.says(200, "Done");
}

#[tokio::test]
async fn two_consents_of_one_link_make_one_connection() {
    let world = World::new().await;
    let link = world.link("ads").await;
    let mut browser = world.browser();
    let mut callbacks = Vec::new();
    for _ in 0..2 {
        let reply = browser.ask("POST", &link, "", "").await;
        let to = reply.headers.iter().find(|(name, _)| *name == "location").unwrap().1.clone();
        callbacks.push(browser.consent(&Url::parse(&to).unwrap(), "allow").await);
    }
    let first = browser.ask("GET", callbacks[0].path(), callbacks[0].query().unwrap(), "").await;
    assert_eq!(first.status, 303);
    let second = browser.ask("GET", callbacks[1].path(), callbacks[1].query().unwrap(), "").await;
    assert_eq!(second.status, 410, "{}", second.body);
    assert_eq!(world.connections().await, [("ads".to_owned(), ConnectionState::Active)]);
}

#[tokio::test]
async fn a_consent_that_was_denied_or_narrowed_stores_nothing_and_can_be_begun_again() {
    let world = World::new().await;
    let link = world.link("ads").await;
    let mut browser = world.browser();
    browser.go("POST", &link, "", "deny").await.says(403, "Nothing was connected");
    let narrowed = browser.go("POST", &link, "", "narrow").await;
    narrowed.says(403, "Some permissions are missing");
    assert!(narrowed.body.contains("and the connection needs them: write."), "{}", narrowed.body);
    assert_eq!(world.connections().await, []);
    browser.post(&link, "").await.says(200, "Done");
}

#[tokio::test]
async fn a_callback_that_is_late_forged_repeated_or_from_elsewhere_changes_nothing() {
    let world = World::new().await;
    let link = world.link("ads").await;
    let mut browser = world.browser();
    let mut begin = async || {
        let reply = browser.ask("POST", &link, "", "").await;
        let to = reply.headers.iter().find(|(name, _)| *name == "location").unwrap().1.clone();
        (browser.consent(&Url::parse(&to).unwrap(), "allow").await, browser.cookie.clone())
    };
    let (late, cookie) = begin().await;
    world.test.clock.advance_ms(600_000);
    let mut here = Browser { kit: world.kit().clone(), cookie: cookie.clone() };
    let over = here.ask("GET", late.path(), late.query().unwrap(), "").await;
    assert_eq!(over.status, 410, "{}", over.body);

    let (stolen, _) = begin().await;
    let elsewhere = world.browser().ask("GET", stolen.path(), stolen.query().unwrap(), "").await;
    assert_eq!(elsewhere.status, 403, "{}", elsewhere.body);
    // It is used up by that.
    assert_eq!(here.ask("GET", stolen.path(), stolen.query().unwrap(), "").await.status, 410);
    for query in ["", "state=forged&code=x", "code=x", "state=&code="] {
        assert_eq!(here.ask("GET", "/connect/callback", query, "").await.status, 410, "{query}");
    }
    assert_eq!(world.connections().await, []);

    let (good, _) = begin().await;
    assert_eq!(here.ask("GET", good.path(), good.query().unwrap(), "").await.status, 303);
    let again = here.ask("GET", good.path(), good.query().unwrap(), "").await;
    assert_eq!(again.status, 410);
    assert!(again.body.contains("Nothing was changed just now."), "{}", again.body);
    assert_eq!(world.connections().await, [("ads".to_owned(), ConnectionState::Active)]);
}

#[tokio::test]
async fn without_the_owners_app_the_operator_gets_no_link_and_an_old_one_says_so() {
    let world = World::new().await;
    let link = world.link("ads").await;
    world.kit().operator.app_remove("ads", None).await.unwrap();
    let error = world.kit().connector.link("a", "ads", "default").await.unwrap_err();
    assert_eq!(error.hint(), Some("give it one first: `acme app set ads --client-id ID`"));
    world.browser().get(&link).await.says(503, "Not ready");
}

// Links that come from a call.

fn facts(error: &ToolError) -> (String, String) {
    let value = error.to_value();
    let text = |name: &str| value["error"][name].as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    (Url::parse(&text("connect_url")).unwrap().path().to_owned(), text("connect_code"))
}

#[tokio::test]
async fn a_call_without_a_connection_gives_a_link_and_a_code_and_the_same_again() {
    let world = World::new().await;
    let error = world.call("ads_me").await.unwrap_err();
    let (link, code) = facts(&error);
    assert_eq!((code.len(), &code[4..5]), (9, "-"));
    let hint = format!("open https://mcp.test{link} and enter the code {code} there; then call again");
    assert_eq!(error.hint_text(), Some(hint.as_str()));
    assert_eq!(facts(&world.call("ads_me").await.unwrap_err()), (link.clone(), code.clone()));

    let mut browser = world.browser();
    assert!(browser.get(&link).await.body.contains("It stands in the answer that gave you this link."));
    browser.post(&link, &format!("code={}", code.replace('-', "").to_lowercase())).await.says(200, "Done");
    assert_eq!(world.call("ads_me").await.unwrap(), json!({"profile": null}));
}

#[tokio::test]
async fn another_principal_gets_another_link() {
    let world = World::new().await;
    let (link, _) = facts(&world.call("ads_me").await.unwrap_err());
    let key = world.kit().operator.key_create("a", "", None).await.unwrap().key;
    let other = world.kit().authenticator.api_key(key.expose_str().unwrap()).await.unwrap();
    let answer = world.kit().pipeline.tool(&other, "ads_me", json!({}), Caller::patient()).await;
    let Err(Failure::Tool(error)) = answer else { panic!() };
    assert_ne!(facts(&error).0, link);
}

#[tokio::test]
async fn a_wrong_code_leads_nowhere_and_five_close_the_link() {
    let world = World::new().await;
    let (link, code) = facts(&world.call("ads_me").await.unwrap_err());
    let mut browser = world.browser();
    for left in ["4 more tries are left", "3 more tries are left", "2 more tries are left", "One more try is left"] {
        let page = browser.post(&link, "code=AAAA-AAAA").await;
        page.says(422, "Connect Ads");
        assert!(page.body.contains(left), "{left}: {}", page.body);
    }
    browser.post(&link, "").await.says(429, "Too many tries");
    browser.post(&link, &format!("code={code}")).await.says(429, "Too many tries");
    assert_eq!(world.connections().await, []);
}

#[tokio::test]
async fn a_link_that_was_used_or_closed_is_not_offered_again() {
    let world = World::new().await;
    let (closed, _) = facts(&world.call("ads_me").await.unwrap_err());
    let mut browser = world.browser();
    for _ in 0..5 {
        browser.post(&closed, "code=AAAA-AAAA").await;
    }
    let (used, code) = facts(&world.call("ads_me").await.unwrap_err());
    assert_ne!(used, closed);
    world.browser().post(&used, &format!("code={code}")).await.says(200, "Done");
    world.kit().operator.connection_remove("a", "ads", "default").await.unwrap();
    let (fresh, code) = facts(&world.call("ads_me").await.unwrap_err());
    assert_ne!(fresh, used);
    world.browser().post(&fresh, &format!("code={code}")).await.says(200, "Done");
}

#[tokio::test]
async fn a_link_from_a_call_runs_out_after_ten_minutes() {
    let world = World::new().await;
    let (link, code) = facts(&world.call("ads_me").await.unwrap_err());
    world.test.clock.advance_ms(600_000);
    world.browser().post(&link, &format!("code={code}")).await.says(410, "This link leads nowhere any more");
    assert_ne!(facts(&world.call("ads_me").await.unwrap_err()).0, link);
}

#[tokio::test]
async fn a_dead_connection_is_mended_by_the_link_of_its_call() {
    let world = World::new().await;
    let link = world.link("ads").await;
    world.browser().post(&link, "").await.says(200, "Done");
    let dead = kit::operator::NewConnection::new("a", "ads", Secret::from("not-a-token-of-this-server"));
    world.kit().operator.connection_set(dead).await.unwrap();
    let error = world.call("ads_me").await.unwrap_err();
    assert_eq!(error.kind(), kit::error::ErrorKind::ReconnectRequired);
    let (link, code) = facts(&error);
    world.browser().post(&link, &format!("code={code}")).await.says(200, "Done");
    assert_eq!(world.call("ads_me").await.unwrap(), json!({"profile": null}));
}

// What every page carries.

#[tokio::test]
async fn every_page_has_strict_headers_and_no_script() {
    let world = World::new().await;
    let link = world.link("ads").await;
    let mut browser = world.browser();
    for (method, path) in
        [("GET", link.as_str()), ("GET", "/connect/done/ads"), ("GET", "/connect/nothing/at/all"), ("POST", &link)]
    {
        let reply = browser.ask(method, path, "", "").await;
        let header = |name: &str| reply.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        assert_eq!(
            header("content-security-policy"),
            Some(
                "default-src 'none'; style-src 'self'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'"
            )
        );
        assert_eq!(header("x-frame-options"), Some("DENY"));
        assert_eq!(header("referrer-policy"), Some("no-referrer"));
        assert_eq!(header("cache-control"), Some("no-store"));
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        assert!(!reply.body.contains("<script") && !reply.body.contains(" style="), "{}", reply.body);
    }
    let cookie = browser.cookie.unwrap();
    assert!(cookie.contains("__Host-connect="), "{cookie}");
}

// What a client makes of it.

#[test]
fn a_client_that_opens_addresses_is_asked_to_and_every_other_one_gets_the_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, key) = runtime.block_on(async {
        let world = World::new().await;
        let key = world.kit().operator.key_create("a", "", None).await.unwrap().key;
        (world, key.expose_str().unwrap().to_owned())
    });
    let settings = common::settings(&App::new("acme", "0.0.0"), &[]);
    let server = common::Listening::on(&runtime, world.kit().clone(), &settings);
    let ask = |capabilities: Value, rest: Value| {
        let mut params = json!({
            "name": "ads_me", "arguments": {},
            "_meta": {"io.modelcontextprotocol/clientCapabilities": capabilities},
        });
        params.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let request = common::wire::modern("tools/call", params).key(&key);
        server.ask(&request).json()["result"].clone()
    };
    let able = json!({"elicitation": {"url": {}}});
    let wanted = ask(able.clone(), json!({}));
    assert_eq!(wanted["resultType"], "input_required", "{wanted}");
    let request = &wanted["inputRequests"]["connect"];
    assert_eq!((&request["method"], &request["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
    let url = request["params"]["url"].as_str().unwrap();
    assert!(url.starts_with("https://mcp.test/connect/"), "{url}");
    let message = request["params"]["message"].as_str().unwrap();
    let start = "tenant `a` has no Ads connection for the integration `ads`. Connect an account on this page; it asks for the code ";
    assert!(message.starts_with(start), "{message}");
    // Nothing of the tenant or the code is in the address.
    assert!(!url.contains(message.rsplit(' ').next().unwrap().trim_end_matches('.')), "{url}");

    for unable in [json!({}), json!({"elicitation": {"form": {}}})] {
        let error = ask(unable, json!({}));
        assert_eq!((&error["resultType"], &error["isError"]), (&json!("complete"), &json!(true)), "{error}");
        assert_eq!(error["structuredContent"]["error"]["connect_url"], url);
    }
    // Whoever declines, or says yes and does nothing, gets the error: no circle.
    for action in ["accept", "decline", "cancel"] {
        let again = ask(able.clone(), json!({"inputResponses": {"connect": {"action": action}}}));
        assert_eq!(again["isError"], true, "{again}");
    }
    // Done: the same call again works.
    let code = message.rsplit(' ').next().unwrap().trim_end_matches('.').to_owned();
    let path = Url::parse(url).unwrap().path().to_owned();
    runtime.block_on(world.browser().post(&path, &format!("code={code}"))).says(200, "Done");
    let done = ask(able, json!({"inputResponses": {"connect": {"action": "accept"}}}));
    assert_eq!(done["structuredContent"], json!({"profile": null}), "{done}");
}
