/**
 * Goal: no two readers of a document disagree about it, and no document costs more than its bound.
 * Method: properties against JSON.parse over generated and over mutated documents; a list of what
 * JSON.parse takes and we do not (the control: JSON.parse must take each).
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isFault } from './fault.ts';
import { jsonBounds, parseJson } from './json.ts';

const runs = process.env['COFFER_LONG'] === '1' ? 20_000 : 2_000;
const read = (text: string): unknown => parseJson(Buffer.from(text), 'body');

/** With prototypes, and nothing else changed: for comparing. */
const ordinary = (value: unknown): unknown => structuredClone(value);

function outcome(act: () => unknown): { value?: unknown; error?: unknown } {
  try {
    return { value: act() };
  } catch (error) {
    return { error };
  }
}

test('parseJson agrees with JSON.parse on what JSON.stringify writes', () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ noUnicodeString: false, maxDepth: 6 }),
      fc.nat(4),
      (value, space) => {
        const text = JSON.stringify(value, undefined, space);
        if (!text.isWellFormed()) return;
        const lone = /\\u[dD][89a-fA-F]/.test(text);
        if (!lone) deepEqual(ordinary(read(text)), JSON.parse(text));
      },
    ),
    { numRuns: runs },
  );
});

test('parseJson accepts nothing that JSON.parse refuses, and throws nothing but its two faults', () => {
  const alphabet = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'u',
    '0',
    '1',
    '-',
    '.',
    'e',
    't',
    'r',
  ];
  const soup = fc.array(fc.constantFrom(...alphabet, ' ', '\n', 'true', 'null', '"a"', '\u00e9'), {
    maxLength: 24,
  });
  fc.assert(
    fc.property(soup, (parts) => {
      const text = parts.join('');
      const own = outcome(() => read(text));
      const other = outcome(() => JSON.parse(text) as unknown);
      if (own.error === undefined) deepEqual(ordinary(own.value), other.value);
      else ok(isFault(own.error, 'request.malformed') || isFault(own.error, 'limit.exceeded'));
      if (other.error === undefined && own.error !== undefined) {
        ok(/twice|surrogate|out of range/.test(String(own.error)), String(own.error));
      }
    }),
    { numRuns: runs * 4 },
  );
});

test('parseJson survives any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const { error } = outcome(() => parseJson(bytes, 'body'));
      ok(error === undefined || isFault(error, 'request.malformed'));
    }),
    { numRuns: runs },
  );
});

test('parseJson refuses what two readers would read differently; JSON.parse takes all of it', () => {
  const split = ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '["\\ud800"]', '{"\\udc00":1}', '[1e999]'];
  for (const text of split) {
    JSON.parse(text);
    throws(() => read(text), { code: 'request.malformed' }, text);
  }
  throws(() => parseJson(Buffer.from([0x22, 0xff, 0x22]), 'body'), { code: 'request.malformed' });
  throws(() => read('\ufeff{}'), { code: 'request.malformed' });
});

test('parseJson names line and column, and never the input', () => {
  const canary = 'zq7-canary';
  for (const text of [
    `{\n  "a": "${canary}" x`,
    `{"a":1,\n   "a":"${canary}"}`,
    `["${canary}\n"]`,
  ]) {
    const { error } = outcome(() => read(text));
    ok(isFault(error));
    ok(!error.message.includes(canary));
    equal(typeof error.detail['line'], 'number');
  }
  const { error } = outcome(() => read('{\n  "a": x}'));
  ok(isFault(error));
  deepEqual([error.detail['line'], error.detail['column']], [2, 8]);
});

test('parseJson gives objects that inherit nothing, and keeps __proto__ a member, at every place', () => {
  const text = '{"__proto__":{"polluted":1},"in":[{"constructor":{"prototype":{"polluted":1}}}]}';
  const inherited = ['constructor', 'toString', 'hasOwnProperty', '__proto__'];
  const members: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (!Array.isArray(value)) {
      for (const name of inherited) equal(name in value, Object.hasOwn(value, name), name);
      members.push(...Object.keys(value));
    }
    Object.values(value).forEach(visit);
  };
  visit(read(text));
  deepEqual(members, ['__proto__', 'in', 'polluted', 'constructor', 'prototype', 'polluted']);
  equal(({} as Record<string, unknown>)['polluted'], undefined);
  ok('constructor' in (JSON.parse('{}') as object), 'control');
  throws(() => read('{"__proto__":1,"__proto__":2}'), { code: 'request.malformed' });
});

test('parseJson stops at its bounds: bytes, depth, members', () => {
  const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
  read(deep(jsonBounds.depthMax));
  throws(() => read(deep(jsonBounds.depthMax + 1)), { code: 'limit.exceeded' });
  throws(() => read(deep(100_000)), { code: 'limit.exceeded' });
  throws(() => read(`[${'0,'.repeat(jsonBounds.nodesMax)}0]`), { code: 'limit.exceeded' });
  throws(() => read(' '.repeat(jsonBounds.bytesMax + 1)), { code: 'limit.exceeded' });
});
