// Sends an export of usage with the packages of Stripe and of Lago, to a listener that stands in for both, and prints what
// arrived there as one line of JSON: {"stripe": [{id, value}], "lago": [{id, value}]}.
//
//     node exports.mjs FOLDER     a folder with the files `stripe` and `lago`
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

import { load } from './common.mjs';

const { Client } = await load('lago-javascript-client');
const { default: Stripe } = await load('stripe');

const folder = process.argv[2];
const lines = (name) => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));

const arrived = { stripe: [], lago: [] };
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (part) => (body += part));
  request.on('end', () => {
    response.setHeader('content-type', 'application/json');
    if (request.url === '/v1/billing/meter_events') {
      const form = new URLSearchParams(body);
      const timestamp = Number(form.get('timestamp'));
      if (form.get('event_name') !== 'mcp_units' || !form.get('payload[stripe_customer_id]') || !(timestamp > 0)) {
        response.statusCode = 400;
        response.end(JSON.stringify({ error: { type: 'invalid_request_error', message: body } }));
        return;
      }
      arrived.stripe.push({ id: form.get('identifier'), value: Number(form.get('payload[value]')) });
      response.end(JSON.stringify({ object: 'billing.meter_event', identifier: form.get('identifier') }));
      return;
    }
    if (request.url === '/api/v1/events/batch') {
      const { events } = JSON.parse(body);
      for (const event of events) {
        arrived.lago.push({ id: event.transaction_id, value: event.properties.units });
      }
      response.end(JSON.stringify({ events: events.map((event) => ({ ...event, lago_id: event.transaction_id })) }));
      return;
    }
    response.statusCode = 404;
    response.end('{}');
  });
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const { port } = server.address();

const stripe = new Stripe('sk_test_none', { host: '127.0.0.1', port, protocol: 'http', maxNetworkRetries: 0, telemetry: false });
for (const event of lines('stripe')) {
  await stripe.billing.meterEvents.create(event);
}
const lago = Client('none', { baseUrl: `http://127.0.0.1:${port}/api/v1` });
for (const body of lines('lago')) {
  await lago.events.createBatchEvents(body);
}
server.close();
console.log(JSON.stringify(arrived));
