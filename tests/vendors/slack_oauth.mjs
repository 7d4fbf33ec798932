// Consents at Slack with openid-client: id and secret in HTTP Basic, no PKCE. Command line: see common.py.

import { consent } from './consent.mjs';

await consent({
  authorizeUrl: 'https://slack.com/oauth/v2/authorize',
  tokenUrl: 'https://slack.com/api/oauth.v2.access',
  scope: 'channels:read,groups:read,chat:write',
  clientAuth: 'ClientSecretBasic',
  // Slack calls the type of its tokens `bot`, where RFC 6749 §5.1 has a registered one, and the package insists on that.
  mend: async (answer) => Response.json({ ...(await answer.json()), token_type: 'bearer' }),
});
console.log('OK slack_oauth.mjs');
