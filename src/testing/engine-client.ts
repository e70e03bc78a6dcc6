/**
 * Docker's API as tests, the demo and the benches use it: creating, running, loading. The product
 * has its own client (`enforcer/runtime/docker-client.ts`), which can do none of this.
 */
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../base/clock.ts';
import { UnixHttp } from '../wire/unix-http.ts';

// Answers are read as they come; a test fails where they do not fit.
// oxlint-disable-next-line typescript/no-explicit-any
export type EngineJson = Record<string, any>;

export interface EngineAnswer {
  readonly status: number;
  readonly json: EngineJson;
}

export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export class EngineClient {
  readonly socketPath: string;
  readonly #http: UnixHttp;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
    this.#http = new UnixHttp({
      socketPath,
      clock: systemClock,
      timeoutMs: 120_000,
      bodyBytesMax: 64 * 1024 * 1024,
    });
  }

  /** True if something answers within a moment. */
  async answers(): Promise<boolean> {
    try {
      const ping = this.#http.send({ method: 'GET', path: '/_ping' });
      const reply = await Promise.race([ping, sleep(2_000).then(() => undefined)]);
      ping.catch(() => undefined);
      return reply?.status === 200;
    } catch {
      return false;
    }
  }

  get(path: string): Promise<EngineJson> {
    return this.#json('GET', path);
  }

  post(path: string, body?: unknown): Promise<EngineJson> {
    return this.#json('POST', path, body);
  }

  async delete(path: string): Promise<void> {
    await this.#json('DELETE', path);
  }

  /** Sends a tar archive; gives back the engine's progress messages. */
  async upload(path: string, tar: Buffer | Readable): Promise<string> {
    const reply = await this.#http.send({
      method: 'POST',
      path,
      body: tar,
      headers: { 'content-type': 'application/x-tar' },
    });
    const text = reply.body.toString();
    if (reply.status >= 300 || text.includes('"error"')) throw new EngineError(reply.status, text);
    return text;
  }

  /** The raw body of an answer that ends, e.g. of logs. */
  async bytes(path: string): Promise<Buffer> {
    const reply = await this.#http.send({ method: 'GET', path });
    if (reply.status >= 300) throw new EngineError(reply.status, reply.body.toString());
    return reply.body;
  }

  /** Starts an exec and collects what it prints until it ends. */
  async collect(path: string, body: unknown): Promise<Buffer> {
    const incoming = await this.#http.open({
      method: 'POST',
      path,
      body: Buffer.from(JSON.stringify(body)),
      headers: { 'content-type': 'application/json' },
    });
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if ((incoming.statusCode ?? 500) >= 300) {
      throw new EngineError(incoming.statusCode ?? 500, bytes.toString());
    }
    return bytes;
  }

  async #json(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<EngineJson> {
    const reply = await this.#http.send({
      method,
      path,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }),
    });
    const text = reply.body.toString();
    // 304: it is already as asked.
    if (reply.status >= 300 && reply.status !== 304) {
      throw new EngineError(reply.status, `${method} ${path}: ${reply.status} ${text.trim()}`);
    }
    return text.startsWith('{') || text.startsWith('[') ? (JSON.parse(text) as EngineJson) : {};
  }
}
