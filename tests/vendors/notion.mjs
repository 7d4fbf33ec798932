// Searches, reads a page and its text with @notionhq/client. Command line: see common.py.

import { check, load, meant, refusals, sandbox, sent } from './common.mjs';

const { APIResponseError, Client, LogLevel, isFullBlock, isFullDataSource, isFullPage } = await load('@notionhq/client');

const PAGE = '5f2c0001-0000-4000-8000-000000000000';

// The address is an option of the package; so is the transport.
const notion = new Client({
  auth: 'ntn_sandbox_0000000000000000000000000000000000',
  baseUrl: sandbox(),
  logLevel: LogLevel.ERROR,
  notionVersion: '2026-03-11',
  fetch: (url, init) => {
    sent(init.method, meant(url, 'https://api.notion.com'), init.headers, init.body);
    return fetch(url, init);
  },
});

const found = await notion.search({ query: 'media', page_size: 25 });
check('pages', found.results.map((page) => isFullPage(page) && page.properties.Name.title[0].plain_text), [
  'Media plan 2027',
]);
check('the end', [found.has_more, found.next_cursor], [false, null]);

const filter = { property: 'object', value: 'data_source' };
const tables = await notion.search({ query: '', filter, page_size: 25 });
check('data sources', tables.results.map((table) => isFullDataSource(table) && table.title[0].plain_text), [
  'Campaigns',
]);

const part = await notion.search({ query: '', page_size: 2 });
const rest = await notion.search({ query: '', page_size: 2, start_cursor: part.next_cursor });
check('the second part', rest.results.map((one) => one.object), ['data_source']);

const page = await notion.pages.retrieve({ page_id: PAGE });
check('the page', [isFullPage(page), page.id, page.in_trash], [true, PAGE, false]);

const text = await notion.blocks.children.list({ block_id: PAGE, page_size: 100 });
check('blocks', text.results.map((block) => isFullBlock(block) && block[block.type].rich_text[0].plain_text), [
  'Goals',
  'Grow returning customers by a tenth before the summer.',
  'Spend at most 40,000 a month, two thirds of it on search.',
]);

refusals();
const refusal = await notion.pages.retrieve({ page_id: '5f2c0009-0000-4000-8000-000000000000' }).catch((error) => error);
check('the error', [refusal instanceof APIResponseError, refusal.status, refusal.code], [true, 404, 'object_not_found']);

console.log('OK notion.mjs');
