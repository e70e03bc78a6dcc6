/**
 * The paths beside the table: is it alive, is it ready, what does it count, what does it offer.
 *
 * Promises: they change nothing; `/livez`, `/readyz`, `/healthz` and `/openapi.json` tell strangers
 * nothing but yes, no, the names of checks that fail, and what is published anyway. `/metrics` wants a token.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault } from '../../base/fault.ts';
import type { HttpOptions } from './http-options.ts';
import { openApiText } from './openapi.ts';
import { sendJson, sendText } from './reply.ts';
import { bearerOf } from './request-headers.ts';
import type { Target } from './router.ts';

interface ProbeExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly source: string;
}

const metricsType = 'text/plain; version=0.0.4; charset=utf-8';
export const probePaths = ['/livez', '/readyz', '/healthz', '/metrics', '/openapi.json'] as const;

/** @returns whether the path was one of these. @throws Fault `request.method`, `auth.required` */
export async function answerProbe(
  context: { readonly options: HttpOptions },
  exchange: ProbeExchange,
  target: Target,
): Promise<boolean> {
  const path = probePaths.find((candidate) => candidate === target.path);
  if (path === undefined) return false;
  const { request, response, source } = exchange;
  const { options } = context;
  if (request.method !== 'GET') throw new Fault('request.method', { allow: 'GET' });
  switch (path) {
    case '/livez':
      sendJson(response, 200, { ok: true });
      break;
    case '/healthz':
    case '/readyz': {
      const failing = await failingChecks(options);
      const verbose = path === '/readyz' && target.query.has('verbose');
      const ok = failing.length === 0;
      sendJson(response, ok ? 200 : 503, { ok, ...(verbose ? { failing } : {}) });
      break;
    }
    case '/metrics':
      await options.authenticate(bearerOf(request.headers), source);
      sendText(response, { status: 200, type: metricsType, text: options.metrics.text() });
      break;
    case '/openapi.json':
      sendText(response, { status: 200, type: 'application/json', text: openApiText() });
  }
  return true;
}

async function failingChecks(options: HttpOptions): Promise<readonly string[]> {
  const answers = await Promise.all(
    options.checks.map(async ({ name, isWell }) => {
      try {
        return { name, well: await isWell() };
      } catch {
        return { name, well: false };
      }
    }),
  );
  return answers.filter(({ well }) => !well).map(({ name }) => name);
}
