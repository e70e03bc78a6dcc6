/**
 * Keys from keys (HKDF-SHA256, RFC 5869) and keys from passphrases (argon2id, RFC 9106).
 *
 * Promises
 *   - Two derivations give the same bytes only if root, label, context and length are all the same.
 *   - Parameters that came from storage are bounded before they cost anything: a hostile record can
 *     neither weaken the passphrase's protection nor exhaust memory.
 */
import { argon2, hkdfSync, type KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { joinPrefixed, wipe } from '../base/bytes.ts';
import { AeadKey, aeadKeyBytes } from './aead.ts';

/** What a derived key is for. Never reuse a label for a second purpose; raise its number instead. */
export type KeyLabel = `cofferdam/${string}/v${number}`;

/**
 * Derives `length` bytes for one purpose. The result has memory of its own; the caller wipes it.
 *
 * @param root - High entropy: a random key, never a passphrase.
 * @param context - What tells keys of one purpose apart, such as an id; joined without ambiguity.
 * @param length - 16 … 64 bytes.
 */
export function deriveBytes(
  root: KeyObject,
  label: KeyLabel,
  context: readonly (string | Uint8Array)[],
  length: number,
): Buffer {
  assert(root.type === 'secret' && (root.symmetricKeySize ?? 0) >= 32, 'the root has 256 bits');
  assert(length >= 16 && length <= 64, 'a derived key has 16 … 64 bytes');
  return Buffer.from(hkdfSync('sha256', root, '', joinPrefixed([label, ...context]), length));
}

/** Derives a key for `sealBytes`. */
export function deriveAeadKey(
  root: KeyObject,
  label: KeyLabel,
  context: readonly (string | Uint8Array)[],
): AeadKey {
  const raw = deriveBytes(root, label, context, aeadKeyBytes);
  try {
    return AeadKey.fromBytes(raw);
  } finally {
    wipe(raw);
  }
}

/** The cost of one guess. Stored beside what it protects, and bound to it. */
export interface PassphraseCost {
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
}

/** RFC 9106's second recommended option: 64 MiB, 3 passes. About a quarter of a second. */
export const passphraseCostDefault: PassphraseCost = { memoryKib: 64 * 1024, passes: 3, lanes: 4 };

/** Below the minimum OWASP states for argon2id nobody may go; above the maximum a gateway would starve. */
const bounds = {
  memoryKib: { min: 19 * 1024, max: 1024 * 1024 },
  passes: { min: 2, max: 16 },
  lanes: { min: 1, max: 16 },
  saltBytes: { min: 16, max: 64 },
} as const;

/** Whether parameters that were read from somewhere may be used at all. */
export function passphraseCostAllowed(cost: PassphraseCost, salt: Uint8Array): boolean {
  return (
    within(cost.memoryKib, bounds.memoryKib) &&
    within(cost.passes, bounds.passes) &&
    within(cost.lanes, bounds.lanes) &&
    within(salt.length, bounds.saltBytes)
  );
}

/**
 * argon2id: a key from a passphrase, on the thread pool. The result is the caller's to wipe, and so
 * is the passphrase.
 *
 * @param length - 16 … 64 bytes.
 */
export function derivePassphraseKey(
  passphrase: Uint8Array,
  salt: Uint8Array,
  cost: PassphraseCost,
  length: number,
): Promise<Buffer> {
  assert(passphraseCostAllowed(cost, salt), 'the caller checked the passphrase cost');
  assert(length >= 16 && length <= 64, 'a derived key has 16 … 64 bytes');
  const parameters = {
    message: passphrase,
    nonce: salt,
    parallelism: cost.lanes,
    memory: cost.memoryKib,
    passes: cost.passes,
    tagLength: length,
  };
  return new Promise((resolve, reject) => {
    argon2('argon2id', parameters, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}

function within(value: number, range: { readonly min: number; readonly max: number }): boolean {
  return Number.isSafeInteger(value) && value >= range.min && value <= range.max;
}
