/** Goal: the text of a document is YAML that means the document, and is the same for equal documents. */
import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { limits } from '../../base/limits.ts';
import { parse } from 'yaml';
import { name, anyGrant, anyMatch, secret } from './policy-samples.suite.ts';
import { clipped, grantText, groupText } from './document-text.ts';

test('groupText and grantText are read back by a YAML reader as what they were', () => {
  fc.assert(
    fc.property(anyMatch, anyGrant, (match, grant) => {
      const plain = JSON.parse(JSON.stringify({ match, grant })) as {
        match: object;
        grant: object;
      };
      deepEqual(parse(groupText({ name: name('a'), match })), {
        kind: 'Group',
        name: 'a',
        match: plain.match,
      });
      deepEqual(parse(grantText(grant)), { kind: 'Grant', ...plain.grant });
    }),
    { numRuns: 2000 },
  );
});

test('groupText: words and numbers that YAML would take for something else stay text', () => {
  const words = [
    'true',
    'no',
    'null',
    '~',
    '1e3',
    '0400',
    '0x1f',
    '',
    ' a',
    'a: b',
    'a #b',
    '- a',
    'ü',
    'a\nb',
    '*x',
    '&x',
  ];
  for (const word of words) {
    const match = { docker: { labels: { key: word } } };
    deepEqual(parse(groupText({ name: name('true'), match })), {
      kind: 'Group',
      name: 'true',
      match,
    });
  }
});

test('groupText: the order in which labels were given does not matter, their values do', () => {
  const text = (labels: Record<string, string>): string =>
    groupText({ name: name('a'), match: { docker: { labels } } });
  equal(text({ a: '1', b: '2' }), text({ b: '2', a: '1' }));
  notEqual(text({ a: '1' }), text({ a: '2' }));
});

test('grantText reads well', () => {
  const grant = {
    group: name('payments-api'),
    secrets: [{ secret: secret('payments/db-password'), file: name('db'), mode: '0440', uid: 10 }],
    onChange: { signal: 'SIGHUP' as const },
  };
  equal(
    grantText(grant),
    [
      'kind: Grant',
      'group: payments-api',
      'secrets:',
      '  - { secret: payments/db-password, file: db, mode: "0440", uid: 10 }',
      'onChange:',
      '  signal: SIGHUP',
      '',
    ].join('\n'),
  );
});

test('clipped: what is too long for an answer is just short enough, and says that there is more', () => {
  const max = limits.documentTextCharsMax;
  equal(clipped('x'.repeat(max)).length, max);
  equal(clipped('x'.repeat(max)).at(-1), 'x');
  equal(clipped('x'.repeat(max + 1)).length, max);
  equal(clipped('x'.repeat(max + 1)).endsWith('\n# … and more\n'), true);
});
