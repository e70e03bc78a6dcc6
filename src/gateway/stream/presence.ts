/** Which nodes are here, since when, and what they said of themselves. In memory: a hello says it again. */
import type { Clock } from '../../base/clock.ts';
import type { SessionNodes } from './session.ts';

export interface NodePresence {
  readonly lastSeenMs: number;
  readonly version: string;
  readonly weakenings: readonly string[];
  /** Size of the audit tree that this node remembers as a witness. */
  readonly witnessedSize: number;
}

const nothing: NodePresence = { lastSeenMs: 0, version: '', weakenings: [], witnessedSize: 0 };

export class Presence implements SessionNodes {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, NodePresence>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Every node that was here since the gateway started, and may come back. */
  get names(): Iterable<string> {
    return this.#nodes.keys();
  }

  of(node: string): NodePresence | undefined {
    return this.#nodes.get(node);
  }

  /** Nodes that remember a checkpoint of at least this size. */
  witnessesOf(size: number): number {
    return [...this.#nodes.values()].filter((node) => node.witnessedSize >= size).length;
  }

  seen(
    node: string,
    facts: { readonly version: string; readonly weakenings: readonly string[] },
  ): void {
    const { weakenings } = facts;
    const version = facts.version === '' ? (this.of(node)?.version ?? '') : facts.version;
    this.#update(node, { version, weakenings });
  }

  witnessed(node: string, size: number): void {
    this.#update(node, { witnessedSize: size });
  }

  forget(node: string): void {
    this.#nodes.delete(node);
  }

  #update(node: string, change: Partial<NodePresence>): void {
    this.#nodes.set(node, {
      ...(this.of(node) ?? nothing),
      lastSeenMs: this.#clock.wallMs(),
      ...change,
    });
  }
}
