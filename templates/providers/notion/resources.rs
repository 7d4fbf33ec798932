//! Resources: what a person can attach to a conversation.

use kit::prelude::*;

pub(super) fn resources() -> Resources {
    Resources::new().resource(
        "workspace",
        "application/json",
        "Which Notion workspace this connection belongs to, and under which name it acts there.",
        workspace,
    )
}

async fn workspace(call: Call) -> Result<Text, ToolError> {
    let me: Value = call.upstream().get("/v1/users/me").json().await?;
    let text = json!({"name": me["name"], "workspace": me["bot"]["workspace_name"]});
    Ok(Text(text.to_string()))
}
