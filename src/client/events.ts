/**
 * Reads server-sent events (WHATWG HTML §9.2) as our gateway writes them: `id`, `data`, comments,
 * and an event named `problem` that ends the stream.
 */
import type { IncomingMessage } from 'node:http';
import { Fault } from '../base/fault.ts';
import { parseJson } from '../base/json.ts';
import { faultOf } from '../protocol/problem.ts';
import { answerBounds, readAnswer } from './answer.ts';

export interface WatchedEvent<Output> {
  /** To resume after. */
  readonly id?: number;
  readonly output: Output;
}

const eventCharsMax = 1024 * 1024;

/** @throws Fault as the gateway named it; `gateway.unreachable` when cut; returns when it ends. */
export async function* readEvents<Output>(
  response: IncomingMessage,
  onOpen: () => void = () => undefined,
): AsyncGenerator<WatchedEvent<Output>, void, undefined> {
  const type = response.headers['content-type'];
  if (response.statusCode !== 200 || type !== 'text/event-stream') {
    await readAnswer(response);
    throw new Fault('remote.invalid', { problem: 'answered no events' });
  }
  onOpen();
  let rest = '';
  response.setEncoding('utf8');
  try {
    for await (const text of response as AsyncIterable<string>) {
      const blocks = (rest + text).split('\n\n');
      rest = blocks.pop() ?? '';
      if (rest.length > eventCharsMax)
        throw new Fault('remote.invalid', { problem: 'sent too long an event' });
      for (const block of blocks) {
        const event = readBlock<Output>(block);
        if (event) yield event;
      }
    }
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault('gateway.unreachable', { problem: 'the stream was cut' }, { cause: error });
  } finally {
    response.destroy();
  }
}

function readBlock<Output>(block: string): WatchedEvent<Output> | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2));
  }
  const data = fields.get('data');
  if (data === undefined) return undefined;
  const output = parseJson(Buffer.from(data, 'utf8'), 'event', answerBounds);
  if (fields.get('event') === 'problem') {
    throw faultOf(output) ?? new Fault('remote.invalid', { problem: 'sent no problem' });
  }
  const id = fields.get('id');
  return { output: output as Output, ...(id === undefined ? {} : { id: Number(id) }) };
}
