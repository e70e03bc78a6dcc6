/**
 * Goal: a path has one spelling (V1), and each operation is reached by its own path only.
 * Method: mutate good targets in every way that other routers fold: what is accepted must be the
 * canonical path of what was matched, byte for byte. Control: a router that folds accepts two
 * spellings of one name.
 */
import { deepEqual, equal, notEqual, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isFault } from '../../base/fault.ts';
import { operationExamples } from '../../protocol/examples.ts';
import { operationNamed, operationNames } from '../../protocol/operations.ts';
import { type Match, matchRoute, parseTarget } from './router.ts';

const mutations = process.env['COFFER_LONG'] === '1' ? 1_000_000 : 100_000;

function pathOf(match: Match): string {
  return match.operation.path.replace(/\{[A-Za-z]+\}/, match.given ?? '');
}

const goodPaths = operationNames.map((name) => {
  const { method, path } = operationNamed(name);
  const input: Readonly<Record<string, unknown>> = operationExamples[name].input;
  return {
    method,
    path: path.replace(/\{([A-Za-z]+)\}/, (_all, member: string) => String(input[member])),
  };
});

test('each operation is found by its own path, with the member that the path holds', () => {
  for (const [index, name] of operationNames.entries()) {
    const { method = 'GET', path = '' } = goodPaths[index] ?? {};
    const match = matchRoute(method, parseTarget(path).path);
    equal(match?.name, name);
    equal(pathOf(match), path);
  }
});

const inserts = [
  '%2f',
  '%2F',
  '%00',
  '%252f',
  '%41',
  '%c3%a9',
  '/',
  '//',
  '/.',
  '/./',
  '/../',
  '..',
  '.',
  ' ',
  '\t',
  '\u0000',
  '\u200b',
  '\u00e9',
  'e\u0301',
  '\uff0f',
  '\u2215',
  '\\',
  ';',
  ';a=b',
  '#',
  '@',
  '+',
  ':',
  ':put',
  '?',
  '&',
  '*',
  '~',
  'A',
  'a',
  '0',
  '-',
  '_',
  '{name}',
  '\u212a',
  '\u0131',
];

const mutated = fc
  .tuple(
    fc.constantFrom(...goodPaths),
    fc.array(
      fc.tuple(
        fc.nat(80),
        fc.constantFrom('insert', 'replace', 'delete', 'case', 'double'),
        fc.constantFrom(...inserts),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  )
  .map(([{ method, path }, steps]) => {
    let text: string = path;
    for (const [place, kind, insert] of steps) {
      const at = place % (text.length + 1);
      const [head, tail] = [text.slice(0, at), text.slice(at)];
      if (kind === 'insert') text = head + insert + tail;
      else if (kind === 'replace') text = head + insert + tail.slice(1);
      else if (kind === 'delete') text = head + tail.slice(1);
      else if (kind === 'case') text = head + tail.slice(0, 1).toUpperCase() + tail.slice(1);
      else text = head + tail.slice(0, 1) + tail;
    }
    return { method, text };
  });

test('a mutated target is refused, unknown, or the canonical spelling of what it matches', () => {
  let accepted = 0;
  fc.assert(
    fc.property(mutated, ({ method, text }) => {
      try {
        const { path } = parseTarget(text);
        const match = matchRoute(method, path);
        if (!match) return;
        accepted += 1;
        equal(pathOf(match), path);
        equal(text.split('?')[0], path);
      } catch (error) {
        ok(isFault(error), String(error));
        ok([400, 405, 414].includes(error.spec.status), error.code);
      }
    }),
    { numRuns: mutations },
  );
  ok(accepted > mutations / 100, 'the mutations are not all hopeless');
});

test('the control: a router that folds lets two spellings mean one name', () => {
  const folding = (text: string): string =>
    decodeURIComponent(text).toLowerCase().replaceAll(/\/+/g, '/').replaceAll('/./', '/');
  const spellings = [
    '/v1/secrets/a/b',
    '/v1/secrets/a%2fb',
    '/v1/secrets/A/b',
    '/v1//secrets/a/./b',
  ];
  deepEqual(new Set(spellings.map(folding)).size, 1);
  const own = spellings.slice(1).map((text) => {
    try {
      return matchRoute('GET', parseTarget(text).path)?.given;
    } catch {
      return 'refused';
    }
  });
  deepEqual(own, ['refused', 'refused', 'refused']);
});

test('a name that is not canonical is refused before anybody is asked', () => {
  for (const name of ['a..b', '-a', 'a-', '.a', 'a'.repeat(65), 'a/b/c/d/e/f/g/h/i']) {
    throws(() => matchRoute('GET', `/v1/secrets/${name}`), { code: 'request.malformed' }, name);
  }
});

test('a known path with another method says which are allowed; an unknown path says nothing', () => {
  throws(
    () => matchRoute('POST', '/v1/secrets/a'),
    (error) => {
      ok(isFault(error, 'request.method'));
      equal(error.detail['allow'], 'DELETE, GET, PATCH');
      return true;
    },
  );
  equal(matchRoute('GET', '/v1/nothing'), undefined);
  equal(matchRoute('GET', '/'), undefined);
  equal(matchRoute('GET', '/v1/secrets:put'), undefined);
  equal(matchRoute('__proto__', '/v1'), undefined);
});

test('a query decodes once, names each key once, and has no second spelling for a space', () => {
  deepEqual(
    [...parseTarget('/v1/secrets?prefix=a/b&selector=a%3Db%2Cc%20in').query],
    [
      ['prefix', 'a/b'],
      ['selector', 'a=b,c in'],
    ],
  );
  equal(parseTarget('/v1/secrets?prefix=%2525').query.get('prefix'), '%25');
  const wrong = [
    'a=1&a=2',
    'a=b+c',
    'a=%',
    'a=%zz',
    'a=%ff',
    'a=%00',
    'a=%0a',
    '',
    'a&&b',
    '=1',
    'a=é',
    'a%41=1',
  ];
  for (const query of wrong) {
    throws(() => parseTarget(`/v1/secrets?${query}`), { code: 'request.malformed' }, query);
  }
  const many = Array.from(
    { length: 65 },
    (_, index) => `${'k'.repeat(1 + (index % 64))}${index > 63 ? 'x' : ''}=1`,
  );
  throws(() => parseTarget(`/v1/secrets?${many.join('&')}`), { code: 'request.malformed' });
  throws(() => parseTarget(`/v1/${'a'.repeat(9000)}`), { code: 'request.target-too-long' });
  notEqual(parseTarget('/v1/secrets?a=').query.get('a'), undefined);
});
