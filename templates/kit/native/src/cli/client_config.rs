// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `client-config`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use kit::App;

use super::args;
use crate::client_config::{Route, write};
use crate::failure::Hinted;
use crate::out;
use crate::settings::{Database, KekSource, Settings};

const URL: &str = "MCP__STORAGE__DATABASE_URL";

pub(super) fn run(app: &App, settings: &Settings, folder: &Path, command: &args::ClientConfig) -> anyhow::Result<()> {
    let route = match &command.stdio {
        Some(tenant) => {
            let config = std::path::absolute(folder)?.display().to_string();
            Route::Stdio {
                command: std::env::current_exe()?.display().to_string(),
                args: ["stdio", "--tenant", tenant, "--config", &config].map(str::to_owned).to_vec(),
                env: environment(settings)?,
            }
        }
        None => {
            let local = || format!("http://{}", settings.bind);
            let base = command.url.as_ref().or(settings.public_url.as_ref()).map_or_else(local, ToString::to_string);
            let base = base.trim_end_matches('/').trim_end_matches("/mcp");
            let variable = format!("{}_KEY", app.name().to_ascii_uppercase().replace('-', "_"));
            Route::Http { url: format!("{base}/mcp"), variable }
        }
    };
    let Some((place, text)) = write(command.client, app.name(), &route) else {
        let message = "this client starts local programs only; its configuration file takes no URL";
        bail!(Hinted::new(message, "give `--stdio TENANT`, or add the URL in the client under Connectors"));
    };
    out::note(&format!("into {place}:\n"));
    out::data(&text);
    if let Route::Http { variable, .. } = &route {
        out::note(&format!("\n{variable} holds a key from `{} key create --tenant NAME`", app.name()));
    }
    Ok(())
}

/// What the server must know and the client does not pass on: a client starts it in a folder and an environment of the
/// client's choosing. Paths only; the key itself stays in its file.
fn environment(settings: &Settings) -> anyhow::Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    match &settings.database {
        Database::Sqlite(path) => {
            let url = format!("sqlite:{}", std::path::absolute(path)?.display());
            environment.insert(URL.to_owned(), url);
        }
        // Its URL holds a password. In `server.toml` the server finds it by itself.
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => {
            let file = format!("{URL}_FILE");
            if let Some(path) = std::env::var_os(&file) {
                environment.insert(file, std::path::absolute(path)?.display().to_string());
            } else if std::env::var_os(URL).is_some() {
                let message = format!("{URL} holds a password, which does not belong into a client's configuration");
                bail!(Hinted::new(message, format!("put the URL into a file, and its path into {file}")));
            }
        }
    }
    let absolute = |path: &Path| anyhow::Ok(std::path::absolute(path)?.display().to_string());
    let vault = &settings.vault;
    match &vault.kek {
        Some(KekSource::File(path)) => environment.insert("MCP__VAULT__KEK_FILE".to_owned(), absolute(path)?),
        Some(remote) => environment.insert("MCP__VAULT__KEK".to_owned(), remote.to_string()),
        None => None,
    };
    if !vault.previous_keks.is_empty() {
        let source = |source: &KekSource| match source {
            KekSource::File(path) => absolute(path).map(|path| format!("file:{path}")),
            remote => Ok(remote.to_string()),
        };
        let sources = vault.previous_keks.iter().map(source).collect::<anyhow::Result<Vec<_>>>()?;
        environment.insert("MCP__VAULT__PREVIOUS_KEKS".to_owned(), sources.join(","));
    }
    if let Some(path) = &vault.transit_token_file {
        environment.insert("MCP__VAULT__TRANSIT_TOKEN_FILE".to_owned(), absolute(path)?);
    }
    Ok(environment)
}
