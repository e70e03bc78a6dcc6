/**
 * The typed client: every operation of the table as a call, over HTTPS.
 *
 * Promises
 *   - What the gateway refuses is thrown as the Fault that it named, with `requestId` in its facts.
 *   - Only what may safely happen twice is tried twice: reads, and changes with an idempotency key; and
 *     never for longer than one bound for all attempts.
 *   - A value is sent from the buffer it is in; it never becomes text. The caller keeps and wipes it.
 *   - An answer is parsed only if it says that it is JSON, and only up to a bound.
 * Does not promise
 *   - That an answer fits its schema: unknown members are ignored, so that an older client can talk
 *     to a newer gateway. What answers has proved to be the gateway (connection.ts).
 *
 * @example
 *   const client = new Client({ address: 'https://gateway:8443', trust: { pins }, token, clock, random });
 *   const { output } = await client.call('secret.put', { name: 'payments/db' }, { value });
 */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Agent } from 'node:https';
import type { Clock } from '../base/clock.ts';
import { Fault, isFault } from '../base/fault.ts';
import type { Random } from '../base/random.ts';
import type { SecretValue } from '../model/secret-value.ts';
import {
  type EventOperation,
  eventCursor,
  type FileOperation,
  type JsonOperation,
} from '../protocol/event-cursor.ts';
import {
  type OperationInput,
  type OperationName,
  operationNamed,
  type OperationOutput,
} from '../protocol/operations.ts';
import { makeAgent, parseAddress, type Trust } from './connection.ts';
import { readAnswer } from './answer.ts';
import { readEvents, type WatchedEvent } from './events.ts';
import { requestOf } from './outgoing.ts';

export type { Trust } from './connection.ts';
export type { WatchedEvent } from './events.ts';

export interface ClientOptions {
  /** `https://host:port` */
  readonly address: string;
  readonly trust?: Trust;
  /** Sent as a bearer token with what is not public. */
  readonly token?: string;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * For a call with all of its attempts, and for each silence of an answer that goes on: whatever comes ends
   * one, also the `102 Processing` of a backup that is being made. 30,000 when left out.
   */
  readonly timeoutMs?: number;
  /** For one attempt to connect: who is there answers at once. 5,000 when left out, at most the other. */
  readonly connectTimeoutMs?: number;
  /** Including the first. 3 when left out. */
  readonly attemptsMax?: number;
}

export interface CallOptions {
  /** For operations whose body is a value. Lent for the call; the caller wipes it. */
  readonly value?: SecretValue;
  /** The revision that was seen; 0 for "must not exist yet". */
  readonly ifRevision?: number;
  readonly idempotencyKey?: string;
  readonly dryRun?: boolean;
  readonly requestId?: string;
  readonly signal?: AbortSignal;
}

export interface CallReply<Name extends OperationName> {
  readonly output: OperationOutput<Name>;
  /** Of the object in `output`, to be sent back as `ifRevision`. */
  readonly revision?: number;
  /** The answer of an earlier call with the same idempotency key. */
  readonly replayed: boolean;
  readonly requestId: string;
}

export interface Download {
  /** As the gateway suggests it; letters, digits, dots and dashes only. */
  readonly fileName: string;
  /** Fails with Fault `gateway.unreachable` if the file was cut short. */
  readonly pieces: AsyncIterable<Buffer>;
}

const timeoutMsDefault = 30_000;
const connectTimeoutMsDefault = 5_000;
const attemptsMaxDefault = 3;
const backOffMs = 100;
const backOffMsMax = 5_000;

export class Client {
  readonly #options: ClientOptions;
  readonly #closing = new AbortController();
  #agent: Promise<Agent> | undefined;

  /** @throws Fault `request.invalid` if the address is none. */
  constructor(options: ClientOptions) {
    parseAddress(options.address);
    this.#options = options;
  }

