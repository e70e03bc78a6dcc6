/**
 * Goal: policy files mean what whoever reviews them sees; everything else is refused with its place.
 * Method: hostile and mistaken YAML, each with the place that must be named; the diff against `patch`.
 */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Fault } from '../base/fault.ts';
import fc from 'fast-check';
import { CliWorld } from '../testing/cli-world.ts';
import { compileJsonPath } from './json-path.ts';
import { nearest } from '../base/nearest-word.ts';
import { duration } from './relative-time.ts';
import { unifiedDiff } from './unified-diff.ts';
import { parseYaml } from './yaml-text.ts';

function faultOf(act: () => unknown): Fault {
  try {
    act();
  } catch (error) {
    ok(error instanceof Fault, String(error));
    return error;
  }
  throw new Error('it was taken');
}

const bomb = Array.from({ length: 12 }, (_, at) =>
  at === 0 ? 'a0: &a0 [x, x]' : `a${at}: &a${at} [*a${at - 1}, *a${at - 1}]`,
).join('\n');

const refused: readonly (readonly [string, string, string])[] = [
  ['a key twice', 'a: 1\nb: 2\na: 3\n', '3:1'],
  ['a key twice, deeper', 'a:\n  b: 1\n  b: 2\n', '3:3'],
  ['an anchor', 'a: &x 1\n', '1:7'],
  ['an alias', 'a: [1]\nb: *x\n', '2:4'],
  ['a bomb of aliases', bomb, '1:9'],
  ['a tag', 'a: !!js/function "x"\n', '1:4'],
  ['a tag of its own', 'a: !secret x\n', '1:4'],
  ['a tag of the core schema', 'a: !!str x\n', '1:10'],
  ['a tag on a key', '!!str a: 1\n', '1:7'],
  ['a key that is a list', '? [a, b]\n: 1\n', '1:3'],
  ['a key that is a number', '1: a\n', '1:1'],
  ['a tab', 'a:\n\tb: 1\n', '2:1'],
  ['an open quote', 'a: "x\n', '2:1'],
  ['an open bracket', 'a: [1, 2\n', '2:1'],
];

for (const [what, text, place] of refused) {
  test(`YAML with ${what} is refused at ${place}, and not repeated`, () => {
    const fault = faultOf(() => parseYaml(text, 'policy.yaml'));
    equal(fault.code, 'request.malformed');
    const { line, column, file } = fault.detail;
    equal(`${line}:${column}`, place, fault.message);
    equal(file, 'policy.yaml');
  });
}

test('a merge key is a key like any other, and YAML 1.1 spellings are text', () => {
  const [document] = parseYaml('"<<": { a: 1 }\non: yes\nmode: 0400\n', 'x');
  deepEqual(document?.value, { '<<': { a: 1 }, on: 'yes', mode: '0400' });
});

test('digits behind a zero are the text that stands there, in every style; other numbers are numbers', () => {
  const [document] = parseYaml('[0440, "0440", 00, 08, 0, 440, 0o440, -0440, 0.5]', 'x');
  deepEqual(document?.value, ['0440', '0440', '00', '08', 0, 440, 0o440, -440, 0.5]);
});

test('a mode without quotes is taken as it is written; one that is no mode is shown how, with its place', async () => {
  using world = new CliWorld();
  const grant = (mode: string): string =>
    `kind: Grant\ngroup: api\nsecrets:\n  - secret: payments/db\n    mode: ${mode}\n`;
  const check = async (mode: string) =>
    await world.run(['apply', '--dry-run=client', '-f', '-'], { stdin: grant(mode) });
  for (const mode of ['0440', '"0440"', '0400']) equal((await check(mode)).code, 0, mode);
  for (const mode of ['440', '0o440', '0555', '00440', '0x120']) {
    const { code, stderr } = await check(mode);
    equal(code, 2, mode);
    match(stderr, /stdin:5:5 secrets\.0\.mode: must [^]*four octal digits [^]*such as "0400"/);
  }
});

test('__proto__ in a document changes no prototype', () => {
  const [document] = parseYaml('__proto__: { polluted: true }\n', 'x');
  equal(({} as { polluted?: boolean }).polluted, undefined);
  ok(Object.hasOwn(document?.value as object, '__proto__'));
});

test('places are found also behind escapes, in lists, and as near as possible', () => {
  const [, second] = parseYaml('a: 1\n---\nlist:\n  - x\n  - y/z: 1\n    "t~u": 2\n', 'x');
  ok(second);
  const at = (pointer: string): string => {
    const { line, column } = second.placeOf(pointer);
    return `${line}:${column}`;
  };
  equal(at(''), '3:1');
  equal(at('/list/0'), '4:5');
  equal(at('/list/1/y~1z'), '5:5');
  equal(at('/list/1/t~0u'), '6:5');
  equal(at('/list/1/missing/deeper'), '5:5');
  equal(at('/nowhere'), '3:1');
});

