/**
 * Verifying a log of a million entries without the gateway, on one core: `coffer audit verify --bundle`,
 * from starting the command to its exit. The entries are what deliveries write, and are made through the
 * write path. `--entries N` for fewer.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gatewayPrincipal } from '../src/model/principal.ts';
import type { AuditEntry } from '../src/gateway/audit/audit.ts';
import { endsWithUs } from '../src/testing/left-behind.ts';
import { type BenchCore, openBenchCore } from './core.ts';
import { cannotRun, cpuMsOf, Report } from './report.ts';
import { sharedMs } from './shared-clock.ts';

const { values: flags } = parseArgs({ options: { entries: { type: 'string' } }, strict: false });
const wanted = Number(flags['entries'] ?? 1_000_000);
const perCommit = 4000;
const perPage = 4000;
const coffer = join(import.meta.dirname, '..', 'bin', 'coffer.mjs');
const taskset = ['/usr/bin/taskset', '/bin/taskset'].find(existsSync);
if (taskset === undefined) cannotRun('audit', 'one core needs taskset: apt-get install util-linux');

const report = new Report('audit');

function entryOf(index: number): AuditEntry {
  const name = `node-${index % 500}`;
  return {
    principal: gatewayPrincipal,
    action: 'delivery.assign',
    resource: `secrets/bench/value-${index % 1000}`,
    outcome: 'ok',
    rule: 'group bench',
    requestId: '',
    detail: {
      container: `container-${index % 10_000}`,
      file: `value-${index % 1000}`,
      node: name,
      target: '/run/secrets',
      version: String(index),
      workload: `wld_${String(index % 10_000).padStart(32, '0')}`,
    },
  };
}

async function fill({ core }: BenchCore): Promise<void> {
  while (core.audit.size < wanted) {
    const count = Math.min(perCommit, wanted - core.audit.size);
    const entries = Array.from({ length: count }, (_, index) => entryOf(core.audit.size + index));
    const [first, ...rest] = entries;
    if (!first) return;
    await core.audit.commit({ writes: [], expectations: [], entries: [first, ...rest] });
    if (core.audit.size % 200_000 < perCommit) say(`${core.audit.size} entries made`);
  }
}

/** As `coffer audit export` writes it. */
async function write({ core }: BenchCore, path: string): Promise<string> {
  const { note, size, verifierKey } = await core.audit.checkpoint();
  const file = createWriteStream(path);
  const line = async (value: unknown): Promise<void> => {
    if (!file.write(`${JSON.stringify(value)}\n`)) await once(file, 'drain');
  };
  await line({ format: 'coffer-audit-1', verifierKey, checkpoint: note });
  for (let from = 0; from < size; from += perPage) {
    const { entries } = await core.audit.entries({ from, limit: Math.min(perPage, size - from) });
    for (const { bytes } of entries) await line(bytes.toString('base64'));
  }
  file.end();
  await once(file, 'finish');
  return verifierKey;
}

interface Took {
  readonly wallS: number;
  readonly processorS: number;
}

async function verify(directory: string, path: string, key: string): Promise<Took> {
  const startedMs = sharedMs();
  const argv = ['-c', '0', process.execPath, coffer, 'audit', 'verify', '--bundle', path];
  const child = endsWithUs(
    spawn(taskset ?? '', [...argv, '--key', key], {
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: directory },
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  );
  let processorMs = 0;
  const looking = setInterval(() => {
    processorMs = Math.max(processorMs, cpuMsOf(child.pid ?? 0));
  }, 50);
  const [status] = (await once(child, 'exit')) as [number];
  clearInterval(looking);
  if (status !== 0) throw new Error(`coffer audit verify: exit ${status}`);
  return { wallS: (sharedMs() - startedMs) / 1000, processorS: processorMs / 1000 };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

await using bench = await openBenchCore();
await fill(bench);
const path = join(bench.directory, 'log.jsonl');
const key = await write(bench, path);
say('written; verifying');
const name = `${wanted.toLocaleString('en')} entries`;
const { wallS, processorS } = await verify(bench.directory, path, key);
const target = { atMost: 10 };
report.add({ case: name, metric: 'verified offline on one core', value: wallS, unit: 's', target });
report.add({ case: name, metric: 'processor time of it', value: processorS, unit: 's' });
