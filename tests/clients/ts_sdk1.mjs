// Calls a server with the 1.x TypeScript SDK, still the most common one. Command line: see common.mjs.

import { callWith, load, main } from './common.mjs';

await main('ts_sdk1', async (target) => {
  const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const { StdioClientTransport } = await load('@modelcontextprotocol/sdk/client/stdio.js');
  return callWith({ Client, StreamableHTTPClientTransport, StdioClientTransport }, {}, target);
});
