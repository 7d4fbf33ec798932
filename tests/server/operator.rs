//! The operator's command line: what each command answers, to the letter, when it works and when it does not. A person
//! reads this, so the way out is part of the answer.

use serde_json::{Value, json};

use crate::harness::{Dev, Ended, Live, Pipe, finish};

const REFUSED: Option<i32> = Some(1);

/// Fails unless the command was refused with exactly this on standard error, and nothing on standard output.
#[track_caller]
fn refused(ended: &Ended, message: &str) {
    assert_eq!((ended.code, ended.err.as_str(), ended.out.as_str()), (REFUSED, message, ""));
}

/// Fails unless the command succeeded and said exactly this to the person.
#[track_caller]
fn said(ended: &Ended, message: &str) {
    assert_eq!((ended.code, ended.err.as_str(), ended.out.as_str()), (Some(0), message, ""));
}

// Tenants.

#[test]
fn tenants_are_added_listed_suspended_resumed_and_deleted() {
    let live = Live::empty();
    said(&live.run(&["tenant", "list"]), "there are no tenants yet\n");
    said(
        &live.run(&["tenant", "add", "acme"]),
        "added tenant `acme`\n\nnext: `zz-everything key create --tenant acme`\n",
    );
    live.run(&["tenant", "add", "beta-2"]).ok();
    said(&live.run(&["tenant", "suspend", "acme"]), "suspended tenant `acme`; every replica follows within 15 s\n");
    let table = live.run(&["tenant", "list"]).ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(5).collect()).collect();
    assert_eq!(
        rows,
        [
            ["TENANT", "STATE", "PLAN", "CONNECTIONS", "KEYS"],
            ["acme", "suspended", "-", "0", "0"],
            ["beta-2", "active", "-", "0", "0"],
        ]
    );
    said(&live.run(&["tenant", "resume", "acme"]), "resumed tenant `acme`; every replica follows within 15 s\n");
    let listed: Value = serde_json::from_str(&live.run(&["tenant", "list", "--json"]).ok()).unwrap();
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!("acme"), &json!("active")));
    said(
        &live.run(&["tenant", "delete", "acme", "--confirm", "acme"]),
        "deleted tenant `acme`: its data keys, connections and API keys are gone\n",
    );
    let listed: Value = serde_json::from_str(&live.run(&["tenant", "list", "--json"]).ok()).unwrap();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["id"]), (1, &json!("beta-2")));
}

#[test]
fn a_tenant_is_added_once() {
    let live = Live::empty();
    let again = "error: there is or was a tenant `acme` already\n\n\
                 hint: choose another name, or see `zz-everything tenant list`\n";
    live.run(&["tenant", "add", "acme"]).ok();
    refused(&live.run(&["tenant", "add", "acme"]), again);
    live.run(&["tenant", "delete", "acme", "--confirm", "acme"]).ok();
    refused(&live.run(&["tenant", "add", "acme"]), again);
}

#[test]
fn a_name_that_is_none_is_refused() {
    let live = Live::empty();
    let long = "a".repeat(64);
    for name in ["", "Acme", "a b", "a/b", "../a", "a_b", "ä", "a;drop", &long] {
        refused(
            &live.run(&["tenant", "add", "--", name]),
            "error: a tenant's name has 1 to 63 lower-case letters, digits or `-`, and does not begin with `-`\n\n\
             hint: for example `zz-everything tenant add acme-eu`\n",
        );
    }
    said(&live.run(&["tenant", "list"]), "there are no tenants yet\n");
}

#[test]
fn a_tenant_is_deleted_only_with_its_name_given_twice() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    refused(
        &live.run(&["tenant", "delete", "acme", "--confirm", "acm"]),
        "error: the two names differ, nothing was deleted\n\n\
         hint: to destroy its keys for ever, give `--confirm acme`\n",
    );
    assert_eq!(live.run(&["tenant", "delete", "acme"]).code, Some(2));
    assert!(live.run(&["tenant", "list"]).ok().contains("acme"));
}

