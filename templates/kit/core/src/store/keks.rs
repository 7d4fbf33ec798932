// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Which key-encryption keys the store needs, counted over all tenants. Nothing here tells whose the keys are.

use std::collections::BTreeMap;

use super::Store;
use super::row::Columns;
use crate::ports::SqlError;

/// How much one key-encryption key has wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KekUse {
    /// Data keys that tenants seal with.
    pub deks_active: i64,
    /// Data keys that were replaced, and that records may still name.
    pub deks_retired: i64,
    /// Server keys.
    pub server_keys: i64,
}

impl Store {
    /// The ids of the key-encryption keys that something in the store is wrapped by.
    pub(crate) async fn keks_in_use(&self) -> Result<Vec<String>, SqlError> {
        let sql = "SELECT kek_id FROM tenant_deks WHERE wrapped IS NOT NULL \
                   UNION SELECT kek_id FROM server_keys ORDER BY kek_id";
        self.query(sql, &[]).await?.into_iter().map(|row| Columns::of(row).text()).collect()
    }

    /// How much each of them has wrapped.
    pub(crate) async fn kek_use(&self) -> Result<BTreeMap<String, KekUse>, SqlError> {
        let deks = "SELECT kek_id, state, COUNT(*) FROM tenant_deks WHERE wrapped IS NOT NULL GROUP BY kek_id, state";
        let server_keys = "SELECT kek_id, COUNT(*) FROM server_keys GROUP BY kek_id";
        let mut uses: BTreeMap<String, KekUse> = BTreeMap::new();
        for row in self.query(deks, &[]).await? {
            let mut columns = Columns::of(row);
            let (id, state, count) = (columns.text()?, columns.text()?, columns.number()?);
            let of_kek = uses.entry(id).or_default();
            *(if state == "active" { &mut of_kek.deks_active } else { &mut of_kek.deks_retired }) += count;
        }
        for row in self.query(server_keys, &[]).await? {
            let mut columns = Columns::of(row);
            let (id, count) = (columns.text()?, columns.number()?);
            uses.entry(id).or_default().server_keys += count;
        }
        Ok(uses)
    }
}
