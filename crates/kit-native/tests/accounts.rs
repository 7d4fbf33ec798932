//! A tenant with several connections to one provider: each call is for one of them, the one its principal is bound to or
//! the one it names, and never for one that was guessed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::wire::{Request, legacy, modern};
use common::{Listening, Spy, app, settings};
use kit::boot::Kit;
use kit::error::ToolError;
use kit::inbound::TenantCtx;
use kit::operator::NewConnection;
use kit::pipeline::{Caller, Failure};
use kit::prelude::*;
use kit_native::testing::TestKit;

async fn test_kit(upstream: &Spy) -> TestKit {
    TestKit::new(&app(upstream)).await
}

async fn connect(kit: &Kit, tenant: &str, account: &str) {
    let secret = Secret::from(format!("{tenant}/{account}").as_str());
    kit.operator.connection_set(NewConnection { account, ..NewConnection::new(tenant, "crm", secret) }).await.unwrap();
}

/// The tenant `a` with these accounts, and a key for all or for one of them.
async fn tenant(kit: &Kit, accounts: &[&str], bound: Option<&str>) -> (TenantCtx, String) {
    kit.operator.tenant_add("a").await.unwrap();
    for account in accounts {
        connect(kit, "a", account).await;
    }
    let key = kit.operator.key_create_for("a", bound, "", None).await.unwrap().key;
    let text = key.expose_str().unwrap().to_owned();
    (kit.authenticator.api_key(&text).await.unwrap(), text)
}

