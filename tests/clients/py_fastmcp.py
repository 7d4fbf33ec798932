"""Calls a server with the FastMCP client. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

from common import main, text_of
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport


async def run(target):
    if target.is_http:
        transport = StreamableHttpTransport(target.url, headers=target.headers)
    else:
        command, *arguments = target.command
        transport = StdioTransport(command, arguments, env=target.environment, keep_alive=False)
    async with Client(transport) as client:
        target.check_listed(tool.name for tool in await client.list_tools())
        result = await client.call_tool(target.tool, target.arguments, raise_on_error=False)
        target.check_answer(result.is_error, text_of(result.content))
        return client.protocol_version


main("py_fastmcp", run)
