/**
 * The HTTPS listener for people and CI: the operations table over HTTP/1.1.
 *
 * Promises
 *   - Every operation of the table, and nothing else but `/livez`, `/readyz`, `/healthz`, `/metrics`
 *     and `/openapi.json`, can be reached. There is no plain-text listener.
 *   - Limits come before parsing, parsing of the path before authentication, authentication before
 *     the body. Every refusal is a problem document; no refusal shows anything of the request.
 *   - A value is read into a buffer of its own and never becomes text. What is answered is checked
 *     against the operation's output schema first: an undeclared member is a bug, not an answer.
 *   - Nothing that a network can send makes the process exit.
 * Does not promise
 *   - To decide or to record anything: that is `handle`, which is given to it.
 *
 * Read on: router.ts (what a path is), serve.ts (the line of one request), listener.ts (limits).
 */
import type { HttpOptions, HttpServer } from './http-options.ts';
import { Listener } from './listener.ts';

export type { HttpOptions, HttpServer } from './http-options.ts';

/** @throws if the address cannot be bound or the certificate and key do not fit. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const listener = new Listener(options);
  await listener.listen();
  return listener;
}
