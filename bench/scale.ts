/**
 * A million secrets, a hundred thousand workloads, ten thousand grants: start, memory, what one change
 * costs, and what reading does. `--secrets N` for fewer; `--store DIR` keeps the store that was made
 * there, and uses it again. Making it takes minutes.
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
  options: { store: { type: 'string' }, secrets: { type: 'string' } },
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
{
  using directory = temporaryDirectory('coffer-bench-');
  const kept = flags['store'];
  await scaleStore(typeof kept === 'string' ? kept : directory.path, sizes);
  // What is kept stays as it is.
  if (typeof kept === 'string') cpSync(kept, directory.path, { recursive: true });
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

function say(measured: ScaleMeasured): void {
  const { startedS, startedCpuS, startedMib, deliveredS, residentMib, changes, reads } = measured;
  const millions = `${secrets.toLocaleString('en')} secrets, ${sizes.grants.toLocaleString('en')} grants`;
  const all = `${millions}, ${sizes.workloads.toLocaleString('en')} workloads`;
  const add = (name: string, metric: string, value: number, unit: string, atMost?: number): void =>
    report.add({ case: name, metric, value, unit, ...(atMost ? { target: { atMost } } : {}) });
  add(millions, 'start: open, unseal, ready', startedS, 's', 30);
  add(millions, 'processor time of that', startedCpuS, 's');
  add(millions, 'resident after the start', startedMib * 1.048576, 'MB', 2000);
  add(all, 'all sets delivered for the first time', deliveredS, 's');
  for (const [what, took] of Object.entries(changes))
    report.addSpread(all, what, took, 'ms', what.includes('→') ? { p50: 10, p99: 10 } : {});
  for (const [what, took] of Object.entries(reads)) report.addSpread(all, what, took, 'ms');
  add(all, 'resident', residentMib * 1.048576, 'MB', 2000);
}