#[test]
fn every_command_about_a_tenant_that_is_not_there_says_so() {
    let live = Live::empty();
    let commands: [&[&str]; 9] = [
        &["tenant", "suspend", "nobody"],
        &["tenant", "resume", "nobody"],
        &["tenant", "delete", "nobody", "--confirm", "nobody"],
        &["key", "create", "--tenant", "nobody"],
        &["key", "list", "--tenant", "nobody"],
        &["key", "revoke", "abcdefghijkl", "--tenant", "nobody"],
        &["connection", "set", "notion", "--tenant", "nobody"],
        &["connection", "list", "--tenant", "nobody"],
        &["connection", "remove", "notion", "--tenant", "nobody"],
    ];
    for command in commands {
        refused(
            &live.run_with(command, b"token"),
            "error: there is no tenant `nobody`\n\nhint: add it with `zz-everything tenant add nobody`\n",
        );
    }
}

// Keys.

#[test]
fn a_key_is_shown_once_and_alone_on_standard_output() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let made = live.run(&["key", "create", "--tenant", "acme", "--label", "laptop", "--days", "7"]);
    assert_eq!(made.err, "this is the only time the key is shown; store it where the client reads it\n");
    let key = made.ok();
    assert_eq!((key.len(), &key[..8]), (61, "mk_live_"));
    let id = key.split('_').nth(2).unwrap();
    let table = live.run(&["key", "list", "--tenant", "acme"]).ok();
    assert!(!table.contains(key.split('_').nth(3).unwrap()), "the secret part is not known any more");
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], *row.last().unwrap()), (id, "laptop", "-"));
    let listed: Value = serde_json::from_str(&live.run(&["key", "list", "--tenant", "acme", "--json"]).ok()).unwrap();
    let days = (listed[0]["expires_ms"].as_i64().unwrap() - listed[0]["created_ms"].as_i64().unwrap()) / 86_400_000;
    assert_eq!((listed[0]["id"].as_str(), days), (Some(id), 7));
}

#[test]
fn a_key_for_programs_comes_as_json() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let made = live.run(&["key", "create", "--tenant", "acme", "--json"]);
    assert_eq!(made.err, "");
    let made: Value = serde_json::from_str(&made.ok()).unwrap();
    assert_eq!(made["tenant"], "acme");
    assert_eq!(made["key"].as_str().unwrap().split('_').nth(2), made["id"].as_str());
}

#[test]
fn a_key_is_revoked_by_its_id_and_by_nothing_else() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    live.run(&["tenant", "add", "beta"]).ok();
    let key = live.run(&["key", "create", "--tenant", "acme"]).ok();
    let id = key.split('_').nth(2).unwrap();
    for (tenant, given) in [("beta", id), ("acme", "abcdefghijkl"), ("acme", key.trim()), ("acme", "%"), ("acme", "")] {
        refused(
            &live.run(&["key", "revoke", given, "--tenant", tenant]),
            &format!(
                "error: tenant `{tenant}` has no such key\n\n\
                 hint: see `zz-everything key list --tenant {tenant}`; the id is the third part of a key\n"
            ),
        );
    }
    let listed: Value = serde_json::from_str(&live.run(&["key", "list", "--tenant", "acme", "--json"]).ok()).unwrap();
    assert_eq!(listed[0]["revoked_ms"], Value::Null);
    let expected = format!("revoked key `{id}`; every replica refuses it within 15 s\n");
    said(&live.run(&["key", "revoke", id, "--tenant", "acme"]), &expected);
    let listed: Value = serde_json::from_str(&live.run(&["key", "list", "--tenant", "acme", "--json"]).ok()).unwrap();
    assert!(listed[0]["revoked_ms"].is_i64());
}

#[test]
fn the_lifetime_of_a_key_is_a_whole_number_of_days() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    for days in ["0", "-1", "36501", "1.5", "x"] {
        let ended = live.run(&["key", "create", "--tenant", "acme", &format!("--days={days}")]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{days}");
    }
    said(&live.run(&["key", "list", "--tenant", "acme"]), "there are no keys yet\n");
}

// Connections.

/// The token that the server sends after `connection set` read `input`.
fn token_sent_after(live: &Live, input: &[u8]) -> Vec<String> {
    said(
        &live.run_with(&["connection", "set", "notion", "--tenant", "acme"], input),
        "stored the notion connection of tenant `acme`, sealed\n",
    );
    let mut pipe = Pipe::start(live.command(&["stdio", "--tenant", "acme"]));
    pipe.call("notion_search", json!({}));
    live.upstream.seen()
}

#[test]
fn a_secret_is_taken_without_the_line_break_behind_it() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    for input in ["ntn_one", "ntn_one\n", "ntn_one\r\n"] {
        assert_eq!(token_sent_after(&live, input.as_bytes()), ["Bearer ntn_one"], "{input:?}");
    }
}

