// Consents at Google with openid-client: id and secret in the form, and PKCE. Command line: see common.py.

import { consent } from './consent.mjs';

await consent({
  authorizeUrl: 'https://accounts.google.com/o/oauth2/v2/auth',
  tokenUrl: 'https://oauth2.googleapis.com/token',
  scope: 'https://www.googleapis.com/auth/adwords',
  clientAuth: 'ClientSecretPost',
  pkce: true,
  params: { access_type: 'offline', prompt: 'consent' },
});
console.log('OK google_oauth.mjs');
