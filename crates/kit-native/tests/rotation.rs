//! The keys of the vault while servers serve: rotated, re-wrapped, replaced, removed, lost. Two processes share one store as
//! two replicas do, and the upstream tells with which credential each call came through.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::live::{ASK_AGAIN_MS, Installation, ROWS_STALE_MS, call, ids, random_key, set, tenant, wrapped};
use kit::boot::Kit;
use kit::error::ErrorKind;
use kit::operator::{NewConnection, OperatorError};
use kit::ports::{BoxFuture, KeyWrap, KeyWrapError, Wrapped};
use kit::prelude::*;
use kit::vault::{KekStatus, VaultError};
use kit_native::kek_file::{self, Kind, write_private};
use kit_native::kek_ring;
use kit_native::settings::{KekSource, Settings};

/// A refused command as `message / hint`.
fn refusal<T>(result: Result<T, OperatorError>) -> String {
    let error = result.err().unwrap();
    format!("{error} / {}", error.hint().unwrap_or_default())
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Rows that each key-encryption key has wrapped: data keys, retired ones, server keys.
async fn counts(kit: &Kit) -> BTreeMap<String, (i64, i64, i64)> {
    let rows = kit.operator.vault_status().await.unwrap();
    rows.into_iter().map(|kek| (kek.kek_id, (kek.deks_active, kek.deks_retired, kek.server_keys))).collect()
}

// Rotating the key-encryption key.

#[tokio::test]
async fn a_rotation_touches_the_wrapped_keys_and_nothing_else() {
    let installation = Installation::new();
    let (kek, database) = (installation.path("kek"), installation.database());
    let kit = installation.process().await;
    let (a, key) = tenant(&kit, "a").await;
    tenant(&kit, "b").await;
    let sealed = |database: &rusqlite::Connection| -> Vec<String> {
        let mut statement = database.prepare("SELECT sealed || version FROM connections ORDER BY tenant_id").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let (before, old) = (sealed(&database), ids(&kek));

    let new = kek_file::add_key(&kek).unwrap();
    assert_eq!(ids(&kek), [vec![new.clone()], old.clone()].concat());
    let done = kit.operator.vault_rewrap(false).await.unwrap();
    assert_eq!((done.deks, done.server_keys, done.altered), (2, 5, vec![]));
    assert_eq!(counts(&kit).await, BTreeMap::from([(new.clone(), (2, 0, 5)), (old[0].clone(), (0, 0, 0))]));
    assert_eq!(sealed(&database), before, "no record was touched");
    let again = kit.operator.vault_rewrap(false).await.unwrap();
    assert_eq!((again.deks, again.server_keys), (0, 0), "there is nothing left to do");

    kek_file::remove_key(&kek, &old[0]).unwrap();
    for kit in [&kit, &installation.process().await] {
        assert!(kit.authenticator.api_key(&key).await.is_ok(), "an API key outlives every rotation");
        call(kit, &a).await.unwrap();
    }
    assert_eq!(installation.upstream.keys(), ["secret-of-a"; 2]);
}

#[tokio::test]
async fn a_serving_process_follows_a_rotation_without_a_restart() {
    let installation = Installation::new();
    let (kek, kit) = (installation.path("kek"), installation.process().await);
    let (a, _) = tenant(&kit, "a").await;
    let new = kek_file::add_key(&kek).unwrap();
    tenant(&kit, "b").await;
    assert_eq!(counts(&kit).await[&new].0, 1, "it wraps with the new primary");
    // Another process wraps everything anew; this one then reads rows of a key that it has not seen.
    let newer = kek_file::add_key(&kek).unwrap();
    installation.process().await.operator.vault_rewrap(false).await.unwrap();
    installation.clock.advance_ms(ASK_AGAIN_MS);
    call(&kit, &a).await.unwrap();
    assert_eq!(counts(&kit).await[&newer].0, 2);
    kit.vault.ready().await.unwrap();
}

/// What was sealed after a rotation must open after a restart, so nothing is wrapped with a key that may be gone.
#[tokio::test]
async fn a_process_that_cannot_read_its_key_file_any_more_goes_on_and_wraps_nothing() {
    let installation = Installation::new();
    let (kek, kit) = (installation.path("kek"), installation.process().await);
    let (a, _) = tenant(&kit, "a").await;
    let content = std::fs::read(&kek).unwrap();
    let spoil: [&dyn Fn(); 4] = [
        &|| mode(&kek, 0o644),
        &|| std::fs::write(&kek, "changeme").unwrap(),
        &|| std::fs::write(&kek, "").unwrap(),
        &|| std::fs::remove_file(&kek).unwrap(),
    ];
    for spoil in spoil {
        spoil();
        installation.clock.advance_ms(2 * ASK_AGAIN_MS);
        call(&kit, &a).await.unwrap();
        let error = kit.operator.tenant_add("b").await.unwrap_err();
        assert_eq!(error, OperatorError::Vault(VaultError::Unavailable));
        let _ = std::fs::remove_file(&kek);
        write_private(&kek, &content).unwrap();
    }
    kit.operator.tenant_add("b").await.unwrap();
}

#[tokio::test]
async fn a_replica_without_the_new_key_gets_no_new_callers_and_fails_none() {
    let installation = Installation::new();
    let kit = installation.process().await;
    let (a, _) = tenant(&kit, "a").await;
    // The other machine has a copy of the file, and nobody has brought the new one there.
    std::fs::copy(installation.path("kek"), installation.path("copy")).unwrap();
    let mut settings = installation.settings.clone();
    settings.vault.kek = Some(KekSource::File(installation.path("copy")));
    let other = installation.start(&settings).await.unwrap();
    call(&other, &a).await.unwrap();
    other.vault.ready().await.unwrap();

    let new = kek_file::add_key(&installation.path("kek")).unwrap();
    kit.operator.vault_rewrap(false).await.unwrap();
    assert_eq!(other.vault.ready().await, Err(VaultError::NotLoaded));
    let grace = i64::try_from(settings.vault.kms_grace.as_millis()).unwrap();
    installation.clock.advance_ms(grace - 1);
    call(&other, &a).await.unwrap();
    // The rows that were read last hold the keys of their records for a little longer.
    installation.clock.advance_ms(ROWS_STALE_MS);
    assert_eq!(call(&other, &a).await.unwrap_err().to_string(), "UNAVAILABLE: the vault does not answer");
    let [known] = &ids(&installation.path("copy"))[..] else { panic!("one key") };
    assert_eq!(
        installation.start(&settings).await.err().unwrap(),
        format!("the store was sealed under the key-encryption key `{new}`, which is not loaded; loaded: `{known}`")
    );
    // The file arrives.
    std::fs::copy(installation.path("kek"), installation.path("copy")).unwrap();
    other.vault.ready().await.unwrap();
    call(&other, &a).await.unwrap();
}

// Re-wrapping that is interrupted, or done twice.

/// A ring that stops wrapping after so many keys: its keeper fails, or the caller goes away in the middle.
struct Stopping {
    ring: Arc<dyn KeyWrap>,
    left: AtomicUsize,
    hang: bool,
}

impl KeyWrap for Stopping {
    fn ids(&self) -> Vec<String> {
        self.ring.ids()
    }

    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<Wrapped, KeyWrapError>> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (left, self.hang) {
            (Ok(_), _) => self.ring.wrap(aad, key),
            (Err(_), false) => Box::pin(std::future::ready(Err(KeyWrapError::Unavailable))),
            (Err(_), true) => Box::pin(std::future::pending()),
        }
    }

    fn unwrap<'a>(
        &'a self,
        kek_id: &'a str,
        aad: &'a [u8],
        wrapped: &'a str,
    ) -> BoxFuture<'a, Result<Secret, KeyWrapError>> {
        self.ring.unwrap(kek_id, aad, wrapped)
    }
}

