/**
 * Writes answers: JSON and problems; with the headers that every answer of ours carries.
 *
 * Promises: one answer per request; a length or a chunked end that tells a whole answer from a cut
 * one; nothing is written to a peer that is gone, and a slow one holds back what produces.
 */
import type { ServerResponse } from 'node:http';
import { drain } from './body.ts';
import type { IncomingMessage } from 'node:http';
import { isFault } from '../../base/fault.ts';
import { type Problem, problemMediaType, problemOf } from '../../protocol/problem.ts';

const everyAnswer = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
} as const;

export function setCommonHeaders(response: ServerResponse, requestId: string): void {
  for (const [name, value] of Object.entries(everyAnswer)) response.setHeader(name, value);
  response.setHeader('x-request-id', requestId);
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  sendText(response, { status, type: 'application/json', text: JSON.stringify(value) });
}

export function sendText(
  response: ServerResponse,
  answer: { readonly status: number; readonly type: string; readonly text: string },
): void {
  if (response.headersSent || response.destroyed) return;
  const bytes = Buffer.from(answer.text, 'utf8');
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': bytes.length,
  });
  response.end(bytes);
}

/** Refuses: a problem document, and the rest of the body thrown away within bounds. */
export function sendProblem(
  request: IncomingMessage,
  response: ServerResponse,
  failure: { readonly error: unknown; readonly requestId: string },
): Problem {
  const problem = problemOf(failure.error, failure.requestId);
  if (response.headersSent) {
    response.destroy();
    return problem;
  }
  const { status, retryAfterSeconds } = problem;
  if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds);
  if (status === 401) response.setHeader('www-authenticate', 'Bearer');
  const allow = isFault(failure.error, 'request.method')
    ? failure.error.detail['allow']
    : undefined;
  if (typeof allow === 'string') response.setHeader('allow', allow);
  sendText(response, { status, type: problemMediaType, text: JSON.stringify(problem) });
  drain(request);
  return problem;
}

/** Resolves when `response` takes more, or will never again. */
export async function untilWritable(response: ServerResponse): Promise<void> {
  if (!response.writableNeedDrain || response.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}
