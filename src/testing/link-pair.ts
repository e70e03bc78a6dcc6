/**
 * Two ends of a link in memory. Messages arrive in order, one turn later, until somebody cuts it;
 * `hold` keeps them back, so that a test decides what is lost.
 */
import type { Link, LinkHandlers } from '../wire/link.ts';

class End implements Link {
  peer: End | undefined;
  handlers: LinkHandlers | undefined;
  /** Bytes that arrived before anyone listened, or while the pair is held. */
  readonly waiting: Uint8Array[] = [];
  isOpen = true;
  readonly queuedBytes = 0;
  readonly #pair: LinkPair;

  constructor(pair: LinkPair) {
    this.#pair = pair;
  }

  open(handlers: LinkHandlers): void {
    this.handlers = handlers;
    this.flush();
  }

  send(bytes: Uint8Array): void {
    if (!this.isOpen || !this.peer) return;
    this.peer.waiting.push(Uint8Array.from(bytes));
    bytes.fill(0);
    queueMicrotask(() => this.peer?.flush());
  }

  close(reason: string): void {
    this.#pair.cut(reason);
  }

  flush(): void {
    if (!this.handlers || this.#pair.held) return;
    for (const bytes of this.waiting.splice(0)) this.handlers.message(bytes);
  }
}

export class LinkPair {
  readonly left: Link;
  readonly right: Link;
  readonly #ends: readonly [End, End];
  held = false;

  constructor() {
    const [left, right] = [new End(this), new End(this)];
    left.peer = right;
    right.peer = left;
    this.#ends = [left, right];
    this.left = left;
    this.right = right;
  }

  /** Nothing arrives until `release`. */
  hold(): void {
    this.held = true;
  }

  release(): void {
    this.held = false;
    for (const end of this.#ends) end.flush();
  }

  /** Ends it for both; what was on its way is lost. */
  cut(reason = 'cut'): void {
    for (const end of this.#ends) {
      if (!end.isOpen) continue;
      end.isOpen = false;
      end.waiting.length = 0;
      end.handlers?.closed(reason);
    }
  }
}
