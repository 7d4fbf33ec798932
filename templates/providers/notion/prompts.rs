//! Prompts: what a person can pick in the client's menu.

use kit::prelude::*;

pub(super) fn prompts() -> Prompts {
    Prompts::new().prompt("summarize", "Summarise what the workspace says on a topic, with links.", summarize)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Summarize {
    /// What to look for.
    topic: String,
}

async fn summarize(call: Call, args: Summarize) -> Result<Vec<Message>, ToolError> {
    let (instance, topic) = (call.instance(), args.topic);
    Ok(vec![Message::user(format!(
        "Find pages about \"{topic}\" with the tool {instance}_search, read the most promising ones with \
         {instance}_page_text, and summarise what they say in at most ten sentences. Link each page that you used."
    ))])
}
