// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `vault`. What can be rotated here is rotated here; for a key that lives elsewhere the error says how it is done there.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use kit::boot::Kit;
use kit::vault::{KekStatus, Resealed, Rewrapped};

use super::args::Vault;
use crate::failure::Hinted;
use crate::kek_file;
use crate::kek_ring::{Primary, primary};
use crate::out;
use crate::settings::{KekSource, Settings};

/// By then no process holds a row any more that names a data key which was replaced.
const LET_GO: Duration = Duration::from_secs(15);

pub(super) async fn run(kit: &Kit, settings: &Settings, command: Vault) -> anyhow::Result<()> {
    match command {
        Vault::Status { json } => status(&kit.operator.vault_status().await?, json),
        Vault::RotateKek => rotate_kek(kit, settings).await?,
        Vault::Rewrap { all } => report(&kit.operator.vault_rewrap(all).await?)?,
        Vault::RemoveKek { id } => remove_kek(kit, settings, &id).await?,
        Vault::RotateDek { tenant } => rotate_dek(kit, &tenant).await?,
    }
    Ok(())
}

fn status(rows: &[KekStatus], json: bool) {
    if json {
        return out::json(&rows);
    }
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|kek| {
            let state = match (kek.primary, kek.loaded) {
                (true, _) => "primary",
                (false, true) => "loaded",
                (false, false) => "missing",
            };
            let counts = [kek.deks_active, kek.deks_retired, kek.server_keys].map(|count| count.to_string());
            [vec![kek.kek_id.clone(), state.to_owned()], counts.to_vec()].concat()
        })
        .collect();
    out::table(&["KEK", "STATE", "DEKS", "RETIRED", "SERVER-KEYS"], &rows, "there are no keys yet");
}

async fn rotate_kek(kit: &Kit, settings: &Settings) -> anyhow::Result<()> {
    let path = match primary(&settings.vault)? {
        Primary::File(path) => path,
        elsewhere => bail!(rotated_elsewhere(&elsewhere, kit.registry.name)),
    };
    let old = kit.operator.vault_status().await?.into_iter().find(|kek| kek.primary).map(|kek| kek.kek_id);
    let new = kek_file::add_key(&path)?;
    out::note(&format!("the primary key-encryption key is now `{new}`"));
    report(&kit.operator.vault_rewrap(false).await?)?;
    let (server, path) = (kit.registry.name, path.display());
    out::note(&format!("\nnext: keep a copy of `{path}` where the database's backups are not"));
    if let Some(old) = old {
        out::note(&format!("and, once no backup needs the old key, `{server} vault remove-kek {old}`"));
    }
    Ok(())
}

/// How a key is rotated that this process cannot write.
fn rotated_elsewhere(place: &Primary, server: &str) -> Hinted {
    match place {
        Primary::File(path) | Primary::Credential(path) => Hinted::new(
            format!("the key-encryption key `{}` is a systemd credential, which no service can write", path.display()),
            format!(
                "encrypt one with a new first line, `(openssl rand -base64 32; systemd-creds decrypt --name=kek OLD -) | \
                 systemd-creds encrypt --name=kek - NEW`, restart the service with it, then run `{server} vault rewrap`"
            ),
        ),
        Primary::Remote(KekSource::Transit(url)) => {
            let path = url.path().trim_start_matches("/v1/");
            let hint = format!("run `vault write -f {path}/rotate`, then `{server} vault rewrap --all`");
            Hinted::new(format!("`transit:{url}` is rotated where it is"), hint)
        }
        Primary::Remote(source) => {
            let name = source.to_string();
            let part = |kind: &str| name.split('/').skip_while(|part| !part.ends_with(kind)).nth(1).unwrap_or_default();
            let [project, location, ring, key] = ["projects", "locations", "keyRings", "cryptoKeys"].map(part);
            let hint = format!(
                "run `gcloud kms keys versions create --project={project} --location={location} --keyring={ring} \
                 --key={key} --primary`, then `{server} vault rewrap --all`"
            );
            Hinted::new(format!("`{name}` is rotated where it is"), hint)
        }
    }
}

fn report(done: &Rewrapped) -> anyhow::Result<()> {
    let Rewrapped { deks, server_keys, altered } = done;
    out::note(&format!("wrapped {deks} data key(s) and {server_keys} server key(s) with it"));
    if altered.is_empty() {
        return Ok(());
    }
    bail!(Hinted::new(
        format!("some were altered, do not open and stay as they are: {}", altered.join(", ")),
        "put their rows back from a backup of the database",
    ));
}

async fn remove_kek(kit: &Kit, settings: &Settings, id: &str) -> anyhow::Result<()> {
    use kit::ports::KeyWrap as _;
    kit.operator.vault_removable(id).await?;
    let primary_file = match primary(&settings.vault)? {
        Primary::File(path) => Some(path),
        _ => None,
    };
    let previous = settings.vault.previous_keks.iter().filter_map(|source| match source {
        KekSource::File(path) => Some(path.clone()),
        _ => None,
    });
    let holds = |path: &Path| {
        kek_file::read(path, kek_file::Kind::File).is_ok_and(|keks| keks.ids().iter().any(|held| held == id))
    };
    let mut removed = false;
    for path in primary_file.into_iter().chain(previous).filter(|path| holds(path)) {
        kek_file::remove_key(&path, id)?;
        out::note(&format!("removed `{id}` from `{}`", path.display()));
        removed = true;
    }
    if !removed {
        let name = kit.registry.name;
        out::note(&format!(
            "nothing is wrapped by `{id}` any more\n\nnext: take it out of `vault.previous_keks` or of the systemd \
             credential, then `{name} config check`"
        ));
    }
    Ok(())
}

async fn rotate_dek(kit: &Kit, tenant: &str) -> anyhow::Result<()> {
    let first = kit.operator.vault_rotate_dek(tenant).await?;
    out::note(&format!(
        "sealed {} connection(s) of tenant `{tenant}` under a new data key; the old one is destroyed in {} s, when every \
         replica has let go of it",
        first.records,
        LET_GO.as_secs()
    ));
    tokio::time::sleep(LET_GO).await;
    let Resealed { destroyed, altered, .. } = kit.operator.vault_destroy_retired(tenant).await?;
    out::note(&format!("destroyed {destroyed} old data key(s)"));
    if altered.is_empty() {
        return Ok(());
    }
    let server = kit.registry.name;
    bail!(Hinted::new(
        format!("some connections do not open and keep their old data key: {}", altered.join(", ")),
        format!("set each again, or remove it: `{server} connection remove INTEGRATION --tenant {tenant}`"),
    ));
}
