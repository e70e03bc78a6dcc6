/**
 * The steps of `verify`, in the order in which they run: cheap ones first.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { acquireEngine } from '../src/testing/engine.ts';
import { root, runProgram } from './run-program.ts';
import { runTests, testFilesBelow, type TestTotals } from './run-tests.ts';

export interface StepContext {
  readonly totals: TestTotals;
  /** For what later steps use: disposed of at the end of the run. */
  readonly stack: AsyncDisposableStack;
}

export interface Outcome {
  readonly isOk: boolean;
  /** A few words for the step's line. */
  readonly note?: string;
  /** Shown if the step failed and has not printed as it went. */
  readonly output?: string;
}

export interface Step {
  readonly name: string;
  readonly what: string;
  /** Prints while it runs. */
  readonly isLoud?: boolean;
  run(context: StepContext): Promise<Outcome>;
}

/** One after the other; what the first to fail says is shown. */
function programs(...commands: readonly (readonly string[])[]): Step['run'] {
  return async () => {
    for (const command of commands) {
      const { status, output } = await runProgram(command);
      if (status !== 0) return { isOk: false, output };
    }
    return { isOk: true };
  };
}

/** Its last line is what it found. */
function ownCheck(path: string): Step['run'] {
  return async () => {
    const { status, output } = await runProgram(['node', path]);
    const note = output.trim().split('\n').at(-1) ?? '';
    return { isOk: status === 0, output, ...(status === 0 ? { note } : {}) };
  };
}

async function holdEngine({ stack }: StepContext): Promise<Outcome> {
  const acquired = await acquireEngine();
  // Not a failure: the tests that need it skip, and say the same.
  if (acquired.engine === undefined) return { isOk: true, note: acquired.reason };
  stack.use(acquired.engine);
  return { isOk: true, note: acquired.engine.ours ? 'started' : 'was there' };
}

async function runScenarios({ totals }: StepContext): Promise<Outcome> {
  const files = existsSync(join(root, 'scenarios')) ? testFilesBelow('scenarios') : [];
  if (files.length === 0) return { isOk: false, note: 'there is no scenario' };
  // One after the other: they use whole containers, and tell their story to whoever reads along.
  return { isOk: await runTests(files, totals, { concurrency: 1 }) };
}

async function runDemo(): Promise<Outcome> {
  if (process.getuid?.() !== 0)
    return { isOk: true, note: 'not run, needs root: sudo npm run verify' };
  const { status, output } = await runProgram(['node', 'scenarios/demo/demo.ts', '--json']);
  return { isOk: status === 0, output };
}

export const steps: readonly Step[] = [
  { name: 'types', what: 'tsc', run: programs(['tsc', '-p', '.']) },
  { name: 'format', what: 'biome format', run: programs(['biome', 'format', '.']) },
  {
    name: 'lint',
    what: 'oxlint, type-aware, warnings denied',
    run: programs(['oxlint', '--type-aware', '--deny-warnings']),
  },
  {
    name: 'dead-code',
    what: 'knip, also without the tests',
    run: programs(
      ['knip', '--no-progress'],
      ['knip', '--no-progress', '--production', '--include', 'files,exports'],
    ),
  },
  {
    name: 'generated',
    what: 'generated files are current',
    run: ownCheck('scripts/check-generated.ts'),
  },
  {
    name: 'dependencies',
    what: 'number, licences, reasons',
    run: ownCheck('scripts/check-dependencies.mjs'),
  },
  { name: 'engine', what: 'a Docker engine for tests', run: holdEngine },
  {
    name: 'tests',
    what: 'node --test',
    isLoud: true,
    run: async ({ totals }) => {
      const files = ['scripts', 'src'].flatMap(testFilesBelow);
      return { isOk: await runTests(files, totals) };
    },
  },
  { name: 'scenarios', what: 'stories with containers', isLoud: true, run: runScenarios },
  { name: 'demo', what: 'the demo runs through', run: runDemo },
];
