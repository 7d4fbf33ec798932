// Adds a bearer token for a client that cannot send one, namely the conformance suite.
//
//     key_proxy.mjs URL KEY
//
// Listens on a free loopback port, prints `http://127.0.0.1:PORT` and forwards everything to the
// server of URL as it comes: method, path, headers (order, case and duplicates too), body, streaming,
// and the end of either side. Two things change. A request without `Authorization` gets the KEY,
// unless that is empty. A `Host` that names this proxy becomes that of the server; any other one
// passes, as does every `Origin`, so the server still has to turn away foreign ones itself.

import http from 'node:http';

const [url, key] = process.argv.slice(2);
const server = new URL(url);
if (server.protocol !== 'http:') throw new Error('only http: servers can be tested');

// These belong to one connection, and there are two here.
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade']);

function* pairs(raw) {
  for (let i = 0; i < raw.length; i += 2) yield [raw[i], raw[i + 1]];
}

const forwarded = (raw) => [...pairs(raw)].filter(([name]) => !HOP_BY_HOP.has(name.toLowerCase()));

// One connection per request: a kept one may be closed by the server just when it is used again.
const agent = new http.Agent({ keepAlive: false });

const proxy = http.createServer((request, response) => {
  const { port } = proxy.address();
  const own = [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`];
  const headers = forwarded(request.rawHeaders).map(([name, value]) =>
    name.toLowerCase() === 'host' && own.includes(value.toLowerCase()) ? [name, server.host] : [name, value],
  );
  if (key && !request.headers.authorization) headers.push(['Authorization', `Bearer ${key}`]);

  const upstream = http.request({
    agent,
    host: server.hostname.replace(/^\[|\]$/g, ''),
    port: server.port || 80,
    method: request.method,
    path: request.url,
    headers: headers.flat(),
    setHost: false,
  });
  upstream.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.statusMessage, forwarded(answer.rawHeaders).flat());
    response.flushHeaders(); // an event stream may stay silent for long
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  // The suite must not take a failure of the proxy for an answer of the server.
  upstream.on('error', (error) => {
    if (!response.destroyed) console.error(`key_proxy: ${request.method} ${request.url}: ${error.message}`);
    response.destroy();
  });
  response.on('close', () => upstream.destroy());
  request.on('error', () => upstream.destroy());
  request.pipe(upstream);
});
proxy.requestTimeout = 0;
proxy.keepAliveTimeout = 60_000;
proxy.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${proxy.address().port}`));
