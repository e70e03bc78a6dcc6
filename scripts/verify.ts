/**
 * `npm run verify`: everything that must hold before a change is taken, in order of what it costs.
 *
 * Stops at the first step that fails, unless `--keep-going`. Skipped tests are listed with their
 * reasons at the end, then the totals of node's test runner. The status is 0 only if every step that
 * ran has passed.
 */
import { existsSync, statSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { root, stopPrograms } from './run-program.ts';
import { runTests, testFilesBelow, TestTotals } from './run-tests.ts';
import { type Outcome, type Step, steps } from './verify-steps.ts';

interface Finished {
  readonly step: Step;
  readonly outcome: Outcome;
  readonly durationMs: number;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}

/** One step by name, or a step made of the tests at a path. */
function choose(only: string | undefined): readonly Step[] {
  if (only === undefined) return steps;
  const named = steps.filter((step) => step.name === only);
  if (named.length > 0) return named;
  const path = resolve(only);
  if (!existsSync(path)) {
    const known = steps.map((step) => step.name).join(', ');
    throw new Error(`--only ${only}: neither a step (${known}) nor a path`);
  }
  const inTree = relative(root, path);
  const files = statSync(path).isDirectory() ? testFilesBelow(inTree) : [inTree];
  return [
    {
      name: inTree,
      what: `${files.length} test files`,
      isLoud: true,
      run: async ({ totals }) => ({ isOk: await runTests(files, totals) }),
    },
  ];
}

async function runStep(step: Step, place: string, totals: TestTotals): Promise<Finished> {
  const title = `${place} ${step.name}: ${step.what}`;
  if (step.isLoud) print(`\n${title}`);
  const startedMs = performance.now();
  const outcome = await step.run({ totals, stack });
  const durationMs = performance.now() - startedMs;
  const verdict = outcome.isOk ? 'ok' : 'FAILED';
  const note = outcome.note === undefined ? '' : ` (${outcome.note})`;
  print(
    `${step.isLoud ? `${place} ${step.name}` : title} … ${verdict} ${seconds(durationMs)}${note}`,
  );
  if (!outcome.isOk && outcome.output) print(outcome.output);
  return { step, outcome, durationMs };
}

function summarise(finished: readonly Finished[], planned: number, totals: TestTotals): void {
  const reasons = new Map<string, string[]>();
  for (const { file, name, reason } of totals.skipped) {
    const tests = reasons.get(reason) ?? [];
    reasons.set(reason, [...tests, `${relative(root, file)}: ${name}`]);
  }
  if (reasons.size > 0) print('\nskipped');
  for (const [reason, tests] of reasons) {
    print(`  ${reason}`);
    for (const test of tests) print(`    ${test}`);
  }
  print('');
  for (const { step, outcome, durationMs } of finished) {
    print(`  ${outcome.isOk ? 'ok    ' : 'FAILED'} ${step.name.padEnd(14)} ${seconds(durationMs)}`);
  }
  const notRun = planned - finished.length;
  if (notRun > 0) print(`  ${notRun} steps did not run`);
}

// What steps leave for later steps, such as the engine; given back at the end, come what may.
await using stack = new AsyncDisposableStack();
const { values } = parseArgs({
  options: {
    'keep-going': { type: 'boolean', default: false },
    'no-install': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
if (values.long) process.env['COFFER_LONG'] = '1';
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stopPrograms);

const chosen = choose(values.only);
if (values.list) {
  for (const step of chosen) print(`${step.name.padEnd(14)} ${step.what}`);
} else {
  const startedMs = performance.now();
  const totals = new TestTotals();
  const finished: Finished[] = [];
  for (const [index, step] of chosen.entries()) {
    const result = await runStep(step, `${index + 1}/${chosen.length}`, totals);
    finished.push(result);
    if (!result.outcome.isOk && !values['keep-going']) break;
  }
  summarise(finished, chosen.length, totals);
  const isOk = finished.every(({ outcome }) => outcome.isOk);
  const durationMs = performance.now() - startedMs;
  if (!totals.isEmpty) print(`\n${totals.closingLines(durationMs).join('\n')}`);
  print(`\nverify: ${isOk ? 'all passed' : 'FAILED'} in ${seconds(durationMs)}`);
  process.exitCode = isOk ? 0 : 1;
}
