// Calls a server with the command line of the MCP Inspector. Command line: see common.mjs.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { checkAnswer, checkListed, Failure, main, NODE_MODULES } from './common.mjs';

const CLI = join(NODE_MODULES, '@modelcontextprotocol/inspector/clients/launcher/build/index.js');

function inspect(folder, args) {
  return new Promise((resolve, reject) => {
    // Never wait for a person to log in.
    const options = ['--config', join(folder, 'config.json'), '--stored-auth-only', '--quiet', '--format', 'json'];
    const child = spawn(process.execPath, [CLI, '--cli', ...options, ...args], {
      // The Inspector keeps tokens in the home folder and in the keychain of the desktop; a test must
      // not see or leave any there.
      env: { ...process.env, MCP_STORAGE_DIR: folder, MCP_INSPECTOR_SECRET_STORE: 'memory' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const stop = () => child.kill();
    process.once('exit', stop);
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => (out += chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      process.removeListener('exit', stop);
      if (code !== 0) return reject(new Failure(`mcp-inspector exited with ${code}: ${out}`));
      try {
        resolve(JSON.parse(out).result);
      } catch {
        reject(new Failure(`mcp-inspector printed no JSON: ${out}`));
      }
    });
  });
}

await main('inspector', async (target) => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpkit-inspector-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const server = target.http
    ? { type: 'streamable-http', url: target.url, headers: target.headers }
    : // Everything: left to itself, the Inspector passes only a few variables to the server.
      { type: 'stdio', command: target.command, args: target.commandArgs, env: process.env };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ mcpServers: { server } }), { mode: 0o600 });

  checkListed(target, (await inspect(folder, ['--method', 'tools/list'])).tools);
  const values = JSON.stringify(target.arguments);
  const call = ['--method', 'tools/call', '--tool-name', target.tool, '--tool-args-json', values];
  checkAnswer(target, await inspect(folder, call));
});
