// The current TypeScript SDK (@modelcontextprotocol/client), which has two ways to negotiate the
// protocol version: ts_client_default.mjs and ts_client_auto.mjs choose one each.

import { callWith, load, main } from './common.mjs';

export function mainWith(name, options) {
  return main(name, async (target) => {
    const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
    const { StdioClientTransport } = await load('@modelcontextprotocol/client/stdio');
    return callWith({ Client, StreamableHTTPClientTransport, StdioClientTransport }, options, target);
  });
}
