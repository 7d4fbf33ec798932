// What a client gets: it makes the calls of PLAN (`[{"tool": "x", "arguments": {}, "_meta": {}}]`) one after the other and
// prints the result of each as a line of JSON. The tools are listed first: after that the SDK checks structured
// content against the schema that the tool has for its answers.
//
//     calls.mjs URL KEY PLAN

import { load } from './common.mjs';

const [url, key, plan] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
const client = new Client({ name: 'mcpkit-test', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
await client.listTools();
for (const { tool, arguments: values, _meta } of JSON.parse(plan)) {
  console.log(JSON.stringify(await client.callTool({ name: tool, arguments: values, _meta })));
}
await client.close();
