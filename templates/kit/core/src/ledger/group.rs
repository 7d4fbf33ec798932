// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What is committed together: rows of the audit, the usage that they amount to, and captured calls. It is made once, as the
//! values of the statements, and written as often as it takes: the same rows each time, so that an attempt which was
//! committed unheard is found out by the next one, and nothing is counted twice.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::record::{AuditKey, Entry, Kind};
use super::usage::HOUR_MS;
use crate::ports::Val;
use crate::tenant::TenantId;

/// Values of a row of the audit.
pub(crate) const ROW: usize = 7;
/// Values of a row of usage.
pub(crate) const USAGE: usize = 6;
/// Values of a row of usage by client.
pub(crate) const CLIENT: usize = 7;
/// Values of a captured call.
pub(crate) const CAPTURE: usize = 6;

/// A captured call, sealed.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub(crate) expires_ms: i64,
    pub(crate) sealed: String,
    pub(crate) dek_id: String,
}

/// What is committed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) rows: Vec<Val>,
    pub(crate) usage: Vec<Val>,
    pub(crate) clients: Vec<Val>,
    pub(crate) captures: Vec<Val>,
}

/// The streams of one writer: for each tenant its last row.
pub(crate) struct Chains {
    writer: String,
    heads: HashMap<TenantId, Head>,
}

#[derive(Clone)]
struct Head {
    pseudonym: String,
    stream: String,
    seq: i64,
    hash: String,
}

/// Heads as a group leaves them. They hold once it is committed.
pub(crate) struct Advanced(HashMap<TenantId, Head>);

impl Chains {
    /// New streams. No other process has the same `writer`, so none ever contends for a stream.
    pub(crate) fn new(writer: String) -> Self {
        Self { writer, heads: HashMap::new() }
    }

    /// Tenants that have a stream here.
    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// The next rows of these streams, for `entries` in their order.
    pub(crate) fn form<'a>(
        &self,
        key: &AuditKey,
        server: &str,
        entries: impl Iterator<Item = (&'a Entry, Option<&'a Capture>)>,
    ) -> (Group, Advanced) {
        let mut group = Group::default();
        let mut heads: HashMap<TenantId, Head> = HashMap::new();
        let mut usage: BTreeMap<(&str, &str, i64, &str), (i64, i64)> = BTreeMap::new();
        let mut clients: BTreeMap<(&str, &str, i64, &str, &str), i64> = BTreeMap::new();
        for (entry, capture) in entries {
            if !heads.contains_key(&entry.tenant) {
                let head = self.heads.get(&entry.tenant).cloned();
                let head = head.unwrap_or_else(|| {
                    let pseudonym = key.pseudonym(entry.tenant.as_str());
                    let stream = format!("{pseudonym}.{}", self.writer);
                    Head { pseudonym, stream, seq: 0, hash: String::new() }
                });
                heads.insert(entry.tenant.clone(), head);
            }
            let Some(head) = heads.get_mut(&entry.tenant) else { continue };
            head.seq += 1;
            let record = entry.record(&head.stream, head.seq, &head.pseudonym, server);
            head.hash = key.link(&head.hash, &record);
            group.rows.extend([
                head.stream.as_str().into(),
                head.seq.into(),
                entry.tenant.as_str().into(),
                entry.at_ms.into(),
                entry.call.as_str().into(),
                record.into(),
                head.hash.as_str().into(),
            ]);
            let tenant = entry.tenant.as_str();
            if let Some(capture) = capture {
                group.captures.extend([
                    tenant.into(),
                    entry.call.as_str().into(),
                    entry.at_ms.into(),
                    capture.expires_ms.into(),
                    capture.sealed.as_str().into(),
                    capture.dek_id.as_str().into(),
                ]);
            }
            if entry.kind != Kind::Call {
                continue;
            }
            let hour = entry.at_ms.div_euclid(HOUR_MS);
            if let (Some(units), Some(outcome)) = (entry.units, entry.outcome) {
                let row = usage.entry((tenant, &entry.tool, hour, outcome)).or_default();
                row.0 += 1;
                row.1 += i64::from(units);
            }
            let (client, version) = entry.client.as_ref().map_or(("", ""), |client| (&client.name, &client.version));
            *clients.entry((tenant, &entry.tool, hour, client, version)).or_default() += 1;
        }
        for ((tenant, tool, hour, outcome), (calls, units)) in usage {
            let values = [tenant.into(), tool.into(), hour.into(), outcome.into(), calls.into(), units.into()];
            group.usage.extend(values);
        }
        for ((tenant, tool, hour, client, version), calls) in clients {
            let by = [tenant.into(), tool.into(), hour.into(), client.into(), version.into(), server.into()];
            group.clients.extend(by);
            group.clients.push(calls.into());
        }
        (group, Advanced(heads))
    }

    /// The group was committed.
    pub(crate) fn advance(&mut self, to: Advanced) {
        self.heads.extend(to.0);
    }
}