fn ring(installation: &Installation) -> Arc<dyn KeyWrap> {
    let clock: Arc<dyn kit::ports::Clock> = installation.clock.clone();
    Arc::new(kek_ring::open(&installation.settings.vault, &clock).unwrap())
}

#[tokio::test]
async fn a_re_wrap_that_stops_in_the_middle_is_resumed() {
    for hang in [false, true] {
        let installation = Installation::new();
        let kit = installation.process().await;
        let mut tenants = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            tenants.push(tenant(&kit, name).await.0);
        }
        let new = kek_file::add_key(&installation.path("kek")).unwrap();
        let stopping = Stopping { ring: ring(&installation), left: AtomicUsize::new(4), hang };
        let stopped = installation.start_with(&installation.settings, Arc::new(stopping)).await.unwrap();
        let rewrap = stopped.operator.vault_rewrap(false);
        if hang {
            let mut rewrap = std::pin::pin!(rewrap);
            while counts(&kit).await.get(&new).is_none_or(|(deks, _, server)| deks + server < 4) {
                tokio::select! { biased; _ = &mut rewrap => panic!("it hangs"), () = tokio::task::yield_now() => {} }
            }
        } else {
            assert_eq!(
                refusal(rewrap.await),
                format!(
                    "stopped at the key-encryption key `{new}`: the key-encryption key cannot be reached / what is done \
                     is done; run `acme vault rewrap` again for the rest"
                )
            );
        }
        let (deks, _, server_keys) = counts(&kit).await[&new];
        assert_eq!(deks + server_keys, 4);
        for (tenant, kit) in tenants.iter().flat_map(|tenant| [(tenant, &kit), (tenant, &stopped)]) {
            call(kit, tenant).await.unwrap();
        }
        let rest = kit.operator.vault_rewrap(false).await.unwrap();
        assert_eq!(rest.deks + rest.server_keys, 10 - 4, "what was done is not done again");
        assert_eq!(counts(&kit).await[&new], (5, 0, 5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_re_wraps_at_once_do_each_row_once() {
    let installation = Installation::new();
    let (one, two) = (Arc::new(installation.process().await), Arc::new(installation.process().await));
    for n in 0..40 {
        one.operator.tenant_add(&format!("t{n}")).await.unwrap();
    }
    let new = kek_file::add_key(&installation.path("kek")).unwrap();
    let run = |kit: &Arc<Kit>| {
        let kit = kit.clone();
        tokio::spawn(async move { kit.operator.vault_rewrap(false).await.unwrap() })
    };
    let (first, second) = (run(&one), run(&two));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.deks + second.deks, first.server_keys + second.server_keys), (40, 5));
    assert_eq!(counts(&one).await[&new], (40, 0, 5));
}

#[tokio::test]
async fn a_wrapped_key_that_was_altered_is_named_and_the_rest_is_done() {
    let installation = Installation::new();
    let kit = installation.process().await;
    for name in ["a", "b", "c"] {
        tenant(&kit, name).await;
    }
    // The wrapped key of another tenant.
    let sql = "UPDATE tenant_deks SET wrapped = (SELECT wrapped FROM tenant_deks WHERE tenant_id = 'c') \
               WHERE tenant_id = 'b'";
    installation.database().execute(sql, []).unwrap();
    let new = kek_file::add_key(&installation.path("kek")).unwrap();
    let done = kit.operator.vault_rewrap(false).await.unwrap();
    assert_eq!((done.deks, done.altered), (2, vec!["a data key of tenant `b`".to_owned()]));
    assert_eq!(counts(&kit).await[&new].0, 2);
}

#[test]
fn keys_added_at_once_are_all_kept() {
    let installation = Installation::new();
    let kek = installation.path("kek");
    let first = ids(&kek);
    let added: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| kek_file::add_key(&kek).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (mut expected, mut found) = ([first, added].concat(), ids(&kek));
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let left: Vec<_> = std::fs::read_dir(installation.folder.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "nothing is left beside the file: {left:?}");
}

// Removing a key-encryption key.

#[tokio::test]
async fn a_key_encryption_key_is_removed_only_when_nothing_needs_it() {
    let installation = Installation::new();
    let (kek, kit) = (installation.path("kek"), installation.process().await);
    tenant(&kit, "a").await;
    let old = ids(&kek).remove(0);
    let new = kek_file::add_key(&kek).unwrap();
    assert_eq!(
        refusal(kit.operator.vault_removable(&old).await),
        format!(
            "`{old}` still wraps 1 data key(s) and 5 server key(s) / wrap them with the primary first: \
             `acme vault rewrap`"
        )
    );
    assert_eq!(
        refusal(kit.operator.vault_removable(&new).await),
        format!(
            "`{new}` is the primary key-encryption key: it wraps new keys / put another in its place first: \
             `acme vault rotate-kek`"
        )
    );
    assert_eq!(
        refusal(kit.operator.vault_removable("file:nothing").await),
        "there is no key-encryption key `file:nothing` here / see `acme vault status`"
    );
    kit.operator.vault_rewrap(false).await.unwrap();
    kit.operator.vault_removable(&old).await.unwrap();
}

#[tokio::test]
async fn boot_refuses_while_a_key_that_is_needed_is_missing_and_names_it() {
    let installation = Installation::new();
    let (kek, kit) = (installation.path("kek"), installation.process().await);
    tenant(&kit, "a").await;
    let old = std::fs::read(&kek).unwrap();
    let [old_id] = &ids(&kek)[..] else { panic!("one key") };
    let new_id = kek_file::add_key(&kek).unwrap();
    tenant(&kit, "b").await;
    let both = std::fs::read(&kek).unwrap();
    let started = async |content: &[u8]| {
        std::fs::remove_file(&kek).unwrap();
        write_private(&kek, content).unwrap();
        installation.start(&installation.settings).await.map(drop)
    };
    let sealed_under = |missing: &str, loaded: &str| {
        Err(format!(
            "the store was sealed under the key-encryption key `{missing}`, which is not loaded; loaded: `{loaded}`"
        ))
    };
    assert_eq!(started(&old).await, sealed_under(&new_id, old_id));
    let first_line = both.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    assert_eq!(started(first_line).await, sealed_under(old_id, &new_id));
    assert_eq!(started(&both).await, Ok(()));
}

#[tokio::test]
async fn the_keys_of_several_files_make_one_ring() {
    let installation = Installation::new();
    let kit = installation.process().await;
    let (a, _) = tenant(&kit, "a").await;
    let (old, new) = (installation.path("kek"), installation.path("new"));
    write_private(&new, &random_key()).unwrap();
    let mut settings = installation.settings.clone();
    settings.vault.kek = Some(KekSource::File(new.clone()));
    assert!(installation.start(&settings).await.is_err(), "not without the old one");
    settings.vault.previous_keks = vec![KekSource::File(old.clone())];
    let moved = installation.start(&settings).await.unwrap();
    call(&moved, &a).await.unwrap();
    moved.operator.vault_rewrap(false).await.unwrap();
    settings.vault.previous_keks.clear();
    call(&installation.start(&settings).await.unwrap(), &a).await.unwrap();
    assert_eq!(counts(&moved).await[&ids(&new)[0]], (1, 0, 5));
    let error = format!("{:#}", kek_file::remove_key(&old, &ids(&old)[0]).unwrap_err());
    assert!(error.contains("is the only key in"), "{error}");
}

// The file of the key-encryption keys.

#[test]
fn a_rotated_file_keeps_its_mode_its_owner_and_its_link() {
    let installation = Installation::new();
    let (kek, link) = (installation.path("kek"), installation.path("link"));
    std::os::unix::fs::symlink(&kek, &link).unwrap();
    mode(&kek, 0o400);
    kek_file::add_key(&link).unwrap();
    let (file, folder) = (std::fs::metadata(&kek).unwrap(), std::fs::metadata(installation.folder.path()).unwrap());
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o400, folder.uid(), folder.gid()));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ids(&link).len(), 2);
}

