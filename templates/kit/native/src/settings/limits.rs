// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `limits.*`: where token buckets live, and what becomes of a call while they cannot be reached. Replicas share them, or
//! each would admit the whole rate.

use kit::limit::outage::{Outage, Outages};

use super::Database;
use super::reader::Reader;

/// Where a problem is that more than one source can have caused.
const SOURCE: &str = "config/server.toml or environment";

/// Everything about limits that an owner can set, but for the rates.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// The server that replicas share their buckets in; none for buckets in this process.
    #[cfg(feature = "redis")]
    pub redis: Option<crate::redis::Target>,
    /// How many replicas serve together.
    pub replicas: u32,
    /// What becomes of a call while the server is gone.
    pub outages: Outages,
}

pub(super) fn read(reader: &mut Reader<'_>) -> LimitSettings {
    let replicas = reader.count("limits.replicas", 1..=10_000, 1);
    let given = reader.sourced_text("limits.redis_url");
    if replicas > 1 && given.is_none() {
        let what = "missing, while there is more than one replica: each would admit the whole rate";
        let remedy = "give the URL of a Redis server that all of them reach, or set `limits.replicas` to 1";
        reader.problem("limits.redis_url", SOURCE, what, remedy);
    }
    #[cfg(feature = "redis")]
    let redis = given.and_then(|(url, source)| {
        let wrong = |(what, remedy)| reader.problem("limits.redis_url", &source, what, remedy);
        crate::redis::Target::parse(&url).map_err(wrong).ok()
    });
    #[cfg(not(feature = "redis"))]
    if let Some((_, source)) = given {
        let what = "limits in Redis, which this build leaves out";
        let remedy = "add \"redis\" to the features of kit-native in Cargo.toml and build again";
        reader.problem("limits.redis_url", &source, what, remedy);
    }
    LimitSettings {
        #[cfg(feature = "redis")]
        redis,
        replicas,
        outages: outages(reader),
    }
}

/// What replicas must share besides.
pub(super) fn check(reader: &mut Reader<'_>, limits: &LimitSettings, database: &Database) {
    if limits.replicas > 1 && matches!(database, Database::Sqlite(_)) {
        let what = "a file of one machine, while there is more than one replica";
        let remedy = "give the postgres:// URL of a database that all of them reach, or set `limits.replicas` to 1";
        reader.problem("storage.database_url", SOURCE, what, remedy);
    }
}

fn outages(reader: &mut Reader<'_>) -> Outages {
    let default = match reader.one_of("limits.outage", &["local", "deny", "allow"]) {
        Some("deny") => Outage::Deny,
        Some("allow") => Outage::Allow,
        _ => Outage::Local,
    };
    let mut outages = Outages { default, ..Outages::default() };
    let lists = [
        ("limits.outage_local", Outage::Local),
        ("limits.outage_deny", Outage::Deny),
        ("limits.outage_allow", Outage::Allow),
    ];
    for (path, outage) in lists {
        let (tools, source) = reader.sourced_list(path, "[\"shop_orders\"]");
        for tool in tools {
            if outages.tools.insert(tool, outage).is_some_and(|before| before != outage) {
                reader.problem(path, &source, "names a tool that another of these lists names too", "keep one of them");
            }
        }
    }
    outages
}
