// Asks for orders and products with @shopify/shopify-api. Command line: see common.py.
//
// 15.0.0 and not the 13.1.0 of which the vectors of HMACs are: it is the first that knows the version 2026-10, which
// provider.rs asks for.

import { readFileSync } from 'node:fs';

import { CLIENT_ID, CLIENT_SECRET, TOKEN, check, load, refusals, sandbox, sent, standIn } from './common.mjs';

const SHOP = 'little-lantern.myshopify.com';

// The package takes no other host than that of a shop. It keeps the `fetch` that is there when it is loaded.
const real = globalThis.fetch;
globalThis.fetch = (url, init) => {
  sent(init.method, String(url), init.headers, init.body);
  return real(standIn(String(url)), init);
};
sandbox();
await load('@shopify/shopify-api/adapters/node');
const { ApiVersion, GraphqlQueryError, Session, shopifyApi } = await load('@shopify/shopify-api');

const shopify = shopifyApi({
  apiKey: CLIENT_ID,
  apiSecretKey: CLIENT_SECRET,
  scopes: ['read_orders', 'read_products'],
  hostName: 'mcp.test',
  apiVersion: ApiVersion.October26,
  isEmbeddedApp: false,
  logger: { level: 0 },
});
const session = (accessToken) => new Session({ id: SHOP, shop: SHOP, state: '', isOnline: false, accessToken });
const client = new shopify.clients.Graphql({ session: session(TOKEN) });

// The very queries of our tools: what is tested here is not GraphQL but all around it.
const tools = readFileSync(new URL('../../templates/providers/shopify/tools.rs', import.meta.url), 'utf8');
const query = (name) => tools.match(new RegExp(`const ${name}: &str = "([^"]*)"`))[1].replace(/\\\n\s*/g, '');

const orders = await client.request(query('ORDERS'), {
  variables: { first: 2, query: 'financial_status:paid', after: null },
});
check('orders', orders.data.orders.nodes.map((order) => order.name), ['#1004', '#1003']);
check('there are more', orders.data.orders.pageInfo.hasNextPage, true);
check('the budget', orders.extensions.cost.throttleStatus.restoreRate, 100);
check('the version', orders.headers['X-Shopify-Api-Version'], ['2026-10']);

const products = await client.request(query('PRODUCTS'), { variables: { first: 50, query: null, after: null } });
check('products', products.data.products.nodes.map((product) => product.title).slice(0, 2), [
  'Storm lantern',
  'Beeswax candle',
]);

refusals();
const wrong = await client.request('query{orders(first:1){nodes{colour}}}', { variables: { first: 1 } }).catch((e) => e);
check('a field that is not there', wrong instanceof GraphqlQueryError, true);
const denied = new shopify.clients.Graphql({ session: session('wrong') });
const refusal = await denied.request(query('ORDERS'), { variables: { first: 1 } }).catch((error) => error);
check('a wrong token', refusal.response?.code, 401);

console.log('OK shopify.mjs');
