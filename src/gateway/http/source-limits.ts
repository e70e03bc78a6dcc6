/**
 * What one source may take: connections at a time, new connections and requests per second. A source
 * is an address or a principal.
 *
 * Promises: constant work per question; bounded memory: at most `sourcesMax` addresses are
 * remembered, and one that would have full buckets and no connection is forgotten.
 * Does not promise fairness between people behind one address.
 */
import type { Clock } from '../../base/clock.ts';

export interface SourceLimitRules {
  readonly connectionsPerSourceMax: number;
  readonly connectionsPerSecond: number;
  readonly connectionsBurst: number;
  readonly requestsPerSecond: number;
  readonly requestsBurst: number;
}

interface Source {
  connections: number;
  connectionTokens: number;
  requestTokens: number;
  refilledAtMs: number;
}

const sourcesMax = 16_384;

export class SourceLimits {
  readonly #rules: SourceLimitRules;
  readonly #clock: Clock;
  readonly #sources = new Map<string, Source>();

  constructor(rules: SourceLimitRules, clock: Clock) {
    this.#rules = rules;
    this.#clock = clock;
  }

  /** Counts a new connection in. False: it must be cut, and is not counted. */
  admitsConnection(address: string): boolean {
    const source = this.#refilled(address);
    if (!source) return false;
    if (source.connections >= this.#rules.connectionsPerSourceMax) return false;
    if (source.connectionTokens < 1) return false;
    source.connectionTokens -= 1;
    source.connections += 1;
    return true;
  }

  /** Counts an admitted connection out. */
  release(address: string): void {
    const source = this.#sources.get(address);
    if (source) source.connections -= 1;
  }

  /** @returns 0 if a request may go on, else the seconds after which one may. */
  secondsUntilRequest(address: string): number {
    const source = this.#refilled(address);
    if (!source) return 1;
    if (source.requestTokens < 1) return (1 - source.requestTokens) / this.#rules.requestsPerSecond;
    source.requestTokens -= 1;
    return 0;
  }

  #refilled(address: string): Source | undefined {
    const now = this.#clock.monotonicMs();
    const { connectionsBurst, requestsBurst } = this.#rules;
    let source = this.#sources.get(address);
    if (!source) {
      if (this.#sources.size >= sourcesMax) this.#forget();
      if (this.#sources.size >= sourcesMax) return undefined;
      source = {
        connections: 0,
        connectionTokens: connectionsBurst,
        requestTokens: requestsBurst,
        refilledAtMs: now,
      };
      this.#sources.set(address, source);
      return source;
    }
    this.#refill(source, now);
    return source;
  }

  #refill(source: Source, now: number): void {
    const seconds = Math.max(0, now - source.refilledAtMs) / 1000;
    const { connectionsBurst, connectionsPerSecond, requestsBurst, requestsPerSecond } =
      this.#rules;
    const connections = source.connectionTokens + seconds * connectionsPerSecond;
    const requests = source.requestTokens + seconds * requestsPerSecond;
    source.connectionTokens = Math.min(connectionsBurst, connections);
    source.requestTokens = Math.min(requestsBurst, requests);
    source.refilledAtMs = now;
  }

  /** Drops every source of which nothing would be lost. */
  #forget(): void {
    const now = this.#clock.monotonicMs();
    for (const [address, source] of this.#sources) {
      this.#refill(source, now);
      const full =
        source.connectionTokens >= this.#rules.connectionsBurst &&
        source.requestTokens >= this.#rules.requestsBurst;
      if (full && source.connections === 0) this.#sources.delete(address);
    }
  }
}
