/**
 * Goal: a node joins once, with or without going on to work; from then on it starts without the token, also
 * where its command still names the file; and one whose state is damaged says so, and can join again.
 * Method: the real programs, with a real gateway. Control: a node that has not joined needs the file.
 */
import { equal, match, ok } from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { parseName } from '../model/name.ts';
import { compileCache } from '../testing/compile-cache.ts';
import { Installation } from '../testing/installation.ts';

const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
const skip = process.getuid?.() === 0 ? false : 'needs root: sudo npm run verify';

describe('coffer enforcer', { skip }, () => {
  let installation: Installation;
  let nodes = 0;

  before(async () => {
    const processDirectory = '/run/coffer-enforcer-join-test';
    installation = await Installation.startAlone({ runtime: { processDirectory } });
  });
  after(() => installation[Symbol.asyncDispose]());

  function newNode() {
    const name = parseName(`node-${(nodes += 1)}`);
    const directory = join(installation.directory, name);
    mkdirSync(directory, { mode: 0o700 });
    const state = join(directory, 'state');
    const tokenFile = join(directory, 'token');
    const places = ['--state', state, '--run', join(directory, 'run'), '--no-watchdog'];
    const runtime = ['--runtime', 'process', '--process-directory', join(directory, 'processes')];
    const argv = [coffer, 'enforcer', ...places, ...runtime, '--join-token-file', tokenFile];
    const env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: directory,
      NODE_COMPILE_CACHE: compileCache,
    };
    return {
      name,
      state,
      async newToken(): Promise<void> {
        const { output } = await installation.client.call('node.token', { name });
        writeFileSync(tokenFile, output.token, { mode: 0o600 });
      },
      removeToken: () => rmSync(tokenFile),
      /** To its end. */
      run: (...more: readonly string[]) =>
        new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
          execFile(process.execPath, [...argv, ...more], { env }, (error, stdout, stderr) =>
            resolve({ code: error?.code ?? 0, stdout, stderr }),
          );
        }),
      /** Until it has said `wanted`, or ended. @returns what it said until then */
      async runUntil(wanted: string): Promise<readonly string[]> {
        const child = spawn(process.execPath, argv, { env, stdio: ['ignore', 'ignore', 'pipe'] });
        const closed = once(child, 'close');
        const events: string[] = [];
        for await (const line of createInterface({ input: child.stderr })) {
          const said = line.startsWith('{') ? (JSON.parse(line) as { event: string }).event : line;
          events.push(said);
          if (said === wanted) break;
        }
        child.kill('SIGTERM');
        await closed;
        return events;
      },
    };
  }

  test('--join-only joins, says so and ends; then no token is needed', async () => {
    const node = newNode();
    const without = await node.run();
    equal(without.code, 2, 'control: it has not joined');
    match(without.stderr, /--join-token-file.*cannot be read/s);
    await node.newToken();
    const joined = await node.run('--join-only');
    equal(joined.code, 0, joined.stderr);
    match(joined.stdout, new RegExp(`^This node has joined as ${node.name}\\.`));
    ok(readdirSync(node.state).includes('node.crt'));
    node.removeToken();
    const said = await node.runUntil('gateway.connected');
    ok(said.includes('enforcer.token-not-used'), said.join('\n'));
    equal(said.at(-1), 'gateway.connected');
  });

  test('--join-only fails where the token does, also on a node that has joined', async () => {
    const node = newNode();
    await node.newToken();
    equal((await node.run('--join-only')).code, 0);
    const again = await node.run('--join-only');
    match(again.stderr, /auth\.failed/);
    ok(again.code !== 0 && again.stdout === '');
    equal((await node.runUntil('gateway.connected')).at(-1), 'gateway.connected', 'who it was');
  });

  for (const file of ['node.key', 'witness.json']) {
    test(`a node whose ${file} is damaged says so, and joins again with a token`, async () => {
      const node = newNode();
      await node.newToken();
      equal((await node.runUntil('gateway.connected')).at(-1), 'gateway.connected');
      writeFileSync(join(node.state, file), '{"half');
      const { code, stderr } = await node.run();
      equal(code, 7, stderr);
      match(stderr, new RegExp(`${file} is damaged.*enforcer\\.state-damaged.*node token`, 's'));
      await node.newToken();
      equal((await node.runUntil('gateway.connected')).at(-1), 'gateway.connected');
    });
  }
});
