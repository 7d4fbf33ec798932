//! Two tenants on one server. Each test takes one road to the other's credential, and the upstream, which remembers
//! the credential of every request, tells whether it led there. The database is changed behind the server's back by a
//! second connection to its file, as somebody would who can write to the disk but does not hold the key-encryption key.
//!
//! Two things the design does not promise, and nothing here asks for: that a *whole* old row, version included, does not
//! open when it is written back, and that a destroyed data key stays destroyed when a backup brings it back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::wire::{self, Connection};
use common::{Listening, Spy, app, settings};
use kit::boot::Kit;
use kit::error::{ErrorKind, ToolError};
use kit::inbound::{AuthError, TenantCtx};
use kit::operator::NewConnection;
use kit::pipeline::{Caller, Failure};
use kit::ports::KeyWrap as _;
use kit::prelude::*;
use kit::store::connections::ConnectionState;
use kit::store::tenants::TenantState;
use kit_native::kek_file::{Kind, write_private};
use kit_native::log::LogTelemetry;
use kit_native::settings::Database::Sqlite;
use kit_native::settings::{KekSource, Settings};
use kit_native::testing::{TempFolder, TestKit};
use kit_native::{host, kek_file};
use rusqlite::Connection as Database;

/// Every cache of connections, keys and tenants is stale after this.
const ROWS_STALE_MS: i64 = 10_000;
/// The promise of `key revoke` and `tenant suspend`.
const PROMISED_MS: i64 = 15_000;

/// Tenants `a` and `b`, each with a `crm` connection and an API key.
struct Two {
    test: TestKit,
    upstream: Spy,
    a: TenantCtx,
    b: TenantCtx,
    key_a: String,
    key_b: String,
}

impl Two {
    async fn new() -> Self {
        let upstream = Spy::default();
        let test = TestKit::new(&app(&upstream)).await;
        let (a, key_a) = tenant(&test.kit, "a").await;
        let (b, key_b) = tenant(&test.kit, "b").await;
        Self { test, upstream, a, b, key_a, key_b }
    }

    fn database(&self) -> Database {
        Database::open(self.test.folder.path().join("store.db")).unwrap()
    }

    /// Another process on the same store: it has cached nothing yet.
    async fn other_process(&self) -> Kit {
        self.other_process_with(&[]).await
    }

    async fn other_process_with(&self, base_url: &[(&str, &str)]) -> Kit {
        let app = app(&self.upstream);
        let mut settings = settings(&app, &[]);
        for (instance, url) in base_url {
            settings.integrations.get_mut(*instance).unwrap().base_url = Some(url.parse().unwrap());
        }
        host::dev(&app, &settings, self.test.folder.path(), self.test.clock.clone(), Arc::new(LogTelemetry))
            .await
            .unwrap()
    }

    /// Neither tenant's call reaches the upstream: not with the other's credential, not with any.
    async fn both_are_shut_out(&self) {
        let kit = self.other_process().await;
        for tenant in [&self.a, &self.b] {
            let error = call(&kit, tenant, "crm_me", json!({})).await.unwrap_err();
            assert_eq!(error.to_string(), "RECONNECT_REQUIRED: the stored credential does not open");
        }
        assert_eq!(self.upstream.keys(), [""; 0]);
    }

    /// Whatever answers to the key of `a` is `a` or nobody, and the upstream sees nothing of `b`.
    async fn the_key_of_a_never_leads_to_b(&self, presented: &str) {
        let kit = self.other_process().await;
        if let Ok(tenant) = kit.authenticator.api_key(presented).await {
            let _ = call(&kit, &tenant, "crm_me", json!({})).await;
            assert_eq!(tenant.tenant().as_str(), "a", "the key of `a` speaks for another tenant");
        }
        assert!(!self.upstream.keys().contains(&"secret-of-b".to_owned()), "`a` used the credential of `b`");
    }
}

async fn tenant(kit: &Kit, name: &str) -> (TenantCtx, String) {
    kit.operator.tenant_add(name).await.unwrap();
    set(kit, name, "crm", &format!("secret-of-{name}")).await;
    let key = kit.operator.key_create(name, "", None).await.unwrap().key;
    let text = key.expose_str().unwrap().to_owned();
    (kit.authenticator.api_key(&text).await.unwrap(), text)
}

async fn set(kit: &Kit, tenant: &str, integration: &str, secret: &str) {
    kit.operator.connection_set(NewConnection::new(tenant, integration, Secret::from(secret))).await.unwrap();
}

