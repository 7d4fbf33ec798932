// A token endpoint that fails as it is told (npm oauth2-mock-server), for the tests. Prints one line of JSON with its
// address. `POST` to `control` sets how the next token request is answered: `{"status", "body"}`.
import { createServer } from 'node:http';

import { OAuth2Server } from 'oauth2-mock-server';

const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
await server.start(0, '127.0.0.1');
let next;
server.service.on('beforeResponse', (answer) => {
  if (next) {
    answer.statusCode = next.status;
    answer.body = next.body;
    next = undefined;
  }
});
const control = createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  next = JSON.parse(Buffer.concat(parts).toString());
  response.end();
});
control.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const controlled = `http://127.0.0.1:${control.address().port}`;
  console.log(JSON.stringify({ url, control: controlled, token: '/token', api: '/userinfo' }));
});
