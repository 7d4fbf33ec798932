// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `config check`: the code that `serve` runs, up to the moment before it listens.

use std::path::Path;
use std::process::ExitCode;

use kit::App;

use crate::settings::{Problem, Problems, Settings};
use crate::{host, out};

pub(super) async fn run(app: &App, folder: &Path) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(app, folder)?;
    // The base URL of a custom API starts out on a domain that no one can own.
    let reserved = |host: &str| host == "example.com" || host.ends_with(".example.com") || host.ends_with(".example");
    let kit = host::live(app, &settings).await?;
    let examples: Vec<Problem> = kit
        .registry
        .integrations
        .values()
        .flat_map(|integration| {
            let examples = integration.all_endpoints().flat_map(|endpoints| {
                let urls = [("base_url", Some(&endpoints.api)), ("token_url", endpoints.token.as_ref())];
                urls.into_iter().filter_map(|(what, url)| Some((what, url?)))
            });
            let mut found: Vec<&str> =
                examples.filter(|(_, url)| url.host_str().is_some_and(reserved)).map(|(what, _)| what).collect();
            found.dedup();
            found.into_iter().map(move |what| (integration, what))
        })
        .map(|(integration, what)| Problem {
            path: what.into(),
            source: format!("integration `{}`", integration.instance),
            what: "is on a domain reserved for examples, nothing answers there".into(),
            remedy: format!("set `{what}` in config/integrations/{}.toml", integration.instance),
        })
        .collect();
    if !examples.is_empty() {
        return Err(Problems(examples).into());
    }
    out::note("the configuration is good: settings, store, key-encryption key and tools");
    Ok(ExitCode::SUCCESS)
}
