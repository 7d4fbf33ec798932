// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `tenant`, `key`, `app` and `connection`.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use kit::boot::Kit;
use kit::operator::{NewConnection, SecretForm};
use kit::secret::Secret;
use kit::store::connections::ConnectionState;
use kit::store::tenants::TenantState;
use serde_json::json;

#[cfg(feature = "http")]
use super::args::Connect;
use super::args::{App, Connection, Key, Tenant};
use crate::failure::Hinted;
use crate::out;

/// A secret longer than this is not one.
const MAX_SECRET: u64 = 64 << 10;

pub(super) async fn tenant(kit: &Kit, command: Tenant) -> anyhow::Result<()> {
    let operator = &kit.operator;
    match command {
        Tenant::Add { tenant, plan } => {
            // A misspelt plan must not leave a tenant without one.
            plan.iter().try_for_each(|plan| operator.known_plan(plan))?;
            operator.tenant_add(&tenant).await?;
            if plan.is_some() {
                operator.tenant_plan(&tenant, plan.as_deref()).await?;
            }
            let server = kit.registry.name;
            out::note(&format!("added tenant `{tenant}`\n\nnext: `{server} key create --tenant {tenant}`"));
        }
        Tenant::List { json: true } => out::json(&operator.tenant_list().await?),
        Tenant::List { json: false } => {
            let tenants = operator.tenant_list().await?;
            let rows: Vec<Vec<String>> = tenants
                .iter()
                .map(|t| {
                    let state = t.state.as_str().to_owned();
                    let plan = t.plan.clone().unwrap_or_else(|| "-".to_owned());
                    let counts = [t.connections.to_string(), t.keys.to_string()];
                    [vec![t.id.clone(), state, plan], counts.to_vec(), vec![out::time(t.created_ms)]].concat()
                })
                .collect();
            out::table(&["TENANT", "STATE", "PLAN", "CONNECTIONS", "KEYS", "ADDED"], &rows, "there are no tenants yet");
        }
        Tenant::Plan { tenant, plan, none: _ } => {
            operator.tenant_plan(&tenant, plan.as_deref()).await?;
            let on = plan.map_or_else(|| "no plan".to_owned(), |plan| format!("the plan `{plan}`"));
            out::note(&format!("tenant `{tenant}` is on {on}; every replica follows within 15 s"));
        }
        Tenant::Billing { tenant, id, none: _ } => {
            operator.tenant_billing(&tenant, id.as_deref()).await?;
            let called = id.unwrap_or_else(|| tenant.clone());
            out::note(&format!("tenant `{tenant}` is billed as `{called}`"));
        }
        Tenant::Suspend { tenant } => {
            operator.tenant_state(&tenant, TenantState::Suspended).await?;
            out::note(&format!("suspended tenant `{tenant}`; every replica follows within 15 s"));
        }
        Tenant::Resume { tenant } => {
            operator.tenant_state(&tenant, TenantState::Active).await?;
            out::note(&format!("resumed tenant `{tenant}`; every replica follows within 15 s"));
        }
        Tenant::Export { tenant } => out::json(&operator.tenant_export(&tenant).await?),
        Tenant::Delete { tenant, confirm } => {
            if tenant != confirm {
                let hint = format!("to destroy its keys for ever, give `--confirm {tenant}`");
                bail!(Hinted::new("the two names differ, nothing was deleted", hint));
            }
            operator.tenant_delete(&tenant).await?;
            out::note(&format!("deleted tenant `{tenant}`: its data keys, connections and API keys are gone"));
        }
    }
    Ok(())
}

pub(super) async fn key(kit: &Kit, command: Key) -> anyhow::Result<()> {
    let operator = &kit.operator;
    match command {
        Key::Create { tenant, account, label, days, json } => {
            let lifetime = days.map(|days| i64::from(days) * 86_400_000);
            let new = operator.key_create_for(&tenant, account.as_deref(), &label, lifetime).await?;
            let text = new.key.expose_str().context("failed to show the key")?;
            if json {
                out::json(&json!({"id": new.id, "key": text, "tenant": tenant}));
            } else {
                out::data(text);
                out::note("this is the only time the key is shown; store it where the client reads it");
            }
        }
        Key::List { tenant, json: true } => out::json(&operator.key_list(&tenant).await?),
        Key::List { tenant, json: false } => {
            let never = |at: Option<i64>| at.map_or_else(|| "-".to_owned(), out::time);
            let rows: Vec<Vec<String>> = operator
                .key_list(&tenant)
                .await?
                .into_iter()
                .map(|k| {
                    let account = k.account.unwrap_or_else(|| "all".to_owned());
                    vec![k.id, k.label, account, out::time(k.created_ms), never(k.expires_ms), never(k.revoked_ms)]
                })
                .collect();
            out::table(&["KEY", "LABEL", "ACCOUNT", "CREATED", "EXPIRES", "REVOKED"], &rows, "there are no keys yet");
        }
        Key::Revoke { id, tenant } => {
            operator.key_revoke(&tenant, &id).await?;
            out::note(&format!("revoked key `{id}`; every replica refuses it within 15 s"));
        }
    }
    Ok(())
}

#[cfg(feature = "http")]
pub(super) async fn connect(kit: &Kit, command: &Connect) -> anyhow::Result<()> {
    let Connect { integration, tenant, account, json } = command;
    let link = kit.connector.link(tenant, integration, account).await?;
    if *json {
        out::json(&json!({"url": link.url.as_str(), "expires": out::time(link.expires_ms)}));
    } else {
        out::data(link.url.as_str());
        out::note(&format!(
            "whoever opens it connects their {integration} account for the tenant `{tenant}`: send it to that person \
             alone; good once, until {}",
            out::time(link.expires_ms)
        ));
    }
    Ok(())
}

