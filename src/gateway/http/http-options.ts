/** What the listener is given, and what it gives back. The face, http.ts, passes all of it on. */
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { Random } from '../../base/random.ts';
import type { Principal } from '../../model/principal.ts';
import type { Handle } from '../../protocol/request.ts';

/**
 * Who a bearer token belongs to. Not asked for public operations.
 *
 * @param bearer - The token of `Authorization: Bearer …`; undefined if there is none.
 * @param source - The peer's address.
 * @throws Fault `auth.required` for none, unknown, expired.
 */
export type Authenticate = (bearer: string | undefined, source: string) => Promise<Principal>;

/** One thing that has to be well for the gateway to be ready. */
export interface HealthCheck {
  /** Shown to anyone who asks `/readyz?verbose`: a word such as `storage`. */
  readonly name: string;
  readonly isWell: () => boolean | Promise<boolean>;
}

export interface HttpLimits {
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** No byte in either direction for this long ends a connection. Above the heartbeat. */
  readonly idleTimeoutMs: number;
  readonly requestsPerConnectionMax: number;
  readonly connectionsMax: number;
  readonly connectionsPerSourceMax: number;
  /** Token buckets, per source address. */
  readonly connectionsPerSecond: number;
  readonly connectionsBurst: number;
  readonly requestsPerSecond: number;
  readonly requestsBurst: number;
  /** Per source address, for public operations: unsealing and joining cost much, and may be guesses. */
  readonly strangerRequestsPerSecond: number;
  readonly strangerRequestsBurst: number;
  readonly eventStreamsMax: number;
  /** Of event streams, and of files while they are being made. */
  readonly heartbeatMs: number;
  /** What the reader of a file must take on average over so long; there is one backup at a time. */
  readonly fileBytesPerSecondMin: number;
  readonly fileRateOverMs: number;
  /** How long `close` waits for requests under way. */
  readonly drainMs: number;
}

export const httpLimits: HttpLimits = {
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 15_000,
  handshakeTimeoutMs: 5_000,
  keepAliveTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  requestsPerConnectionMax: 10_000,
  connectionsMax: 4_096,
  connectionsPerSourceMax: 1_024,
  connectionsPerSecond: 500,
  connectionsBurst: 2_000,
  requestsPerSecond: 10_000,
  requestsBurst: 20_000,
  strangerRequestsPerSecond: 10,
  strangerRequestsBurst: 100,
  eventStreamsMax: 256,
  heartbeatMs: 15_000,
  fileBytesPerSecondMin: 64 * 1024,
  fileRateOverMs: 60_000,
  drainMs: 10_000,
};

export interface HttpOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** PEM. `certificate` is the chain, leaf first. */
  readonly certificate: string;
  readonly key: string | Buffer;
  /**
   * For `reply: 'events'` and `'file'` the output is an AsyncIterable: of outputs, or of bytes. Its
   * iterator's `return` must end a pending `next`; it is called when the reader goes away.
   */
  readonly handle: Handle;
  readonly authenticate: Authenticate;
  readonly checks: readonly HealthCheck[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: Partial<HttpLimits>;
}

export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** Serves a renewed certificate to new connections. */
  renewCertificate(certificate: string, key: string | Buffer): void;
  /** Not ready, no new connections, requests under way finish, event streams end. */
  close(): Promise<void>;
}
