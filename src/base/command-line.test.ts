/**
 * Goal: the command is found, and how a failure is to be said, wherever people put options.
 * Method: one command, with options before, among and behind its words.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { asksForHelp, saidHow, wordsAt } from './command-line.ts';

test('words are found among options of all commands and their values', () => {
  const words = (line: string): readonly string[] => {
    const argv = line.split(' ');
    return wordsAt(argv).map((at) => argv[at] ?? '');
  };
  for (const line of [
    'secret get a',
    '-o json secret get a',
    '--context prod --color=never -q secret -o name get --timeout 5 a',
    'secret get a --token-file /dev/null --no-input',
  ]) {
    deepEqual(words(line), ['secret', 'get', 'a'], line);
  }
  deepEqual(words('--output'), []);
  deepEqual(words('--context gateway'), [], 'a context that is called like a program');
});

test('format and colour are known before anything is parsed, and the last that is given counts', () => {
  for (const [line, output, color] of [
    ['secret list', undefined, undefined],
    ['secret list -o json', 'json', undefined],
    ['-ojson --color always secret', 'json', 'always'],
    ['--output=json --color=never x', 'json', 'never'],
    ['-o json x --output name', 'name', undefined],
    ['x --output', undefined, undefined],
    ['x -o jsonpath={.a}', 'jsonpath={.a}', undefined],
  ] as const) {
    deepEqual(saidHow(line.split(' ')), { output, color }, line);
  }
});

test('help is asked for in two ways', () => {
  deepEqual(
    ['-h', '--help', 'help', '--helpful'].map((word) => asksForHelp([word])),
    [true, true, false, false],
  );
  equal(asksForHelp([]), false);
});
