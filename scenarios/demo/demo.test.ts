/**
 * Goal: what the demo tells people to type works, wherever their shell stands, with the containers that it
 * named; and a demo that is killed leaves no program behind.
 * Method: `--keep`, once with each kind of container; the lines it prints are given to a shell. The programs
 * of a demo are noted, then it is killed. Control: with `--keep` they go on.
 */
import { equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { HeldProcess, signalProcess } from '../../src/linux/process.ts';
import { acquireEngine, isInstalled } from '../../src/testing/engine.ts';
import { startTicksOf } from '../../src/testing/holders.ts';
import { until } from '../../src/testing/until.ts';

const demo = join(import.meta.dirname, 'demo.ts');
const value = 'typed-by-a-person';
const needsRoot = process.getuid?.() === 0 ? false : 'needs root: sudo npm run verify';
const { engine } = await acquireEngine();
after(() => engine?.[Symbol.asyncDispose]());

interface Kept {
  readonly names: readonly string[];
  readonly commands: readonly string[];
}

/** Runs until the test is over. @returns what it named, and what it says to type */
async function keepRunning(t: TestContext, argv: readonly string[]): Promise<Kept> {
  const child = spawn(process.execPath, [demo, '--keep', ...argv], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  t.after(async () => {
    child.kill('SIGINT');
    await closed;
  });
  let said = '';
  const shown = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
      if (said.includes('Ctrl-C ends it')) resolve();
    });
  });
  await Promise.race([shown, closed]);
  const [before = '', behind = ''] = said.split(/In another shell:\n\n/);
  const commands = behind.split('\n').filter((line) => line.startsWith('    '));
  ok(commands.length > 0, said);
  const names = [...before.matchAll(/^ {4}(\S+) .*, user \d/gm)].map(([, name = '']) => name);
  return { names, commands };
}

async function shell(script: string, input = ''): Promise<{ code: number; stdout: string }> {
  // Nowhere near the repository.
  const child = spawn('sh', ['-c', script], { cwd: '/', stdio: ['pipe', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('utf8')));
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number];
  return { code, stdout };
}

const ways = [
  {
    how: 'Linux namespaces',
    argv: ['--namespaces'],
    skip: needsRoot,
  },
  {
    how: 'a container engine',
    argv: [],
    skip: engine && isInstalled('docker') ? false : 'needs a container engine, and its command',
  },
];

for (const { how, argv, skip } of ways) {
  test(`the lines that --keep prints work, with ${how}`, { skip }, async (t) => {
    const { names, commands } = await keepRunning(t, argv);
    const isExport = (line: string): boolean => line.includes('export ');
    const exported = commands.filter(isExport);
    const [put = '', where = '', ...rest] = commands.filter((line) => !isExport(line));
    const reads = rest.filter((line) => line.includes('cat '));
    equal(reads.length, 2);
    const run = (line: string, input = '') => shell([...exported, line].join('\n'), input);
    equal((await run(put, value)).code, 0);
    for (const read of reads) {
      const line = read.replace(/ +#.*/, '').trim();
      const isThere = `out=$(${line} 2>/dev/null) && [ "$out" = ${value} ]`;
      const looks = `i=0; until ${isThere}; do i=$((i + 1)); [ $i -lt 600 ] || exit 1; sleep 0.1; done`;
      equal((await run(looks)).code, 0, read);
    }
    const { stdout } = await run(where);
    const [first = '', second = '', other = ''] = names;
    for (const name of [first, second]) match(stdout, new RegExp(`^${name} .* current `, 'm'));
    ok(other !== '' && !stdout.includes(other), 'control: the one that is not entitled');
  });
}

/** Kills a demo in the middle. @returns the programs that it had started */
async function killed(t: TestContext, argv: readonly string[]): Promise<readonly Program[]> {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-killed-'));
  const child = spawn(process.execPath, [demo, '--namespaces', ...argv], {
    env: { ...process.env, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.includes('one enforcer, joined')) break;
  }
  const pids = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
  const programs = pids.split(' ').map((text) => {
    const pid = Number(text);
    return { pid, startTicks: startTicksOf(pid) ?? 0 };
  });
  t.after(async () => {
    for (const program of programs) signalProcess(program, 'SIGKILL');
    await until('they are dead', () => !programs.some(lives));
    tidy(directory);
  });
  child.kill('SIGKILL');
  await closed;
  return programs;
}

/** What nobody is left to remove: its files, and a watchdog that waits for the leases to end. */
function tidy(directory: string): void {
  for (const name of globSync('*/run', { cwd: directory })) {
    const run = realpathSync(join(directory, name));
    const file = join(run, 'watchdog.pid');
    if (existsSync(file)) process.kill(Number(readFileSync(file, 'utf8')), 'SIGTERM');
    rmSync(run, { recursive: true });
  }
  rmSync(directory, { recursive: true });
}

interface Program {
  readonly pid: number;
  readonly startTicks: number;
}

function lives({ pid, startTicks }: Program): boolean {
  using held = HeldProcess.open(pid);
  return held !== undefined && held.startTicks === startTicks && !held.ended;
}

test('a demo that is killed leaves no program, but for --keep', { skip: needsRoot }, async (t) => {
  const programs = await killed(t, []);
  equal(programs.length, 5, 'gateway, enforcer and three containers');
  await until('they have ended', () => !programs.some(lives));
  const kept = await killed(t, ['--keep']);
  equal(kept.filter(lives).length, 5, 'control');
});
