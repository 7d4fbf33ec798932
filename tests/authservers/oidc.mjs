// An authorization server with refresh-token rotation (npm oidc-provider), for the tests. Prints one line of JSON with its
// address. Besides its own endpoints: `POST /test/mint` gives a refresh token, `GET /test/count` the token requests so far.
import { createServer } from 'node:http';

import { Provider } from 'oidc-provider';

const scope = 'openid offline_access';
let answer = (_request, response) => response.writeHead(503).end();
let count = 0;
const server = createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [
      {
        client_id: 'kit',
        client_secret: 'kit-secret',
        redirect_uris: ['https://mcp.test/connect/callback'],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: { devInteractions: { enabled: false } },
    rotateRefreshToken: true,
    ttl: { AccessToken: 3600, Grant: 86400, RefreshToken: 86400 },
  });
  const callback = provider.callback();

  async function mint() {
    const grant = new provider.Grant({ accountId: 'somebody', clientId: 'kit' });
    grant.addOIDCScope(scope);
    const grantId = await grant.save();
    const client = await provider.Client.find('kit');
    const token = new provider.RefreshToken({
      accountId: 'somebody',
      client,
      grantId,
      gty: 'authorization_code',
      iiat: Math.floor(Date.now() / 1000),
      rotations: 0,
      scope,
    });
    return token.save();
  }

  answer = (request, response) => {
    if (request.url === '/test/mint') {
      mint().then(
        (token) => response.end(token),
        (error) => response.writeHead(500).end(String(error)),
      );
    } else if (request.url === '/test/count') {
      response.end(String(count));
    } else {
      count += request.url === '/token' ? 1 : 0;
      callback(request, response);
    }
  };
  console.log(JSON.stringify({ url, token: '/token', api: '/me' }));
});
