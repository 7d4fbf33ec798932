//! Lists the tools of an MCP server and calls one: `demo-client URL KEY TOOL ARGUMENTS`.

use anyhow::{Context as _, bail};
use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, tool, arguments] = args.as_slice() else { bail!("usage: demo-client URL KEY TOOL ARGUMENTS") };
    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str()).auth_header(key.as_str());
    let client = ().serve(StreamableHttpClientTransport::from_config(config)).await.context("failed to connect")?;

    println!("tools:");
    for tool in client.list_all_tools().await.context("failed to list the tools")? {
        println!("  {}  {}", tool.name, tool.description.unwrap_or_default());
    }
    let arguments = serde_json::from_str(arguments).context("failed to read the arguments")?;
    let request = CallToolRequestParams::new(tool.clone()).with_arguments(arguments);
    let result = client.call_tool(request).await.context("failed to call the tool")?;
    let answer = result.structured_content.context("the tool gave no structured answer")?;
    println!("\n{tool} answered:\n{}", serde_json::to_string_pretty(&answer)?);
    client.cancel().await?;
    if result.is_error == Some(true) { bail!("the tool reported an error") }
    Ok(())
}
