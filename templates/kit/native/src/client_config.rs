// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What to paste into which client. Keys are named by an environment variable wherever the client can read one: a
//! configuration file is soon shared, and then the key with it.

use clap::ValueEnum;
use serde_json::{Value, json};

/// The clients whose format is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// `claude_desktop_config.json`; it starts local programs only.
    ClaudeDesktop,
    /// `.mcp.json` of a project.
    ClaudeCode,
    /// `.cursor/mcp.json`.
    Cursor,
    /// `.vscode/mcp.json`.
    Vscode,
    /// `~/.codex/config.toml`.
    Codex,
    /// Python code with langchain-mcp-adapters.
    Langgraph,
}

/// How the client reaches the server.
#[derive(Clone, Debug)]
pub enum Route {
    /// Over HTTP with an API key from the environment variable `variable`.
    Http {
        /// URL of the MCP endpoint.
        url: String,
        /// Name of the variable.
        variable: String,
    },
    /// As a child process.
    Stdio {
        /// Program.
        command: String,
        /// Arguments.
        args: Vec<String>,
    },
}

/// The configuration of `client` for the server `name`, and where it goes. `None` if the client has no such route.
pub fn write(client: Client, name: &str, route: &Route) -> Option<(&'static str, String)> {
    let config = match (client, route) {
        (Client::ClaudeDesktop, Route::Stdio { command, args }) => (
            "claude_desktop_config.json (Claude Desktop → Settings → Developer → Edit Config)",
            pretty(&json!({"mcpServers": {name: {"command": command, "args": args}}})),
        ),
        (Client::ClaudeDesktop, Route::Http { .. }) => return None,
        (Client::ClaudeCode, Route::Http { url, variable }) => {
            let server = json!({"type": "http", "url": url, "headers": bearer(&format!("${{{variable}}}"))});
            (".mcp.json", pretty(&json!({"mcpServers": {name: server}})))
        }
        (Client::ClaudeCode, Route::Stdio { command, args }) => {
            (".mcp.json", pretty(&json!({"mcpServers": {name: {"command": command, "args": args}}})))
        }
        (Client::Cursor, Route::Http { url, variable }) => {
            let server = json!({"url": url, "headers": bearer(&format!("${{env:{variable}}}"))});
            (".cursor/mcp.json", pretty(&json!({"mcpServers": {name: server}})))
        }
        (Client::Cursor, Route::Stdio { command, args }) => {
            (".cursor/mcp.json", pretty(&json!({"mcpServers": {name: {"command": command, "args": args}}})))
        }
        (Client::Vscode, Route::Http { url, .. }) => {
            let input = json!({"type": "promptString", "id": "key", "description": format!("{name} API key"), "password": true});
            let server = json!({"type": "http", "url": url, "headers": bearer("${input:key}")});
            (".vscode/mcp.json", pretty(&json!({"inputs": [input], "servers": {name: server}})))
        }
        (Client::Vscode, Route::Stdio { command, args }) => (
            ".vscode/mcp.json",
            pretty(&json!({"servers": {name: {"type": "stdio", "command": command, "args": args}}})),
        ),
        (Client::Codex, route) => ("~/.codex/config.toml", codex(name, route)),
        (Client::Langgraph, route) => ("your Python code (pip install langchain-mcp-adapters)", langgraph(name, route)),
    };
    Some(config)
}

fn bearer(reference: &str) -> Value {
    json!({"Authorization": format!("Bearer {reference}")})
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// JSON strings and arrays of strings are also TOML and Python ones.
fn literal(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn codex(name: &str, route: &Route) -> String {
    let body = match route {
        Route::Http { url, variable } => {
            format!("url = {}\nbearer_token_env_var = {}", literal(url), literal(variable))
        }
        Route::Stdio { command, args } => format!("command = {}\nargs = {}", literal(command), literal(args)),
    };
    format!("[mcp_servers.{name}]\n{body}")
}

fn langgraph(name: &str, route: &Route) -> String {
    let (import, server) = match route {
        Route::Http { url, variable } => (
            "import os\n\n",
            format!(
                "{{\n        \"transport\": \"streamable_http\",\n        \"url\": {},\n        \
                 \"headers\": {{\"Authorization\": f\"Bearer {{os.environ['{variable}']}}\"}},\n    }}",
                literal(url)
            ),
        ),
        Route::Stdio { command, args } => (
            "",
            format!(
                "{{\n        \"transport\": \"stdio\",\n        \"command\": {},\n        \"args\": {},\n    }}",
                literal(command),
                literal(args)
            ),
        ),
    };
    format!(
        "{import}from langchain_mcp_adapters.client import MultiServerMCPClient\n\n\
         client = MultiServerMCPClient({{\n    {}: {server},\n}})\ntools = await client.get_tools()",
        literal(&name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> Route {
        Route::Http { url: "https://mcp.example.com/mcp".into(), variable: "ACME_KEY".into() }
    }

    #[test]
    fn no_http_configuration_holds_a_key_in_the_clear() {
        let references = [
            (Client::ClaudeCode, "Bearer ${ACME_KEY}"),
            (Client::Cursor, "Bearer ${env:ACME_KEY}"),
            (Client::Vscode, "Bearer ${input:key}"),
            (Client::Codex, "bearer_token_env_var = \"ACME_KEY\""),
            (Client::Langgraph, "os.environ['ACME_KEY']"),
        ];
        for (client, reference) in references {
            let (_, text) = write(client, "acme", &http()).unwrap();
            assert!(text.contains(reference), "{client:?}: {text}");
        }
    }

    #[test]
    fn claude_desktop_has_no_remote_form() {
        assert_eq!(write(Client::ClaudeDesktop, "acme", &http()), None);
    }

    #[test]
    fn codex_gets_toml() {
        let route =
            Route::Stdio { command: "/bin/acme".into(), args: vec!["stdio".into(), "--tenant".into(), "a".into()] };
        let (_, text) = write(Client::Codex, "acme", &route).unwrap();
        assert_eq!(text, "[mcp_servers.acme]\ncommand = \"/bin/acme\"\nargs = [\"stdio\",\"--tenant\",\"a\"]");
    }
}
