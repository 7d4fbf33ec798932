// Finds ad accounts and their figures with npm linkedin-api-client. Command line: see common.py.

import { TOKEN, check, load, refusals, sent, standIn } from './common.mjs';

const { RestliClient } = await load('linkedin-api-client');

const client = new RestliClient();
// The package has no option for its address. It is built on axios and shows the instance, which is turned round here.
client.axiosInstance.interceptors.request.use((config) => {
  sent(config.method.toUpperCase(), config.url, { ...config.headers }, config.data, { decode: false });
  return { ...config, url: standIn(config.url) };
});
const common = { accessToken: TOKEN, versionString: '202607' };

const accounts = await client.finder({
  ...common,
  resourcePath: '/adAccounts',
  finderName: 'search',
  queryParams: { pageSize: 1, search: { status: { values: ['ACTIVE'] } } },
});
check('accounts', accounts.data.elements.map((account) => account.name), ['Kornblume Bakery']);
const next = await client.finder({
  ...common,
  resourcePath: '/adAccounts',
  finderName: 'search',
  queryParams: {
    pageSize: 1,
    pageToken: accounts.data.metadata.nextPageToken,
    search: { status: { values: ['ACTIVE'] } },
  },
});
check('the next page', next.data.elements.map((account) => account.name), ['Kornblume Catering']);
check('the end', next.data.metadata.nextPageToken, undefined);

const report = await client.finder({
  ...common,
  resourcePath: '/adAnalytics',
  finderName: 'analytics',
  queryParams: {
    accounts: ['urn:li:sponsoredAccount:502840441', 'urn:li:sponsoredAccount:502840442'],
    // In the order of the alphabet: this package keeps the order of keys, where others sort them.
    dateRange: { end: { day: 31, month: 10, year: 2026 }, start: { day: 1, month: 10, year: 2026 } },
    pivot: 'CAMPAIGN',
    timeGranularity: 'DAILY',
    fields: 'impressions,clicks,costInLocalCurrency,dateRange,pivotValues',
  },
});
check(
  'rows',
  report.data.elements.map((row) => [row.pivotValues[0], row.impressions, row.costInLocalCurrency]),
  [
    ['urn:li:sponsoredCampaign:710', 120, '12.34'],
    ['urn:li:sponsoredCampaign:720', 80, '4.50'],
    ['urn:li:sponsoredCampaign:710', 200, '27.66'],
  ],
);

refusals();
const refusal = await client
  .finder({ ...common, versionString: '202511', resourcePath: '/adAccounts', finderName: 'search' })
  .catch((error) => error);
check('a version that has ended', refusal.response?.status, 426);

console.log('OK linkedin.mjs');
