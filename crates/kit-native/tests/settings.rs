//! The configuration: everything that is wrong is reported at once, each with its path, its source and its remedy; and
//! `config/server.toml` says of every knob what the code says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{Spy, app};
use kit::limit::outage::{Outage, Outages};
use kit_native::kek_file::{self, Kind, write_private};
use kit_native::settings::{AdminListen, Database, KekSource, Problem, Settings};
use kit_native::testing::TempFolder;
use kit_native::{host, kek_ring};

/// A configuration folder with `server.toml`, and files of integrations.
fn folder(server: &str, integrations: &[(&str, &str)]) -> TempFolder {
    let folder = TempFolder::new();
    std::fs::write(folder.path().join("server.toml"), server).unwrap();
    std::fs::create_dir(folder.path().join("integrations")).unwrap();
    for (name, text) in integrations {
        std::fs::write(folder.path().join("integrations").join(name), text).unwrap();
    }
    folder
}

fn load(folder: &Path, environment: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::load_with(&app(&Spy::default()), folder, environment).map_err(|problems| problems.0)
}

/// `server.toml` and nothing else.
fn server(text: &str) -> Result<Settings, Vec<Problem>> {
    load(folder(text, &[]).path(), &[])
}

/// The environment and nothing else.
fn environment(environment: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    load(Path::new("no-such-folder"), environment)
}

/// The one problem, as `path: what`.
#[track_caller]
fn only(result: Result<Settings, Vec<Problem>>) -> String {
    let problems = result.expect_err("a problem");
    let [Problem { path, what, .. }] = &problems[..] else { panic!("{problems:#?}") };
    format!("{path}: {what}")
}

fn problem(path: &str, source: &str, what: &str, remedy: &str) -> Problem {
    let [path, source, what, remedy] = [path, source, what, remedy].map(str::to_owned);
    Problem { path, source, what, remedy }
}

// Where values come from.

#[test]
fn without_any_file_the_defaults_hold() {
    let settings = environment(&[]).unwrap();
    assert_eq!(settings.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.database.to_string(), "data/acme.db");
    assert_eq!((settings.vault.kek, settings.public_url), (None, None));
}

#[test]
fn the_environment_goes_above_the_file() {
    let folder = folder("[server]\nbind = \"127.0.0.1:1\"\nmax_body_bytes = 2048\n", &[]);
    let settings = load(folder.path(), &[("MCP__SERVER__BIND", "127.0.0.1:2")]).unwrap();
    assert_eq!((settings.bind.port(), settings.max_body_bytes), (2, 2048));
}

#[test]
fn port_replaces_the_port_wherever_the_address_came_from() {
    assert_eq!(environment(&[("PORT", "7777")]).unwrap().bind.to_string(), "127.0.0.1:7777");
    let settings = environment(&[("PORT", "7777"), ("MCP__SERVER__BIND", "[::1]:1")]).unwrap();
    assert_eq!(settings.bind.to_string(), "[::1]:7777");
    for port in ["http", "-1", "65536", ""] {
        let problems = environment(&[("PORT", port)]).unwrap_err();
        assert_eq!(problems, [problem("server.bind", "environment PORT", "not a port", "give a number up to 65535")]);
    }
}

#[test]
fn a_variable_that_ends_in_file_names_a_file_with_the_value() {
    let folder = TempFolder::new();
    let path = folder.path().join("bind");
    std::fs::write(&path, "127.0.0.1:4321\n").unwrap();
    let settings = environment(&[("MCP__SERVER__BIND_FILE", path.to_str().unwrap())]).unwrap();
    assert_eq!(settings.bind.port(), 4321);
}

#[test]
fn a_file_that_a_variable_names_in_vain_is_a_problem() {
    assert_eq!(
        environment(&[("MCP__SERVER__PUBLIC_URL_FILE", "/no/such/file")]).unwrap_err(),
        [problem(
            "server.public_url",
            "environment MCP__SERVER__PUBLIC_URL_FILE",
            "the file it names cannot be read: No such file or directory (os error 2)",
            "give the path of a file that holds the value",
        )]
    );
}

#[test]
fn the_key_encryption_key_itself_never_passes_through_a_setting() {
    let settings = environment(&[("MCP__VAULT__KEK_FILE", "/etc/acme/kek")]).unwrap();
    assert_eq!(settings.vault.kek, Some(KekSource::File("/etc/acme/kek".into())));
    assert_eq!(only(environment(&[("MCP__VAULT__KEK", "c2VjcmV0")])), "vault.kek: names no place where a key can be");
}

