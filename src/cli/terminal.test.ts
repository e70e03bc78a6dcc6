/**
 * Goal: what is typed unseen is unseen on a real terminal, reaches the gateway byte for byte, and the
 * terminal is as it was afterwards, also after Ctrl-C.
 * Method: the installed command under `script`, which gives it a pseudo terminal; keys are sent once the
 * prompt is there. Behind it `stty -a` says how the terminal was left. Control: a line that is meant to be
 * seen is echoed, so that silence is not the silence of `script`.
 */
import { equal, match, ok } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { operationExamples } from '../protocol/examples.ts';
import { CliWorld } from '../testing/cli-world.ts';
import { type HttpGateway, startHttpGateway } from '../testing/http-gateway.ts';

const coffer = join(import.meta.dirname, '../../bin/coffer.mjs');
const value = 'pearl-9f27c1';

const help = spawnSync('script', ['--help']).stdout?.toString('utf8') ?? '';
const skip = help.includes('--command') ? false : 'needs script: apt-get install bsdutils';

async function startKeeping(values: string[]): Promise<HttpGateway> {
  return await startHttpGateway(async ({ operation, value: given }) => {
    given?.use((bytes) => values.push(bytes.toString('utf8')));
    return { output: operationExamples[operation].output, revision: 42 };
  });
}

/**
 * @param keys - Each is typed when the text before it is on the screen.
 * @returns everything that was on the screen, the state of the terminal last
 */
async function onTerminal(
  gateway: HttpGateway,
  argv: readonly string[],
  keys: readonly (readonly [after: string, typed: string])[],
): Promise<string> {
  using world = new CliWorld().reach(gateway);
  const words = [process.execPath, coffer, ...argv].map((word) => `'${word}'`).join(' ');
  const command = `${words}; echo "exit $?"; stty -a`;
  const child = spawn('script', ['--quiet', '--command', command, '/dev/null'], {
    env: {
      ...world.env,
      PATH: process.env['PATH'],
      SHELL: '/bin/sh',
      TERM: 'xterm',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let screen = '';
  let from = 0;
  const waiting = [...keys];
  child.stdout.on('data', (chunk: Buffer) => {
    screen += chunk.toString('utf8');
    for (let next = waiting[0]; next; next = waiting[0]) {
      const at = screen.indexOf(next[0], from);
      if (at < 0) return;
      from = at + next[0].length;
      waiting.shift();
      child.stdin.write(next[1]);
    }
  });
  await once(child, 'close');
  equal(waiting.length, 0, `${screen}\n…never asked for ${waiting[0]?.[0]}`);
  return screen;
}

function assertLeftWell(screen: string): void {
  const state = screen.slice(screen.indexOf('exit '));
  match(state, /[ ;\n]echo[ ;\r]/, 'what is typed next is seen');
  match(state, /[ ;\n]icanon[ ;\r]/);
  match(state, /[ ;\n]isig[ ;\r]/);
}

test('a value that is typed at a terminal is not shown, and arrives', { skip }, async () => {
  const values: string[] = [];
  await using gateway = await startKeeping(values);
  const screen = await onTerminal(
    gateway,
    ['secret', 'put', 'payments/db'],
    [
      ['(hidden): ', `${value}x\u007f\r`],
      ['Once more', `${value}\r`],
    ],
  );
  match(screen, /exit 0/);
  equal(values.join(), value);
  ok(!screen.includes('pearl'), 'nothing of it is on the screen');
  assertLeftWell(screen);
});

test('Ctrl-C at a hidden prompt sends nothing and gives the terminal back', { skip }, async () => {
  const values: string[] = [];
  await using gateway = await startKeeping(values);
  const screen = await onTerminal(
    gateway,
    ['secret', 'put', 'payments/db'],
    [['(hidden): ', `${value}\u0003`]],
  );
  match(screen, /cli\.interrupted[^]*exit 130/);
  equal(values.length, 0);
  ok(!screen.includes('pearl'));
  assertLeftWell(screen);
});

test('control: a name that is typed back is shown', { skip }, async () => {
  await using gateway = await startKeeping([]);
  const screen = await onTerminal(
    gateway,
    ['secret', 'delete', 'payments/db-password'],
    [['to go on:', 'payments/db-pearl\r']],
  );
  match(screen, /payments\/db-pearl[^]*cli\.declined[^]*exit/);
  assertLeftWell(screen);
});
