/**
 * The passphrase seal: the wrapping key is argon2id of a passphrase. A restart needs a person.
 *
 * One guess at a time: each costs memory and a quarter of a second, and while sealed anyone may try.
 */
import { Fault } from '../../base/fault.ts';
import {
  derivePassphraseKey,
  type PassphraseCost,
  passphraseCostAllowed,
  passphraseCostDefault,
} from '../../crypto/kdf.ts';
import type { Seal, Unsealer, UnsealOutcome } from './seal.ts';
import {
  hexParameter,
  numberParameter,
  type SealRecord,
  unwrapRootKey,
  withWrappingKey,
  wrapRootKey,
} from './seal-record.ts';

const saltBytes = 16;
const keyBytes = 32;
/** Six diceware words have 23 or more characters; fewer than 12 of anything can be guessed offline. */
const passphraseBytesMin = 12;
const passphraseBytesMax = 1024;

export interface PassphraseRequest {
  readonly kind: 'passphrase';
  /** UTF-8, 12 … 1,024 bytes, compared byte for byte; one line end after it is dropped. The caller wipes it. */
  readonly passphrase: Uint8Array;
  readonly cost?: PassphraseCost;
}

export const passphraseSeal: Seal<PassphraseRequest> = {
  kind: 'passphrase',
  asks: 'passphrase',

  async create(rootKey, request, context) {
    const { cost = passphraseCostDefault } = request;
    const passphrase = withoutLineEnd(request.passphrase);
    if (passphrase.length < passphraseBytesMin || passphrase.length > passphraseBytesMax) {
      const detail = `must have ${passphraseBytesMin} … ${passphraseBytesMax} bytes`;
      const errors = [{ pointer: '/passphrase', detail }];
      throw new Fault('request.invalid', { what: 'passphrase', problem: detail }, { errors });
    }
    const salt = context.random.bytes(saltBytes);
    if (!passphraseCostAllowed(cost, salt)) {
      throw new Fault('request.invalid', { what: 'passphrase cost', problem: 'out of bounds' });
    }
    const parameters = { salt: salt.toString('hex'), ...cost };
    const wrappingKey = await derivePassphraseKey(passphrase, salt, cost, keyBytes);
    return withWrappingKey(wrappingKey, () => ({
      record: wrapRootKey(rootKey, wrappingKey, {
        kind: 'passphrase',
        parameters,
        random: context.random,
      }),
      shares: [],
    }));
  },

  unsealer(record) {
    const cost = {
      memoryKib: numberParameter(record, 'memoryKib'),
      passes: numberParameter(record, 'passes'),
      lanes: numberParameter(record, 'lanes'),
    };
    const salt = hexParameter(record, 'salt');
    if (!passphraseCostAllowed(cost, salt)) {
      throw new Fault('seal.corrupt', { problem: 'cost out of bounds' });
    }
    return new PassphraseUnsealer(record, { cost, salt });
  },

  async weakenings() {
    return [];
  },
};

class PassphraseUnsealer implements Unsealer {
  readonly kind = 'passphrase';
  readonly asks = 'passphrase';
  readonly #record: SealRecord;
  readonly #parameters: { readonly cost: PassphraseCost; readonly salt: Buffer };
  #busy = false;

  constructor(
    record: SealRecord,
    parameters: { readonly cost: PassphraseCost; readonly salt: Buffer },
  ) {
    this.#record = record;
    this.#parameters = parameters;
  }

  progress(): { readonly given: number; readonly needed: number } {
    return { given: 0, needed: 1 };
  }

  async supply(material: Uint8Array): Promise<UnsealOutcome> {
    const passphrase = withoutLineEnd(material);
    if (passphrase.length < passphraseBytesMin || passphrase.length > passphraseBytesMax) {
      throw new Fault('seal.wrong-material', { kind: 'passphrase' });
    }
    if (this.#busy) throw new Fault('seal.busy');
    this.#busy = true;
    try {
      const { cost, salt } = this.#parameters;
      const wrappingKey = await derivePassphraseKey(passphrase, salt, cost, keyBytes);
      const rootKey = withWrappingKey(wrappingKey, () => unwrapRootKey(this.#record, wrappingKey));
      return { kind: 'unsealed', rootKey };
    } finally {
      this.#busy = false;
    }
  }

  reset(): void {}
}

/** One line end may follow what was typed or read from a file; it is no part of the passphrase. */
function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}