async fn call(kit: &Kit, tenant: &TenantCtx, tool: &str, arguments: Value) -> Result<Value, ToolError> {
    match kit.pipeline.tool(tenant, tool, arguments, Caller::patient()).await {
        Ok(answer) => Ok(answer.value),
        Err(Failure::Tool(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

/// Exchanges a column of the rows of `a` and `b`, which have one row each.
fn exchange(database: &Database, table: &str, column: &str) {
    let read = |tenant: &str| -> rusqlite::types::Value {
        let sql = format!("SELECT {column} FROM {table} WHERE tenant_id = ?1");
        database.query_row(&sql, [tenant], |row| row.get(0)).unwrap()
    };
    let write = |value: &rusqlite::types::Value, tenant: &str| {
        let sql = format!("UPDATE {table} SET {column} = ?1 WHERE tenant_id = ?2");
        assert_eq!(database.execute(&sql, (value, tenant)).unwrap(), 1);
    };
    let (of_a, of_b) = (read("a"), read("b"));
    if column == "id" {
        write(&"between".to_owned().into(), "a");
    }
    write(&of_a, "b");
    write(&of_b, "a");
}

/// Gives the rows of `a` to `b` and the reverse.
fn exchange_rows(database: &Database, table: &str) {
    for (from, to) in [("a", "between"), ("b", "a"), ("between", "b")] {
        database.execute(&format!("UPDATE {table} SET tenant_id = ?1 WHERE tenant_id = ?2"), [to, from]).unwrap();
    }
}

fn sealed_of(database: &Database, tenant: &str) -> String {
    database.query_row("SELECT sealed FROM connections WHERE tenant_id = ?1", [tenant], |row| row.get(0)).unwrap()
}

fn write_sealed(database: &Database, tenant: &str, text: &str) {
    database.execute("UPDATE connections SET sealed = ?1 WHERE tenant_id = ?2", [text, tenant]).unwrap();
}

// What a caller can send.

#[tokio::test]
async fn each_tenant_calls_with_its_own_credential() {
    let two = Two::new().await;
    call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    call(&two.test.kit, &two.b, "crm_me", json!({})).await.unwrap();
    assert_eq!(two.upstream.keys(), ["secret-of-a", "secret-of-b"]);
}

#[tokio::test]
async fn an_argument_names_no_other_tenant() {
    let two = Two::new().await;
    let arguments = json!({
        "tenant": "b", "tenant_id": "b", "account": "b", "connection": "b", "principal": "operator",
        "integration": "bare", "x-key": "secret-of-b", "_meta": {"tenant": "b"},
    });
    call(&two.test.kit, &two.a, "crm_me", arguments).await.unwrap();
    assert_eq!(two.upstream.keys(), ["secret-of-a"]);
}

#[test]
fn a_header_a_query_and_metadata_name_no_other_tenant() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let two = runtime.block_on(Two::new());
    let server = Listening::on(&runtime, two.test.kit.clone(), &settings(&app(&two.upstream), &[]));
    let mut plain = wire::modern(
        "tools/call",
        json!({"name": "crm_me", "arguments": {}, "_meta": {"tenant": "b", "io.modelcontextprotocol/tenant": "b"}}),
    );
    for name in ["X-Tenant", "X-Tenant-Id", "Tenant", "MCP-Tenant", "Mcp-Param-Tenant", "X-Key", "X-Forwarded-User"] {
        plain = plain.header(name, "b");
    }
    let mut request = plain.key(&two.key_a).header("Mcp-Session-Id", &two.key_b);
    request.headers.push(("X-Api-Key".into(), two.key_b.clone()));
    request.target = format!("/mcp?tenant=b&api_key={}&access_token={}", two.key_b, two.key_b);
    assert_eq!(server.ask(&request).json()["result"]["isError"], false);
    assert_eq!(two.upstream.keys(), ["secret-of-a"]);
}

#[test]
fn a_second_authorization_header_does_not_change_who_calls() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let two = runtime.block_on(Two::new());
    let server = Listening::on(&runtime, two.test.kit.clone(), &settings(&app(&two.upstream), &[]));
    let mut request = wire::call("crm_me", json!({})).key(&two.key_a);
    request.headers.push(("Authorization".into(), format!("Bearer {}", two.key_b)));
    server.ask(&request);
    assert_eq!(two.upstream.keys(), ["secret-of-a"]);
}

#[test]
fn a_connection_has_no_identity_each_request_brings_its_own() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let two = runtime.block_on(Two::new());
    let server = Listening::on(&runtime, two.test.kit.clone(), &settings(&app(&two.upstream), &[]));
    let mut connection = Connection::open(server.address).unwrap();
    let request = wire::call("crm_me", json!({}));
    for key in [&two.key_a, &two.key_b, &two.key_a] {
        assert_eq!(connection.exchange(&request.clone().key(key)).unwrap().status, 200);
    }
    assert_eq!(connection.exchange(&request).unwrap().status, 401, "and without a key there is nobody");
    assert_eq!(two.upstream.keys(), ["secret-of-a", "secret-of-b", "secret-of-a"]);
}

#[tokio::test]
async fn prompts_and_resources_are_read_as_the_caller_too() {
    let two = Two::new().await;
    let pipeline = &two.test.kit.pipeline;
    let messages = pipeline.prompt(&two.a, "crm_hello", json!({"tenant": "b"}), Caller::patient()).await.unwrap();
    assert_eq!(messages[0].text, "hello a");
    pipeline.resource(&two.b, "crm://note", Caller::patient()).await.unwrap();
    assert_eq!(two.upstream.keys(), ["secret-of-b"]);
}

#[tokio::test]
async fn an_id_from_a_model_stays_inside_its_path_segment() {
    let two = Two::new().await;
    for id in ["../me", "..\\me", "%2e%2e", "..%2fme", "?x=1", "#x", "//evil.test/", "@evil.test", "a b", "..;"] {
        let result = call(&two.test.kit, &two.a, "crm_item", json!({"id": id})).await;
        for url in two.upstream.urls() {
            assert!(url.starts_with("https://crm.test/base/v1/items/"), "{id:?} went to {url}");
            assert_eq!(url.matches('/').count(), 6, "{id:?} went to {url}");
        }
        assert!(result.is_ok(), "{id:?}: {result:?}");
    }
}

/// The URL parser drops tabs and line breaks, so `.<tab>.` is `..` to it, which takes the segment before away.
#[tokio::test]
async fn an_id_of_dots_and_tabs_does_not_climb_out_of_its_path() {
    let two = Two::new().await;
    for id in ["", ".", "..", ".\t.", "\t..", "..\n", ".\r\n.", "\t", "\n.", "\t.\t"] {
        let _ = call(&two.test.kit, &two.a, "crm_item", json!({"id": id})).await;
        for url in two.upstream.urls() {
            let rest = url.strip_prefix("https://crm.test/base/v1/items/");
            assert!(rest.is_some_and(|rest| !rest.is_empty()), "{id:?} went to {url}");
        }
    }
}

/// `Draft::url` promises it: "a value formatted into it by mistake cannot become a query or leave the path".
#[tokio::test]
async fn an_id_formatted_into_a_path_by_mistake_does_not_leave_it() {
    let two = Two::new().await;
    for id in ["?x=1", "#x", "../me", "../../../../admin", "a/../../me", "%2e%2e/me", ".\t./me", "..\\me"] {
        let _ = call(&two.test.kit, &two.a, "crm_formatted", json!({"id": id})).await;
        for url in two.upstream.urls() {
            assert!(url.starts_with("https://crm.test/base/v1/items/"), "{id:?} went to {url}");
            assert!(!url.contains('?') && !url.contains('#'), "{id:?} went to {url}");
        }
    }
}

// Rows moved in the database.

#[tokio::test]
async fn sealed_texts_exchanged_between_tenants_do_not_open() {
    let two = Two::new().await;
    exchange(&two.database(), "connections", "sealed");
    two.both_are_shut_out().await;
}

#[tokio::test]
async fn connections_exchanged_between_tenants_do_not_open() {
    let two = Two::new().await;
    exchange_rows(&two.database(), "connections");
    two.both_are_shut_out().await;
}

#[tokio::test]
async fn connections_exchanged_together_with_their_data_keys_do_not_open() {
    let two = Two::new().await;
    exchange_rows(&two.database(), "connections");
    exchange_rows(&two.database(), "tenant_deks");
    two.both_are_shut_out().await;
}

#[tokio::test]
async fn data_keys_exchanged_between_tenants_do_not_open() {
    let two = Two::new().await;
    exchange_rows(&two.database(), "tenant_deks");
    two.both_are_shut_out().await;
}

#[tokio::test]
async fn the_wrapped_texts_of_data_keys_exchanged_do_not_open() {
    let two = Two::new().await;
    exchange(&two.database(), "tenant_deks", "wrapped");
    two.both_are_shut_out().await;
}

#[tokio::test]
async fn the_ids_of_data_keys_exchanged_do_not_open() {
    let two = Two::new().await;
    exchange(&two.database(), "tenant_deks", "id");
    two.both_are_shut_out().await;
}

/// The data key of `b` is open in this very process when the record of `b` turns up in the row of `a`.
#[tokio::test]
async fn a_record_of_another_tenant_does_not_open_where_its_data_key_is_cached() {
    let two = Two::new().await;
    call(&two.test.kit, &two.b, "crm_me", json!({})).await.unwrap();
    call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    two.upstream.keys();
    exchange(&two.database(), "connections", "sealed");
    two.test.clock.advance_ms(ROWS_STALE_MS);
    for tenant in [&two.a, &two.b] {
        let error = call(&two.test.kit, tenant, "crm_me", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    }
    assert_eq!(two.upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn a_record_moved_to_another_integration_account_or_version_does_not_open() {
    let changes = [
        ("crm_eu", "UPDATE connections SET integration = 'crm_eu' WHERE tenant_id = 'a'"),
        ("crm", "UPDATE connections SET account = 'other' WHERE tenant_id = 'a'"),
        ("crm", "UPDATE connections SET version = version + 1 WHERE tenant_id = 'a'"),
        ("crm", "UPDATE connections SET version = version - 1 WHERE tenant_id = 'a'"),
    ];
    for (instance, sql) in changes {
        let two = Two::new().await;
        // Who can write the file can take its guard away.
        two.database().execute("DROP TRIGGER connections_forward", []).unwrap();
        assert_eq!(two.database().execute(sql, []).unwrap(), 1, "{sql}");
        let kit = two.other_process().await;
        let error = call(&kit, &two.a, &format!("{instance}_me"), json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired, "{sql}");
        assert_eq!(two.upstream.keys(), [""; 0], "{sql}");
    }
}

#[tokio::test]
async fn a_sealed_record_with_any_part_altered_does_not_open() {
    let two = Two::new().await;
    let database = two.database();
    let whole = sealed_of(&database, "a");
    assert_eq!(whole.split('.').count(), 6);
    let mut altered: Vec<String> = (0..6)
        .map(|part| {
            let mut parts: Vec<String> = whole.split('.').map(str::to_owned).collect();
            let first = if parts[part].starts_with('A') { "B" } else { "A" };
            parts[part].replace_range(..1, first);
            parts.join(".")
        })
        .collect();
    altered.extend([whole[..whole.len() - 4].to_owned(), whole[4..].to_owned(), format!("{whole}.AAAA")]);
    altered.extend(["".to_owned(), "mk1".to_owned(), "mk1.....".to_owned(), "secret-of-a".to_owned()]);
    for text in altered {
        write_sealed(&database, "a", &text);
        two.test.clock.advance_ms(ROWS_STALE_MS);
        let error = call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired, "{text}");
    }
    assert_eq!(two.upstream.keys(), [""; 0]);
    write_sealed(&database, "a", &whole);
    two.test.clock.advance_ms(ROWS_STALE_MS);
    call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    assert_eq!(two.upstream.keys(), ["secret-of-a"], "unaltered it opens again");
}

#[tokio::test]
async fn an_older_sealed_text_put_back_does_not_open() {
    let two = Two::new().await;
    let database = two.database();
    let old = sealed_of(&database, "a");
    two.test.clock.advance_ms(1);
    set(&two.test.kit, "a", "crm", "second-secret-of-a").await;
    write_sealed(&database, "a", &old);
    let kit = two.other_process().await;
    let error = call(&kit, &two.a, "crm_me", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    assert_eq!(two.upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn an_older_sealed_text_does_not_open_in_a_connection_removed_and_set_again() {
    let two = Two::new().await;
    let database = two.database();
    let old = sealed_of(&database, "a");
    two.test.kit.operator.connection_remove("a", "crm", "default").await.unwrap();
    two.test.clock.advance_ms(1);
    set(&two.test.kit, "a", "crm", "second-secret-of-a").await;
    write_sealed(&database, "a", &old);
    let kit = two.other_process().await;
    let error = call(&kit, &two.a, "crm_me", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    assert_eq!(two.upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn an_api_key_whose_row_was_given_to_another_tenant_does_not_speak_for_it() {
    let two = Two::new().await;
    exchange_rows(&two.database(), "api_keys");
    two.the_key_of_a_never_leads_to_b(&two.key_a).await;
}

/// The hash of the key of `a` in the row of the key of `b`, presented under the id of the key of `b`.
#[tokio::test]
async fn a_key_hash_planted_in_the_row_of_another_key_opens_nothing() {
    let two = Two::new().await;
    exchange(&two.database(), "api_keys", "hash");
    let (of_a, of_b): (Vec<&str>, Vec<&str>) = (two.key_a.split('_').collect(), two.key_b.split('_').collect());
    let body = format!("mk_dev_{}_{}", of_b[2], of_a[3]);
    let forged = format!("{body}_{}", kit::token::checksum(kit::token::crc32(body.as_bytes())));
    two.the_key_of_a_never_leads_to_b(&forged).await;
}

#[tokio::test]
async fn everything_of_two_tenants_exchanged_still_opens_nothing() {
    let two = Two::new().await;
    let database = two.database();
    ["connections", "tenant_deks", "api_keys"].iter().for_each(|table| exchange_rows(&database, table));
    two.both_are_shut_out().await;
}

// Caches.

#[tokio::test]
async fn a_removed_connection_is_gone_at_once_where_it_was_removed() {
    let two = Two::new().await;
    call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    two.upstream.keys();
    two.test.kit.operator.connection_remove("a", "crm", "default").await.unwrap();
    let error = call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), two.upstream.keys()), (ErrorKind::NoCredentials, vec![]));
}

#[tokio::test]
async fn a_replaced_credential_is_used_at_once_where_it_was_replaced() {
    let two = Two::new().await;
    call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    set(&two.test.kit, "a", "crm", "second-secret-of-a").await;
    call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    assert_eq!(two.upstream.keys(), ["secret-of-a", "second-secret-of-a"]);
}

#[tokio::test]
async fn another_process_follows_a_replaced_and_a_removed_connection_in_the_promised_time() {
    let two = Two::new().await;
    let other = two.other_process().await;
    call(&other, &two.a, "crm_me", json!({})).await.unwrap();
    set(&two.test.kit, "a", "crm", "second-secret-of-a").await;
    two.test.clock.advance_ms(PROMISED_MS);
    call(&other, &two.a, "crm_me", json!({})).await.unwrap();
    assert_eq!(two.upstream.keys(), ["secret-of-a", "second-secret-of-a"]);
    two.test.kit.operator.connection_remove("a", "crm", "default").await.unwrap();
    two.test.clock.advance_ms(PROMISED_MS);
    let error = call(&other, &two.a, "crm_me", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), two.upstream.keys()), (ErrorKind::NoCredentials, vec![]));
}

/// The entry that `a` left in the caches answers nobody else, and `a` finds nothing of `b` under its own name.
#[tokio::test]
async fn a_cached_entry_serves_the_tenant_it_was_made_for() {
    let two = Two::new().await;
    two.test.kit.operator.connection_remove("b", "crm", "default").await.unwrap();
    for _ in 0..3 {
        call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
        let error = call(&two.test.kit, &two.b, "crm_me", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCredentials);
    }
    assert_eq!(two.upstream.keys(), ["secret-of-a"; 3]);
}

// Keys and tenants that have ended, seen from another process.

#[tokio::test]
async fn a_revoked_key_is_refused_by_another_process_in_the_promised_time() {
    let two = Two::new().await;
    let other = two.other_process().await;
    other.authenticator.api_key(&two.key_a).await.unwrap();
    let id = two.key_a.split('_').nth(2).unwrap();
    two.test.kit.operator.key_revoke("a", id).await.unwrap();
    assert_eq!(two.test.kit.authenticator.api_key(&two.key_a).await.err(), Some(AuthError::Expired));
    two.test.clock.advance_ms(PROMISED_MS);
    assert_eq!(other.authenticator.api_key(&two.key_a).await.err(), Some(AuthError::Expired));
    assert!(other.authenticator.api_key(&two.key_b).await.is_ok(), "the other tenant goes on");
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_by_another_process_in_the_promised_time_and_resumed_likewise() {
    let two = Two::new().await;
    let other = two.other_process().await;
    other.authenticator.api_key(&two.key_a).await.unwrap();
    other.authenticator.still_active(&two.a).await.unwrap();
    two.test.kit.operator.tenant_state("a", TenantState::Suspended).await.unwrap();
    two.test.clock.advance_ms(PROMISED_MS);
    assert_eq!(other.authenticator.api_key(&two.key_a).await.err(), Some(AuthError::Suspended));
    assert_eq!(other.authenticator.still_active(&two.a).await, Err(AuthError::Suspended));
    two.test.kit.operator.tenant_state("a", TenantState::Active).await.unwrap();
    two.test.clock.advance_ms(PROMISED_MS);
    assert!(other.authenticator.api_key(&two.key_a).await.is_ok());
}

#[tokio::test]
async fn a_deleted_tenant_is_refused_by_another_process_in_the_promised_time() {
    let two = Two::new().await;
    let other = two.other_process().await;
    other.authenticator.api_key(&two.key_a).await.unwrap();
    call(&other, &two.a, "crm_me", json!({})).await.unwrap();
    two.test.kit.operator.tenant_delete("a").await.unwrap();
    two.test.clock.advance_ms(PROMISED_MS);
    two.upstream.keys();
    assert_eq!(other.authenticator.api_key(&two.key_a).await.err(), Some(AuthError::Unknown));
    assert!(other.authenticator.local(two.a.tenant()).await.is_err());
    // Even a call that authenticated before finds nothing to sign with.
    assert_eq!(call(&other, &two.a, "crm_me", json!({})).await.unwrap_err().kind(), ErrorKind::NoCredentials);
    assert_eq!(two.upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn an_expired_key_is_refused_at_its_end_cached_or_not() {
    let two = Two::new().await;
    let key = two.test.kit.operator.key_create("a", "", Some(60_000)).await.unwrap().key;
    let text = key.expose_str().unwrap();
    two.test.clock.advance_ms(59_999);
    assert!(two.test.kit.authenticator.api_key(text).await.is_ok());
    two.test.clock.advance_ms(1);
    assert_eq!(two.test.kit.authenticator.api_key(text).await.err(), Some(AuthError::Expired));
}

#[tokio::test]
async fn a_key_is_revoked_only_by_the_tenant_it_belongs_to() {
    let two = Two::new().await;
    let id = two.key_b.split('_').nth(2).unwrap();
    let error = two.test.kit.operator.key_revoke("a", id).await.unwrap_err();
    assert_eq!(error.to_string(), "tenant `a` has no such key");
    assert!(two.test.kit.authenticator.api_key(&two.key_b).await.is_ok());
}

#[tokio::test]
async fn the_records_of_a_deleted_tenant_do_not_open_even_when_put_back() {
    let two = Two::new().await;
    let database = two.database();
    database
        .execute_batch(
            "CREATE TABLE kept AS SELECT * FROM connections; CREATE TABLE kept_keys AS SELECT * FROM api_keys;",
        )
        .unwrap();
    two.test.kit.operator.tenant_delete("a").await.unwrap();
    let wrapped: Vec<Option<String>> = database
        .prepare("SELECT wrapped FROM tenant_deks WHERE tenant_id = 'a'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(wrapped, [None], "the data key is gone");
    database
        .execute_batch(
            "INSERT INTO connections SELECT * FROM kept WHERE tenant_id = 'a';
             INSERT INTO api_keys SELECT * FROM kept_keys WHERE tenant_id = 'a';
             UPDATE tenants SET state = 'active' WHERE id = 'a';
             UPDATE tenant_deks SET state = 'active' WHERE tenant_id = 'a';",
        )
        .unwrap();
    for kit in [&two.other_process().await, &*two.test.kit] {
        let error = call(kit, &two.a, "crm_me", json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReconnectRequired);
    }
    assert_eq!(two.upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn the_name_of_a_deleted_tenant_is_not_given_again() {
    let two = Two::new().await;
    two.test.kit.operator.tenant_delete("a").await.unwrap();
    let error = two.test.kit.operator.tenant_add("a").await.unwrap_err();
    assert_eq!(error.to_string(), "there is or was a tenant `a` already");
}

// Where a credential may go.

#[tokio::test]
async fn a_credential_is_not_sent_to_another_host_than_it_was_stored_for() {
    let two = Two::new().await;
    for url in ["https://evil.test", "https://crm.test.evil.test", "https://sub.crm.test", "https://crm.test:8443"] {
        let kit = two.other_process_with(&[("crm", url)]).await;
        let error = call(&kit, &two.a, "crm_me", json!({})).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "MISCONFIGURED: this connection's credential was stored for another host than the integration now calls\n\
             hint: the operator runs `acme connection set crm --tenant a`",
            "{url}"
        );
    }
    assert_eq!(two.upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn a_credential_set_again_goes_to_the_new_host_and_no_longer_to_the_old() {
    let two = Two::new().await;
    let moved = two.other_process_with(&[("crm", "https://eu.crm.test")]).await;
    set(&moved, "a", "crm", "second-secret-of-a").await;
    call(&moved, &two.a, "crm_me", json!({})).await.unwrap();
    assert_eq!(two.upstream.urls(), ["https://eu.crm.test/v1/me"]);
    let error = call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), two.upstream.keys()), (ErrorKind::Misconfigured, vec![]));
}

// No fallback.

#[tokio::test]
async fn a_call_without_a_connection_answers_with_the_way_out() {
    let two = Two::new().await;
    let error = call(&two.test.kit, &two.a, "bare_me", json!({})).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "NO_CREDENTIALS: tenant `a` has no CRM connection for the integration `bare`\n\
         hint: the operator runs `acme connection set bare --tenant a`"
    );
    assert_eq!(
        error.to_value(),
        json!({"error": {
            "type": "no_credentials",
            "message": "tenant `a` has no CRM connection for the integration `bare`",
            "hint": "the operator runs `acme connection set bare --tenant a`",
            "integration": "bare",
        }})
    );
}

#[tokio::test]
async fn the_connection_of_another_integration_or_tenant_is_no_fallback() {
    let two = Two::new().await;
    two.test.kit.operator.tenant_add("c").await.unwrap();
    let key = two.test.kit.operator.key_create("c", "", None).await.unwrap().key;
    let c = two.test.kit.authenticator.api_key(key.expose_str().unwrap()).await.unwrap();
    for (tenant, tool) in [(&c, "crm_me"), (&c, "crm_eu_me"), (&two.a, "crm_eu_me"), (&two.b, "bare_me")] {
        let error = call(&two.test.kit, tenant, tool, json!({})).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCredentials, "{} {tool}", tenant.tenant());
    }
    assert_eq!(two.upstream.keys(), [""; 0]);
}

#[tokio::test]
async fn each_call_opens_one_record_and_a_change_of_a_connection_has_its_time() {
    let two = Two::new().await;
    let before = two.test.kit.vault.opened();
    for _ in 0..3 {
        call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    }
    assert_eq!(two.test.kit.vault.opened() - before, 3);
    two.test.clock.advance_ms(5_000);
    set(&two.test.kit, "a", "crm", "another").await;
    let changed = two.test.kit.operator.connection_list("a").await.unwrap()[0].changed_ms;
    assert_eq!(changed, kit::ports::Clock::wall_ms(&*two.test.clock));
}

// A credential that the provider no longer takes.

#[tokio::test]
async fn a_refused_credential_is_not_sent_again_until_it_is_set_again() {
    let two = Two::new().await;
    two.upstream.answer_with(401);
    for _ in 0..20 {
        let error = call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "RECONNECT_REQUIRED: CRM no longer accepts the credential of this connection\n\
             hint: the operator runs `acme connection set crm --tenant a`"
        );
    }
    let other = two.other_process().await;
    assert!(call(&other, &two.a, "crm_me", json!({})).await.is_err());
    assert_eq!(two.upstream.keys(), ["secret-of-a"], "one request found out, none came after it");

    let [listed] = &two.test.kit.operator.connection_list("a").await.unwrap()[..] else { panic!("one connection") };
    assert_eq!(
        (listed.state, listed.reason.as_deref()),
        (ConnectionState::NeedsReconnect, Some("the provider refused the credential"))
    );

    two.upstream.answer_with(0);
    call(&two.test.kit, &two.b, "crm_me", json!({})).await.unwrap();
    assert_eq!(two.upstream.keys(), ["secret-of-b"], "the other tenant was never affected");
    set(&two.test.kit, "a", "crm", "second-secret-of-a").await;
    call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap();
    assert_eq!(two.upstream.keys(), ["second-secret-of-a"]);
}

#[tokio::test]
async fn other_refusals_of_the_upstream_leave_the_connection_active() {
    let two = Two::new().await;
    let expected = [
        (403, ErrorKind::Forbidden),
        (404, ErrorKind::NotFound),
        (422, ErrorKind::Upstream),
        (429, ErrorKind::UpstreamRateLimited),
        (500, ErrorKind::Upstream),
    ];
    for (status, kind) in expected {
        two.upstream.answer_with(status);
        assert_eq!(call(&two.test.kit, &two.a, "crm_me", json!({})).await.unwrap_err().kind(), kind, "{status}");
    }
    // What failed with 500 was repeated twice.
    assert_eq!(two.upstream.keys().len(), expected.len() + 2);
}

// Development and live servers.

/// A live server's settings on `folder`, with a key-encryption key of its own.
fn live(folder: &Path) -> Settings {
    let kek = folder.join("live.kek");
    if !kek.exists() {
        write_private(&kek, &random_key()).unwrap();
    }
    let settings = settings(&app(&Spy::default()), &[]);
    with_kek(Settings { database: Sqlite(folder.join("live.db")), ..settings }, kek)
}

fn with_kek(mut settings: Settings, kek: PathBuf) -> Settings {
    settings.vault.kek = Some(KekSource::File(kek));
    settings
}

fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    getrandom::fill(&mut key).unwrap();
    key
}

async fn refusal(settings: &Settings) -> String {
    match host::live(&app(&Spy::default()), settings).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn a_live_server_refuses_a_development_store() {
    let two = Two::new().await;
    let database = two.test.folder.path().join("store.db");
    let settings = Settings { database: Sqlite(database.clone()), ..live(two.test.folder.path()) };
    assert_eq!(
        refusal(&settings).await,
        format!("failed to start on `{}`: the store was made by `dev` and is not for tenants", database.display())
    );
}

#[tokio::test]
async fn a_development_server_refuses_a_live_store() {
    let (folder, spy) = (TempFolder::new(), Spy::default());
    let settings = Settings { database: Sqlite(folder.path().join("store.db")), ..live(folder.path()) };
    drop(host::live(&app(&spy), &settings).await.unwrap());
    let clock = Arc::new(kit_native::clock::SystemClock);
    let error = host::dev(&app(&spy), &settings, folder.path(), clock, Arc::new(LogTelemetry)).await.err().unwrap();
    assert!(format!("{error:#}").ends_with("the store belongs to a real server; `dev` does not touch it"), "{error:#}");
}

#[tokio::test]
async fn a_live_server_refuses_the_key_encryption_key_of_a_development_server() {
    let two = Two::new().await;
    let settings = with_kek(live(two.test.folder.path()), two.test.folder.path().join("kek"));
    assert!(refusal(&settings).await.ends_with("was made by `dev` and is not for tenants"));
}

#[tokio::test]
async fn an_api_key_of_the_other_kind_of_server_is_refused() {
    let (two, folder) = (Two::new().await, TempFolder::new());
    let kit = host::live(&app(&Spy::default()), &live(folder.path())).await.unwrap();
    kit.operator.tenant_add("a").await.unwrap();
    let key = kit.operator.key_create("a", "", None).await.unwrap().key;
    let live_key = key.expose_str().unwrap();
    assert!(live_key.starts_with("mk_live_") && two.key_a.starts_with("mk_dev_"));
    assert_eq!(kit.authenticator.api_key(&two.key_a).await.err(), Some(AuthError::WrongEnvironment));
    assert_eq!(two.test.kit.authenticator.api_key(live_key).await.err(), Some(AuthError::WrongEnvironment));
    assert!(kit.authenticator.api_key(live_key).await.is_ok());
}

#[tokio::test]
async fn an_api_key_relabelled_for_the_other_kind_of_server_is_unknown_to_it() {
    let (two, folder) = (Two::new().await, TempFolder::new());
    let kit = host::live(&app(&Spy::default()), &live(folder.path())).await.unwrap();
    kit.operator.tenant_add("a").await.unwrap();
    let parts: Vec<&str> = two.key_a.split('_').collect();
    let body = format!("mk_live_{}_{}", parts[2], parts[3]);
    let forged = format!("{body}_{}", kit::token::checksum(kit::token::crc32(body.as_bytes())));
    assert_eq!(kit.authenticator.api_key(&forged).await.err(), Some(AuthError::Unknown));
}

#[tokio::test]
async fn a_wrong_key_encryption_key_is_named_beside_the_right_one() {
    let folder = TempFolder::new();
    let settings = live(folder.path());
    drop(host::live(&app(&Spy::default()), &settings).await.unwrap());
    let other = folder.path().join("other.kek");
    write_private(&other, &random_key()).unwrap();
    let id = |path: &Path| kek_file::read(path, Kind::File).unwrap().ids().remove(0);
    let (expected, found) = (id(&folder.path().join("live.kek")), id(&other));
    assert_eq!(
        refusal(&with_kek(settings.clone(), other)).await,
        format!(
            "failed to start on `{}`: the store was sealed under the key-encryption key `{expected}`, which is not \
             loaded; loaded: `{found}`",
            settings.database
        )
    );
}

#[tokio::test]
async fn altered_server_keys_refuse_boot() {
    for purpose in ["sentinel", "api-key-pepper"] {
        let folder = TempFolder::new();
        let settings = live(folder.path());
        drop(host::live(&app(&Spy::default()), &settings).await.unwrap());
        let database = Database::open(settings.database.to_string()).unwrap();
        // The text of the other one: a good text in the wrong place.
        let sql =
            "UPDATE server_keys SET wrapped = (SELECT wrapped FROM server_keys WHERE purpose <> ?1) WHERE purpose = ?1";
        database.execute(sql, [purpose]).unwrap();
        drop(database);
        let refusal = refusal(&settings).await;
        assert!(refusal.ends_with(&format!("the server key `{purpose}` was altered: it does not open")), "{refusal}");
    }
}
