/**
 * Goal: generated values follow their rules and no character is more likely than another.
 * Method: count a million characters per alphabet and compare with chance by chi-square; the control
 * is the same count for plain `byte % n`, which must fail.
 */
import { equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '../../base/random.ts';
import { generateValue, type ValueRules } from './generate-value.ts';

const textOf = (rules: ValueRules): string =>
  generateValue(rules, systemRandom).use((bytes) => bytes.toString('latin1'));

/** Standardised distance of the counts from uniform; |z| above 6 happens once in 10^9. */
function unevenness(text: string, alphabetSize: number): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  equal(counts.size, alphabetSize);
  const expected = text.length / alphabetSize;
  const chiSquare = [...counts.values()].reduce(
    (sum, n) => sum + (n - expected) ** 2 / expected,
    0,
  );
  const freedom = alphabetSize - 1;
  return (chiSquare - freedom) / Math.sqrt(2 * freedom);
}

test('lengths, alphabets and exclusions are kept', () => {
  equal(textOf({}).length, 32);
  ok(/^[A-Za-z0-9]{100}$/.test(textOf({ length: 100 })));
  ok(/^[0-9a-f]{64}$/.test(textOf({ length: 64, charset: 'hex' })));
  ok(!/[0Ol1I]/.test(textOf({ length: 4096, exclude: '0Ol1I' })));
  equal(generateValue({ length: 48, charset: 'bytes' }, systemRandom).length, 48);
  throws(() => textOf({ charset: 'digits', exclude: '012345678' }), { code: 'request.invalid' });
  throws(() => textOf({ charset: 'bytes', exclude: 'a' }), { code: 'request.invalid' });
});

test('every character is equally likely', () => {
  const sizes = { alphanumeric: 62, printable: 94, hex: 16, base64url: 64, digits: 10 } as const;
  for (const [charset, size] of Object.entries(sizes)) {
    const text = Array.from({ length: 200 }, () =>
      textOf({ length: 4096, charset: charset as keyof typeof sizes }),
    ).join('');
    ok(Math.abs(unevenness(text, size)) < 6, charset);
  }
  const biased = [...systemRandom.bytes(800_000)].map((byte) => String.fromCharCode(byte % 62));
  ok(unevenness(biased.join(''), 62) > 6, 'control: plain modulo is caught');
});
