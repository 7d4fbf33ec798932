"""Calls a server through langchain-mcp-adapters, as a LangChain tool. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

from common import main, text_of
from langchain_mcp_adapters.client import MultiServerMCPClient


async def run(target):
    if target.is_http:
        connection = {"transport": "streamable_http", "url": target.url, "headers": target.headers}
    else:
        command, *arguments = target.command
        connection = {"transport": "stdio", "command": command, "args": arguments, "env": target.environment}
    tools = {tool.name: tool for tool in await MultiServerMCPClient({"server": connection}).get_tools()}
    target.check_listed(tools)
    # In the form of a model's call: with bare arguments, an error of the tool looks like an answer.
    call = {"type": "tool_call", "id": "1", "name": target.tool, "args": target.arguments}
    message = await tools[target.tool].ainvoke(call)
    target.check_answer(message.status == "error", text_of(message.content))
    # The adapter does not tell which protocol version it negotiated.


main("py_langchain", run)
