/**
 * A million secrets, a hundred thousand workloads, ten thousand grants: start, memory, and what one change
 * costs. `--fresh` makes the store anew; `--secrets N` for fewer.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { nodeFor } from '../bin/node-flags.mjs';
import { endsWithUs, temporaryDirectory } from '../src/testing/left-behind.ts';
import { Report } from './report.ts';
import type { ScaleMeasured } from './scale-core.ts';
import { type ScaleSizes, scaleStore } from './scale-store.ts';

const { values: flags } = parseArgs({
  options: { fresh: { type: 'boolean' }, secrets: { type: 'string' } },
  strict: false,
});
const secrets = Number(flags['secrets'] ?? 1_000_000);
const sizes: ScaleSizes = {
  secrets,
  grants: secrets / 100,
  granted: 10,
  workloads: secrets / 10,
  nodes: secrets / 1000,
};

const report = new Report('scale');
const store = await scaleStore(sizes, flags['fresh'] === true);
{
  using directory = temporaryDirectory('coffer-bench-');
  cpSync(store, directory.path, { recursive: true });
  say(await measure(directory.path));
}
process.exit(0);

async function measure(directory: string): Promise<ScaleMeasured> {
  const { flags: nodeFlags, environment } = nodeFor('gateway');
  const argv = [directory, JSON.stringify(sizes)];
  const child = endsWithUs(
    fork(join(import.meta.dirname, 'scale-core.ts'), argv, {
      execArgv: [...nodeFlags],
      env: { ...process.env, ...environment },
    }),
  );
  const ended = once(child, 'exit').then(([status]) => {
    throw new Error(`the measured process ended: ${status}`);
  });
  ended.catch(() => {});
  try {
    const [measured] = (await Promise.race([once(child, 'message'), ended])) as [ScaleMeasured];
    return measured;
  } finally {
    child.kill('SIGKILL');
  }
}

function say({ startedS, startedMib, deliveredS, residentMib, changes }: ScaleMeasured): void {
  const millions = `${secrets.toLocaleString('en')} secrets, ${sizes.grants.toLocaleString('en')} grants`;
  const all = `${millions}, ${sizes.workloads.toLocaleString('en')} workloads`;
  const add = (name: string, metric: string, value: number, unit: string, atMost?: number): void =>
    report.add({ case: name, metric, value, unit, ...(atMost ? { target: { atMost } } : {}) });
  add(millions, 'start: open, unseal, ready', startedS, 's', 30);
  add(millions, 'resident after the start', startedMib * 1.048576, 'MB', 2000);
  add(all, 'all sets delivered for the first time', deliveredS, 's');
  for (const [what, took] of Object.entries(changes))
    report.addSpread(all, `${what} → decided, recorded, sent`, took, 'ms', { p50: 10, p99: 10 });
  add(all, 'resident', residentMib * 1.048576, 'MB', 2000);
}
