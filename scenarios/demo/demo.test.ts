/**
 * Goal: what the demo tells people to type works, wherever their shell stands, with the containers that it
 * named.
 * Method: `--keep`, once with each kind of container; the lines it prints are given to a shell.
 */
import { equal, match, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { acquireEngine, isInstalled } from '../../src/testing/engine.ts';

const demo = join(import.meta.dirname, 'demo.ts');
const value = 'typed-by-a-person';
const isRoot = process.getuid?.() === 0;
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
    skip: isRoot ? false : 'needs root: sudo npm run verify',
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
