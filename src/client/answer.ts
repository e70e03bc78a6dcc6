/** Reads an answer: JSON within bounds, or the fault that a problem document says. */
import type { IncomingMessage } from 'node:http';
import { Fault } from '../base/fault.ts';
import { type JsonBounds, type JsonValue, parseJson } from '../base/json.ts';
import { faultOf, problemMediaType } from '../protocol/problem.ts';

/** A policy diff at its largest. */
export const answerBounds: JsonBounds = {
  bytesMax: 32 * 1024 * 1024,
  depthMax: 64,
  nodesMax: 4_000_000,
};

export interface Answer {
  readonly output: JsonValue;
  readonly revision?: number;
  readonly replayed: boolean;
  readonly requestId: string;
}

/** @throws Fault as the problem document says; `remote.invalid`, `gateway.unreachable`. */
export async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const { statusCode: status = 0, headers } = response;
  const type = (headers['content-type'] ?? '').split(';')[0]?.trim();
  const expected = status === 200 ? 'application/json' : problemMediaType;
  if (type !== expected) {
    response.destroy();
    throw new Fault('remote.invalid', { status, problem: `answered no ${expected}` });
  }
  const body = parseJson(await readAll(response), 'answer', answerBounds);
  if (status !== 200) {
    throw faultOf(body) ?? new Fault('remote.invalid', { status, problem: 'answered no problem' });
  }
  const digits = /^"([0-9]{1,16})"$/.exec(headers.etag ?? '')?.[1];
  const requestId = headers['x-request-id'];
  return {
    output: body,
    ...(digits === undefined ? {} : { revision: Number(digits) }),
    replayed: headers['idempotent-replayed'] === 'true',
    requestId: typeof requestId === 'string' ? requestId : '',
  };
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > answerBounds.bytesMax) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw new Fault(
      'gateway.unreachable',
      { problem: 'the answer was cut short' },
      { cause: error },
    );
  }
  if (length > answerBounds.bytesMax)
    throw new Fault('remote.invalid', { problem: 'answered too much' });
  return Buffer.concat(chunks);
}
