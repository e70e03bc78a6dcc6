/**
 * What one address may take: connections at a time, new connections per second, requests per second, and of
 * these such as nobody has to prove anything for.
 *
 * Promises: constant work and bounded memory, see base/token-buckets.ts; no address is remembered longer than
 * it has a connection or has used up some of its share.
 * Does not promise fairness between people behind one address. What a principal may take, wherever it calls
 * from, is counted in handle-request.ts.
 */
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { TokenBuckets } from '../../base/token-buckets.ts';
import type { HttpLimits } from './http-options.ts';

export type SourceLimitRules = Pick<
  HttpLimits,
  | 'connectionsPerSourceMax'
  | 'connectionsPerSecond'
  | 'connectionsBurst'
  | 'requestsPerSecond'
  | 'requestsBurst'
  | 'strangerRequestsPerSecond'
  | 'strangerRequestsBurst'
>;

export class SourceLimits {
  readonly #openMax: number;
  /** Connections by address: at most one entry for each there is. */
  readonly #open = new Map<string, number>();
  readonly #connections: TokenBuckets;
  readonly #requests: TokenBuckets;
  readonly #strangers: TokenBuckets;

  constructor(rules: SourceLimitRules, clock: Clock) {
    const buckets = (perSecond: number, burst: number): TokenBuckets =>
      new TokenBuckets(clock, { perSecond, burst });
    this.#openMax = rules.connectionsPerSourceMax;
    this.#connections = buckets(rules.connectionsPerSecond, rules.connectionsBurst);
    this.#requests = buckets(rules.requestsPerSecond, rules.requestsBurst);
    this.#strangers = buckets(rules.strangerRequestsPerSecond, rules.strangerRequestsBurst);
  }

  /** Counts a new connection in. False: it must be cut, and is not counted. */
  admitsConnection(address: string): boolean {
    const open = this.#open.get(address) ?? 0;
    if (open >= this.#openMax || this.#connections.take(address) > 0) return false;
    this.#open.set(address, open + 1);
    return true;
  }

  /** Counts an admitted connection out. */
  release(address: string): void {
    const open = this.#open.get(address) ?? 0;
    if (open > 1) this.#open.set(address, open - 1);
    else this.#open.delete(address);
  }

  /** Counts any request. @throws Fault `rate.exceeded` */
  admitRequest(address: string): void {
    admit(this.#requests, address);
  }

  /** Counts one that needs no token: it may cost much, or be a guess. @throws Fault `rate.exceeded` */
  admitStranger(address: string): void {
    admit(this.#strangers, address);
  }
}

function admit(buckets: TokenBuckets, address: string): void {
  const waitMs = buckets.take(address);
  if (waitMs > 0) throw new Fault('rate.exceeded', { retryAfterSeconds: waitMs / 1000 });
}
