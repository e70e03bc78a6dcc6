/**
 * The only place that is random. Everything else is given a `Random`, so that the simulator can
 * replay a run from its seed.
 */
import { randomBytes, randomFillSync, randomInt } from 'node:crypto';

export interface Random {
  /** A fresh buffer of its own memory (not from the shared pool), so that it can be wiped. */
  bytes(length: number): Buffer;
  /** A whole number, 0 … `limit` − 1, without modulo bias. `limit` up to 2^48 − 1. */
  integer(limit: number): number;
  /** 0 ≤ x < 1. For jitter, never for keys. */
  fraction(): number;
}

export const systemRandom: Random = {
  bytes(length) {
    return randomFillSync(Buffer.allocUnsafeSlow(length));
  },
  integer: (limit) => randomInt(limit),
  fraction: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
};