#[test]
fn values_of_the_environment_have_the_types_of_the_file() {
    let settings = environment(&[
        ("MCP__CALLS__DEADLINE_MS", "1500"),
        ("MCP__STORAGE__MIGRATE", "false"),
        ("MCP__SERVER__ALLOWED_HOSTS", "a.example.com, b.example.com"),
        ("MCP__LOG__FORMAT", "plain"),
        ("MCP__LOG__LEVEL", "debug"),
        ("MCP__CALLS__PER_MINUTE", "0"),
    ])
    .unwrap();
    assert_eq!(settings.bounds.deadline.as_millis(), 1_500);
    assert_eq!((settings.migrate, settings.rules.plans.default.tool_rate), (false, None));
    assert_eq!(settings.allowed_hosts, ["a.example.com", "b.example.com"]);
    assert_eq!(format!("{:?} {:?}", settings.log_format, settings.log_level), "Plain LevelFilter::DEBUG");
}

#[test]
fn variables_read_elsewhere_are_no_settings() {
    assert!(environment(&[("MCP__TENANT", "acme"), ("MCP__CONFIG", "/etc/acme"), ("MCP_OTHER", "x")]).is_ok());
}

// What is wrong with them.

#[test]
fn every_problem_is_reported_at_once_with_path_source_and_remedy() {
    let folder = folder(
        "[server]\nbind = \"localhost\"\nmax_body_bytes = 12\nallowed_hosts = [1]\npublic_url = 5\n\
         [calls]\ndeadline = 30\n\
         [storage]\ndatabase_url = \"mysql://x\"\nmigrate = \"perhaps\"\n\
         [log]\nlevel = \"loud\"\nformat = \"xml\"\n",
        &[("crm.toml", "base_url = \"http://api.crm.com\"\n"), ("slack.toml", "")],
    );
    let file = folder.path().join("server.toml").display().to_string();
    let integration = |name: &str| folder.path().join("integrations").join(name).display().to_string();
    let (crm, slack) = (integration("crm.toml"), integration("slack.toml"));
    let problems = load(folder.path(), &[("MCP__SERVER__ALOWED_ORIGINS", "x"), ("PORT", "none")]).unwrap_err();
    let expected = [
        problem("server.bind", &file, "does not fit", "give HOST:PORT, for example 127.0.0.1:8080"),
        problem("server.bind", "environment PORT", "not a port", "give a number up to 65535"),
        problem("server.public_url", &file, "is not a text", "put it in quotation marks"),
        problem("server.allowed_hosts", &file, "is not a list of texts", "give for example [\"mcp.example.com\"]"),
        problem("server.max_body_bytes", &file, "does not fit", "give a whole number from 1024 to 67108864"),
        problem(
            "storage.database_url",
            &file,
            "not a database this build knows",
            "give sqlite:PATH, for example sqlite:data/server.db, or postgres://USER:PASSWORD@HOST/DATABASE",
        ),
        problem("storage.migrate", &file, "is neither true nor false", "give true or false"),
        problem("log.level", &file, "does not fit", "give off, error, warn, info, debug or trace"),
        problem("log.format", &file, "does not fit", "give one of: json, plain"),
        problem("calls.deadline", &file, "there is no such setting", "did you mean `calls.deadline_ms`?"),
        problem(
            "server.alowed_origins",
            "environment MCP__SERVER__ALOWED_ORIGINS",
            "there is no such setting",
            "did you mean `server.allowed_origins`?",
        ),
        problem("base_url", &crm, "credentials would travel in the clear", "give an https:// URL"),
        problem("*", &slack, "there is no integration of that name", "this server has: crm, crm_eu, bare"),
    ];
    assert_eq!(problems, expected);
}

#[test]
fn problems_print_one_below_the_other() {
    let problems = Settings::load_with(
        &app(&Spy::default()),
        Path::new("no-such-folder"),
        [("MCP__SERVER__BIMD".to_owned(), "x".to_owned()), ("PORT".to_owned(), "x".to_owned())].into(),
    );
    assert_eq!(
        problems.unwrap_err().to_string(),
        "2 problem(s) in the configuration\n  \
         `server.bind` (environment PORT): not a port\n    give a number up to 65535\n  \
         `server.bimd` (environment MCP__SERVER__BIMD): there is no such setting\n    did you mean `server.bind`?"
    );
}