#[test]
fn a_file_that_cannot_be_replaced_stays_as_it_is() {
    let installation = Installation::new();
    let kek = installation.path("kek");
    for spoil in [b"changeme".as_slice(), b"", &[7; 32]] {
        write_private(&kek, spoil).unwrap();
        kek_file::add_key(&kek).unwrap_err();
        assert_eq!(std::fs::read(&kek).unwrap(), spoil);
    }
    std::fs::remove_file(&kek).unwrap();
    kek_file::add_key(&kek).unwrap_err();
    assert!(!kek.exists(), "a rotation makes no first key");
}

#[test]
fn a_file_that_belongs_to_somebody_else_is_refused() {
    let installation = Installation::new();
    let kek = installation.path("kek");
    // Only root can give a file away, and only root can read it then.
    if chown(&kek, Some(12_345), None).is_ok() {
        let error = kek_file::read(&kek, Kind::File).err().unwrap();
        let expected =
            format!("the key-encryption key `{}` belongs to another user, who can replace it", kek.display());
        assert_eq!(error.to_string(), expected);
        kek_file::add_key(&kek).unwrap_err();
    }
}

/// With `User=` systemd gives that user an entry in the access list, which shows as mode 0440 of root.
#[tokio::test]
async fn a_systemd_credential_goes_above_a_file_and_may_have_an_access_list() {
    let installation = Installation::new();
    let credentials = installation.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let credential = credentials.join("kek");
    write_private(&credential, &random_key()).unwrap();
    let mut settings = installation.settings.clone();
    settings.vault.credentials = Some(credentials);
    for (allowed, bits) in [(true, 0o400), (true, 0o440), (false, 0o444), (false, 0o460), (false, 0o404)] {
        mode(&credential, bits);
        assert_eq!(installation.start(&settings).await.is_ok(), allowed, "{bits:o}");
    }
    mode(&credential, 0o440);
    let kit = installation.start(&settings).await.unwrap();
    assert_eq!(kit.operator.vault_status().await.unwrap()[0].kek_id, {
        mode(&credential, 0o400);
        ids(&credential).remove(0)
    });
    assert!(matches!(kek_ring::primary(&settings.vault).unwrap(), kek_ring::Primary::Credential(_)));
}