#[test]
fn a_secret_that_cannot_be_one_is_refused() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let inputs: [&[u8]; 10] = [
        b"",
        b"\n",
        b"\r\n",
        b" ",
        b"ntn one",
        b" ntn_one",
        b"ntn\none",
        b"ntn_one\n\n",
        "ntn_ä".as_bytes(),
        b"ntn\xff",
    ];
    for input in inputs {
        refused(
            &live.run_with(&["connection", "set", "notion", "--tenant", "acme"], input),
            "error: the secret is empty or holds a space, a line break or a letter outside ASCII\n\n\
             hint: give exactly the key, for example `printf %s \"$KEY\" |` before the command\n",
        );
    }
    said(&live.run(&["connection", "list", "--tenant", "acme"]), "there are no connections yet\n");
}

/// Cut off, it would be stored and then fail at the provider for no visible reason.
#[test]
fn a_secret_that_is_too_long_is_refused_and_not_cut_off() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let ended = live.run_with(&["connection", "set", "notion", "--tenant", "acme"], &b"x".repeat((64 << 10) + 1));
    assert_eq!(ended.code, REFUSED, "{}", ended.err);
    said(&live.run(&["connection", "list", "--tenant", "acme"]), "there are no connections yet\n");
}

#[test]
fn a_secret_can_come_from_a_file() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    std::fs::write(live.folder.path().join("token"), "ntn_from_file\n").unwrap();
    let from = |file: &str| live.run(&["connection", "set", "notion", "--tenant", "acme", "--secret-file", file]);
    said(&from("token"), "stored the notion connection of tenant `acme`, sealed\n");
    let mut pipe = Pipe::start(live.command(&["stdio", "--tenant", "acme"]));
    pipe.call("notion_search", json!({}));
    assert_eq!(live.upstream.seen(), ["Bearer ntn_from_file"]);
    refused(
        &from("missing"),
        "error: failed to read the secret from `missing`: No such file or directory (os error 2)\n",
    );
}

#[test]
fn a_secret_has_no_place_on_the_command_line() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    for option in ["--secret", "--token", "--key", "--value"] {
        let ended = live.run(&["connection", "set", "notion", "--tenant", "acme", option, "ntn_one"]);
        assert_eq!(ended.code, Some(2), "{option}");
    }
    assert_eq!(live.run(&["connection", "set", "notion", "ntn_one", "--tenant", "acme"]).code, Some(2));
}

#[test]
fn a_link_to_connect_an_account_is_data_and_says_what_it_is_good_for() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let ended = live.run(&["connect", "shop", "--tenant", "acme"]);
    let (link, note) = (ended.out.trim_end(), ended.err.clone());
    assert!(link.starts_with("http://127.0.0.1:") && link.contains("/connect/"), "{link}");
    assert_eq!(link.rsplit('/').next().map(str::len), Some(32), "{link}");
    let start = "whoever opens it connects their shop account for the tenant `acme`: send it to that person alone; good once, until ";
    assert!(note.starts_with(start), "{note}");
    let json: Value = serde_json::from_str(&live.run(&["connect", "shop", "--tenant", "acme", "--json"]).ok()).unwrap();
    assert_ne!(json["url"], link, "each time another one");
    let unknown = live.run(&["connect", "shops", "--tenant", "acme"]);
    assert!(unknown.err.starts_with("error: there is no integration `shops`"), "{}", unknown.err);
    let missing = live.run(&["connect", "shop", "--tenant", "nobody"]);
    assert!(missing.err.starts_with("error: there is no tenant `nobody`"), "{}", missing.err);
}