test('directories are read in order, with -R also below; twins are refused', async () => {
  using world = new CliWorld();
  mkdirSync(world.path('policy/deep'), { recursive: true });
  const group = (name: string): string => `kind: Group\nname: ${name}\nmatch: { node: n }\n`;
  writeFileSync(world.path('policy/b.yml'), group('b'));
  writeFileSync(world.path('policy/a.yaml'), group('a'));
  writeFileSync(world.path('policy/notes.txt'), 'not: [yaml');
  writeFileSync(world.path('policy/deep/c.yaml'), group('c'));
  const apply = async (...more: string[]) =>
    await world.run(['apply', '--dry-run=client', '-f', world.path('policy'), ...more]);
  match((await apply()).stderr, /2 documents well formed/);
  match((await apply('-R')).stderr, /3 documents well formed/);
  const stdin = `${group('a')}---\n`;
  const twins = await world.run(
    ['apply', '--dry-run=client', '-f', world.path('policy'), '-f', '-'],
    { stdin },
  );
  equal(twins.code, 2);
  match(twins.stderr, /stdin:1:1: Group a is defined twice/);
});

const patchMissing = spawnSync('patch', ['--version']).status !== 0;

test('unifiedDiff gives what patch turns the one text into the other with', {
  skip: patchMissing && 'needs patch: apt-get install patch',
}, () => {
  using world = new CliWorld();
  const line = fc.constantFrom('a', 'b', 'c', 'd', 'e', '', 'f: g');
  const text = fc
    .array(line, { maxLength: 30 })
    .map((lines) => lines.map((one) => `${one}\n`).join(''));
  const path = world.path('text');
  fc.assert(
    fc.property(text, text, (before, after) => {
      const diff = unifiedDiff(before, after, { before: 'text', after: 'text' });
      if (before === after) return diff === '';
      writeFileSync(path, before);
      execFileSync('patch', ['--quiet', '--posix', path], { input: diff });
      return readFileSync(path, 'utf8') === after;
    }),
    { numRuns: process.env['COFFER_LONG'] === '1' ? 2000 : 60 },
  );
});

test('jsonpath takes what scripts use and refuses the rest', () => {
  const value = { items: [{ name: 'a', 'b.c': 1 }, { name: 'd' }], size: 2 };
  equal(compileJsonPath('{.items[*].name}')(value), 'a d');
  equal(compileJsonPath('{.items[0].name}{"\\n"}')(value), 'a\n');
  equal(compileJsonPath("{.items[0]['b.c']}/{.size}")(value), '1/2');
  equal(compileJsonPath('{.missing}')(value), '');
  equal(compileJsonPath('{.constructor}')(value), '');
  equal(faultOf(() => compileJsonPath('{.items[')).code, 'cli.usage');
  equal(faultOf(() => compileJsonPath('{range .items}')).code, 'cli.usage');
  equal(faultOf(() => compileJsonPath('{.items}{end}')).code, 'cli.usage');
});

test('jsonpath repeats over a range, cuts lists, and filters them', () => {
  const versions = [
    { number: 1, state: 'revoked', stage: '' },
    { number: 2, state: 'stored', stage: 'previous' },
    { number: 3, state: 'stored' },
  ];
  const value = {
    items: [
      { name: 'a', versions },
      { name: 'b', versions: [] },
    ],
  };
  const cases: readonly (readonly [string, string])[] = [
    ['{range .items[*]}{.name}{"\\n"}{end}', 'a\nb\n'],
    ['{range .items[*]}{.name}:{range .versions[*]} {.number}{end};{end}', 'a: 1 2 3;b:;'],
    ['{.items[0].versions[-1].number}', '3'],
    ['{.items[0].versions[1:].number}', '2 3'],
    ['{.items[0].versions[:2].number}', '1 2'],
    ['{.items[0].versions[0:1].number} {.items[-5].name}', '1 '],
    ['{.items[0].versions[?(@.state=="stored")].number}', '2 3'],
    ["{.items[0].versions[?(@.state != 'stored')].number}", '1'],
    ['{.items[0].versions[?(@.number>=2)].number}', '2 3'],
    ['{.items[0].versions[?(@.number<2)].number}', '1'],
    ['{.items[*].versions[?(@.stage)].number}', '1 2'],
    ['{.items[0].versions[?(@.state>1)].number}', ''],
  ];
  for (const [template, expected] of cases) {
    equal(compileJsonPath(template)(value), expected, template);
  }
  for (const wrong of ['{.items[?(@.a==b)]}', '{.items[?(a==1)]}', '{.items[1:2:3]}', '{range}']) {
    equal(faultOf(() => compileJsonPath(wrong)).code, 'cli.usage', wrong);
  }
});

test('ages have two units while they are young, and suggestions are near', () => {
  const seconds = [0, 119, 190, 3600, 8100, 93_600, 356_400, 31_536_000, 100_000_000];
  deepEqual(
    seconds.map((one) => duration(one * 1000)),
    ['0s', '119s', '3m10s', '60m', '135m', '26h', '4d3h', '365d', '3y62d'],
  );
  equal(nearest('sceret', ['secret', 'seal']), 'secret');
  equal(nearest('frobnicate', ['secret', 'seal']), undefined);
});
