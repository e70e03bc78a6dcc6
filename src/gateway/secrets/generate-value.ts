/**
 * Random values that nobody sees: characters drawn without bias, in memory that is wiped.
 */
import { assert } from '../../base/assert.ts';
import { allocate, wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import type { Random } from '../../base/random.ts';
import { SecretValue } from '../../model/secret-value.ts';

const digits = '0123456789';
const lower = 'abcdefghijklmnopqrstuvwxyz';
const alphanumeric = `${digits}${lower.toUpperCase()}${lower}`;
const charsets = {
  digits,
  hex: '0123456789abcdef',
  alphanumeric,
  base64url: `${alphanumeric}-_`,
  /** Every ASCII character from ! to ~: no space, which gets lost at ends. */
  printable: String.fromCharCode(...Array.from({ length: 94 }, (_, index) => 33 + index)),
} as const;

export interface ValueRules {
  /** Characters, or bytes for the charset `bytes`. 32 when left out. */
  readonly length?: number;
  readonly charset?: keyof typeof charsets | 'bytes';
  /** Characters that must not occur. */
  readonly exclude?: string;
}

const lengthDefault = 32;
/** Two characters give one bit each: below that a value would be a constant. */
const charactersMin = 2;

/** @throws Fault `request.invalid` if the rules leave nothing to choose from. */
export function generateValue(rules: ValueRules, random: Random): SecretValue {
  const { length = lengthDefault, charset = 'alphanumeric', exclude = '' } = rules;
  if (charset === 'bytes') {
    if (exclude !== '') throw wrong('exclude does not go with charset bytes');
    return SecretValue.own(random.bytes(length));
  }
  const allowed = charsets[charset].split('').filter((character) => !exclude.includes(character));
  if (allowed.length < charactersMin) throw wrong('exclude leaves too few characters');
  return SecretValue.own(drawCharacters(Buffer.from(allowed.join(''), 'latin1'), length, random));
}

/** Rejection sampling: a byte past the last whole multiple of the alphabet is thrown away. */
function drawCharacters(alphabet: Buffer, length: number, random: Random): Buffer {
  assert(alphabet.length <= 256, 'one byte chooses one character');
  const fair = 256 - (256 % alphabet.length);
  const drawn = allocate(length);
  let filled = 0;
  while (filled < length) {
    const bytes = random.bytes(length);
    for (const byte of bytes) {
      if (filled < length && byte < fair) drawn[filled++] = alphabet[byte % alphabet.length] ?? 0;
    }
    wipe(bytes);
  }
  return drawn;
}

function wrong(problem: string): Fault {
  return new Fault('request.invalid', { what: 'rules', problem });
}