#[test]
fn connections_are_listed_and_removed() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    for (integration, account) in [("shop", "eu-1"), ("notion", "default")] {
        live.run_with(&["connection", "set", integration, "--tenant", "acme", "--account", account], b"token").ok();
    }
    let table = live.run(&["connection", "list", "--tenant", "acme"]).ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["INTEGRATION", "ACCOUNT", "FOR", "SCOPES", "ENDS", "STATE"]);
    let cells: Vec<[&str; 3]> = rows[1..].iter().map(|row| [row[0], row[1], row[row.len() - 1]]).collect();
    assert_eq!(cells, [["notion", "default", "active"], ["shop", "eu-1", "active"]]);
    let listed: Value =
        serde_json::from_str(&live.run(&["connection", "list", "--tenant", "acme", "--json"]).ok()).unwrap();
    let names: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    let expected =
        ["account", "changed_ms", "days_left", "ends_ms", "integration", "reason", "scopes", "site", "state", "target"];
    assert_eq!(names, expected);
    let missing = "error: tenant `acme` has no such connection\n\n\
                   hint: see `zz-everything connection list --tenant acme`\n";
    refused(&live.run(&["connection", "remove", "shop", "--tenant", "acme"]), missing);
    said(
        &live.run(&["connection", "remove", "shop", "--tenant", "acme", "--account", "eu-1"]),
        "removed the shop connection of tenant `acme`\n",
    );
    refused(&live.run(&["connection", "remove", "shop", "--tenant", "acme", "--account", "eu-1"]), missing);
}

#[test]
fn an_integration_that_is_not_there_is_refused_with_those_that_are() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    refused(
        &live.run_with(&["connection", "set", "slack", "--tenant", "acme"], b"token"),
        "error: there is no integration `slack`\n\nhint: this server has: notion, shop\n",
    );
    refused(
        &live.run_with(&["connection", "set", "notion", "--tenant", "acme", "--account", "a b"], b"token"),
        "error: an account has 1 to 64 letters, digits, `_`, `.`, `:` or `-`\n\n\
         hint: leave `--account` out for a single one\n",
    );
}

// Configuration and store.

#[test]
fn a_good_configuration_is_called_good() {
    let live = Live::empty();
    said(&live.run(&["config", "check"]), "the configuration is good: settings, store, key-encryption key and tools\n");
}

#[test]
fn a_configuration_is_checked_whole() {
    let live = Live::empty();
    let config = live.folder.path().join("config");
    std::fs::write(
        config.join("server.toml"),
        "[server]\nbind = \"0.0.0.0:8080\"\nmax_body = 1\n[vault]\nkek_file = \"kek\"\n",
    )
    .unwrap();
    std::fs::write(config.join("integrations/shop.toml"), "base_url = \"http://shop.test\"\n").unwrap();
    refused(
        &live.run(&["config", "check"]),
        "error: 4 problem(s) in the configuration\n  \
         `server.max_body` (config/server.toml): there is no such setting\n    \
         did you mean `server.max_body_bytes`?\n  \
         `base_url` (config/integrations/notion.toml): \
         an upstream on this machine, while the server listens on more than loopback\n    \
         give the provider's own host, or set `server.bind` to 127.0.0.1\n  \
         `base_url` (config/integrations/shop.toml): credentials would travel in the clear\n    give an https:// URL\n  \
         `server.public_url` (config/server.toml or environment MCP__SERVER__PUBLIC_URL): \
         missing, while the server listens on 0.0.0.0:8080\n    \
         give the URL that clients use, or listen on 127.0.0.1\n",
    );
    // Whatever is checked is refused by the server as well.
    assert_eq!(live.run(&["serve"]).code, REFUSED);
}

/// Replaces `server.toml` of `live` by this and the place of its key.
fn configure(live: &Live, text: &str) {
    let text = format!("{text}\n[vault]\nkek_file = \"kek\"\n");
    std::fs::write(live.folder.path().join("config/server.toml"), text).unwrap();
}

#[test]
fn replicas_without_what_they_must_share_are_refused() {
    let live = Live::empty();
    configure(&live, "[limits]\nreplicas = 2");
    let expected = "error: 2 problem(s) in the configuration\n  \
                    `limits.redis_url` (config/server.toml or environment): \
                    missing, while there is more than one replica: each would admit the whole rate\n    \
                    give the URL of a Redis server that all of them reach, or set `limits.replicas` to 1\n  \
                    `storage.database_url` (config/server.toml or environment): \
                    a file of one machine, while there is more than one replica\n    \
                    give the postgres:// URL of a database that all of them reach, or set `limits.replicas` to 1\n";
    refused(&live.run(&["config", "check"]), expected);
    refused(&live.run(&["serve"]), expected);
}

#[test]
fn a_tool_that_could_never_be_called_is_refused() {
    let live = Live::empty();
    configure(&live, "[limits.costs]\nnotion_search = 61");
    refused(
        &live.run(&["config", "check"]),
        "error: 1 problem(s) in the configuration\n  \
         `limits.costs.notion_search` (config/server.toml or environment): \
         costs 61, and a bucket holds 60 at the most: it could never be called\n    \
         raise the burst, or lower the cost\n",
    );
}

