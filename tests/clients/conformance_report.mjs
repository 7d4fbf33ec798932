// Judges the reports of the conformance suite by their checks.
//
//     conformance_report.mjs FOLDER REVISION/SCENARIO...
//
// Looks for `checks.json` below FOLDER/REVISION/SCENARIO, prints a table and what failed, and exits 1
// when a check failed without excuse or when a scenario has not checked anything.

import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

// Checks that only a server with certain diagnostic tools can pass. They are excused as long as the
// suite says so itself; a server that has the tool and still fails is not.
const NEEDS_DIAGNOSTIC_TOOL = new Set([
  'server-stateless:sep-2575-server-rejects-undeclared-capability',
  'server-stateless:sep-2575-missing-capability-http-400',
  'server-stateless:sep-2575-http-server-no-independent-requests-on-stream',
  'server-stateless:sep-2575-server-no-log-without-loglevel',
]);

// The suite adds this one to every report, even when no message was exchanged.
const SYNTHETIC = 'wire-schema-valid';

const [folder, ...runs] = process.argv.slice(2);
const total = { passed: 0, failed: 0 };
const problems = [];

const row = (...cells) => {
  const [run, passed, failed, excused, result] = cells.map(String);
  console.log(
    `${run.padEnd(54)}  ${passed.padStart(6)}  ${failed.padStart(6)}  ${excused.padStart(7)}  ${result}`,
  );
};

row('scenario', 'passed', 'failed', 'excused', 'result');
for (const run of runs) {
  const scenario = run.slice(run.indexOf('/') + 1);
  const base = join(folder, run);
  const checks = globSync('**/checks.json', { cwd: base }).flatMap((name) =>
    JSON.parse(readFileSync(join(base, name), 'utf8')),
  );
  const excuse = ({ id, errorMessage }) =>
    NEEDS_DIAGNOSTIC_TOOL.has(`${scenario}:${id}`) && errorMessage?.startsWith('Not testable:');
  const passed = checks.filter((check) => check.status === 'SUCCESS');
  const failures = checks.filter((check) => check.status === 'FAILURE');
  const failed = failures.filter((check) => !excuse(check));
  problems.push(...failed.map((check) => `${run}: ${check.id}: ${check.errorMessage ?? check.description}`));

  let failedCount = failed.length;
  let result = failedCount ? 'FAILED' : 'ok';
  if (![...passed, ...failures].some((check) => check.id !== SYNTHETIC)) {
    failedCount = Math.max(failedCount, 1);
    result = 'FAILED';
    const log = join(base, 'log.txt');
    const said = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-8).join('\n  ') : '';
    problems.push(`${run}: nothing was checked${said && `, the suite said:\n  ${said}`}`);
  }
  total.passed += passed.length;
  total.failed += failedCount;
  row(run, passed.length, failedCount, failures.length - failed.length, result);
}

if (problems.length) console.log(`\n${problems.join('\n')}\n`);
console.log(`conformance: ${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed ? 1 : 0;