#[test]
fn a_problem_repeats_no_value() {
    let canary = "canary-2f7c1e";
    let server = format!(
        "[server]\nbind = \"{canary}\"\npublic_url = \"{canary}\"\nmax_body_bytes = \"{canary}\"\n\
         [storage]\ndatabase_url = \"{canary}\"\nmigrate = \"{canary}\"\n[log]\nlevel = \"{canary}\"\nformat = \"{canary}\"\n"
    );
    let folder = folder(&server, &[("crm.toml", &format!("base_url = \"{canary}\"\n"))]);
    let problems = load(folder.path(), &[("MCP__VAULT__KEK", canary), ("PORT", canary)]).unwrap_err();
    assert_eq!(problems.len(), 10);
    assert!(!format!("{problems:?}").contains(canary), "{problems:#?}");
}

#[test]
fn a_file_that_is_not_toml_is_one_problem() {
    let problems = server("[server\nbind = ").unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(problems[0].what.starts_with("is not TOML: "), "{}", problems[0].what);
}

#[test]
fn bounds_are_exact() {
    let bounds = [
        ("MCP__SERVER__MAX_BODY_BYTES", 1_024, 64 << 20),
        ("MCP__CALLS__DEADLINE_MS", 10, 3_600_000),
        ("MCP__CALLS__MAX_OUTPUT_BYTES", 1_024, 16 << 20),
        ("MCP__CALLS__MAX_UPSTREAM_BYTES", 1_024, 64 << 20),
        ("MCP__CALLS__PER_MINUTE", 0, 1_000_000),
        ("MCP__CALLS__BURST", 1, 1_000_000),
        ("MCP__SHUTDOWN__GRACE_MS", 0, 300_000),
        ("MCP__SHUTDOWN__DRAIN_MS", 0, 3_600_000),
        ("MCP__AUDIT__CAPTURE_DAYS", 1, 365),
        ("MCP__AUDIT__SPILL_MAX_BYTES", 1_i64 << 20, 1 << 40),
    ];
    for (name, low, high) in bounds {
        for (value, fits) in [(low, true), (high, true), (low - 1, false), (high + 1, false)] {
            assert_eq!(environment(&[(name, &value.to_string())]).is_ok(), fits, "{name}={value}");
        }
    }
    for value in ["", " 5000", "5e3", "5000.0", "0x10", "99999999999999999999"] {
        assert_eq!(
            only(environment(&[("MCP__CALLS__DEADLINE_MS", value)])),
            "calls.deadline_ms: does not fit",
            "{value}"
        );
    }
}

// The audit.

#[test]
fn the_audit_is_strict_unless_it_is_told_otherwise() {
    assert!(!environment(&[]).unwrap().audit.options.relaxed);
    assert!(environment(&[("MCP__AUDIT__MODE", "relaxed")]).unwrap().audit.options.relaxed);
    assert_eq!(only(environment(&[("MCP__AUDIT__MODE", "none")])), "audit.mode: does not fit");
}

#[test]
fn a_spill_is_for_a_database_on_a_server() {
    let spill = ("MCP__AUDIT__SPILL_FILE", "data/acme.spill");
    assert_eq!(
        only(environment(&[spill])),
        "audit.spill_file: a spill beside a database that is a file itself: when one cannot be written, nor can the other"
    );
    #[cfg(feature = "postgres")]
    {
        let database = ("MCP__STORAGE__DATABASE_URL", "postgres://kit:x@127.0.0.1/kit");
        let settings = environment(&[spill, database, ("MCP__AUDIT__SPILL_MAX_BYTES", "2000000")]).unwrap();
        assert_eq!(settings.audit.spill, Some(("data/acme.spill".into(), 2_000_000)));
    }
}

// The database.

/// The database of this URL, as it prints.
fn database(url: &str) -> Result<String, Vec<Problem>> {
    environment(&[("MCP__STORAGE__DATABASE_URL", url)]).map(|settings| settings.database.to_string())
}

