// Exchanges a code and renews a token with @shopify/shopify-api. Command line: see common.py.

import { CLIENT_ID, CLIENT_SECRET, check, load, sandbox, sent, standIn } from './common.mjs';

const SHOP = 'little-lantern.myshopify.com';

// The package takes no other host than that of a shop. It keeps the `fetch` that is there when it is loaded.
const real = globalThis.fetch;
globalThis.fetch = (url, init) => {
  sent(init.method, String(url), init.headers, init.body);
  return real(standIn(String(url)), init);
};
sandbox();
await load('@shopify/shopify-api/adapters/web-api');
const { ApiVersion, shopifyApi } = await load('@shopify/shopify-api');

const shopify = shopifyApi({
  apiKey: CLIENT_ID,
  apiSecretKey: CLIENT_SECRET,
  scopes: ['read_orders', 'read_products'],
  hostName: 'mcp.test',
  apiVersion: ApiVersion.October26,
  isEmbeddedApp: false,
  logger: { level: 0 },
});

// The package sends programs away.
const browser = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36' };
const away = await shopify.auth.begin({
  shop: SHOP,
  callbackPath: '/callback',
  isOnline: false,
  rawRequest: new Request('https://mcp.test/auth', { headers: browser }),
});
const url = away.headers.get('location');
sent('GET', url, {});
// A sandbox on a socket learns the name of its shop this way. It signs the way back, which the package verifies.
const page = await real(`${standIn(url)}&sandbox_host=${SHOP}&decision=allow`, { redirect: 'manual' });
const back = new URL(page.headers.get('location'));
check('the shop', back.searchParams.get('shop'), SHOP);
const cookie = away.headers.getSetCookie().map((one) => one.split(';')[0]).join('; ');
const headers = { ...browser, cookie };
const { session } = await shopify.auth.callback({ rawRequest: new Request(back, { headers }), expiring: true });
check('scopes', session.scope, 'read_orders,read_products');
const { session: renewed } = await shopify.auth.refreshToken({ shop: SHOP, refreshToken: session.refreshToken });
check('another token', renewed.accessToken !== session.accessToken, true);
check('it ends', renewed.expires > new Date(), true);

console.log('OK shopify_oauth.mjs');
