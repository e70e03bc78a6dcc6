/**
 * Goal: what is given is what is in force, from arguments and environment alike, and what cannot be meant
 * is refused without being repeated.
 * Method: one table of flags, read with each spelling. Control: a switch that is off is not there.
 */
import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { test } from 'node:test';
import type { Fault } from './fault.ts';
import { completeProgram, describeFlags, partWords, readFlags, wantsJson } from './flags.ts';

const specs = {
  state: { value: 'DIR', help: '' },
  'no-watchdog': { value: '', help: '' },
  output: { value: 'FORMAT', short: '-o', help: 'a form' },
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

test('one letter stands for a flag that has one, and only for that', () => {
  deepEqual(readFlags(specs, ['-o', 'json'], {}), { output: 'json' });
  throws(() => readFlags(specs, ['-s', '/x'], {}), { code: 'request.invalid' });
  match(describeFlags(specs), /^ {2}--state DIR +\n.*\n {2}-o, --output FORMAT {2}a form$/m);
});

test('words are parted from flags and their values', () => {
  const argv = ['--state', '/s', 'FILE', '-o', 'json', '--no-watchdog', 'more', '--state=/t'];
  const { words, flags } = partWords(specs, argv);
  deepEqual(words, ['FILE', 'more']);
  deepEqual(flags, ['--state', '/s', '-o', 'json', '--no-watchdog', '--state=/t']);
  deepEqual(partWords(specs, ['--state']), { words: [], flags: ['--state'] });
});

test('completion offers flags, values that are known, and files where a file belongs', () => {
  const spec = { flags: { ...specs, kind: { value: 'KIND', suggests: ['a', 'ab'], help: '' } } };
  const offered = (...typed: string[]): string[] =>
    completeProgram(spec, typed)
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split('\t')[0] ?? '');
  deepEqual(offered('run', '--'), ['--state', '--no-watchdog', '--output', '--kind']);
  deepEqual(offered('run', '--no'), ['--no-watchdog']);
  deepEqual(offered('run', '--state', ''), [':files']);
  deepEqual(offered('run', '--state', '/s', '--kind', 'ab'), ['ab']);
  deepEqual(offered('run', '-o', ''), [], 'nothing is known of it');
  deepEqual(offered('run', '--no-watchdog', ''), []);
  equal(completeProgram({ ...spec, takesFile: true }, ['run', '']), ':files\n');
});

test('a form that a program has not is refused, and none is for people', () => {
  const forms = [{}, { output: 'table' }, { output: 'wide' }, { output: 'json' }];
  deepEqual(forms.map(wantsJson), [false, false, false, true]);
  for (const output of ['yaml', 'JSON', '']) {
    throws(() => wantsJson({ output }), refused('--output', 'must be table or json'));
  }
});

test('what is misspelt, or lacks its value, is refused', () => {
  throws(() => readFlags(specs, ['--stat', '/x'], {}), { code: 'request.invalid' });
  throws(() => readFlags(specs, ['--state'], {}), refused('--state', 'needs DIR'));
  throws(
    () => readFlags(specs, ['--no-watchdog=0'], {}),
    refused('--no-watchdog', 'takes no value'),
  );
});
