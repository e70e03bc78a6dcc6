/**
 * Goal: of a value that was typed or piped in nothing is left in this process once the command is over.
 * Method: every buffer that is made meanwhile is searched afterwards, those that it came in among them.
 * Control: a copy would be found.
 */
import { equal, notEqual } from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { BufferWatch } from '../testing/buffer-watch.ts';
import { CliWorld } from '../testing/cli-world.ts';

const canary = 'Zq7-canary-X3';
/** Nobody answers there: the value is read, and then not sent. */
const nowhere = { COFFER_ADDR: 'https://127.0.0.1:1', COFFER_TOKEN: 'coffer_nobody-asks-for-it' };
const put = ['secret', 'put', 'payments/db'];

test('a value leaves no copy, however it came', async (t) => {
  using world = new CliWorld();
  Object.assign(world.env, nowhere);
  writeFileSync(world.path('value'), canary);
  const bytes = Buffer.from(canary);
  const watch = new BufferWatch(t);
  for (const [how, argv, options] of [
    ['typed', put, { typed: [`${canary}\r`, `${canary}\r`] }],
    [
      'typed in pieces',
      put,
      { typed: [canary.slice(0, 5), `${canary.slice(5)}\r`, `${canary}\r`] },
    ],
    ['typed, and typed differently', put, { typed: [`${canary}\r`, `${canary}!\r`] }],
    ['piped', put, { stdin: `${canary}\n` }],
    ['piped, with its newline', [...put, '--keep-newline'], { stdin: `${canary}\n` }],
    ['too long', put, { stdin: Buffer.concat([bytes, Buffer.alloc(70_000, 1)]) }],
    ['from a file', [...put, '--from-file', world.path('value')], {}],
  ] as const) {
    const before = watch.holding(bytes);
    const { code } = await world.run(argv, options);
    notEqual(code, 0, 'control: there is nobody to send it to');
    equal(watch.holding(bytes), before, how);
  }
  const before = watch.holding(bytes);
  Buffer.from(canary);
  equal(watch.holding(bytes), before + 1, 'control');
});
