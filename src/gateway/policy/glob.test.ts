/**
 * Goal: globs mean what their header says, for any text and any pattern, without ever trying twice.
 * Method: compare with a naive recursive definition over a small alphabet; then patterns that make
 * backtracking engines explode.
 */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileGlob } from './glob.ts';

/** The definition: obviously right, and exponential. */
function naive(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  const stars = /^\*+/.exec(pattern)?.[0].length ?? 0;
  if (stars === 0) {
    return text !== '' && pattern[0] === text[0] && naive(pattern.slice(1), text.slice(1));
  }
  const rest = pattern.slice(stars);
  for (let taken = 0; taken <= text.length; taken += 1) {
    if (naive(rest, text.slice(taken))) return true;
    if (stars === 1 && text[taken] === '/') return false;
  }
  return false;
}

/** The control: a star that also eats slashes, as a careless translation to `.*` would. */
const careless = (pattern: string, text: string): boolean =>
  naive(pattern.replaceAll(/\*+/g, '**'), text);

const runs = process.env['COFFER_LONG'] === '1' ? 200_000 : 20_000;
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '*', '.'), maxLength: 8 });
const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.'), maxLength: 10 });

test('compileGlob agrees with the definition', () => {
  fc.assert(
    fc.property(pattern, text, (wanted, given) => {
      equal(compileGlob(wanted).matches(given), naive(wanted, given));
    }),
    { numRuns: runs },
  );
});

test('compileGlob control: a star that crosses slashes is told apart by the same comparison', () => {
  const result = fc.check(
    fc.property(pattern, text, (wanted, given) => {
      equal(careless(wanted, given), naive(wanted, given));
    }),
    { numRuns: 20_000 },
  );
  equal(result.failed, true);
});

test('compileGlob: dots, brackets and backslashes stand for themselves', () => {
  equal(compileGlob('a.c').matches('abc'), false);
  equal(compileGlob('[ab]*').matches('a1'), false);
  equal(compileGlob('[ab]*').matches('[ab]1'), true);
  equal(compileGlob('a\\*').matches('a\\x'), true);
});

test('compileGlob: segments of image references', () => {
  const oneSegment = compileGlob('registry.example/*/api:*');
  equal(oneSegment.matches('registry.example/payments/api:1.4'), true);
  equal(oneSegment.matches('registry.example/payments/eu/api:1.4'), false);
  equal(oneSegment.matches('evil.example/registry.example/payments/api:1'), false);
  equal(compileGlob('registry.example/**').matches('registry.example/a/b/c:1'), true);
  equal(compileGlob('registry.example/**').matches('registry.example.evil/a'), false);
});

test('compileGlob: patterns that explode when retried end at once, and long texts match nothing', () => {
  const hostile = compileGlob(`${'a*'.repeat(200)}b`);
  equal(hostile.matches('a'.repeat(4000)), false);
  equal(compileGlob('a**').matches('a'.repeat(5000)), false);
});