  /**
   * @throws Fault as the gateway named it; `gateway.unreachable`, `gateway.untrusted`, `remote.invalid`.
   */
  async call<Name extends JsonOperation>(
    name: Name,
    input: OperationInput<Name>,
    options: CallOptions = {},
  ): Promise<CallReply<Name>> {
    const { effect, body } = operationNamed(name);
    const repeatable =
      (effect === 'read' && body !== 'value') || options.idempotencyKey !== undefined;
    return await this.#retrying(repeatable, options.signal, async (signal) => {
      const response = await this.#send(name, input, { ...options, signal });
      return (await readAnswer(response)) as CallReply<Name>;
    });
  }

  /**
   * Follows events, reconnecting from the last one seen, until the signal aborts or the gateway refuses.
   *
   * @param options.onOpen - Called when it follows: whatever happens from then on is seen.
   */
  async *watch<Name extends EventOperation>(
    name: Name,
    input: OperationInput<Name>,
    options: { readonly signal?: AbortSignal; readonly onOpen?: () => void } = {},
  ): AsyncGenerator<WatchedEvent<OperationOutput<Name>>, void, undefined> {
    const { signal } = options;
    let from = input;
    let failures = 0;
    while (!isAborted(signal)) {
      try {
        const response = await this.#send(name, from, options);
        for await (const event of readEvents<OperationOutput<Name>>(response, options.onOpen)) {
          failures = 0;
          if (event.id !== undefined) from = { ...from, [eventCursor.after]: event.id };
          yield event;
        }
      } catch (error) {
        if (isAborted(signal)) return;
        if (!isFault(error) || error.spec.retry !== 'later') throw error;
        failures += 1;
        if (failures >= 10) throw error;
      }
      await this.#pause(failures, undefined, signal).catch(() => undefined);
    }
  }

  /** Starts a download. It is not repeated. */
  async download<Name extends FileOperation>(
    name: Name,
    input: OperationInput<Name>,
    options: CallOptions = {},
  ): Promise<Download> {
    const response = await this.#send(name, input, options);
    const type = response.headers['content-type'];
    if (response.statusCode !== 200 || type !== 'application/octet-stream') {
      await readAnswer(response);
      throw new Fault('remote.invalid', { problem: 'answered no file' });
    }
    const disposition = response.headers['content-disposition'] ?? '';
    const fileName = /filename="([A-Za-z0-9.-]{1,128})"/.exec(disposition)?.[1] ?? name;
    return { fileName, pieces: piecesOf(response) };
  }

  /** Closes idle connections, and gives up those that are being made. Calls under way fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    const agent = await this.#agent?.catch(() => undefined);
    agent?.destroy();
  }

  async #send(name: OperationName, input: unknown, options: CallOptions): Promise<IncomingMessage> {
    const sending = this.#sendWhenConnected(name, input, options);
    return await unlessAborted(options.signal, sending);
  }

  async #sendWhenConnected(
    name: OperationName,
    input: unknown,
    options: CallOptions,
  ): Promise<IncomingMessage> {
    const endpoint = parseAddress(this.#options.address);
    const { method, path, headers, body } = requestOf(name, input, {
      ...options,
      ...(this.#options.token === undefined ? {} : { token: this.#options.token }),
    });
    const agent = await this.#connected();
    const { request } = await import('node:https');
    // Whoever gave up may have wiped the value.
    options.signal?.throwIfAborted();
    return await new Promise((resolve, reject) => {
      const outgoing = request({
        ...endpoint,
        agent,
        method,
        path,
        headers: headers satisfies OutgoingHttpHeaders,
        timeout: this.#timeoutMs,
        ...(options.signal ? { signal: options.signal } : {}),
      });
      outgoing.on('timeout', () => {
        outgoing.destroy(
          new Fault('gateway.unreachable', { ...endpoint, problem: 'it does not answer' }),
        );
      });
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        const problem = error.code ?? 'unknown';
        const known = isFault(error) || isAborted(options.signal);
        reject(known ? error : new Fault('gateway.unreachable', { ...endpoint, problem }));
      });
      outgoing.on('response', resolve);
      if (options.value && body === 'value') options.value.use((bytes) => outgoing.end(bytes));
      else outgoing.end(body === 'value' ? undefined : body);
    });
  }

  /** One agent for all calls; a failure to make it is not remembered. */
  #connected(): Promise<Agent> {
    this.#agent ??= makeAgent({
      endpoint: parseAddress(this.#options.address),
      trust: this.#options.trust ?? {},
      timeoutMs: Math.min(
        this.#timeoutMs,
        this.#options.connectTimeoutMs ?? connectTimeoutMsDefault,
      ),
      signal: this.#closing.signal,
    }).catch((error: unknown) => {
      this.#agent = undefined;
      throw error;
    });
    return this.#agent;
  }

  /** Attempts, as many as are worthwhile, until one bound for all of them. */
  async #retrying<T>(
    repeatable: boolean,
    asked: AbortSignal | undefined,
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clock, attemptsMax = attemptsMaxDefault, address } = this.#options;
    const ending = new AbortController();
    const over = Promise.withResolvers<never>();
    over.promise.catch(() => undefined);
    const timer = clock.setTimer(this.#timeoutMs, () => {
      const problem = 'it does not answer';
      over.reject(new Fault('gateway.unreachable', { ...parseAddress(address), problem }));
      ending.abort();
    });
    const signal = asked ? AbortSignal.any([asked, ending.signal]) : ending.signal;
    try {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await Promise.race([act(signal), over.promise]);
        } catch (error) {
          // Only people unseal, and they take longer than anybody waits.
          const worthwhile =
            isFault(error) && error.spec.retry === 'later' && error.code !== 'barrier.sealed';
          const isLast = !repeatable || attempt >= attemptsMax;
          if (!worthwhile || isLast || isAborted(signal)) throw error;
          const pause = this.#pause(attempt, error.detail['retryAfterSeconds'], asked);
          pause.catch(() => undefined);
          // It did answer: if there is no time to ask again, that answer is what went wrong.
          const noTimeLeft = over.promise.catch(() => Promise.reject(error));
          await Promise.race([pause, noTimeLeft]);
        }
      }
    } finally {
      timer.cancel();
    }
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? timeoutMsDefault;
  }

  /** Exponential with full jitter, or as long as the gateway said, within bounds. */
  async #pause(attempt: number, asked: unknown, signal: AbortSignal | undefined): Promise<void> {
    const ceiling = Math.min(backOffMsMax, backOffMs * 2 ** attempt);
    const jittered = backOffMs / 2 + this.#options.random.fraction() * ceiling;
    const told = typeof asked === 'number' ? Math.min(backOffMsMax, asked * 1000) : 0;
    await this.#options.clock.sleep(Math.max(jittered, told), signal);
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** A request whose connection is still being made would not end by its signal. */
async function unlessAborted<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (!signal) return await work;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(new DOMException('aborted', 'AbortError'));
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function* piecesOf(response: IncomingMessage): AsyncGenerator<Buffer, void, undefined> {
  try {
    for await (const piece of response) yield piece as Buffer;
  } catch (error) {
    throw new Fault('gateway.unreachable', { problem: 'the file was cut short' }, { cause: error });
  }
}