async fn call(kit: &Kit, tenant: &TenantCtx, arguments: Value) -> Result<Value, ToolError> {
    match kit.pipeline.tool(tenant, "crm_me", arguments, Caller::patient()).await {
        Ok(answer) => Ok(answer.value),
        Err(Failure::Tool(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_a_connection_the_answer_says_how_to_make_one() {
    let upstream = Spy::default();
    let kit = test_kit(&upstream).await.kit;
    let (a, _) = tenant(&kit, &[], None).await;
    let error = call(&kit, &a, json!({})).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "NO_CREDENTIALS: tenant `a` has no CRM connection for the integration `crm`\n\
         hint: the operator runs `acme connection set crm --tenant a`"
    );
}

#[tokio::test]
async fn the_only_connection_is_used_whatever_its_name() {
    let upstream = Spy::default();
    let kit = test_kit(&upstream).await.kit;
    let (a, _) = tenant(&kit, &["berlin"], None).await;
    call(&kit, &a, json!({})).await.unwrap();
    assert_eq!(upstream.keys(), ["a/berlin"]);
    assert_eq!(kit.pipeline.accounts(&a).await.unwrap(), [].into());
}

#[tokio::test]
async fn of_three_accounts_the_named_one_is_used_and_none_is_guessed() {
    let upstream = Spy::default();
    let kit = test_kit(&upstream).await.kit;
    let (a, _) = tenant(&kit, &["madrid", "berlin", "oslo"], None).await;
    let names = ["berlin", "madrid", "oslo"].map(str::to_owned).to_vec();
    assert_eq!(kit.pipeline.accounts(&a).await.unwrap(), [("crm".to_owned(), names)].into());
    for account in ["berlin", "oslo"] {
        call(&kit, &a, json!({"account": account})).await.unwrap();
    }
    assert_eq!(upstream.keys(), ["a/berlin", "a/oslo"]);
    let refused = "INVALID_ARGUMENTS: the argument `account` must be one of: berlin, madrid, oslo";
    for arguments in [json!({}), json!({"account": "rome"}), json!({"account": ["berlin"]}), json!({"account": null})] {
        assert_eq!(call(&kit, &a, arguments).await.unwrap_err().to_string(), refused);
    }
    assert_eq!(upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn an_account_that_is_dead_stays_one_to_choose_from() {
    let upstream = Spy::default();
    let kit = test_kit(&upstream).await.kit;
    let (a, _) = tenant(&kit, &["berlin", "oslo"], None).await;
    upstream.answer_with(401);
    call(&kit, &a, json!({"account": "oslo"})).await.unwrap_err();
    upstream.answer_with(0);
    upstream.keys();
    assert!(call(&kit, &a, json!({})).await.unwrap_err().to_string().contains("must be one of: berlin, oslo"));
    assert_eq!(
        call(&kit, &a, json!({"account": "oslo"})).await.unwrap_err().to_string(),
        "RECONNECT_REQUIRED: CRM no longer accepts the credential of this connection\n\
         hint: the operator runs `acme connection set crm --tenant a --account oslo`"
    );
    call(&kit, &a, json!({"account": "berlin"})).await.unwrap();
    assert_eq!(upstream.keys(), ["a/berlin"]);
}

#[tokio::test]
async fn another_tenants_account_is_no_account() {
    let upstream = Spy::default();
    let kit = test_kit(&upstream).await.kit;
    let (a, _) = tenant(&kit, &["berlin", "oslo"], None).await;
    kit.operator.tenant_add("b").await.unwrap();
    connect(&kit, "b", "rome").await;
    let refused = "INVALID_ARGUMENTS: the argument `account` must be one of: berlin, oslo";
    assert_eq!(call(&kit, &a, json!({"account": "rome"})).await.unwrap_err().to_string(), refused);
    assert_eq!(upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn a_key_that_is_bound_to_an_account_reaches_no_other() {
    let upstream = Spy::default();
    let kit = test_kit(&upstream).await.kit;
    let (a, _) = tenant(&kit, &["berlin", "oslo"], Some("oslo")).await;
    assert_eq!(kit.pipeline.accounts(&a).await.unwrap(), [].into(), "nothing to choose");
    call(&kit, &a, json!({})).await.unwrap();
    // The tool takes anything; what a caller writes does not choose the connection.
    call(&kit, &a, json!({"account": "berlin"})).await.unwrap();
    assert_eq!(upstream.keys(), ["a/oslo", "a/oslo"]);
    kit.operator.connection_remove("a", "crm", "oslo").await.unwrap();
    assert_eq!(
        call(&kit, &a, json!({})).await.unwrap_err().to_string(),
        "NO_CREDENTIALS: tenant `a` has no CRM connection of the account `oslo` for the integration `crm`\n\
         hint: the operator runs `acme connection set crm --tenant a --account oslo`"
    );
    assert_eq!(upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn a_key_whose_row_was_altered_to_another_account_is_refused() {
    let upstream = Spy::default();
    let test = test_kit(&upstream).await;
    let (_, key) = tenant(&test.kit, &["berlin", "oslo"], Some("oslo")).await;
    let database = rusqlite::Connection::open(test.folder.path().join("store.db")).unwrap();
    for account in [Some("berlin"), None] {
        database.execute("UPDATE api_keys SET account = ?1", [account]).unwrap();
        test.clock.advance_ms(15_000);
        assert!(test.kit.authenticator.api_key(&key).await.is_err(), "{account:?}");
    }
}

#[tokio::test]
async fn a_prompt_cannot_name_an_account_and_says_so() {
    let upstream = Spy::default();
    let kit = test_kit(&upstream).await.kit;
    let (a, _) = tenant(&kit, &["berlin", "oslo"], None).await;
    let error = kit.pipeline.resource(&a, "crm://note", Caller::patient()).await.unwrap_err();
    let Failure::Tool(error) = error else { panic!("{error:?}") };
    assert_eq!(
        error.to_string(),
        "MISCONFIGURED: there are several CRM connections: berlin, oslo\n\
         hint: the operator makes a key for one: `acme key create --tenant a --account ACCOUNT`"
    );
}

#[test]
fn the_list_of_tools_names_the_accounts_of_whoever_asks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = Spy::default();
    let (kit, all, one) = runtime.block_on(async {
        let kit = test_kit(&upstream).await;
        let (_, all) = tenant(&kit.kit, &["berlin", "oslo"], None).await;
        let one = kit.kit.operator.key_create_for("a", Some("oslo"), "", None).await.unwrap().key;
        (kit, all, one.expose_str().unwrap().to_owned())
    });
    let server = Listening::on(&runtime, Arc::clone(&kit.kit), &settings(&app(&upstream), &[]));
    let schema = |request: Request, key: &str, tool: &str| {
        let answer = server.ask(&request.key(key)).json();
        let tools = answer["result"]["tools"].as_array().unwrap().clone();
        tools.iter().find(|found| found["name"] == tool).unwrap()["inputSchema"].clone()
    };
    let account =
        json!({"type": "string", "enum": ["berlin", "oslo"], "description": "Which account this call is for."});
    for request in [|| modern("tools/list", json!({})), || legacy("tools/list", json!({}))] {
        let of_all = schema(request(), &all, "crm_me");
        assert_eq!((&of_all["properties"]["account"], &of_all["required"]), (&account, &json!(["account"])));
        assert_eq!(schema(request(), &all, "crm_eu_me")["properties"].get("account"), None);
        assert_eq!(schema(request(), &one, "crm_me")["properties"].get("account"), None);
    }
}