pub(super) async fn connection(kit: &Kit, command: Connection) -> anyhow::Result<()> {
    let operator = &kit.operator;
    match command {
        Connection::Set { integration, tenant, account, site, target, secret_file } => {
            let form = operator.secret_form(&integration)?;
            let new = NewConnection {
                tenant: &tenant,
                integration: &integration,
                account: &account,
                secret: read_secret(secret_file.as_deref())?,
                site: site.as_deref(),
                target: target.as_deref(),
            };
            operator.connection_set(new).await?;
            out::note(&format!("stored the {integration} connection of tenant `{tenant}`, sealed"));
            if form == SecretForm::Tokens && !operator.app_list().await?.iter().any(|a| a.integration == integration) {
                let server = kit.registry.name;
                out::note(&format!(
                    "\nnext: `{server} app set {integration} --client-id ID`, with the app's secret on standard input"
                ));
            }
        }
        Connection::Targets { integration, tenant, account, json } => {
            let targets = operator.connection_targets(&tenant, &integration, &account).await?;
            if json {
                let list: Vec<_> = targets.iter().map(|t| json!({"id": t.id, "label": t.label})).collect();
                out::json(&list);
            } else {
                let rows: Vec<Vec<String>> = targets.into_iter().map(|t| vec![t.id, t.label]).collect();
                out::table(&["ID", "NAME"], &rows, "the provider lists nothing: another region, or no rights");
            }
        }
        Connection::Target { integration, tenant, account, id } => {
            operator.connection_target(&tenant, &integration, &account, &id).await?;
            out::note(&format!("the {integration} connection of tenant `{tenant}` is now for `{id}`"));
        }
        Connection::List { tenant, json: true } => out::json(&operator.connection_list(&tenant).await?),
        Connection::List { tenant, json: false } => {
            let rows: Vec<Vec<String>> = operator
                .connection_list(&tenant)
                .await?
                .into_iter()
                .map(|c| {
                    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
                    let state = c.state.as_str().replace('_', " ");
                    let state = match c.reason.filter(|_| c.state != ConnectionState::Active) {
                        Some(reason) => format!("{state}: {reason}"),
                        None => state,
                    };
                    let what: Vec<String> = c.site.into_iter().chain(c.target).collect();
                    let ends = match (c.ends_ms, c.days_left) {
                        (Some(ends), Some(days)) => format!("{}, {}", &out::time(ends)[..10], days_left(days)),
                        _ => "-".to_owned(),
                    };
                    vec![c.integration, c.account, dash(what.join(" ")), dash(c.scopes.join(" ")), ends, state]
                })
                .collect();
            let none = "there are no connections yet";
            out::table(&["INTEGRATION", "ACCOUNT", "FOR", "SCOPES", "ENDS", "STATE"], &rows, none);
        }
        Connection::Remove { integration, tenant, account } => {
            operator.connection_remove(&tenant, &integration, &account).await?;
            out::note(&format!("removed the {integration} connection of tenant `{tenant}`"));
        }
    }
    Ok(())
}

pub(super) async fn app(kit: &Kit, command: App) -> anyhow::Result<()> {
    let operator = &kit.operator;
    let whose = |tenant: &Option<String>| tenant.as_ref().map_or_else(String::new, |t| format!(" of tenant `{t}`"));
    match command {
        App::Set { integration, client_id, tenant, secret_file } => {
            let secret = read_secret(secret_file.as_deref())?;
            operator.app_set(&integration, tenant.as_deref(), &client_id, secret).await?;
            out::note(&format!("stored the {integration} app{}, sealed", whose(&tenant)));
        }
        App::List { json: true } => out::json(&operator.app_list().await?),
        App::List { json: false } => {
            let rows: Vec<Vec<String>> = operator
                .app_list()
                .await?
                .into_iter()
                .map(|a| {
                    vec![a.integration, a.tenant.unwrap_or_else(|| "-".into()), a.client_id, out::time(a.changed_ms)]
                })
                .collect();
            out::table(&["INTEGRATION", "TENANT", "CLIENT ID", "CHANGED"], &rows, "there are no apps yet");
        }
        App::Remove { integration, tenant } => {
            operator.app_remove(&integration, tenant.as_deref()).await?;
            out::note(&format!("removed the {integration} app{}", whose(&tenant)));
        }
    }
    Ok(())
}

/// The secret from a file or from standard input, without the newline that editors and `echo` put behind it. Never from
/// the command line, where every process on the machine can read it.
fn read_secret(file: Option<&Path>) -> anyhow::Result<Secret> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let read = match file {
        Some(path) => std::fs::File::open(path).and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut bytes)),
        None => std::io::stdin().lock().take(MAX_SECRET + 1).read_to_end(&mut bytes),
    };
    let from = file.map_or_else(|| "standard input".to_owned(), |path| format!("`{}`", path.display()));
    read.with_context(|| format!("failed to read the secret from {from}"))?;
    if bytes.len() as u64 > MAX_SECRET {
        let message = format!("the secret from {from} is longer than {} KiB", MAX_SECRET >> 10);
        bail!(Hinted::new(message, "give the key alone"));
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Ok(Secret::new(text.strip_suffix(b"\r").unwrap_or(text).to_vec()))
}

/// Days as a person says them.
fn days_left(days: i64) -> String {
    match days {
        ..=0 => "over".to_owned(),
        1 => "less than a day left".to_owned(),
        days => format!("{days} days left"),
    }
}