#[test]
fn plans_that_tenants_are_on_and_nobody_describes_are_noticed() {
    let live = Live::empty();
    configure(&live, "[plans.growth]\ndaily = 100\n[plans.scale]\ndaily = 1000\n[plans.unused]\ndaily = 1");
    for (tenant, plan) in [("acme", "growth"), ("bolt", "scale"), ("coil", "growth")] {
        live.run(&["tenant", "add", tenant, "--plan", plan]).ok();
    }
    live.run(&["config", "check"]).ok();
    configure(&live, "[plans.starter]\ndaily = 10");
    refused(
        &live.run(&["config", "check"]),
        "error: 2 problem(s) in the configuration\n  \
         `plans.growth` (tenants): tenants are on this plan, and it is not described\n    \
         describe it under `[plans.growth]`, or see who is on it with `zz-everything tenant list`\n  \
         `plans.scale` (tenants): tenants are on this plan, and it is not described\n    \
         describe it under `[plans.scale]`, or see who is on it with `zz-everything tenant list`\n",
    );
    for tenant in ["acme", "bolt", "coil"] {
        live.run(&["tenant", "plan", tenant, "starter"]).ok();
    }
    live.run(&["config", "check"]).ok();
}

#[test]
fn an_outage_that_is_settled_for_a_tool_which_is_not_there_is_noticed() {
    let live = Live::empty();
    configure(&live, "[limits]\noutage_deny = [\"notion_search\", \"search\"]\noutage_allow = [\"shop_lists\"]");
    refused(
        &live.run(&["config", "check"]),
        "error: 2 problem(s) in the configuration\n  \
         `limits.outage_…` (config/server.toml or environment): there is no tool `search`\n    \
         give the full name, with its integration in front\n  \
         `limits.outage_…` (config/server.toml or environment): there is no tool `shop_lists`\n    \
         give the full name, with its integration in front\n",
    );
}

#[test]
fn an_address_reserved_for_examples_is_noticed() {
    let live = Live::empty();
    std::fs::remove_file(live.folder.path().join("config/integrations/shop.toml")).unwrap();
    refused(
        &live.run(&["config", "check"]),
        "error: 1 problem(s) in the configuration\n  \
         `base_url` (integration `shop`): is on a domain reserved for examples, nothing answers there\n    \
         set `base_url` in config/integrations/shop.toml\n",
    );
}

#[test]
fn a_tenants_data_is_exported_without_secrets() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    live.run_with(&["connection", "set", "shop", "--tenant", "acme"], b"canary-of-acme").ok();
    let key = live.run(&["key", "create", "--tenant", "acme", "--label", "laptop"]).ok();
    let text = live.run(&["tenant", "export", "acme"]).ok();
    let export: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((export["tenant"].as_str(), export["state"].as_str()), (Some("acme"), Some("active")));
    assert_eq!(export["keys"][0]["label"], "laptop");
    assert_eq!(export["connections"][0]["integration"], "shop");
    assert!(!text.contains("canary") && !text.contains(key.trim()), "{text}");
}

#[test]
fn an_app_is_for_integrations_that_need_one() {
    let live = Live::empty();
    let refusal = "error: Shop is called without an app\n\n\
                   hint: set its connections with `zz-everything connection set shop --tenant TENANT`\n";
    refused(&live.run_with(&["app", "set", "shop", "--client-id", "id"], b"secret"), refusal);
    said(&live.run(&["app", "list"]), "there are no apps yet\n");
}

#[test]
fn the_key_encryption_key_is_rotated_by_command_and_the_old_one_removed_when_nothing_needs_it() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let status = || -> Value { serde_json::from_str(&live.run(&["vault", "status", "--json"]).ok()).unwrap() };
    let old = status()[0]["kek_id"].as_str().unwrap().to_owned();
    live.run(&["vault", "rotate-kek"]).ok();
    let after = status();
    assert_eq!((after[0]["primary"].as_bool(), after[0]["deks_active"].as_i64()), (Some(true), Some(1)), "{after}");
    assert_eq!(
        (after[1]["kek_id"].as_str(), after[1]["deks_active"].as_i64()),
        (Some(old.as_str()), Some(0)),
        "{after}"
    );
    live.run(&["vault", "remove-kek", &old]).ok();
    assert_eq!(status().as_array().map(Vec::len), Some(1));
    live.run(&["tenant", "list"]).ok();
}

