// Exchanges a code and renews a token with @notionhq/client. Command line: see common.py.
//
// Notion has id and secret in HTTP Basic and the rest in JSON, which neither openid-client nor Authlib can express; its own
// package can, and makes no address of the consent, so that one is written here as Notion documents it.

import { CLIENT_ID, CLIENT_SECRET, check, load, meant, sandbox, sent, standIn } from './common.mjs';

const { Client } = await load('@notionhq/client');

const notion = new Client({
  baseUrl: sandbox(),
  notionVersion: '2026-03-11',
  fetch: (url, init) => {
    sent(init.method, meant(url, 'https://api.notion.com'), init.headers, init.body);
    return fetch(url, init);
  },
});

const redirect_uri = 'https://mcp.test/callback';
const url = new URL('https://api.notion.com/v1/oauth/authorize');
const asked = { client_id: CLIENT_ID, response_type: 'code', owner: 'user', redirect_uri, state: 'a-state' };
url.search = new URLSearchParams(asked);
sent('GET', url.href, {});
const page = await fetch(`${standIn(url.href)}&decision=allow`, { redirect: 'manual' });
const code = new URL(page.headers.get('location')).searchParams.get('code');

const app = { client_id: CLIENT_ID, client_secret: CLIENT_SECRET };
const token = await notion.oauth.token({ ...app, grant_type: 'authorization_code', code, redirect_uri });
check('a token', [token.token_type, token.workspace_name], ['bearer', 'Sandbox workspace']);
const renewed = await notion.oauth.token({ ...app, grant_type: 'refresh_token', refresh_token: token.refresh_token });
check('another one', renewed.access_token !== token.access_token, true);

console.log('OK notion_oauth.mjs');
