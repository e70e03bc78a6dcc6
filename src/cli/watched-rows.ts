/**
 * A list that goes on: what is new in it, or differs, is one more row; what went away is said.
 *
 * Promises: what did not change is not shown again; the first row that is shown has its titles above it.
 */
import { visible } from '../base/visible-text.ts';
import { type ListBody, showList, showRow, type View } from './output.ts';
import type { Session } from './session.ts';

export interface WatchedOptions<Item> {
  readonly view: View<Item>;
  readonly headers: boolean;
  /** What tells one row from another. */
  readonly keyOf: (item: Item) => string;
  /** Said of one that is in the list no more. */
  readonly goneText: (item: Item) => string;
}

export class WatchedRows<Item> {
  readonly #session: Session;
  readonly #options: WatchedOptions<Item>;
  readonly #known = new Map<string, Item>();
  #isTitled = false;

  constructor(session: Session, options: WatchedOptions<Item>) {
    this.#session = session;
    this.#options = options;
  }

  /** Shows the list as it is at first. */
  async begin(body: ListBody<Item>): Promise<void> {
    const { view, headers, keyOf } = this.#options;
    await showList(this.#session, view, body, { headers });
    this.#isTitled = body.items.length > 0;
    for (const item of body.items) this.#known.set(keyOf(item), item);
    this.#session.isFollowing = true;
  }

  /** @param item - As it is now; shown unless it is known so. */
  async see(item: Item): Promise<void> {
    const { view, headers, keyOf } = this.#options;
    const before = this.#known.get(keyOf(item));
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(item)) return;
    this.#known.set(keyOf(item), item);
    await showRow(this.#session, view, item, { headers: headers && !this.#isTitled });
    this.#isTitled = true;
  }

  /** @param key - Of what is in the list no more, if it ever was. */
  miss(key: string): void {
    const item = this.#known.get(key);
    if (item === undefined) return;
    this.#known.delete(key);
    this.#session.note(visible(this.#options.goneText(item)));
  }

  /** Of a whole list that was read anew. Of one that was cut off nothing can be told of what is behind. */
  async renew({ items, nextCursor }: ListBody<Item>): Promise<void> {
    const keys = new Set(items.map(this.#options.keyOf));
    if (nextCursor === undefined) {
      for (const key of this.#known.keys()) if (!keys.has(key)) this.miss(key);
    }
    for (const item of items) await this.see(item);
  }
}
