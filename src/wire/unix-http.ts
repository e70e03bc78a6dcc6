/**
 * HTTP over a unix socket: one request per connection, with a bound on the time and on the answer.
 *
 * For the sockets of local engines. Connections are not kept: one costs some 50 µs, and a kept one
 * breaks in the middle of the first request after the engine restarted.
 *
 * Does not promise: retries, redirects, compression. Errors of the connection are Node's own
 * (`ECONNREFUSED`, `ENOENT`, …); what they mean is the caller's to say.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';

// An import would touch every name of the module, and so load the whole of `fetch`: 6 MiB.
const { request } = process.getBuiltinModule('node:http');

export interface UnixHttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  /** Path and query, already encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | Readable;
  readonly signal?: AbortSignal;
}

export interface UnixHttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface UnixHttpOptions {
  readonly socketPath: string;
  readonly clock: Clock;
  /** From the start of a request to the end of its answer (of its headers, for `open`). */
  readonly timeoutMs: number;
  readonly bodyBytesMax: number;
}

export class UnixHttp {
  readonly #options: UnixHttpOptions;

  constructor(options: UnixHttpOptions) {
    this.#options = options;
  }

  /**
   * @throws Fault `limit.exceeded` if the answer is longer than `bodyBytesMax`.
   * @throws Error of the connection, or with code `ETIMEDOUT`.
   */
  async send(message: UnixHttpRequest): Promise<UnixHttpReply> {
    return this.#within(message.signal, async (signal) => {
      const incoming = await this.#connect({ ...message, signal });
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of incoming as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > this.#options.bodyBytesMax) {
          incoming.destroy();
          throw new Fault('limit.exceeded', { bytes: this.#options.bodyBytesMax, what: 'answer' });
        }
        chunks.push(chunk);
      }
      const body = Buffer.concat(chunks);
      return { status: incoming.statusCode ?? 0, headers: incoming.headers, body };
    });
  }

  /** The answer as a stream, unbounded in time; the caller bounds it, reads it or destroys it. */
  async open(message: UnixHttpRequest): Promise<IncomingMessage> {
    return this.#within(undefined, (timeout) => this.#connect(message, timeout));
  }

  #connect(message: UnixHttpRequest, timeout?: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = request({
      socketPath: this.#options.socketPath,
      method: message.method,
      path: message.path,
      headers: { host: 'localhost', ...message.headers, ...lengthOf(message.body) },
      agent: false,
      ...(message.signal === undefined ? {} : { signal: message.signal }),
    });
    const onTimeout = (): void => {
      outgoing.destroy(timeout?.reason as Error);
    };
    timeout?.addEventListener('abort', onTimeout, { once: true });
    outgoing.on('response', (incoming) => {
      timeout?.removeEventListener('abort', onTimeout);
      resolve(incoming);
    });
    // Stays for the whole life of the connection: a late error must not become an uncaught one.
    outgoing.on('error', (error) =>
      reject(message.signal?.aborted ? reasonOf(message.signal) : error),
    );
    if (message.body === undefined || Buffer.isBuffer(message.body)) {
      outgoing.end(message.body);
    } else {
      message.body.on('error', (error) => outgoing.destroy(error));
      message.body.pipe(outgoing);
    }
    return promise;
  }

  async #within<Result>(
    signal: AbortSignal | undefined,
    act: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const timeout = new AbortController();
    const timer = this.#options.clock.setTimer(this.#options.timeoutMs, () => {
      timeout.abort(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' }));
    });
    const either =
      signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
    try {
      return await act(either);
    } catch (error) {
      if (timeout.signal.aborted) throw reasonOf(timeout.signal);
      throw error;
    } finally {
      timer.cancel();
    }
  }
}

function lengthOf(body: Buffer | Readable | undefined): Record<string, string> {
  return Buffer.isBuffer(body) ? { 'content-length': String(body.length) } : {};
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted');
}