#[test]
fn a_file_is_a_database() {
    for (url, path) in [("sqlite:a/b.db", "a/b.db"), ("sqlite:///a/b.db", "/a/b.db"), ("sqlite:/a:b", "/a:b")] {
        assert_eq!(database(url).unwrap(), path);
    }
    for url in ["", "sqlite:", "sqlite", "a/b.db", "mysql://u@h/d", "Postgres://u@h/d"] {
        let problems = database(url).unwrap_err();
        assert_eq!(problems[0].what, "not a database this build knows", "{url}");
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_database_on_a_server_is_one_and_its_password_stays_inside() {
    let folder = TempFolder::new();
    let path = folder.path().join("url");
    std::fs::write(&path, "postgresql://acme:canary@db.example.com/ads?sslmode=require\n").unwrap();
    let settings = environment(&[("MCP__STORAGE__DATABASE_URL_FILE", path.to_str().unwrap())]).unwrap();
    assert_eq!(settings.database.to_string(), "postgres://acme@db.example.com:5432/ads");
    assert!(!format!("{settings:?}").contains("canary"), "{settings:?}");
}

#[cfg(feature = "postgres")]
#[test]
fn a_url_of_postgresql_that_is_wrong_is_refused_without_a_part_of_it() {
    let source = "environment MCP__STORAGE__DATABASE_URL";
    let refused = [
        ("postgres://u:can@ry@h/d", "has more than one @", "write an @ in the user or the password as %40"),
        ("postgres:///canary", "names no host", "give postgres://USER:PASSWORD@HOST/DATABASE"),
        ("postgres://u@h/d?sslmode=canary", "has an unknown `sslmode`", "give sslmode=require, or leave it out"),
        (
            "postgres://u:canary@h/d?sslkey=canary",
            "not a URL of PostgreSQL, or with an option that is not known",
            "give postgres://USER:PASSWORD@HOST/DATABASE",
        ),
    ];
    for (url, what, remedy) in refused {
        assert_eq!(database(url).unwrap_err(), [problem("storage.database_url", source, what, remedy)], "{url}");
    }
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_build_without_postgresql_says_how_to_get_one_with_it() {
    for url in ["postgres://u:canary@h/d", "postgresql://h"] {
        let expected = problem(
            "storage.database_url",
            "environment MCP__STORAGE__DATABASE_URL",
            "a database on PostgreSQL, which this build leaves out",
            "add \"postgres\" to the features of kit-native in Cargo.toml and build again",
        );
        assert_eq!(database(url).unwrap_err(), [expected]);
    }
}

// The limits.

#[test]
fn an_outage_is_settled_for_all_tools_and_for_some() {
    let settings = environment(&[
        ("MCP__LIMITS__OUTAGE", "deny"),
        ("MCP__LIMITS__OUTAGE_LOCAL", "crm_me, crm_item"),
        ("MCP__LIMITS__OUTAGE_ALLOW", "bare_me"),
    ]);
    let tools = [("bare_me", Outage::Allow), ("crm_item", Outage::Local), ("crm_me", Outage::Local)];
    let tools = tools.map(|(name, outage)| (name.to_owned(), outage)).into();
    assert_eq!(settings.unwrap().limits.outages, Outages { default: Outage::Deny, tools });
    assert_eq!(environment(&[]).unwrap().limits.outages, Outages::default());
    assert_eq!(only(environment(&[("MCP__LIMITS__OUTAGE", "open")])), "limits.outage: does not fit");
    let twice = [("MCP__LIMITS__OUTAGE_DENY", "crm_me"), ("MCP__LIMITS__OUTAGE_ALLOW", "crm_me")];
    let expected = "limits.outage_allow: names a tool that another of these lists names too";
    assert_eq!(only(environment(&twice)), expected);
}

#[test]
fn more_than_one_replica_takes_a_store_and_limits_that_they_share() {
    let problems = environment(&[("MCP__LIMITS__REPLICAS", "2")]).unwrap_err();
    let source = "config/server.toml or environment";
    let expected = [
        problem(
            "limits.redis_url",
            source,
            "missing, while there is more than one replica: each would admit the whole rate",
            "give the URL of a Redis server that all of them reach, or set `limits.replicas` to 1",
        ),
        problem(
            "storage.database_url",
            source,
            "a file of one machine, while there is more than one replica",
            "give the postgres:// URL of a database that all of them reach, or set `limits.replicas` to 1",
        ),
    ];
    assert_eq!(problems, expected);
    for (replicas, fits) in [("1", true), ("0", false), ("10001", false)] {
        assert_eq!(environment(&[("MCP__LIMITS__REPLICAS", replicas)]).is_ok(), fits, "{replicas}");
    }
}

/// A call that costs more than its bucket ever holds would be refused for ever, and told to come back.
#[test]
fn a_tool_costs_no_more_than_the_smallest_bucket_that_it_is_charged_to() {
    let costs = |cost: u32, rest: &str| server(&format!("[limits.costs]\ncrm_me = {cost}\n{rest}"));
    let refused = |cost: u32, burst: u32, rest: &str| {
        let what = format!("costs {cost}, and a bucket holds {burst} at the most: it could never be called");
        let source = "config/server.toml or environment";
        let expected = [problem("limits.costs.crm_me", source, &what, "raise the burst, or lower the cost")];
        assert_eq!(costs(cost, rest).unwrap_err(), expected, "{cost} {rest}");
    };
    // A tool's own bucket holds 60 unless something else is said.
    assert_eq!(costs(60, "").unwrap().rules.plans.cost("crm_me"), 60);
    refused(61, 60, "");
    // Of any plan, of the tenant's and of the tool's own bucket the smallest counts.
    refused(8, 5, "[plans.starter]\nper_minute = 100\nburst = 5\n[plans.growth]\nper_minute = 900\nburst = 50\n");
    refused(8, 7, "[plans.starter]\ntool_per_minute = 100\ntool_burst = 7\n");
    refused(8, 6, "[limits]\nper_minute = 100\nburst = 6\n");
    refused(8, 4, "[calls]\nburst = 4\n");
    assert!(costs(8, "[plans.starter]\nper_minute = 100\nburst = 8\ntool_per_minute = 9\ntool_burst = 8\n").is_ok());
    // Where there is no limit there is no bucket.
    assert!(
        costs(1_000_000, "[calls]\nper_minute = 0\nburst = 1\n[plans.starter]\nper_minute = 0\nburst = 1\n").is_ok()
    );
}

#[cfg(all(feature = "redis", feature = "postgres"))]
#[test]
fn replicas_that_share_both_are_welcome() {
    let settings = environment(&[
        ("MCP__LIMITS__REPLICAS", "10000"),
        ("MCP__LIMITS__REDIS_URL", "redis://cache"),
        ("MCP__STORAGE__DATABASE_URL", "postgres://u@db/d"),
    ]);
    assert_eq!(settings.unwrap().limits.replicas, 10_000);
}

#[cfg(feature = "redis")]
#[test]
fn a_redis_is_one_and_its_password_stays_inside() {
    let folder = TempFolder::new();
    let path = folder.path().join("url");
    std::fs::write(&path, "rediss://:canary@cache.example.com/1\n").unwrap();
    let settings = environment(&[("MCP__LIMITS__REDIS_URL_FILE", path.to_str().unwrap())]).unwrap();
    assert_eq!(settings.limits.redis.as_ref().unwrap().to_string(), "rediss://cache.example.com:6379");
    assert!(!format!("{settings:?}").contains("canary"), "{settings:?}");
    let expected = problem(
        "limits.redis_url",
        "environment MCP__LIMITS__REDIS_URL",
        "not a URL of Redis, or with an option that is not known",
        "give redis://:PASSWORD@HOST:PORT, rediss:// for TLS, or unix:///PATH",
    );
    assert_eq!(environment(&[("MCP__LIMITS__REDIS_URL", "redis://cache?canary=1")]).unwrap_err(), [expected]);
}

#[cfg(not(feature = "redis"))]
#[test]
fn a_build_without_redis_says_how_to_get_one_with_it() {
    let expected = problem(
        "limits.redis_url",
        "environment MCP__LIMITS__REDIS_URL",
        "limits in Redis, which this build leaves out",
        "add \"redis\" to the features of kit-native in Cargo.toml and build again",
    );
    assert_eq!(environment(&[("MCP__LIMITS__REDIS_URL", "redis://u:canary@h")]).unwrap_err(), [expected]);
}

// What must not be open.

const PUBLIC: (&str, &str) = ("MCP__SERVER__PUBLIC_URL", "https://mcp.example.com");

#[test]
fn listening_beyond_loopback_takes_a_public_url() {
    for bind in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:80"] {
        let problems = environment(&[("MCP__SERVER__BIND", bind)]).unwrap_err();
        let expected = problem(
            "server.public_url",
            "config/server.toml or environment MCP__SERVER__PUBLIC_URL",
            &format!("missing, while the server listens on {bind}"),
            "give the URL that clients use, or listen on 127.0.0.1",
        );
        assert_eq!(problems, [expected]);
        assert!(environment(&[("MCP__SERVER__BIND", bind), PUBLIC]).is_ok(), "{bind}");
    }
    for bind in ["127.0.0.1:8080", "127.1.2.3:0", "[::1]:8080"] {
        assert!(environment(&[("MCP__SERVER__BIND", bind)]).is_ok(), "{bind}");
    }
}

#[test]
fn a_public_url_over_http_is_refused() {
    for url in ["http://mcp.example.com", "http://192.0.2.1/mcp", "ftp://mcp.example.com"] {
        let result = environment(&[("MCP__SERVER__PUBLIC_URL", url)]);
        assert_eq!(only(result), "server.public_url: keys would travel in the clear", "{url}");
    }
    assert!(environment(&[("MCP__SERVER__PUBLIC_URL", "http://localhost:8080")]).is_ok(), "nothing leaves the machine");
}

/// With a loopback name for its public URL a server would listen to the world over plain HTTP.
#[test]
fn a_public_url_on_loopback_does_not_excuse_listening_beyond_it() {
    for url in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
        let result = environment(&[("MCP__SERVER__BIND", "0.0.0.0:8080"), ("MCP__SERVER__PUBLIC_URL", url)]);
        assert!(result.is_err(), "{url}");
    }
}

fn with_base_url(url: &str, environment: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    load(folder("", &[("crm.toml", &format!("base_url = \"{url}\"\n"))]).path(), environment)
}

#[test]
fn an_upstream_over_http_is_refused() {
    for url in ["http://api.crm.com", "http://192.0.2.1", "http://169.254.169.254", "ftp://api.crm.com", "file:///etc"]
    {
        assert_eq!(only(with_base_url(url, &[])), "base_url: credentials would travel in the clear", "{url}");
    }
    let settings = with_base_url("https://eu.api.crm.com/v2", &[]).unwrap();
    assert_eq!(settings.integrations["crm"].base_url.as_ref().unwrap().as_str(), "https://eu.api.crm.com/v2");
}

#[test]
fn an_upstream_on_loopback_is_for_a_server_on_loopback() {
    let refused = "base_url: an upstream on this machine, while the server listens on more than loopback";
    let beyond = [("MCP__SERVER__BIND", "0.0.0.0:8080"), PUBLIC];
    for url in
        ["http://127.0.0.1:9", "http://localhost:9", "https://localhost:9", "http://[::1]:9", "https://127.9.9.9"]
    {
        assert!(with_base_url(url, &[]).is_ok(), "{url}");
        assert_eq!(only(with_base_url(url, &beyond)), refused, "{url}");
    }
}

/// The same machine under names that do not look like it.
#[test]
fn an_upstream_on_loopback_in_disguise_is_refused_too() {
    let beyond = [("MCP__SERVER__BIND", "0.0.0.0:8080"), PUBLIC];
    let disguises =
        ["https://[::ffff:127.0.0.1]", "https://0.0.0.0", "https://[::]", "https://localhost.", "https://2130706433"];
    for url in disguises {
        assert!(with_base_url(url, &beyond).is_err(), "{url}");
    }
}

#[test]
fn a_setting_that_an_integration_does_not_have_names_the_nearest() {
    let folder = folder("", &[("crm.toml", "base_ulr = \"https://api.crm.com\"\n")]);
    let file = folder.path().join("integrations/crm.toml").display().to_string();
    assert_eq!(
        load(folder.path(), &[]).unwrap_err(),
        [problem("base_ulr", &file, "there is no such setting", "did you mean `base_url`?")]
    );
}

// The key-encryption key.

/// Starts a live server with the given file as its key.
async fn start(folder: &TempFolder, kek: Option<&Path>) -> Result<(), String> {
    let mut settings = environment(&[]).unwrap();
    settings.database = Database::Sqlite(folder.path().join("store.db"));
    settings.vault.kek = kek.map(|path| KekSource::File(path.to_owned()));
    host::live(&app(&Spy::default()), &settings).await.map(drop).map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn without_a_key_encryption_key_nothing_starts() {
    let folder = TempFolder::new();
    assert_eq!(start(&folder, None).await, Err("there is no key-encryption key".into()));
    let missing = folder.path().join("kek");
    assert_eq!(
        start(&folder, Some(&missing)).await,
        Err(format!(
            "failed to read the key-encryption key `{}`: No such file or directory (os error 2)",
            missing.display()
        ))
    );
    assert!(!folder.path().join("store.db").exists(), "no store without a key to seal it");
}

#[cfg(unix)]
#[tokio::test]
async fn a_key_encryption_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempFolder::new();
    let kek = folder.path().join("kek");
    write_private(&kek, b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=").unwrap();
    start(&folder, Some(&kek)).await.unwrap();
    for mode in [0o640, 0o604, 0o644, 0o660, 0o601] {
        std::fs::set_permissions(&kek, std::fs::Permissions::from_mode(mode)).unwrap();
        let expected = format!("the key-encryption key `{}` can be read by others", kek.display());
        assert_eq!(start(&folder, Some(&kek)).await, Err(expected), "{mode:o}");
    }
}

#[tokio::test]
async fn a_short_or_sample_key_encryption_key_is_refused() {
    let folder = TempFolder::new();
    let kek = folder.path().join("kek");
    let length = "the key-encryption key is not 32 bytes, nor 32 bytes in base64";
    let weak = "the key-encryption key is a sample or has no randomness in it";
    let samples: [(&[u8], &str); 9] = [
        (b"", length),
        (b"changeme", length),
        (b"c2hvcnQ=", length),
        (b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZn", length),
        (&[0; 31], length),
        (&[0; 33], length),
        (&[0; 32], weak),
        (b"changemechangemechangemechangeme", weak),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", weak),
    ];
    for (content, expected) in samples {
        write_private(&kek, content).unwrap();
        let expected = format!("failed to use `{}`: {expected}", kek.display());
        assert_eq!(start(&folder, Some(&kek)).await, Err(expected), "{content:?}");
    }
}

/// One in 256 random keys ends with the byte of a line break. `dev` makes its key from 32 raw bytes.
#[test]
fn a_raw_key_that_ends_with_the_byte_of_a_line_break_is_a_key() {
    let folder = TempFolder::new();
    let kek = folder.path().join("kek");
    let mut key: Vec<u8> = (100..132).collect();
    key[31] = b'\n';
    write_private(&kek, &key).unwrap();
    kek_file::read(&kek, Kind::File).unwrap();
}

#[test]
fn the_hint_for_a_missing_key_makes_one_that_works() {
    let error = kek_ring::primary(&environment(&[]).unwrap().vault).unwrap_err();
    let folder = TempFolder::new();
    // What the hint says, word for word: `(umask 077; openssl rand -base64 32 > kek)`.
    let made = std::process::Command::new("sh")
        .args(["-c", "(umask 077; openssl rand -base64 32 > kek)"])
        .current_dir(folder.path())
        .status();
    assert_eq!(error.to_string(), "there is no key-encryption key");
    if made.is_ok_and(|status| status.success()) {
        kek_file::read(&folder.path().join("kek"), Kind::File).unwrap();
    }
}

// The file that every project starts with.

const TEMPLATE: &str = include_str!("../../../templates/project/config/server.toml.j2");
const INTEGRATION: &str = include_str!("../../../templates/project/config/integration.toml.j2");
const READERS: [&str; 8] = [
    include_str!("../../../templates/kit/native/src/settings/admin.rs"),
    include_str!("../../../templates/kit/native/src/settings/audit.rs"),
    include_str!("../../../templates/kit/native/src/settings/telemetry.rs"),
    include_str!("../../../templates/kit/native/src/settings/breaker.rs"),
    include_str!("../../../templates/kit/native/src/settings/mod.rs"),
    include_str!("../../../templates/kit/native/src/settings/limits.rs"),
    include_str!("../../../templates/kit/native/src/settings/plans.rs"),
    include_str!("../../../templates/kit/native/src/settings/vault.rs"),
];
/// What a plan has, and `[limits]` for tenants without one.
const OF_A_PLAN: [&str; 5] =
    ["limits.per_minute", "limits.burst", "limits.concurrency", "limits.daily", "limits.monthly"];

/// The template for a project called `acme`.
fn rendered() -> String {
    let lines = TEMPLATE.lines().filter(|line| !line.trim_start().starts_with("{{%"));
    lines.map(|line| format!("{}\n", line.replace("{{{ name }}}", "acme"))).collect()
}

/// Its knobs: section, key and the line that sets the default.
fn knobs() -> Vec<(String, String, String)> {
    let (mut section, mut knobs) = (String::new(), Vec::new());
    for line in rendered().lines() {
        // A section whose names the owner chooses is an example itself.
        let line = if line.starts_with("# [") { &line[2..] } else { line };
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some(setting) = line.strip_prefix("# ")
            && let Some((key, _)) = setting.split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            knobs.push((section.clone(), key.to_owned(), setting.to_owned()));
        }
    }
    knobs
}

/// Whether the owner chooses the names in `section`.
fn chosen(section: &str) -> bool {
    section == "limits.costs" || section.starts_with("plans.")
}

/// Knobs whose line is an example: unset, there is none.
const EXAMPLES: [&str; 8] = [
    "admin.token",
    "audit.spill_file",
    "telemetry.otlp_endpoint",
    "limits.redis_url",
    "server.public_url",
    "vault.kek",
    "vault.kek_file",
    "vault.transit_token_file",
];

#[test]
fn the_generated_file_as_it_is_changes_nothing() {
    let (with, without) = (server(&rendered()).unwrap(), environment(&[]).unwrap());
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
}

#[test]
fn every_default_in_the_generated_file_is_the_default_of_the_code() {
    let defaults = format!("{:?}", environment(&[]).unwrap());
    // A spill goes with a database on a server only.
    let alone = |key: &str| key != "spill_file" && (cfg!(feature = "redis") || key != "redis_url");
    for (section, key, line) in knobs().into_iter().filter(|(_, key, _)| alone(key)) {
        let settings = server(&format!("[{section}]\n{line}\n")).unwrap_or_else(|problems| panic!("{problems:#?}"));
        if !chosen(&section) && !EXAMPLES.contains(&format!("{section}.{key}").as_str()) {
            assert_eq!(format!("{settings:?}"), defaults, "{line}");
        }
    }
}

#[test]
fn every_setting_is_in_the_generated_file_and_none_that_is_not() {
    let literals = READERS.iter().flat_map(|reader| reader.split('"').skip(1).step_by(2));
    let mut read: Vec<&str> = literals
        .filter(|text| {
            text.split('.').count() == 2 && text.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
        })
        .filter(|text| !text.ends_with(".toml") && *text != "limits.costs")
        .chain(OF_A_PLAN)
        .collect();
    read.sort_unstable();
    read.dedup();
    let fixed = knobs().into_iter().filter(|(section, ..)| !chosen(section));
    let mut written: Vec<String> = fixed.map(|(section, key, _)| format!("{section}.{key}")).collect();
    written.sort_unstable();
    assert_eq!(written, read);
}

/// The file of an integration with both of its forms in it: all of it is comments.
fn integration() -> String {
    let lines = INTEGRATION.lines().filter(|line| !line.trim_start().starts_with("{{%"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let urls = ["base_url", "token_url", "authorize_url", "exchange_url"];
    let value =
        |text: String, url: &&str| text.replace(&format!("{{{{{{ api.{url}|toml }}}}}}"), "\"https://crm.example\"");
    urls.iter().fold(text.replace("{{{ instance.name }}}", "crm"), value)
}

#[test]
fn the_generated_file_of_an_integration_as_it_is_changes_nothing() {
    let settings = load(folder("", &[("crm.toml", &integration())]).path(), &[]).unwrap();
    assert_eq!(settings.integrations["crm"].base_url, None);
}

#[test]
fn every_setting_in_the_generated_file_of_an_integration_is_one() {
    let text = integration();
    let settings: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.contains(" = ")).collect();
    assert!(!settings.is_empty());
    for setting in settings {
        load(folder("", &[("crm.toml", setting)]).path(), &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
    }
}

#[test]
fn a_tool_that_costs_more_than_a_bucket_holds_is_refused() {
    let problems = server("[plans.starter]\nper_minute = 60\nburst = 4\n[limits.costs]\np_report = 5\n").unwrap_err();
    assert_eq!(problems[0].path, "limits.costs.p_report");
    assert_eq!(problems[0].what, "costs 5, and a bucket holds 4 at the most: it could never be called");
}

// Where the operator is answered.

#[test]
fn the_operator_is_answered_on_a_socket_unless_said_otherwise() {
    let listen = |text: &str| server(&format!("[admin]\nlisten = \"{text}\"\n")).unwrap().admin;
    assert!(matches!(environment(&[]).unwrap().admin, AdminListen::Unix { chosen: false, .. }));
    assert_eq!(environment(&[]).unwrap().admin.to_string(), "unix:data/admin.sock");
    assert!(matches!(listen("unix:/run/acme/admin.sock"), AdminListen::Unix { chosen: true, .. }));
    assert_eq!(listen("unix:/run/acme/admin.sock").to_string(), "unix:/run/acme/admin.sock");
    assert!(matches!(listen("none"), AdminListen::None));
    let token = [("MCP__ADMIN__LISTEN", "127.0.0.1:9090"), ("MCP__ADMIN__TOKEN", "0123456789abcdef0123456789abcdef")];
    let tcp = environment(&token).unwrap().admin;
    assert!(matches!(tcp, AdminListen::Tcp { .. }));
    assert_eq!((tcp.to_string().as_str(), format!("{tcp:?}").contains("0123")), ("127.0.0.1:9090", false));
}

#[test]
fn the_operator_is_answered_nowhere_that_others_reach() {
    let wrong = |text: &str| only(server(&format!("[admin]\nlisten = \"{text}\"\n")));
    assert_eq!(wrong("unix:"), "admin.listen: names no file");
    assert_eq!(wrong("localhost"), "admin.listen: does not fit");
    assert_eq!(wrong(""), "admin.listen: does not fit");
    assert_eq!(
        wrong(&format!("unix:/{}", "a".repeat(107))),
        "admin.listen: is longer than the path of a socket may be"
    );
    let off = "admin.listen: is not on loopback: whoever reaches it can stop the server";
    for address in ["0.0.0.0:9090", "[::]:9090", "192.0.2.7:9090"] {
        assert_eq!(wrong(address), off);
    }
    assert_eq!(
        wrong("127.0.0.1:9090"),
        "admin.token: missing, while the operator is answered on an address that all of this machine can reach"
    );
    let short = environment(&[("MCP__ADMIN__LISTEN", "127.0.0.1:9090"), ("MCP__ADMIN__TOKEN", "short")]);
    assert_eq!(only(short), "admin.token: is shorter than 32 characters");
}