// Data keys.

#[tokio::test]
async fn a_data_key_is_replaced_and_the_old_one_destroyed() {
    let installation = Installation::new();
    let (kit, other) = (installation.process().await, installation.process().await);
    let (a, key) = tenant(&kit, "a").await;
    tenant(&kit, "b").await;
    kit.operator.connection_set(NewConnection::new("a", "crm_eu", Secret::from("eu-secret-of-a"))).await.unwrap();
    call(&other, &a).await.unwrap();
    let database = installation.database();
    let sealed = || -> Vec<(String, i64)> {
        let sql = "SELECT sealed, version FROM connections WHERE tenant_id = 'a' ORDER BY integration";
        let mut statement = database.prepare(sql).unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let before = sealed();

    let rotated = kit.operator.vault_rotate_dek("a").await.unwrap();
    assert_eq!((rotated.records, rotated.destroyed, rotated.altered), (2, 0, vec![]));
    let after = sealed();
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before.0.split('.').nth(1), after.0.split('.').nth(1), "under another data key");
        assert!(after.1 > before.1, "the version grows, or the old text could be put back");
    }
    // The other process holds the rows from before, and the old key is still there for them.
    call(&other, &a).await.unwrap();
    installation.clock.advance_ms(ROWS_STALE_MS);
    let swept = kit.operator.vault_destroy_retired("a").await.unwrap();
    assert_eq!((swept.records, swept.destroyed), (0, 1));
    for kit in [&kit, &other, &installation.process().await] {
        call(kit, &a).await.unwrap();
        assert!(kit.authenticator.api_key(&key).await.is_ok());
    }
    assert_eq!(installation.upstream.keys(), ["secret-of-a"; 5]);
    let deks: i64 = database.query_row("SELECT COUNT(*) FROM tenant_deks", [], |row| row.get(0)).unwrap();
    assert_eq!(deks, 2, "one for each tenant");

    // The text from before, put back into the row, opens no more.
    database.execute("UPDATE connections SET sealed = ?1 WHERE tenant_id = 'a'", [&before[0].0]).unwrap();
    installation.clock.advance_ms(ROWS_STALE_MS);
    assert_eq!(call(&kit, &a).await.unwrap_err().kind(), ErrorKind::ReconnectRequired);
}

