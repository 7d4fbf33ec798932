// What the JavaScript client scripts share: the command line, the checks, the time limit.
//
//     <script> http URL KEY TOOL ARGS_JSON EXPECT
//     <script> stdio TOOL ARGS_JSON EXPECT -- CMD ARG...
//
// A script connects, lists the tools, calls TOOL and looks for EXPECT in the text of the answer.
// It prints `OK <client> <protocol version or ?>`, or explains itself on standard error and exits 1.

import { registerHooks } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';

// The clients themselves give up after 60 seconds.
const TIMEOUT_SECONDS = 50;
const CLOSE_SECONDS = 8;

const USAGE = `usage: <script> http URL KEY TOOL ARGS_JSON EXPECT
       <script> stdio TOOL ARGS_JSON EXPECT -- CMD ARG...`;

/** The server did not do what the test expects. */
export class Failure extends Error {}

function nodeModules() {
  if (process.env.MCPKIT_NODE_MODULES) return process.env.MCPKIT_NODE_MODULES;
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(process.env.MCPKIT_TOOLS || join(cache, 'mcpkit', 'tools'), 'npm', 'node_modules');
}

/** Where `scripts/setup` put the packages; they are not installed in the repository. */
export const NODE_MODULES = nodeModules();

/**
 * Imports a package from there. Node.js looks for a package from the importing file upwards, so the
 * name is resolved as if a file beside that folder had asked for it.
 */
export async function load(name) {
  if (!registerHooks) throw new Failure(`Node.js ${process.version} is too old, use the one of scripts/setup`);
  const parentURL = pathToFileURL(join(NODE_MODULES, '..', 'importer.mjs')).href;
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, specifier === name ? { ...context, parentURL } : context),
  });
  try {
    return await import(name);
  } finally {
    hooks.deregister();
  }
}

function parse(args) {
  if (args[0] === 'http' && args.length === 6) {
    const [, url, key, tool, values, expect] = args;
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    return { http: true, url, headers, tool, arguments: JSON.parse(values), expect };
  }
  if (args[0] === 'stdio' && args[4] === '--' && args.length > 5) {
    const [, tool, values, expect, , command, ...commandArgs] = args;
    return { http: false, command, commandArgs, tool, arguments: JSON.parse(values), expect };
  }
  throw new Failure(USAGE);
}

export function checkListed(target, tools) {
  const names = tools.map((tool) => tool.name);
  if (!names.includes(target.tool)) {
    throw new Failure(`tool '${target.tool}' is not listed, only ${JSON.stringify(names)}`);
  }
}

export function checkAnswer(target, result) {
  const text = (result.content ?? []).map((block) => block.text ?? '').join('\n');
  if (result.isError) throw new Failure(`${target.tool} failed: ${text}`);
  if (!text.includes(target.expect)) {
    throw new Failure(`expected '${target.expect}' in the answer of ${target.tool}: ${JSON.stringify(result)}`);
  }
}

// Closes what is still open, since a server on standard input and output must not outlive the test.
let close = async () => {};

/** Runs `run(target)`, which returns the negotiated protocol version, if the client knows it. */
export async function main(client, run) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`no result after ${TIMEOUT_SECONDS} s`)), TIMEOUT_SECONDS * 1000);
  });
  try {
    const version = await Promise.race([run(parse(process.argv.slice(2))), timeout]);
    clearTimeout(timer);
    console.log(`OK ${client} ${version || '?'}`);
  } catch (error) {
    console.error(`${client}: ${error instanceof Failure ? error.message : inspect(error)}`);
    await Promise.race([close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, CLOSE_SECONDS * 1000))]);
    process.exit(1);
  }
}

/**
 * The same steps with a client of either TypeScript SDK: `sdk` has the classes `Client`,
 * `StreamableHTTPClientTransport` and `StdioClientTransport`.
 */
export async function callWith(sdk, options, target) {
  const transport = target.http
    ? new sdk.StreamableHTTPClientTransport(new URL(target.url), { requestInit: { headers: target.headers } })
    : new sdk.StdioClientTransport({
        command: target.command,
        args: target.commandArgs,
        // Everything: left to itself, the client passes only a few variables to the server.
        env: process.env,
      });
  const client = new sdk.Client({ name: 'mcpkit-test', version: '1.0.0' }, options);
  close = () => transport.close();
  await client.connect(transport);
  checkListed(target, (await client.listTools()).tools);
  checkAnswer(target, await client.callTool({ name: target.tool, arguments: target.arguments }));
  const version = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion;
  await client.close();
  return version;
}