impl Group {
    /// Stream, number and hash of the first row: whether it is in the store says whether all of the group is.
    pub(crate) fn first(&self) -> Option<(&str, i64, &str)> {
        match self.rows.get(..ROW)? {
            [Val::Text(stream), Val::I64(seq), .., Val::Text(hash)] => Some((stream, *seq, hash)),
            _ => None,
        }
    }

    /// As bytes, for a spill.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let plain = |values: &[Val]| -> Value {
            let one = |value: &Val| match value {
                Val::Null => Value::Null,
                Val::I64(number) => (*number).into(),
                Val::Text(text) => text.as_str().into(),
            };
            values.iter().map(one).collect()
        };
        let parts = [&self.rows, &self.usage, &self.clients, &self.captures];
        parts.into_iter().map(|values| plain(values)).collect::<Value>().to_string().into_bytes()
    }

    /// What `to_bytes` gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let parts: [Vec<Value>; 4] = serde_json::from_slice(bytes).ok()?;
        let one = |value: Value| match value {
            Value::Null => Some(Val::Null),
            Value::Number(number) => number.as_i64().map(Val::I64),
            Value::String(text) => Some(Val::Text(text)),
            _ => None,
        };
        let [rows, usage, clients, captures] =
            parts.map(|values| values.into_iter().map(one).collect::<Option<Vec<_>>>());
        let group = Self { rows: rows?, usage: usage?, clients: clients?, captures: captures? };
        let sizes = [(&group.rows, ROW), (&group.usage, USAGE), (&group.clients, CLIENT), (&group.captures, CAPTURE)];
        sizes.iter().all(|(values, size)| values.len() % size == 0).then_some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn entry(tenant: &str, outcome: &'static str, units: Option<u32>) -> Entry {
        let tenant = TenantId::parse(tenant).unwrap();
        let entry = Entry::new(Kind::Call, "c".into(), tenant, "k", "crm_me", 7 * HOUR_MS + 1);
        Entry { outcome: Some(outcome), units, ..entry }
    }

    fn key() -> AuditKey {
        AuditKey::new(&Secret::new(vec![1; 32]))
    }

    fn form(chains: &Chains, entries: &[Entry]) -> (Group, Advanced) {
        chains.form(&key(), "1.0", entries.iter().map(|entry| (entry, None)))
    }

    fn seqs(group: &Group) -> Vec<(String, i64)> {
        let row = |row: &[Val]| match row {
            [Val::Text(stream), Val::I64(seq), Val::Text(tenant), ..] => (format!("{tenant}@{}", &stream[18..]), *seq),
            _ => panic!("{row:?}"),
        };
        group.rows.chunks(ROW).map(row).collect()
    }

    #[test]
    fn each_tenant_has_a_stream_that_goes_on_when_the_group_is_committed() {
        let mut chains = Chains::new("w".into());
        let entries = [entry("a", "ok", None), entry("b", "ok", None), entry("a", "ok", None)];
        let (first, advanced) = form(&chains, &entries);
        let named =
            |rows: &[(&str, i64)]| rows.iter().map(|(name, seq)| ((*name).to_owned(), *seq)).collect::<Vec<_>>();
        assert_eq!(seqs(&first), named(&[("a@.w", 1), ("b@.w", 1), ("a@.w", 2)]));
        assert_eq!(form(&chains, &entries).0, first);
        chains.advance(advanced);
        assert_eq!(seqs(&form(&chains, &entries[..1]).0), named(&[("a@.w", 3)]));
    }

    #[test]
    fn usage_is_what_the_charged_calls_of_the_group_add_up_to() {
        let intent = Entry { kind: Kind::Intent, ..entry("a", "ok", Some(9)) };
        let entries = [
            entry("a", "ok", Some(1)),
            entry("a", "ok", Some(4)),
            entry("a", "timeout", None),
            intent,
            entry("b", "ok", Some(2)),
        ];
        let (group, _) = form(&Chains::new("w".into()), &entries);
        let text = |values: &[Val]| values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!(
            text(&group.usage),
            "Text(\"a\") Text(\"crm_me\") I64(7) Text(\"ok\") I64(2) I64(5) \
             Text(\"b\") Text(\"crm_me\") I64(7) Text(\"ok\") I64(1) I64(2)"
        );
        assert_eq!(
            group.clients.chunks(CLIENT).map(|row| row[6].clone()).collect::<Vec<_>>(),
            [Val::I64(3), Val::I64(1)]
        );
    }

    #[test]
    fn a_group_is_the_same_after_a_spill() {
        let (group, _) = form(&Chains::new("w".into()), &[entry("a", "ok", Some(1))]);
        assert_eq!(Group::from_bytes(&group.to_bytes()).unwrap(), group);
        for bytes in ["", "[]", "[[1],[],[],[]]", "[[],[],[]]", r#"[[1.5,1,1,1,1,1,1],[],[],[]]"#] {
            assert_eq!(Group::from_bytes(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