#[tokio::test]
async fn a_record_that_does_not_open_keeps_its_data_key_and_is_named() {
    let installation = Installation::new();
    let kit = installation.process().await;
    tenant(&kit, "a").await;
    kit.operator.connection_set(NewConnection::new("a", "crm_eu", Secret::from("eu-secret-of-a"))).await.unwrap();
    let sql = "UPDATE connections SET version = version + 1 WHERE integration = 'crm_eu'";
    installation.database().execute(sql, []).unwrap();
    let rotated = kit.operator.vault_rotate_dek("a").await.unwrap();
    assert_eq!((rotated.records, rotated.altered), (1, vec!["crm_eu/default".to_owned()]));
    let swept = kit.operator.vault_destroy_retired("a").await.unwrap();
    assert_eq!((swept.destroyed, swept.altered), (0, vec!["crm_eu/default".to_owned()]));
    kit.operator.connection_remove("a", "crm_eu", "default").await.unwrap();
    assert_eq!(kit.operator.vault_destroy_retired("a").await.unwrap().destroyed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rotations_of_one_data_key_at_once_leave_one_active() {
    let installation = Installation::new();
    let kits = [Arc::new(installation.process().await), Arc::new(installation.process().await)];
    let (a, _) = tenant(&kits[0], "a").await;
    for _ in 0..20 {
        let rotations = kits.clone().map(|kit| tokio::spawn(async move { kit.operator.vault_rotate_dek("a").await }));
        for rotation in rotations {
            rotation.await.unwrap().unwrap();
        }
        let active = "SELECT COUNT(*) FROM tenant_deks WHERE tenant_id = 'a' AND state = 'active'";
        let active: i64 = installation.database().query_row(active, [], |row| row.get(0)).unwrap();
        assert_eq!(active, 1);
        call(&kits[0], &a).await.unwrap();
    }
    installation.clock.advance_ms(ROWS_STALE_MS);
    kits[0].operator.vault_destroy_retired("a").await.unwrap();
    assert_eq!(wrapped(&installation.database()).len(), 6, "one data key and five server keys");
    call(&kits[1], &a).await.unwrap();
}

/// A ring that deletes the data keys of the store while one of them is being unwrapped: what a writer meets that was slow.
struct Late(Arc<dyn KeyWrap>, rusqlite::Connection);

struct LateRing(std::sync::Mutex<Late>, AtomicBool);

impl KeyWrap for LateRing {
    fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().0.ids()
    }

    fn wrap<'a>(&'a self, aad: &'a [u8], key: &'a Secret) -> BoxFuture<'a, Result<Wrapped, KeyWrapError>> {
        let ring = self.0.lock().unwrap().0.clone();
        Box::pin(async move { ring.wrap(aad, key).await })
    }

    fn unwrap<'a>(
        &'a self,
        kek_id: &'a str,
        aad: &'a [u8],
        wrapped: &'a str,
    ) -> BoxFuture<'a, Result<Secret, KeyWrapError>> {
        let ring = {
            let late = self.0.lock().unwrap();
            if self.1.load(Ordering::SeqCst) {
                late.1.execute("DELETE FROM tenant_deks", []).unwrap();
            }
            late.0.clone()
        };
        Box::pin(async move { ring.unwrap(kek_id, aad, wrapped).await })
    }
}

