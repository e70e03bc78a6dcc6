/**
 * Authenticated encryption: XAES-256-GCM as C2SP specifies it (https://c2sp.org/XAES-256-GCM).
 *
 * A 256-bit key and a random 192-bit nonce. Half the nonce derives a fresh AES-256-GCM key by CMAC,
 * the other half is that cipher's nonce, so random nonces stay safe for 2^80 messages under one key
 * where plain AES-GCM ends at 2^32.
 *
 * Promises
 *   - What opens is what was sealed under the same key and the same associated data; else nothing.
 *   - No caller can choose, repeat or see a nonce before it is used.
 * Does not promise
 *   - Key commitment: someone who knows two keys can make one ciphertext that opens under both.
 *     Whoever needs that binds a key id into the associated data.
 *   - That no copy of a plaintext stays in freed native memory; Node's cipher makes one.
 *
 * Layout: nonce (24) ‖ ciphertext (as long as the plaintext) ‖ tag (16). Vectors: vectors/aead.json.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { allocate, wipe } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';

export const aeadKeyBytes = 32;
const nonceBytes = 24;
const contextBytes = 12;
const tagBytes = 16;
const blockBytes = 16;
/** How much longer a sealed message is than its plaintext. */
export const aeadOverheadBytes = nonceBytes + tagBytes;

/**
 * A key for `sealBytes` and `openBytes`. The raw bytes live in OpenSSL's memory, which clears them
 * when the key is collected; the JavaScript heap holds only the CMAC subkey, from which the key
 * cannot be computed.
 */
export class AeadKey {
  /** One AES key schedule, kept: deriving a message key is then a single call. */
  readonly #blocks: ReturnType<typeof createCipheriv>;
  /** Both counter blocks, masked with the CMAC subkey; what is missing is the nonce. */
  readonly #template: Buffer;
  /** Where a nonce meets the template. Reused: nothing here is concurrent. */
  readonly #scratch: Buffer = allocate(2 * blockBytes);

  private constructor(key: KeyObject) {
    this.#blocks = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    this.#template = maskedTemplate(this.#blocks.update(Buffer.alloc(blockBytes)));
  }

  /** @param raw - 32 bytes; copied, so the caller wipes its own. */
  static fromBytes(raw: Uint8Array): AeadKey {
    assert(raw.length === aeadKeyBytes, 'an AEAD key has 32 bytes');
    return new AeadKey(createSecretKey(raw));
  }

  /** The one-message key. The caller wipes it. Only this file calls it. */
  deriveMessageKey(nonce: Uint8Array): Buffer {
    assert(nonce.length === nonceBytes, 'a nonce has 24 bytes');
    const scratch = this.#scratch;
    scratch.set(this.#template);
    for (let index = 0; index < contextBytes; index++) {
      const byte = at(nonce, index);
      scratch[4 + index] = at(scratch, 4 + index) ^ byte;
      scratch[blockBytes + 4 + index] = at(scratch, blockBytes + 4 + index) ^ byte;
    }
    return this.#blocks.update(scratch);
  }
}

/**
 * Seals `plaintext` under `key` with a fresh nonce.
 *
 * @param associatedData - Authenticated but not stored: the same bytes are needed to open. Build it
 *   with `joinPrefixed`, so that two different contexts never give the same bytes.
 */
export function sealBytes(
  key: AeadKey,
  plaintext: Uint8Array,
  associatedData: Uint8Array,
  random: Pick<Random, 'bytes'>,
): Buffer {
  const nonce = random.bytes(nonceBytes);
  const messageKey = key.deriveMessageKey(nonce);
  const cipher = createCipheriv('aes-256-gcm', messageKey, nonce.subarray(contextBytes));
  wipe(messageKey);
  cipher.setAAD(associatedData);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  assert(ciphertext.length === plaintext.length, 'GCM keeps the length');
  // A ciphertext may lie in the shared pool: it is not secret, and memory of its own costs 10 %.
  return Buffer.concat([nonce, ciphertext, cipher.getAuthTag()]);
}

/**
 * Opens what `sealBytes` made: the plaintext, in memory of its own that the caller wipes; or
 * `undefined` if the key, the associated data or any bit of `sealed` is not the original. Which of
 * them it was cannot be told.
 */
export function openBytes(
  key: AeadKey,
  sealed: Uint8Array,
  associatedData: Uint8Array,
): Buffer | undefined {
  const ciphertextBytes = sealed.length - aeadOverheadBytes;
  if (ciphertextBytes < 0) return undefined;
  const nonce = sealed.subarray(0, nonceBytes);
  const messageKey = key.deriveMessageKey(nonce);
  const decipher = createDecipheriv('aes-256-gcm', messageKey, nonce.subarray(contextBytes), {
    authTagLength: tagBytes,
  });
  wipe(messageKey);
  decipher.setAAD(associatedData);
  decipher.setAuthTag(sealed.subarray(nonceBytes + ciphertextBytes));
  const plaintext = decipher.update(sealed.subarray(nonceBytes, nonceBytes + ciphertextBytes));
  try {
    decipher.final();
  } catch {
    wipe(plaintext);
    return undefined;
  }
  return ownMemory(plaintext);
}

/** Node gives each cipher output memory of its own today; should that change, we copy. */
function ownMemory(bytes: Buffer): Buffer {
  if (bytes.buffer.byteLength === bytes.length) return bytes;
  const copy = allocate(bytes.length);
  copy.set(bytes);
  wipe(bytes);
  return copy;
}

/** M1 ⊕ K1 ‖ M2 ⊕ K1 with a nonce of zeros; K1 is E(0) doubled in GF(2^128), without branching on it. */
function maskedTemplate(encryptedZeros: Buffer): Buffer {
  const subkey = allocate(blockBytes);
  let carry = 0;
  for (let index = blockBytes - 1; index >= 0; index--) {
    subkey[index] = ((at(encryptedZeros, index) << 1) & 0xff) | carry;
    carry = at(encryptedZeros, index) >> 7;
  }
  subkey[blockBytes - 1] = at(subkey, blockBytes - 1) ^ (0x87 & -carry);
  const template = allocate(2 * blockBytes);
  for (const counter of [1, 2]) {
    const start = (counter - 1) * blockBytes;
    template.set(subkey, start);
    template[start + 1] = at(template, start + 1) ^ counter;
    template[start + 2] = at(template, start + 2) ^ 0x58; // 'X', the label
  }
  wipe(encryptedZeros);
  wipe(subkey);
  return template;
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] as number;
}
