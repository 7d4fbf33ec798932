// Calls a server with the TypeScript SDK, newest protocol first. Command line: see common.mjs.

import { mainWith } from './ts_client.mjs';

await mainWith('ts_client_auto', { versionNegotiation: { mode: 'auto' } });
