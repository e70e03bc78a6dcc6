/**
 * Pages of lists: bounded, in stable order, showing only what the caller may see.
 *
 * A cursor is a place in the order, sealed: it shows nothing (the place may be the name of something
 * the caller may not see), cannot be made up, and fits only the same list of the same caller.
 */
import { createHash } from 'node:crypto';
import { joinPrefixed, wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import { limits } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { AeadKey, openBytes, sealBytes } from '../../crypto/aead.ts';
import type { Principal } from '../../model/principal.ts';
import type { View } from '../barrier/barrier.ts';

/** What a cursor is bound to. */
export interface ListScope {
  readonly operation: string;
  readonly principal: Principal;
  /** As parsed; `cursor` and `limit` in it do not count. */
  readonly input: Readonly<Record<string, unknown>>;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor?: string;
}

export interface PageOptions<Item, View> {
  readonly scope: ListScope;
  /** In order, strictly after the place that `start` gave. */
  readonly items: Iterable<Item>;
  readonly placeOf: (item: Item) => string;
  readonly isShown: (item: Item) => boolean;
  readonly view: (item: Item) => View;
}

export class Paging {
  readonly #view: View;
  readonly #random: Random;

  /** @param view - Whose keyed hash the cursors' key is made of. */
  constructor(view: View, random: Random) {
    this.#view = view;
    this.#random = random;
  }

  /** Where the page starts: strictly after this place. @throws Fault `request.invalid` */
  start(scope: ListScope): string {
    const { cursor } = scope.input;
    if (typeof cursor !== 'string') return '';
    const sealed = Buffer.from(cursor, 'base64url');
    const opened = openBytes(this.#key(), sealed, bindingOf(scope));
    // One spelling only: base64url decoding forgives what we never write.
    if (!opened || sealed.toString('base64url') !== cursor) {
      const problem = 'is not a cursor of this list';
      const errors = [{ pointer: '/cursor', detail: problem }];
      throw new Fault('request.invalid', { what: 'input', at: '/cursor', problem }, { errors });
    }
    return opened.toString('utf8');
  }

  page<Item, View>(options: PageOptions<Item, View>): Page<View> {
    const { scope, items, placeOf, isShown, view } = options;
    const max = pageLimit(scope.input);
    const shown: View[] = [];
    let scanned = 0;
    let last: Item | undefined;
    for (const item of items) {
      const isVisible = isShown(item);
      if (scanned >= limits.pageScanMax || (isVisible && shown.length === max)) {
        const place = last === undefined ? '' : placeOf(last);
        return { items: shown, nextCursor: this.cursor(scope, place) };
      }
      if (isVisible) shown.push(view(item));
      last = item;
      scanned++;
    }
    return { items: shown };
  }

  cursor(scope: ListScope, place: string): string {
    const sealed = sealBytes(this.#key(), Buffer.from(place), bindingOf(scope), this.#random);
    return sealed.toString('base64url');
  }

  /** Two keyed hashes are 320 unpredictable bits; one SHA-256 makes a key of them. */
  #key(): AeadKey {
    const seeds = ['left', 'right'].map((side) => this.#view.nameId('cursor key', side));
    const raw = createHash('sha256').update(seeds.join('')).digest();
    try {
      return AeadKey.fromBytes(raw);
    } finally {
      wipe(raw);
    }
  }
}

export function pageLimit(input: ListScope['input']): number {
  const { limit } = input;
  return typeof limit === 'number' ? limit : limits.pageItemsDefault;
}

function bindingOf({ operation, principal, input }: ListScope): Buffer {
  const { cursor: _cursor, limit: _limit, ...filter } = input;
  const members = Object.entries(filter).flatMap(([key, value]) => [key, JSON.stringify(value)]);
  return joinPrefixed(['cursor', operation, principal.kind, principal.id, ...members]);
}
