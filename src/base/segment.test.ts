/**
 * Goal: a segment has one spelling (V1).
 * Method: what is allowed, at its limits; beside each, what differs from it in one thing and is refused.
 */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { isSegment } from './segment.ts';

test('isSegment takes one spelling and folds none', () => {
  const allowed = ['a', '7', 'db-password', 'v1.2_b', 'a'.repeat(64), `a${'.-'.repeat(31)}b`];
  for (const text of allowed) equal(isSegment(text), true, text);
  const refused = [
    '',
    'A',
    'a'.repeat(65),
    '.a',
    'a.',
    '-a',
    'a_',
    'a..b',
    'a/b',
    'a b',
    'a\n',
    'ä',
  ];
  for (const text of refused) equal(isSegment(text), false, JSON.stringify(text));
});
