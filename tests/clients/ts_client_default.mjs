// Calls a server with the TypeScript SDK as it comes: the handshake of 2025. Command line: see common.mjs.

import { mainWith } from './ts_client.mjs';

await mainWith('ts_client_default', {});
