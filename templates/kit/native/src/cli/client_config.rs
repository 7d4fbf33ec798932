// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `client-config`.

use anyhow::bail;
use kit::App;

use super::args;
use crate::client_config::{Route, write};
use crate::failure::Hinted;
use crate::out;
use crate::settings::Settings;

pub(super) fn run(app: &App, settings: &Settings, command: &args::ClientConfig) -> anyhow::Result<()> {
    let route = match &command.stdio {
        Some(tenant) => {
            let program = std::env::current_exe()?;
            let config = std::path::absolute("config")?;
            Route::Stdio {
                command: program.display().to_string(),
                args: ["stdio", "--tenant", tenant, "--config", &config.display().to_string()]
                    .map(str::to_owned)
                    .to_vec(),
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