#[test]
fn a_store_that_may_not_be_migrated_by_the_server_is_by_command() {
    let live = Live::empty();
    let mut command = live.command(&["serve"]);
    command.env("MCP__STORAGE__MIGRATE", "false");
    let ended = finish(command, b"");
    assert_eq!(ended.code, REFUSED);
    assert!(
        ended.err.starts_with("error: failed to start on `data/zz-everything.db`: the store lacks 6 migration(s)\n"),
        "{}",
        ended.err
    );
    let hint = ended.err.split_once("hint: ").unwrap_or_default().1;
    assert!(hint.contains("`zz-everything migrate`"), "the way out is missing: {}", ended.err);
    for _ in 0..2 {
        said(&live.run(&["migrate"]), "the store is up to date\n");
    }
    let mut command = live.command(&["tenant", "list"]);
    command.env("MCP__STORAGE__MIGRATE", "false");
    said(&finish(command, b""), "there are no tenants yet\n");
}

#[test]
fn a_live_server_refuses_the_store_and_the_key_of_dev() {
    let dev = Dev::start();
    let folder = dev.folder.path().join(".dev");
    let live = Live::empty();
    let with = |name: &str, value: &std::path::Path, args: &[&str]| {
        let mut command = live.command(args);
        command.env(name, value).env("MCP__SERVER__BIND", "127.0.0.1:0");
        command
    };
    let store = folder.join("store.db");
    for args in [&["tenant", "list"][..], &["migrate"], &["stdio", "--tenant", "demo"], &["config", "check"]] {
        let mut command = with("MCP__VAULT__KEK_FILE", &live.folder.path().join("kek"), args);
        command.env("MCP__STORAGE__DATABASE_URL", format!("sqlite:{}", store.display()));
        let ended = finish(command, b"");
        let expected = format!(
            "error: failed to start on `{}`: the store was made by `dev` and is not for tenants\n",
            store.display()
        );
        assert_eq!((ended.code, ended.err), (REFUSED, expected), "{args:?}");
    }
    let ended = finish(with("MCP__VAULT__KEK_FILE", &folder.join("kek"), &["tenant", "list"]), b"");
    assert!(
        ended.code == REFUSED && ended.err.ends_with("was made by `dev` and is not for tenants\n"),
        "the key of `dev` was taken: {ended:?}"
    );
}

#[test]
fn dev_keeps_away_from_the_store_of_a_live_server_and_from_the_network() {
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let data = live.folder.path().join("data");
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::rename(data.join(format!("zz-everything.db{ending}")), data.join(format!("store.db{ending}")));
    }
    let ended = live.run(&["dev", "--json", "--bind", "127.0.0.1:0", "--folder", "data"]);
    assert_eq!(ended.code, REFUSED);
    assert!(ended.err.ends_with("the store belongs to a real server; `dev` does not touch it\n"), "{}", ended.err);

    refused(
        &live.run(&["dev", "--json", "--bind", "0.0.0.0:0"]),
        "error: `dev` does not listen on 0.0.0.0:0: its key and its data are for this machine\n\n\
         hint: give a loopback address, or use `serve`\n",
    );
}

#[test]
fn a_systemd_credential_goes_above_the_key_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let live = Live::empty();
    live.run(&["tenant", "add", "acme"]).ok();
    let credentials = live.folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let list = || {
        let mut command = live.command(&["tenant", "list"]);
        command.env("CREDENTIALS_DIRECTORY", &credentials);
        finish(command, b"")
    };
    assert_eq!(list().code, Some(0), "a folder without a credential of that name changes nothing");
    live.make_kek("credentials/kek");
    let ended = list();
    assert_eq!(ended.code, REFUSED);
    assert!(ended.err.contains("the store was sealed under the key-encryption key `file:"), "{}", ended.err);
    std::fs::copy(live.folder.path().join("kek"), credentials.join("kek")).unwrap();
    // systemd makes its credentials 0400.
    std::fs::set_permissions(credentials.join("kek"), std::fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(list().code, Some(0));
}

#[test]
fn a_store_that_is_damaged_is_named() {
    let live = Live::empty();
    std::fs::create_dir(live.folder.path().join("data")).unwrap();
    std::fs::write(live.folder.path().join("data/zz-everything.db"), "no database at all".repeat(1_000)).unwrap();
    refused(&live.run(&["tenant", "list"]), "error: failed to open `data/zz-everything.db`: file is not a database\n");
}

