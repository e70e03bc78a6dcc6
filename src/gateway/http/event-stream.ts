/**
 * Server-sent events from an AsyncIterable: ids to resume from, a heartbeat, back-pressure.
 *
 * Promises
 *   - The next event is asked for only after the peer took the one before.
 *   - When the peer goes away or the gateway stops, the iterator's `return` is called at once.
 *   - A fault after the stream began arrives as an event named `problem`; the stream then ends.
 */
import type { ServerResponse } from 'node:http';
import { type Clock, repeat } from '../../base/clock.ts';
import { problemOf } from '../../protocol/problem.ts';
import { untilWritable } from './reply.ts';

const retryMs = 2_000;

export interface EventStreamOptions {
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly requestId: string;
  /** Member of each event that is its id. */
  readonly idMember: string;
  /** Checks an event before it leaves. @throws if it has what its schema does not declare. */
  readonly check: (event: unknown) => unknown;
}

/** @returns the error that ended the stream, if one did. Never rejects. */
export async function sendEvents(
  response: ServerResponse,
  events: AsyncIterable<unknown>,
  options: EventStreamOptions,
): Promise<unknown> {
  const iterator = events[Symbol.asyncIterator]();
  let wake = (): void => undefined;
  response.on('close', () => wake());
  /** The next event; undefined at the end, and as soon as the peer is gone. */
  const next = (): Promise<IteratorResult<unknown> | undefined> =>
    new Promise((resolve, reject) => {
      wake = () => resolve(undefined);
      iterator.next().then(resolve, reject);
    });
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
  response.write(`retry: ${retryMs}\n\n`);
  const heartbeat = repeat(options.clock, options.heartbeatMs, () => {
    if (!response.writableNeedDrain && !response.destroyed) response.write(':\n\n');
  });
  let failure: unknown;
  try {
    for (;;) {
      const event = await next();
      if (!event || event.done === true || response.destroyed) break;
      response.write(eventText(options.check(event.value), options.idMember));
      await untilWritable(response);
    }
  } catch (error) {
    failure = error;
    const problem = JSON.stringify(problemOf(error, options.requestId));
    if (!response.destroyed) response.write(`event: problem\ndata: ${problem}\n\n`);
  }
  heartbeat.cancel();
  response.end();
  // Not awaited: a generator that waits for news would keep us here.
  iterator.return?.().catch(() => undefined);
  return failure;
}

function eventText(event: unknown, idMember: string): string {
  const id = (event as Readonly<Record<string, unknown>>)[idMember];
  const idLine = typeof id === 'number' ? `id: ${id}\n` : '';
  return `${idLine}data: ${JSON.stringify(event)}\n\n`;
}
