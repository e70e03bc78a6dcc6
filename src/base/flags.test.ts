/**
 * Goal: what is given is what is in force, from arguments and environment alike, and what cannot be meant
 * is refused without being repeated.
 * Method: one table of flags, read with each spelling. Control: a switch that is off is not there.
 */
import { deepEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import type { Fault } from './fault.ts';
import { readFlags } from './flags.ts';

const specs = {
  state: { value: 'DIR', help: '' },
  'no-watchdog': { value: '', help: '' },
} as const;

const refused = (what: string, problem: string) => (fault: Fault) => {
  deepEqual(fault.code, 'request.invalid');
  deepEqual([fault.detail['what'], fault.detail['problem']], [what, problem]);
  return true;
};

test('a flag is given as an argument or in the environment, and the argument counts', () => {
  const env = { COFFER_STATE: '/env' };
  deepEqual(readFlags(specs, [], env), { state: '/env' });
  deepEqual(readFlags(specs, ['--state', '/argument'], env), { state: '/argument' });
  deepEqual(readFlags(specs, ['--state=/argument'], env), { state: '/argument' });
  deepEqual(readFlags(specs, [], { COFFER_STATE: '' }), {});
});

test('a switch in the environment is on or off by its value, and nothing else is guessed', () => {
  const read = (value: string) => readFlags(specs, [], { COFFER_NO_WATCHDOG: value });
  for (const on of ['1', 'true']) deepEqual(Object.keys(read(on)), ['no-watchdog']);
  for (const off of ['0', 'false', '']) deepEqual(read(off), {});
  for (const unclear of ['no', 'yes', 'on', 'False', '00', ' 1']) {
    const problem = 'must be 1 or true, 0 or false';
    throws(() => read(unclear), refused('COFFER_NO_WATCHDOG', problem), unclear);
  }
  deepEqual(readFlags(specs, ['--no-watchdog'], { COFFER_NO_WATCHDOG: '0' }), {
    'no-watchdog': 'true',
  });
});

test('what is misspelt, or lacks its value, is refused', () => {
  throws(() => readFlags(specs, ['--stat', '/x'], {}), { code: 'request.invalid' });
  throws(() => readFlags(specs, ['--state'], {}), refused('--state', 'needs DIR'));
  throws(
    () => readFlags(specs, ['--no-watchdog=0'], {}),
    refused('--no-watchdog', 'takes no value'),
  );
});
