// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The owner's apps: what an integration is called by at its provider.

use serde_json::json;

use super::{Operator, OperatorError};
use crate::secret::Secret;
use crate::store::apps::AppSummary;
use crate::upstream::provider;

impl Operator {
    /// Stores the owner's app for `integration`, or the override of `tenant`. Connections that waited for a good app go on.
    pub async fn app_set(
        &self,
        integration: &str,
        tenant: Option<&str>,
        client_id: &str,
        client_secret: Secret,
    ) -> Result<(), OperatorError> {
        let mounted = self.integration(integration)?;
        if !mounted.provider.auth.needs_app() {
            return Err(OperatorError::refused(
                format!("{} is called without an app", mounted.provider.title),
                format!("set its connections with `{} connection set {integration} --tenant TENANT`", self.server),
            ));
        }
        if client_id.is_empty() || !client_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(OperatorError::refused(
                "the client id is empty or holds a space or a letter outside ASCII",
                "copy it from the provider's page of your app",
            ));
        }
        if provider::checked(&client_secret).is_none() {
            return Err(bad_secret());
        }
        let ctx = match tenant {
            Some(tenant) => Some(self.act_for(tenant).await?),
            None => None,
        };
        let details = json!({"client_id": client_id, "integration": integration});
        self.audit(ctx.as_ref().map(|ctx| ctx.tenant()), "app set", details).await?;
        self.vault.put_app(ctx.as_ref(), integration, client_id, &client_secret).await?;
        let tenant = ctx.as_ref().map(|ctx| ctx.tenant());
        self.store.revive_misconfigured(tenant, integration, self.clock.wall_ms()).await?;
        self.vault.forget_all();
        Ok(())
    }

    /// All apps, without their secrets.
    pub async fn app_list(&self) -> Result<Vec<AppSummary>, OperatorError> {
        Ok(self.store.apps().await?)
    }

    /// Removes the owner's app for `integration`, or the override of `tenant`.
    pub async fn app_remove(&self, integration: &str, tenant: Option<&str>) -> Result<(), OperatorError> {
        let ctx = match tenant {
            Some(tenant) => Some(self.act_for(tenant).await?),
            None => None,
        };
        let unknown = || OperatorError::refused("there is no such app", format!("see `{} app list`", self.server));
        // What was typed is written down only where it names something.
        let is_it = |app: &AppSummary| app.integration == integration && app.tenant.as_deref() == tenant;
        if !self.store.apps().await?.iter().any(is_it) {
            return Err(unknown());
        }
        let details = json!({"integration": integration});
        self.audit(ctx.as_ref().map(|ctx| ctx.tenant()), "app remove", details).await?;
        if !self.store.remove_app(ctx.as_ref().map(|ctx| ctx.tenant()), integration).await? {
            return Err(unknown());
        }
        self.vault.forget_apps(integration);
        Ok(())
    }
}

pub(super) fn bad_secret() -> OperatorError {
    OperatorError::refused(
        "the secret is empty or holds a space, a line break or a letter outside ASCII",
        "give exactly the key, for example `printf %s \"$KEY\" |` before the command",
    )
}
