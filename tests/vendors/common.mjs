// What the JavaScript scripts of this folder share; see common.py, which says what a script does and prints.

import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

export const TOKEN = 'sandbox-access-0';
export const CLIENT_ID = 'sandbox-client';
export const CLIENT_SECRET = 'sandbox-client-secret';

/** The rest is about the connection, or names the package. */
const HEADERS = [
  'authorization',
  'content-type',
  'linkedin-version',
  'notion-version',
  'x-http-method-override',
  'x-restli-method',
  'x-restli-protocol-version',
  'x-shopify-access-token',
];

/** Parameters that are new each time. */
const RANDOM = ['code', 'code_challenge', 'code_verifier', 'refresh_token', 'state'];

function fail(text) {
  console.error(text);
  process.exit(1);
}

/** Imports a package that lives outside the repository, where a script of the repository would not look. */
export async function load(name) {
  const modules = process.env.MCPKIT_VENDORS_NODE_MODULES;
  if (!modules) fail('MCPKIT_VENDORS_NODE_MODULES is missing, run: eval "$(scripts/setup --print-env)"');
  const parentURL = pathToFileURL(join(modules, '..', 'importer.mjs')).href;
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

/** The address of the sandbox, http://ADDRESS/sandbox/INTEGRATION. */
export function sandbox() {
  if (process.argv.length !== 3) fail(`usage: ${process.argv[1]} SANDBOX`);
  return process.argv[2].replace(/\/$/, '');
}

/** The address at the sandbox of what the vendor has at `url`. */
export function standIn(url) {
  return sandbox() + url.slice(new URL(url).origin.length);
}

/** The opposite, for a package that was told the address of the sandbox: what it would ask of `vendor`. */
export function meant(url, vendor) {
  if (!url.startsWith(sandbox())) fail(`${url} is not at the sandbox`);
  return vendor + url.slice(sandbox().length);
}

/** Pairs in an order, and alike each time. */
const settled = (pairs) =>
  pairs.map(([name, value]) => [name, RANDOM.includes(name) ? '(random)' : value]).sort(byText);

const byText = (one, other) => (String(one) < String(other) ? -1 : 1);

let recording = true;

/** From here on a script asks for what is refused: no tool of ours does, so nothing more is printed. */
export function refusals() {
  recording = false;
}

/** Prints a request. `decode: false` keeps the query as it was written, for Rest.li, where the escapes matter. */
export function sent(method, url, given, body, { decode = true } = {}) {
  if (!recording) return;
  const { host, pathname, search, searchParams } = new URL(url);
  const raw = () => search.slice(1).split('&').map((pair) => pair.split(/=(.*)/s).slice(0, 2));
  const all = new Headers(given);
  const headers = Object.fromEntries(HEADERS.filter((name) => all.has(name)).map((name) => [name, all.get(name)]));
  const kind = headers['content-type'] ?? '';
  let content = null;
  if (body && kind.startsWith('application/json')) {
    content = JSON.parse(body, (name, value) => (RANDOM.includes(name) ? '(random)' : value));
  }
  else if (body && kind.startsWith('application/x-www-form-urlencoded')) {
    content = settled([...new URLSearchParams(String(body))]);
  } else if (body) fail(`a body of ${kind}`);
  const query = settled(decode ? [...searchParams] : raw());
  console.log(`SENT ${JSON.stringify({ body: content, headers, host, method, path: pathname, query })}`);
}

export function check(what, got, expected) {
  if (!isDeepStrictEqual(got, expected)) {
    fail(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
  }
}
