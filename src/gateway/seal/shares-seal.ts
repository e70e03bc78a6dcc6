/**
 * The shares seal: the wrapping key is split among people, and `threshold` of them unseal together.
 *
 * Shares are given one at a time, in any order. A slip is named and costs nothing; if the shares
 * together are wrong, all are dropped, since nobody can tell which one was forged.
 */
import { Fault } from '../../base/fault.ts';
import {
  combineShares,
  formatShare,
  readShare,
  type Share,
  shareKeyBytes,
  sharesAllowed,
  splitKey,
  wipeShare,
} from '../../crypto/shares.ts';
import type { Seal, Unsealer, UnsealOutcome } from './seal.ts';
import {
  hexParameter,
  numberParameter,
  type SealRecord,
  unwrapRootKey,
  withWrappingKey,
  wrapRootKey,
} from './seal-record.ts';

export interface SharesRequest {
  readonly kind: 'shares';
  /** 2 … 16, or 1. */
  readonly count: number;
  /** 2 … `count`, or 1 of 1. */
  readonly threshold: number;
}

interface SetOfShares {
  readonly setId: string;
  readonly count: number;
  readonly threshold: number;
}

export const sharesSeal: Seal<SharesRequest> = {
  kind: 'shares',
  asks: 'shares',

  async create(rootKey, request, context) {
    const { count, threshold } = request;
    const { random } = context;
    if (!sharesAllowed(count, threshold)) {
      const problem = 'must be 2 … 16 shares of which 2 or more are needed, or 1 of 1';
      throw new Fault('request.invalid', { what: 'shares', problem });
    }
    return withWrappingKey(random.bytes(shareKeyBytes), (wrappingKey) => {
      const shares = splitKey(wrappingKey, { count, threshold, random });
      const setId = shares[0]?.setId ?? '';
      const parameters = { setId, count, threshold };
      const record = wrapRootKey(rootKey, wrappingKey, { kind: 'shares', parameters, random });
      const texts = shares.map(formatShare);
      shares.forEach(wipeShare);
      return { record, shares: texts };
    });
  },

  unsealer(record) {
    const set = {
      setId: hexParameter(record, 'setId').toString('hex'),
      count: numberParameter(record, 'count'),
      threshold: numberParameter(record, 'threshold'),
    };
    if (!sharesAllowed(set.count, set.threshold)) {
      throw new Fault('seal.corrupt', { problem: 'numbers of shares out of bounds' });
    }
    return new SharesUnsealer(record, set);
  },

  async weakenings(_context, record) {
    return numberParameter(record, 'threshold') === 1 ? ['single-share'] : [];
  },
};

class SharesUnsealer implements Unsealer {
  readonly kind = 'shares';
  readonly asks = 'shares';
  readonly #record: SealRecord;
  readonly #set: SetOfShares;
  readonly #given = new Map<number, Share>();

  constructor(record: SealRecord, set: SetOfShares) {
    this.#record = record;
    this.#set = set;
  }

  progress(): { readonly given: number; readonly needed: number } {
    return { given: this.#given.size, needed: this.#set.threshold };
  }

  async supply(material: Uint8Array): Promise<UnsealOutcome> {
    const read = readShare(material);
    if (read.kind === 'refused') throw new Fault('seal.share-unreadable', { problem: read.reason });
    const { share } = read;
    const { setId, count, threshold } = this.#set;
    if (share.setId !== setId || share.count !== count || share.threshold !== threshold) {
      wipeShare(share);
      throw new Fault('seal.share-foreign', { set: setId });
    }
    if (this.#given.has(share.index)) {
      wipeShare(share);
      throw new Fault('seal.share-repeated', { index: share.index });
    }
    this.#given.set(share.index, share);
    if (this.#given.size < threshold) return { kind: 'waiting', ...this.progress() };
    // Taken out first, so that a share which arrives meanwhile begins anew.
    const shares = [...this.#given.values()];
    this.#given.clear();
    const combined = combineShares(shares);
    shares.forEach(wipeShare);
    const rootKey = withWrappingKey(combined, (key) => unwrapRootKey(this.#record, key));
    return { kind: 'unsealed', rootKey };
  }

  reset(): void {
    for (const share of this.#given.values()) wipeShare(share);
    this.#given.clear();
  }
}
