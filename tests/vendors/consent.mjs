// A consent, its code exchanged and its token renewed by openid-client, which knows of no provider more than a script
// tells it. Requests go to where the provider has its endpoints, and the transport, an option of the package, is turned
// round to the sandbox.

import { CLIENT_ID, CLIENT_SECRET, check, load, sent, standIn } from './common.mjs';

const REDIRECT_URI = 'https://mcp.test/callback';

export async function consent({ authorizeUrl, tokenUrl, scope, clientAuth, pkce, params, mend }) {
  const client = await load('openid-client');
  const endpoints = { authorization_endpoint: authorizeUrl, token_endpoint: tokenUrl };
  const server = { issuer: new URL(authorizeUrl).origin, ...endpoints };
  const config = new client.Configuration(server, CLIENT_ID, {}, client[clientAuth](CLIENT_SECRET));
  config[client.customFetch] = async (url, { method, headers, body }) => {
    sent(method, url, headers, body);
    const answer = await fetch(standIn(url), { method, headers, body });
    return mend ? mend(answer) : answer;
  };

  const verifier = pkce ? client.randomPKCECodeVerifier() : undefined;
  const challenge = pkce && {
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  };
  const state = client.randomState();
  const asked = { redirect_uri: REDIRECT_URI, scope, state, ...challenge, ...params };
  const url = client.buildAuthorizationUrl(config, asked);
  sent('GET', url.href, {});
  const page = await fetch(`${standIn(url.href)}&decision=allow`, { redirect: 'manual' });

  const back = new URL(page.headers.get('location'));
  const checks = { expectedState: state, pkceCodeVerifier: verifier };
  const token = await client.authorizationCodeGrant(config, back, checks);
  check('a token', token.access_token.startsWith('sandbox-access-'), true);
  const renewed = await client.refreshTokenGrant(config, token.refresh_token);
  check('another one', renewed.access_token !== token.access_token, true);
}
