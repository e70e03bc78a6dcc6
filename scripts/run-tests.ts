/**
 * Runs test files with node's own runner and adds up what it counted.
 *
 * The runner's closing lines (`ℹ tests 12` …) are held back and printed once, at the end of all, for
 * all runs together: whoever reads the last lines of `verify` reads the whole.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { root, runProgram } from './run-program.ts';
import type { ReportLine, SkippedTest } from './skip-reporter.ts';

/** More would only make tests wait for each other on the machines this is meant for. */
const concurrency = 2;
/** What takes longer hangs, and is to fail by its name. The long form has tests that take hours. */
const testMsMax = 10 * 60_000;
const closingLine = /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) /;
/** The names that the runner prints, by those it counts under. */
const printed: Readonly<Record<string, string>> = {
  tests: 'tests',
  suites: 'suites',
  passed: 'pass',
  failed: 'fail',
  cancelled: 'cancelled',
  skipped: 'skipped',
  todo: 'todo',
};

export class TestTotals {
  readonly #counts = new Map<string, number>();
  readonly #skipped: SkippedTest[] = [];

  get skipped(): readonly SkippedTest[] {
    return this.#skipped;
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  add(line: ReportLine): void {
    if ('skipped' in line) this.#skipped.push(line.skipped);
    else {
      for (const [name, count] of Object.entries(line.counts)) {
        this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
      }
    }
  }

  closingLines(durationMs: number): string[] {
    const counts = Object.entries(printed).map(
      ([name, label]) => `ℹ ${label} ${this.#counts.get(name) ?? 0}`,
    );
    return [...counts, `ℹ duration_ms ${durationMs.toFixed(0)}`];
  }
}

/** @param directory - Relative to the root. */
export function testFilesBelow(directory: string): string[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules'))
    .map((path) => join(directory, path))
    .toSorted();
}

/** @returns Whether all passed. Without a file nothing did. */
export async function runTests(
  files: readonly string[],
  totals: TestTotals,
  options: { readonly concurrency?: number } = {},
): Promise<boolean> {
  if (files.length === 0) return false;
  const directory = mkdtempSync(join(tmpdir(), 'coffer-verify-'));
  const report = join(directory, 'report.jsonl');
  try {
    const reporters = [
      ['--test-reporter=spec', '--test-reporter-destination=stdout'],
      ['--test-reporter=./scripts/skip-reporter.ts', `--test-reporter-destination=${report}`],
    ].flat();
    const bounds = [
      `--test-concurrency=${options.concurrency ?? concurrency}`,
      ...(process.env['COFFER_LONG'] === '1' ? [] : [`--test-timeout=${testMsMax}`]),
    ];
    const { status } = await runProgram(
      ['node', '--test', ...bounds, ...reporters, ...files],
      (line) => {
        if (!closingLine.test(stripVTControlCharacters(line))) process.stdout.write(`${line}\n`);
      },
    );
    for (const line of readFileSync(report, 'utf8').split('\n')) {
      if (line !== '') totals.add(JSON.parse(line) as ReportLine);
    }
    return status === 0;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
