// Connects accounts as a person does: a call without a good connection gives a link and a code, Chromium opens the link, and
// the call works afterwards. Every page on the way is looked at by axe-core, light and dark, wide and narrow.
//
//     connect.mjs URL KEY PLAN_JSON SHOTS
//
// PLAN is `[{instance, tools: {name: args}, site?, secret?, target?, refreshes?}]`; SHOTS is a folder for screenshots. Prints a line for each
// integration, or explains itself on standard error and exits 1.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, load, NODE_MODULES } from '../clients/common.mjs';

const [, , url, key, planText, shots] = process.argv;
const plan = JSON.parse(planText);
const server = new URL(url).origin;

const { chromium } = await load('playwright-core');
const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
const axeSource = readFileSync(join(NODE_MODULES, 'axe-core', 'axe.min.js'), 'utf8');

async function connectClient() {
  const client = new Client({ name: 'browser-test', version: '0.0.0' });
  const headers = { Authorization: `Bearer ${key}` };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
  return client;
}

function check(condition, message) {
  if (!condition) throw new Failure(message);
}

/** What axe-core has against the page. It runs in a copy without the page's policy, which forbids scripts. */
async function look(page, browser, name) {
  const html = await page.content();
  const style = await (await fetch(`${server}/connect/style.css`)).text();
  for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['light', 360], ['dark', 360]]) {
    const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 740 } });
    const copy = await context.newPage();
    await copy.setContent(html.replace(/<link rel="stylesheet"[^>]*>/, `<style>${style}</style>`));
    await copy.addScriptTag({ content: axeSource });
    const found = await copy.evaluate(() => globalThis.axe.run());
    const wrong = found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`);
    check(wrong.length === 0, `${name} (${scheme}, ${width}): ${wrong.join('\n')}`);
    const overflow = await copy.evaluate(() => document.documentElement.scrollWidth - globalThis.innerWidth);
    check(overflow <= 0, `${name} (${scheme}, ${width}) is ${overflow} px too wide`);
    await copy.screenshot({ path: join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
    await context.close();
  }
}

const heading = (page) => page.locator('h1').textContent();

/** Walks the pages of one link, until it says that it is done. */
async function walk(browser, step, link, code) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const errors = [];
  // What is missing is the icon that browsers ask for by themselves, and later the used link.
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  const first = await page.goto(link);
  const policy = first.headers()['content-security-policy'] ?? '';
  check(policy.includes("default-src 'none'") && policy.includes("frame-ancestors 'none'"), `policy: ${policy}`);
  check(first.headers()['referrer-policy'] === 'no-referrer', 'no referrer policy');
  check((await context.cookies()).length === 0, 'opening a link sets a cookie');
  await look(page, browser, `${step.instance}-start`);
  await page.getByLabel('Code').fill(code);
  if (step.site) {
    const field = page.locator('[name=site]');
    if ((await field.evaluate((element) => element.tagName)) === 'SELECT') await field.selectOption(step.site);
    else await field.fill(step.site);
  }
  const secret = page.locator('[name=secret]');
  if (await secret.count()) await secret.fill(step.secret);
  await page.getByRole('button').click();
  if ((await heading(page)) === 'Sandbox') await page.locator('#allow').click();
  if ((await heading(page)).startsWith('Choose')) {
    await look(page, browser, `${step.instance}-choose`);
    await page.locator(`input[name=target][value="${step.target}"]`).check();
    await page.getByRole('button').click();
  }
  check((await heading(page)) === 'Done', `${step.instance}: ${await page.locator('main').innerText()}`);
  await look(page, browser, `${step.instance}-done`);
  const again = await page.goto(link);
  check(again.status() === 410, `a used link answers ${again.status()}`);
  check(errors.filter((text) => !/^Failed to load resource.* (404|410) /.test(text)).length === 0, `the browser complains: ${errors.join('\n')}`);
  await context.close();
}

async function call(client, name, args) {
  const result = await client.callTool({ name, arguments: args });
  return { failed: Boolean(result.isError), answer: result.structuredContent };
}

/** Calls every tool of the integration; each must answer. */
async function callAll(client, step, when) {
  for (const [tool, args] of Object.entries(step.tools)) {
    const { failed, answer } = await call(client, `${step.instance}_${tool}`, args);
    check(!failed, `${step.instance}_${tool} ${when}: ${JSON.stringify(answer)}`);
  }
}

const end = (instance, what) => fetch(`${server}/sandbox/${instance}/-/${what}`, { method: 'POST' });

const browser = await chromium.launch({
  executablePath: process.env.MCPKIT_CHROMIUM,
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
const client = await connectClient();
try {
  for (const step of plan) {
    const [tool, args] = Object.entries(step.tools)[0];
    await callAll(client, step, 'at first');
    if (step.refreshes) {
      check((await end(step.instance, 'expire')).status === 204, `${step.instance}: its tokens cannot be ended`);
      await callAll(client, step, 'with an ended token');
    }
    check((await end(step.instance, 'revoke')).status === 204, `${step.instance}: its consents cannot be ended`);
    let dead;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const { answer } = await call(client, `${step.instance}_${tool}`, args);
      dead = answer?.error;
      check(dead?.type === 'reconnect_required', `${step.instance} withdrawn: ${JSON.stringify(answer)}`);
    }
    await end(step.instance, 'restore');
    await walk(browser, step, dead.connect_url, dead.connect_code);
    await callAll(client, step, 'after connecting again');
    console.log(`OK ${step.instance}`);
  }
} catch (error) {
  console.error(error instanceof Failure ? error.message : error);
  process.exitCode = 1;
} finally {
  await client.close().catch(() => {});
  await browser.close();
}