/// Where a variable of the process holds bytes that are no text, whatever it is for.
#[test]
fn an_environment_with_bytes_that_are_no_text_is_no_panic() {
    use std::os::unix::ffi::OsStrExt as _;
    let live = Live::empty();
    let mut command = live.command(&["tenant", "list"]);
    command.env("LS_COLORS_OR_SO", std::ffi::OsStr::from_bytes(b"caf\xe9"));
    said(&finish(command, b""), "there are no tenants yet\n");
}

#[test]
fn a_command_that_does_not_exist_is_an_error_of_usage() {
    let live = Live::empty();
    for args in [&[][..], &["sevre"], &["tenant"], &["tenant", "add"], &["serve", "--port", "1"]] {
        let ended = live.run(args);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}");
    }
    assert!(live.run(&["sevre"]).err.contains("a similar subcommand exists: 'serve'"));
    assert_eq!(live.run(&["--help"]).code, Some(0));
}

// What to paste into a client.

#[track_caller]
fn pasted(live: &Live, args: &[&str], place: &str, text: &str) {
    let ended = live.run(&[&["client-config"], args].concat());
    let key = "\nZZ_EVERYTHING_KEY holds a key from `zz-everything key create --tenant NAME`\n";
    let key = if args.contains(&"--stdio") { "" } else { key };
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.out, format!("{text}\n"));
    assert_eq!(ended.err, format!("into {place}:\n\n{key}"));
}

#[test]
fn each_client_gets_its_form_for_http() {
    let live = Live::empty();
    let url = ["--url", "https://mcp.example.com"];
    pasted(
        &live,
        &["--client", "claude-code", url[0], url[1]],
        ".mcp.json",
        r#"{
  "mcpServers": {
    "zz-everything": {
      "headers": {
        "Authorization": "Bearer ${ZZ_EVERYTHING_KEY}"
      },
      "type": "http",
      "url": "https://mcp.example.com/mcp"
    }
  }
}"#,
    );
    pasted(
        &live,
        &["--client", "cursor", url[0], url[1]],
        ".cursor/mcp.json",
        r#"{
  "mcpServers": {
    "zz-everything": {
      "headers": {
        "Authorization": "Bearer ${env:ZZ_EVERYTHING_KEY}"
      },
      "url": "https://mcp.example.com/mcp"
    }
  }
}"#,
    );
    pasted(
        &live,
        &["--client", "vscode", url[0], url[1]],
        ".vscode/mcp.json",
        r#"{
  "inputs": [
    {
      "description": "zz-everything API key",
      "id": "key",
      "password": true,
      "type": "promptString"
    }
  ],
  "servers": {
    "zz-everything": {
      "headers": {
        "Authorization": "Bearer ${input:key}"
      },
      "type": "http",
      "url": "https://mcp.example.com/mcp"
    }
  }
}"#,
    );
    pasted(
        &live,
        &["--client", "codex", url[0], url[1]],
        "~/.codex/config.toml",
        "[mcp_servers.zz-everything]\nurl = \"https://mcp.example.com/mcp\"\n\
         bearer_token_env_var = \"ZZ_EVERYTHING_KEY\"",
    );
    pasted(
        &live,
        &["--client", "langgraph", url[0], url[1]],
        "your Python code (pip install langchain-mcp-adapters)",
        r#"import os

from langchain_mcp_adapters.client import MultiServerMCPClient

client = MultiServerMCPClient({
    "zz-everything": {
        "transport": "streamable_http",
        "url": "https://mcp.example.com/mcp",
        "headers": {"Authorization": f"Bearer {os.environ['ZZ_EVERYTHING_KEY']}"},
    },
})
tools = await client.get_tools()"#,
    );
    refused(
        &live.run(&["client-config", "--client", "claude-desktop", url[0], url[1]]),
        "error: this client starts local programs only; its configuration file takes no URL\n\n\
         hint: give `--stdio TENANT`, or add the URL in the client under Connectors\n",
    );
}

