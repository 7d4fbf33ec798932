// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `config/integrations/<instance>.toml`: one file for each integration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use kit::App;
use kit::registry::IntegrationSettings;
use url::Url;

use super::source::read_file;
use super::{Problem, is_loopback, reader::Reader};

/// The settings of every integration of `app`. A file for something else is a problem: a misspelt name would otherwise
/// leave its settings without effect.
pub(super) fn load(
    app: &App,
    folder: &Path,
    bind: SocketAddr,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, IntegrationSettings> {
    let mut settings = BTreeMap::new();
    for instance in app.instances() {
        let file = folder.join(format!("{instance}.toml"));
        let values = read_file(&file, problems);
        let mut reader = Reader::new(values, problems);
        let mut url = |path: &'static str| {
            let url: Option<Url> = reader.parsed(path, "give a URL, for example https://api.example.com");
            if let Some((what, remedy)) = url.as_ref().and_then(|url| refuse(url, bind)) {
                reader.problem(path, &file.display().to_string(), what, remedy);
            }
            url
        };
        let (base_url, token_url, authorize_url) = (url("base_url"), url("token_url"), url("authorize_url"));
        reader.finish();
        settings.insert(instance.to_owned(), IntegrationSettings { base_url, token_url, authorize_url });
    }
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if !settings.contains_key(&name) {
            problems.push(Problem {
                path: "*".into(),
                source: file.display().to_string(),
                what: "there is no integration of that name".into(),
                remedy: format!("this server has: {}", app.instances().collect::<Vec<_>>().join(", ")),
            });
        }
    }
    settings
}

/// Why a credential may not be sent there.
fn refuse(url: &Url, bind: SocketAddr) -> Option<(&'static str, &'static str)> {
    match (url.scheme(), is_loopback(url)) {
        ("https" | "http", true) if !bind.ip().is_loopback() => Some((
            "an upstream on this machine, while the server listens on more than loopback",
            "give the provider's own host, or set `server.bind` to 127.0.0.1",
        )),
        ("https", _) | ("http", true) => None,
        _ => Some(("credentials would travel in the clear", "give an https:// URL")),
    }
}
