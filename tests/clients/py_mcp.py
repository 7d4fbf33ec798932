"""Calls a server with the official Python SDK. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

from common import main, text_of
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client


async def call(target, transport):
    async with Client(transport) as client:
        target.check_listed(tool.name for tool in (await client.list_tools()).tools)
        result = await client.call_tool(target.tool, target.arguments)
        target.check_answer(result.is_error, text_of(result.content))
        return client.protocol_version


async def run(target):
    if target.is_http:
        async with create_mcp_http_client(headers=target.headers) as http:
            return await call(target, streamable_http_client(target.url, http_client=http))
    command, *arguments = target.command
    server = StdioServerParameters(command=command, args=arguments, env=target.environment)
    return await call(target, stdio_client(server))


main("py_mcp", run)
