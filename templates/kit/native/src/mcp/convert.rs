// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! From the kit's types to the protocol's.

use std::sync::Arc;

use kit::error::ToolError;
use kit::pipeline::{ACCOUNT, Answer};
use kit::prompt::{Message, Speaker};
use kit::registry::{Deprecation, MountedPrompt, MountedResource, MountedTool, Registry};
use kit::tool::Class;
use rmcp::model::{
    CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, InputRequest, InputRequiredResult, MetaObject,
    Prompt, PromptArgument, PromptMessage, Resource, ResourceContents, Role, Tool, ToolAnnotations,
};
use serde_json::{Map, Value, json};

/// A tool; with `choices` it gets the required argument `tenant` with exactly those values.
pub(super) fn tool(tool: &MountedTool, choices: Option<&[String]>) -> Tool {
    let input = match choices {
        Some(choices) => Arc::new(with_tenant(&tool.input, choices)),
        None => tool.input.clone(),
    };
    let annotations = ToolAnnotations::new()
        .read_only(tool.class == Class::Read)
        .destructive(tool.class == Class::Destructive)
        .idempotent(tool.class == Class::Read)
        .open_world(true);
    let mut made = Tool::new(tool.name.clone(), tool.description.clone(), input)
        .with_raw_output_schema(tool.output.clone())
        .with_annotations(annotations);
    if let Some(Deprecation { successor, ends }) = &tool.deprecated {
        let mut meta = MetaObject::new();
        meta.insert(DEPRECATED.to_owned(), json!({"successor": successor, "ends": ends}));
        made.meta = Some(meta);
    }
    made
}

/// Where programs read that a tool goes; the protocol has no field for it.
const DEPRECATED: &str = "deprecated";

fn with_tenant(schema: &Map<String, Value>, choices: &[String]) -> Map<String, Value> {
    with_choice(schema, "tenant", "Which tenant this call is for.", choices, true)
}

/// The schema with the argument `account`.
pub(super) fn with_account(schema: &Map<String, Value>, choices: &[String], required: bool) -> Map<String, Value> {
    with_choice(schema, ACCOUNT, "Which account this call is for.", choices, required)
}

fn with_choice(
    schema: &Map<String, Value>,
    name: &str,
    what: &str,
    choices: &[String],
    required: bool,
) -> Map<String, Value> {
    let mut schema = schema.clone();
    let argument = json!({"type": "string", "enum": choices, "description": what});
    if let Value::Object(properties) = schema.entry("properties").or_insert_with(|| json!({})) {
        properties.insert(name.into(), argument);
    }
    if required && let Value::Array(names) = schema.entry("required").or_insert_with(|| json!([])) {
        names.push(name.into());
    }
    schema
}

pub(super) fn prompt(prompt: &MountedPrompt) -> Prompt {
    let argument = |(name, description, required): &(String, String, bool)| {
        PromptArgument::new(name).with_description(description).with_required(*required)
    };
    let arguments = prompt.arguments.iter().map(argument).collect();
    Prompt::new(&prompt.name, Some(&prompt.description), Some(arguments))
}

pub(super) fn resource(resource: &MountedResource) -> Resource {
    Resource::new(&resource.uri, &resource.name)
        .with_description(&resource.description)
        .with_mime_type(resource.media_type)
}

pub(super) fn contents(uri: &str, media_type: &str, text: String) -> ResourceContents {
    ResourceContents::text(text, uri).with_mime_type(media_type)
}

pub(super) fn message(message: &Message) -> PromptMessage {
    let role = match message.speaker {
        Speaker::User => Role::User,
        Speaker::Assistant => Role::Assistant,
    };
    PromptMessage::new_text(role, &message.text)
}

/// Structured content with the same as text, for clients that read only one of them.
pub(super) fn answer(answer: Answer) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
    result.structured_content = Some(answer.value);
    result
}

pub(super) fn tool_error(error: &ToolError) -> CallToolResult {
    let mut result = CallToolResult::error(vec![ContentBlock::text(error.to_string())]);
    result.structured_content = Some(error.to_value());
    result
}

/// Sends the person to the page that mends `error`, if there is one (elicitation in URL mode). The code is for this client's
/// person alone: nobody else who comes by the address gets on with it.
pub(super) fn wanted(error: &ToolError) -> Option<InputRequiredResult> {
    let value = error.to_value();
    let fact = |name: &str| value["error"][name].as_str();
    let (url, code) = (fact("connect_url")?.to_owned(), fact("connect_code")?);
    let message = format!("{}. Connect an account on this page; it asks for the code {code}.", error.message());
    let params = ElicitRequestParams::UrlElicitationParams { meta: None, message, url, elicitation_id: String::new() };
    let request = InputRequest::Elicitation(ElicitRequest::new(params));
    Some(InputRequiredResult::from_input_requests([("connect".to_owned(), request)].into()))
}

/// `_meta` of every result: the specification wants the server's name and version there.
pub(super) fn server_meta(registry: &Registry) -> MetaObject {
    let info = json!({"name": registry.name, "version": registry.version});
    let mut meta = MetaObject::new();
    meta.insert("io.modelcontextprotocol/serverInfo".to_owned(), info);
    meta
}

pub(super) fn instructions(registry: &Registry) -> String {
    let titles: Vec<String> = registry
        .integrations
        .values()
        .map(|mounted| format!("{} (tools `{}_…`)", mounted.provider.title, mounted.instance))
        .collect();
    format!(
        "Tools for {}. A failed call says in its `hint` what mends it; pass the hint on to the person.",
        titles.join(", ")
    )
}