#[tokio::test]
async fn a_writer_whose_data_key_was_destroyed_meanwhile_writes_nothing() {
    let installation = Installation::new();
    let kit = installation.process().await;
    let (a, _) = tenant(&kit, "a").await;
    let late = Late(ring(&installation), installation.database());
    let late = Arc::new(LateRing(std::sync::Mutex::new(late), AtomicBool::new(false)));
    let slow = installation.start_with(&installation.settings, late.clone()).await.unwrap();
    late.1.store(true, Ordering::SeqCst);
    let set = slow.operator.connection_set(NewConnection::new("a", "crm", Secret::from("lost"))).await;
    assert_eq!(set, Err(OperatorError::Vault(VaultError::Shredded)));
    let sealed: String =
        installation.database().query_row("SELECT sealed FROM connections", [], |row| row.get(0)).unwrap();
    assert!(sealed.starts_with("mk1.dek"));
    // What is open in the first process still opens the record that is there.
    call(&kit, &a).await.unwrap();
    assert_eq!(installation.upstream.keys(), ["secret-of-a"]);
}

#[tokio::test]
async fn an_app_whose_data_key_was_destroyed_meanwhile_is_not_stored() {
    let installation = Installation::new();
    let kit = installation.process().await;
    let (a, _) = tenant(&kit, "a").await;
    let late = Late(ring(&installation), installation.database());
    let late = Arc::new(LateRing(std::sync::Mutex::new(late), AtomicBool::new(false)));
    let slow = installation.start_with(&installation.settings, late.clone()).await.unwrap();
    late.1.store(true, Ordering::SeqCst);
    let set = slow.operator.app_set("machine", Some("a"), "id", Secret::from("lost")).await;
    assert_eq!(set, Err(OperatorError::Vault(VaultError::Conflict)));
    let apps: i64 = installation.database().query_row("SELECT COUNT(*) FROM apps", [], |row| row.get(0)).unwrap();
    assert_eq!(apps, 0);
    call(&kit, &a).await.unwrap();
}

