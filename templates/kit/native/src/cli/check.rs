// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `config check`: the code that `serve` runs, up to the moment before it listens.

use std::path::Path;
use std::process::ExitCode;

use kit::App;
use kit::boot::Kit;
use kit::ports::Clock as _;
use kit::registry::Mounted;
use kit::upstream::provider::ApiVersion;

use crate::clock::SystemClock;
use crate::settings::{Problem, Problems, Settings};
use crate::{host, out};

pub(super) async fn run(app: &App, folder: &Path) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(app, folder)?;
    // The base URL of a custom API starts out on a domain that no one can own.
    let reserved = |host: &str| host == "example.com" || host.ends_with(".example.com") || host.ends_with(".example");
    let kit = host::live(app, &settings).await?;
    #[cfg(feature = "redis")]
    host::check_limits(app, &settings).await?;
    check_tools(&kit, &settings)?;
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
    host::check_plans(&kit, &settings).await?;
    let now = SystemClock.wall_ms();
    for integration in kit.registry.integrations.values() {
        for warning in integration.provider.version.iter().filter_map(|version| ending(integration, version, now)) {
            out::note(&warning);
        }
    }
    out::note("the configuration is good: settings, store, key-encryption key and tools");
    Ok(ExitCode::SUCCESS)
}

/// An outage that is settled for a tool which does not exist is settled for none.
fn check_tools(kit: &Kit, settings: &Settings) -> Result<(), Problems> {
    let known = |name: &str| {
        let resource = kit.registry.resources.iter().any(|resource| resource.name == name);
        resource || kit.registry.tool(name).is_some() || kit.registry.prompt(name).is_some()
    };
    let unknown = settings.limits.outages.tools.keys().filter(|name| !known(name)).map(|name| Problem {
        path: "limits.outage_…".into(),
        source: "config/server.toml or environment".into(),
        what: format!("there is no tool `{name}`"),
        remedy: "give the full name, with its integration in front".into(),
    });
    let unknown: Vec<Problem> = unknown.collect();
    if unknown.is_empty() { Ok(()) } else { Err(Problems(unknown)) }
}

/// An API version is warned of this long before it ends.
const WARNED_DAYS: i64 = 60;

fn ending(integration: &Mounted, version: &ApiVersion, now_ms: i64) -> Option<String> {
    let (title, name, ends) = (integration.provider.title, version.name, version.ends?);
    let when = match version.days_left(now_ms)? {
        days if days > WARNED_DAYS => return None,
        days if days > 0 => format!("ends on {ends}, in {days} days"),
        _ => format!("ended on {ends}"),
    };
    Some(format!(
        "warning: integration `{}`: version {name} of {title} {when}\nhint: raise it in its provider.rs, with its tools and \
         its sandbox",
        integration.instance
    ))
}

#[cfg(test)]
mod tests {
    use kit::prelude::{ApiVersion, Integration, Provider};
    use kit::registry::Registry;

    #[test]
    fn a_version_is_warned_of_sixty_days_before_it_ends() {
        let provider = Provider { title: "Ads", base_url: "https://api.ads.test", ..Provider::PLAIN };
        let app = kit::App::new("acme", "0.0.0").integration("ads", Integration::new(provider));
        let registry = Registry::mount(&app, &Default::default()).unwrap();
        let version = ApiVersion { name: "v26", ends: Some("1970-03-02") };
        let at = |day: i64| super::ending(&registry.integrations["ads"], &version, day * 86_400_000);
        let warning = |when| {
            Some(format!(
                "warning: integration `ads`: version v26 of Ads {when}\nhint: raise it in its provider.rs, with its tools \
                 and its sandbox"
            ))
        };
        assert_eq!(at(-1), None);
        assert_eq!(at(0), warning("ends on 1970-03-02, in 60 days"));
        assert_eq!(at(60), warning("ended on 1970-03-02"));
    }
}
