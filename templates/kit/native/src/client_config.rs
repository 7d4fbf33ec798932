// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What to paste into which client. Keys are named by an environment variable wherever the client can read one: a
//! configuration file is soon shared, and then the key with it.

use std::collections::BTreeMap;

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
        /// Environment: clients start the program with next to none of their own.
        env: BTreeMap<String, String>,
    },
}

/// The configuration of `client` for the server `name`, and where it goes. `None` if the client has no such route.
pub fn write(client: Client, name: &str, route: &Route) -> Option<(&'static str, String)> {
    let config = match (client, route) {
        (Client::ClaudeDesktop, Route::Stdio { command, args, env }) => (
            "claude_desktop_config.json (Claude Desktop → Settings → Developer → Edit Config)",
            pretty(&json!({"mcpServers": {name: process(command, args, env)}})),
        ),
        (Client::ClaudeDesktop, Route::Http { .. }) => return None,
        (Client::ClaudeCode, Route::Http { url, variable }) => {
            let server = json!({"type": "http", "url": url, "headers": bearer(&["${", variable, "}"].concat())});
            (".mcp.json", pretty(&json!({"mcpServers": {name: server}})))
        }
        (Client::ClaudeCode, Route::Stdio { command, args, env }) => {
            (".mcp.json", pretty(&json!({"mcpServers": {name: process(command, args, env)}})))
        }
        (Client::Cursor, Route::Http { url, variable }) => {
            let server = json!({"url": url, "headers": bearer(&format!("${{env:{variable}}}"))});
            (".cursor/mcp.json", pretty(&json!({"mcpServers": {name: server}})))
        }
        (Client::Cursor, Route::Stdio { command, args, env }) => {
            (".cursor/mcp.json", pretty(&json!({"mcpServers": {name: process(command, args, env)}})))
        }
        (Client::Vscode, Route::Http { url, .. }) => {
            let input = json!({"type": "promptString", "id": "key", "description": format!("{name} API key"), "password": true});
            let server = json!({"type": "http", "url": url, "headers": bearer("${input:key}")});
            (".vscode/mcp.json", pretty(&json!({"inputs": [input], "servers": {name: server}})))
        }
        (Client::Vscode, Route::Stdio { command, args, env }) => (".vscode/mcp.json", {
            let mut server = process(command, args, env);
            server["type"] = "stdio".into();
            pretty(&json!({"servers": {name: server}}))
        }),
        (Client::Codex, route) => ("~/.codex/config.toml", codex(name, route)),
        (Client::Langgraph, route) => ("your Python code (pip install langchain-mcp-adapters)", langgraph(name, route)),
    };
    Some(config)
}

fn bearer(reference: &str) -> Value {
    json!({"Authorization": format!("Bearer {reference}")})
}

fn process(command: &str, args: &[String], env: &BTreeMap<String, String>) -> Value {
    let mut server = json!({"command": command, "args": args});
    if !env.is_empty() {
        server["env"] = json!(env);
    }
    server
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
        Route::Stdio { command, args, env } => {
            let pairs: Vec<String> = env.iter().map(|(name, value)| format!("{name} = {}", literal(value))).collect();
            let env = if pairs.is_empty() { String::new() } else { format!("\nenv = {{ {} }}", pairs.join(", ")) };
            format!("command = {}\nargs = {}{env}", literal(command), literal(args))
        }
    };
    format!("[mcp_servers.{name}]\n{body}")
}

fn langgraph(name: &str, route: &Route) -> String {
    let (import, fields) = match route {
        Route::Http { url, variable } => {
            let key = format!("{{\"Authorization\": f\"Bearer {{os.environ['{variable}']}}\"}}");
            let fields = [("transport", literal(&"streamable_http")), ("url", literal(url)), ("headers", key)];
            ("import os\n\n", fields.to_vec())
        }
        Route::Stdio { command, args, env } => {
            let mut fields =
                vec![("transport", literal(&"stdio")), ("command", literal(command)), ("args", literal(args))];
            if !env.is_empty() {
                fields.push(("env", literal(env)));
            }
            ("", fields)
        }
    };
    let lines: String = fields.iter().map(|(key, value)| format!("        \"{key}\": {value},\n")).collect();
    let server = ["    ", &literal(&name), ": {\n", &lines, "    },\n"].concat();
    [
        import,
        "from langchain_mcp_adapters.client import MultiServerMCPClient\n\nclient = MultiServerMCPClient({\n",
        &server,
        "})\ntools = await client.get_tools()",
    ]
    .concat()
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
        let route = Route::Stdio {
            command: "/bin/acme".into(),
            args: vec!["stdio".into(), "--tenant".into(), "a".into()],
            env: BTreeMap::from([("MCP__VAULT__KEK_FILE".to_owned(), "/etc/acme/kek".to_owned())]),
        };
        let (_, text) = write(Client::Codex, "acme", &route).unwrap();
        let expected = "[mcp_servers.acme]\ncommand = \"/bin/acme\"\nargs = [\"stdio\",\"--tenant\",\"a\"]\n\
                        env = { MCP__VAULT__KEK_FILE = \"/etc/acme/kek\" }";
        assert_eq!(text, expected);
    }
}