// Shredding.

#[tokio::test]
async fn a_shredded_tenant_stays_shredded() {
    let installation = Installation::new();
    let kit = installation.process().await;
    for name in ["a", "b"] {
        tenant(&kit, name).await;
    }
    kit.operator.tenant_delete("a").await.unwrap();
    kek_file::add_key(&installation.path("kek")).unwrap();
    for all in [false, true] {
        assert_eq!(kit.operator.vault_rewrap(all).await.unwrap().deks, 1, "the other tenant's");
    }
    for result in [kit.operator.vault_rotate_dek("a").await, kit.operator.vault_destroy_retired("a").await] {
        assert_eq!(refusal(result), "there is no tenant `a` / add it with `acme tenant add a`");
    }
    let sql = "SELECT COUNT(*) FROM tenant_deks WHERE tenant_id = 'a' AND (wrapped IS NOT NULL OR state <> 'shredded')";
    assert_eq!(installation.database().query_row(sql, [], |row| row.get(0)), Ok(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_deleted_while_its_keys_are_rotated_is_shredded_all_the_same() {
    let installation = Installation::new();
    let kits = [Arc::new(installation.process().await), Arc::new(installation.process().await)];
    for n in 0..30 {
        let name = format!("t{n}");
        tenant(&kits[0], &name).await;
        let rotate = {
            let (kit, name) = (kits[0].clone(), name.clone());
            tokio::spawn(async move {
                let _ = kit.operator.vault_rotate_dek(&name).await;
                let _ = kit.operator.vault_rewrap(true).await;
            })
        };
        let delete = {
            let (kit, name) = (kits[1].clone(), name.clone());
            tokio::spawn(async move { kit.operator.tenant_delete(&name).await.unwrap() })
        };
        rotate.await.unwrap();
        delete.await.unwrap();
    }
    let count = |sql: &str| -> i64 { installation.database().query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT COUNT(*) FROM tenant_deks WHERE wrapped IS NOT NULL OR state <> 'shredded'"), 0);
    assert_eq!(count("SELECT COUNT(*) FROM connections"), 0);
}

// Everything at once.

/// One client of one replica: it authenticates and calls until told to stop.
struct Client {
    calls: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Vec<String>>,
}

fn client(kit: &Arc<Kit>, key: &str, stop: &Arc<AtomicBool>) -> Client {
    let calls = Arc::new(AtomicUsize::new(0));
    let (kit, key, stop, count) = (kit.clone(), key.to_owned(), stop.clone(), calls.clone());
    let task = tokio::spawn(async move {
        let mut failed = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            match kit.authenticator.api_key(&key).await {
                Ok(tenant) => failed.extend(call(&kit, &tenant).await.err().map(|error| error.to_string())),
                Err(error) => failed.push(error.to_string()),
            }
            count.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        failed
    });
    Client { calls, task }
}

/// An operator who sets the connection of `d` again and again. Somebody else's change at the same moment is an answer, not
/// a failure.
fn writer(kit: &Arc<Kit>, stop: &Arc<AtomicBool>) -> Client {
    let calls = Arc::new(AtomicUsize::new(0));
    let (kit, stop, count) = (kit.clone(), stop.clone(), calls.clone());
    let task = tokio::spawn(async move {
        let mut failed = Vec::new();
        while !stop.load(Ordering::SeqCst) {
            let set = kit.operator.connection_set(NewConnection::new("d", "crm", Secret::from("secret-of-d"))).await;
            failed.extend(set.err().filter(|error| *error != OperatorError::Vault(VaultError::Conflict)));
            count.fetch_add(1, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        failed.iter().map(ToString::to_string).collect()
    });
    Client { calls, task }
}

/// Lets every client finish what it has begun, and one call more.
async fn settle(clients: &[Client]) {
    let seen: Vec<usize> = clients.iter().map(|client| client.calls.load(Ordering::SeqCst)).collect();
    for (client, seen) in clients.iter().zip(seen) {
        while client.calls.load(Ordering::SeqCst) < seen + 2 {
            tokio::task::yield_now().await;
        }
    }
}

/// `KIT_VAULT_ROUNDS` makes a longer test of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_every_key_is_rotated_again_and_again() {
    let rounds = std::env::var("KIT_VAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(24);
    let installation = Installation::new();
    let kek = installation.path("kek");
    let kits = [Arc::new(installation.process().await), Arc::new(installation.process().await)];
    let names = ["a", "b", "c", "d"];
    let mut keys = Vec::new();
    for name in names {
        keys.push(tenant(&kits[0], name).await.1);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients: Vec<Client> = kits.iter().flat_map(|kit| keys.iter().map(|key| client(kit, key, &stop))).collect();
    clients.push(writer(&kits[1], &stop));
    for round in 0..rounds {
        let (kit, name) = (&kits[round % 2], names[round / 6 % names.len()]);
        match round % 6 {
            0 => {
                kek_file::add_key(&kek).unwrap();
                kit.operator.vault_rewrap(false).await.unwrap();
            }
            1 => drop(kit.operator.vault_rotate_dek(name).await.unwrap()),
            2 => {
                installation.clock.advance_ms(ROWS_STALE_MS);
                settle(&clients).await;
                let swept = kit.operator.vault_destroy_retired(name).await.unwrap();
                assert_eq!((swept.destroyed, swept.altered), (1, vec![]));
            }
            // The connection of `d` is set all the time.
            3 if name == "d" => {}
            3 => set(kit, name, &format!("secret-of-{name}")).await,
            4 => installation.clock.advance_ms(ASK_AGAIN_MS),
            _ => {
                let old = |kek: &KekStatus| !kek.primary;
                for KekStatus { kek_id, .. } in kit.operator.vault_status().await.unwrap().into_iter().filter(old) {
                    kit.operator.vault_removable(&kek_id).await.unwrap();
                    kek_file::remove_key(&kek, &kek_id).unwrap();
                }
            }
        }
        settle(&clients).await;
    }
    stop.store(true, Ordering::SeqCst);
    let writer = clients.pop().unwrap();
    assert_eq!(writer.task.await.unwrap(), [""; 0]);
    let mut calls = 0;
    for client in clients {
        assert_eq!(client.task.await.unwrap(), [""; 0]);
        calls += client.calls.load(Ordering::SeqCst);
    }
    let mut seen = installation.upstream.keys();
    assert_eq!(seen.len(), calls, "each call reached the upstream");
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["secret-of-a", "secret-of-b", "secret-of-c", "secret-of-d"]);
    kits[0].vault.ready().await.unwrap();
}

// What the operator sees.

#[tokio::test]
async fn the_status_lists_the_primary_first_and_what_is_missing_last() {
    let installation = Installation::new();
    let kit = installation.process().await;
    tenant(&kit, "a").await;
    kit.operator.vault_rotate_dek("a").await.unwrap();
    let old = ids(&installation.path("kek")).remove(0);
    let new = kek_file::add_key(&installation.path("kek")).unwrap();
    installation.database().execute("UPDATE tenant_deks SET kek_id = 'file:gone' WHERE state = 'retired'", []).unwrap();
    let status = |kek_id: &str, primary, loaded, deks_active, deks_retired, server_keys| KekStatus {
        kek_id: kek_id.to_owned(),
        primary,
        loaded,
        deks_active,
        deks_retired,
        server_keys,
    };
    assert_eq!(
        kit.operator.vault_status().await.unwrap(),
        [
            status(&new, true, true, 0, 0, 0),
            status(&old, false, true, 1, 0, 5),
            status("file:gone", false, false, 0, 1, 0)
        ]
    );
    assert_eq!(
        refusal(kit.operator.vault_rewrap(false).await),
        "stopped at the key-encryption key `file:gone`: the key-encryption key is not loaded / \
         add it to `vault.previous_keks`, then run the command again"
    );
    let unused: &Settings = &installation.settings;
    assert_eq!(kek_ring::primary(&unused.vault).unwrap(), kek_ring::Primary::File(installation.path("kek")));
}