#[test]
fn the_url_for_clients_comes_from_the_option_the_public_url_or_the_address() {
    let live = Live::empty();
    let url = |environment: &[(&str, &str)], args: &[&str]| {
        let mut command = live.command(&[&["client-config", "--client", "codex"], args].concat());
        command.envs(environment.iter().copied());
        let text = finish(command, b"").ok();
        text.lines().find_map(|line| line.strip_prefix("url = ")).unwrap().to_owned()
    };
    let public = [("MCP__SERVER__PUBLIC_URL", "https://public.example.com/base/")];
    assert_eq!(url(&[], &[]), "\"http://127.0.0.1:8080/mcp\"");
    assert_eq!(url(&[("PORT", "9000")], &[]), "\"http://127.0.0.1:9000/mcp\"");
    assert_eq!(url(&public, &[]), "\"https://public.example.com/base/mcp\"");
    assert_eq!(url(&public, &["--url", "https://other.example.com/mcp"]), "\"https://other.example.com/mcp\"");
}

#[test]
fn each_client_gets_its_form_for_a_child_process() {
    let live = Live::empty();
    let program = crate::harness::binary().display().to_string();
    let folder = live.folder.path().canonicalize().unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let (config, kek, store) = (path("config"), path("kek"), format!("sqlite:{}", path("data/zz-everything.db")));
    let server = json!({
        "command": program,
        "args": ["stdio", "--tenant", "acme", "--config", config],
        "env": {"MCP__STORAGE__DATABASE_URL": store, "MCP__VAULT__KEK_FILE": kek},
    });
    for (client, place) in [
        ("claude-desktop", "claude_desktop_config.json (Claude Desktop → Settings → Developer → Edit Config)"),
        ("claude-code", ".mcp.json"),
        ("cursor", ".cursor/mcp.json"),
    ] {
        let text = serde_json::to_string_pretty(&json!({"mcpServers": {"zz-everything": server}})).unwrap();
        pasted(&live, &["--client", client, "--stdio", "acme"], place, &text);
    }
    let mut typed = server.clone();
    typed["type"] = "stdio".into();
    let text = serde_json::to_string_pretty(&json!({"servers": {"zz-everything": typed}})).unwrap();
    pasted(&live, &["--client", "vscode", "--stdio", "acme"], ".vscode/mcp.json", &text);
    pasted(
        &live,
        &["--client", "codex", "--stdio", "acme"],
        "~/.codex/config.toml",
        &format!(
            "[mcp_servers.zz-everything]\ncommand = \"{program}\"\nargs = {}\n\
             env = {{ MCP__STORAGE__DATABASE_URL = \"{store}\", MCP__VAULT__KEK_FILE = \"{kek}\" }}",
            server["args"]
        ),
    );
    pasted(
        &live,
        &["--client", "langgraph", "--stdio", "acme"],
        "your Python code (pip install langchain-mcp-adapters)",
        &format!(
            "from langchain_mcp_adapters.client import MultiServerMCPClient\n\n\
             client = MultiServerMCPClient({{\n    \"zz-everything\": {{\n        \"transport\": \"stdio\",\n        \
             \"command\": \"{program}\",\n        \"args\": {},\n        \"env\": {},\n    }},\n}})\n\
             tools = await client.get_tools()",
            server["args"], server["env"]
        ),
    );
}

/// A client starts its servers from whatever folder it is in, so what is pasted must not depend on one.
#[test]
fn what_is_pasted_for_a_child_process_works_from_any_folder() {
    let (live, _) = Live::with_tenant();
    let text = live.run(&["client-config", "--client", "cursor", "--stdio", "acme"]).ok();
    let server = serde_json::from_str::<Value>(&text).unwrap()["mcpServers"]["zz-everything"].clone();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = crate::harness::server();
    command
        .current_dir(elsewhere.path())
        .args(server["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()))
        .envs(server["env"].as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())));
    let mut pipe = Pipe::start(command);
    let answer = pipe.call("notion_search", json!({"query": "media"}));
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let left: Vec<_> = std::fs::read_dir(elsewhere.path()).unwrap().collect();
    assert!(left.is_empty(), "it made a store where it was started: {left:?}");
}

#[test]
fn what_is_pasted_for_a_child_process_names_the_configuration_that_was_given() {
    let live = Live::empty();
    let other = live.folder.path().join("other");
    std::fs::rename(live.folder.path().join("config"), &other).unwrap();
    let given = other.display().to_string();
    let text = live.run(&["client-config", "--client", "codex", "--stdio", "acme", "--config", &given]).ok();
    assert!(text.contains(&format!("\"--config\",\"{given}\"")), "{text}");
}
