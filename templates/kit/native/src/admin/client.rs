// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The operator's side of the admin API.

use std::time::Duration;

use anyhow::Context as _;
use kit::App;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::failure::Hinted;
use crate::settings::AdminListen;

/// Whatever is asked, the server has it at hand.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the server that listens on `listen`.
pub(crate) async fn ask(app: &App, listen: &AdminListen, method: Method, path: &[&str]) -> anyhow::Result<Value> {
    let builder = Client::builder().no_proxy().timeout(TIMEOUT);
    let (builder, host) = match listen {
        AdminListen::None => {
            let hint = "set `admin.listen` in config/server.toml, and start the server again";
            anyhow::bail!(Hinted::new("the server has no place where it answers its operator", hint));
        }
        AdminListen::Unix { path, .. } => (builder.unix_socket(path.as_path()), "localhost".to_owned()),
        AdminListen::Tcp { address, .. } => (builder, address.to_string()),
    };
    let mut url = url::Url::parse(&format!("http://{host}")).context("failed to form an address")?;
    url.path_segments_mut().map_err(|()| anyhow::anyhow!("failed to form an address"))?.extend(path);
    let mut request = builder.build().context("failed to make a client")?.request(method, url);
    if let AdminListen::Tcp { token, .. } = listen {
        request = request.bearer_auth(token.expose_str().context("`admin.token` is not text")?);
    }
    let sent = request.send().await.map_err(|error| {
        let what = if error.is_connect() { "no server answers there" } else { "the answer did not come" };
        let hint = format!(
            "start it with `{} serve`, and run this as its user, in its folder: `admin.listen` says where it answers",
            app.name()
        );
        Hinted::new(format!("failed to ask the server on {listen}: {what}"), hint)
    })?;
    let status = sent.status();
    let body = sent.bytes().await.context("failed to read the server's answer")?;
    let answer: Value = serde_json::from_slice(&body).context("failed to read the server's answer")?;
    if status.is_success() {
        return Ok(answer);
    }
    let text = |name: &str| answer["error"][name].as_str().map(str::to_owned);
    let message = text("message").unwrap_or_else(|| format!("the server answered {status}"));
    Err(match text("hint") {
        Some(hint) => Hinted::new(message, hint).into(),
        None => anyhow::anyhow!(message),
    })
}
