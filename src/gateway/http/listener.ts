/**
 * The listener: TLS, connections and their limits, the end. What a request means is serve.ts.
 *
 * Promises
 *   - Whatever is no HTTP, comes too slowly or never finishes its handshake is cut. It is told why if its
 *     peer would read that as the answer to it, and to nothing else.
 *   - Once it stops, connections on which nothing is asked are cut at once; answers under way have `drainMs`.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { assert } from '../../base/assert.ts';
import { Fault } from '../../base/fault.ts';
import { limits as sizes } from '../../base/limits.ts';
import { errorFields } from '../../base/log.ts';
import { problemMediaType, problemOf } from '../../protocol/problem.ts';
import { SSL_OP_CLEANSE_PLAINTEXT } from '../../wire/cleanse-plaintext.ts';
import { type HttpLimits, httpLimits, type HttpOptions, type HttpServer } from './http-options.ts';
import { declareHttpMetrics, type HttpMetrics } from './http-metrics.ts';
import { requestIdOf } from './request-headers.ts';
import { serve, type ServeContext } from './serve.ts';
import { SourceLimits } from './source-limits.ts';

const checkEveryMs = 1_000;
const headersMax = 100;

export class Listener implements HttpServer {
  readonly #options: HttpOptions;
  readonly #limits: HttpLimits;
  readonly #sources: SourceLimits;
  readonly #observed: HttpMetrics;
  readonly #streams = new Set<ServerResponse>();
  /** Every connection, also before its handshake. */
  readonly #connections = new Set<Socket>();
  /** Past its handshake: the answers that are due on a connection, in their order. */
  readonly #answers = new Map<Socket, Set<ServerResponse>>();
  readonly #server: Server;
  #stopping = false;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#limits = { ...httpLimits, ...options.limits };
    this.#sources = new SourceLimits(this.#limits, options.clock);
    this.#observed = declareHttpMetrics(options.metrics);
    this.#server = this.#build();
  }

  get host(): string {
    return this.#address().address;
  }

  get port(): number {
    return this.#address().port;
  }

  async listen(): Promise<void> {
    const { host, port, log } = this.#options;
    try {
      this.#server.listen({ host, port });
      await once(this.#server, 'listening');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === undefined || !addressFaults.has(code)) throw cause;
      const address = `${host}:${port}`;
      throw new Fault('gateway.address-in-use', { address, reason: code }, { cause });
    }
    // From here on, what cannot be accepted (no descriptor left) is no reason to end.
    this.#server.on('error', (error) => log.error('http.listener', errorFields(error)));
  }

  renewCertificate(certificate: string, key: string | Buffer): void {
    this.#server.setSecureContext({ ...tlsRules, cert: certificate, key });
  }

  async close(): Promise<void> {
    this.#stopping = true;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const stream of this.#streams) stream.destroy();
    // Also those that have sent a part of a request: nobody outside decides how long stopping takes.
    for (const [socket, answers] of this.#answers) if (answers.size === 0) socket.destroy();
    this.#cutHandshakes();
    const patience = this.#options.clock.setTimer(this.#limits.drainMs, () => this.#cutAll());
    await closed;
    patience.cancel();
  }

  #cutAll(): void {
    for (const socket of this.#connections) socket.destroy();
  }

  /** Once no connection is past its handshake, nothing that is left will be. */
  #cutHandshakes(): void {
    if (this.#answers.size === 0) this.#cutAll();
  }

  #build(): Server {
    const limits = this.#limits;
    const server = createServer({
      ...tlsRules,
      cert: this.#options.certificate,
      key: this.#options.key,
      handshakeTimeout: limits.handshakeTimeoutMs,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      connectionsCheckingInterval: checkEveryMs,
      maxHeaderSize: sizes.httpHeaderBytesMax,
      // Answered by us, as a problem document.
      requireHostHeader: false,
    });
    server.timeout = limits.idleTimeoutMs;
    server.maxConnections = limits.connectionsMax;
    server.maxRequestsPerSocket = limits.requestsPerConnectionMax;
    server.maxHeadersCount = headersMax;
    // Before any of Node's own: what is refused costs no handshake.
    server.prependListener('connection', (socket: Socket) => this.#onConnection(socket));
    server.on('drop', () => this.#observed.refused('connections'));
    server.on('secureConnection', (socket) => this.#onHandshake(socket));
    const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
      this.#onRequest(request, response);
    // What a client expects is serve.ts's to grant or to refuse.
    server.on('request', onRequest);
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    server.on('clientError', (error, socket) => this.#onClientError(error, socket as Socket));
    return server;
  }

  #onHandshake(socket: Socket): void {
    if (this.#stopping) socket.destroy();
    this.#answers.set(socket, new Set());
    socket.on('close', () => {
      this.#answers.delete(socket);
      if (this.#stopping) this.#cutHandshakes();
    });
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const answers = this.#answers.get(socket);
    // What is left of a connection that is gone: there is nobody to answer to.
    if (!answers) return;
    answers.add(response);
    response.on('close', () => {
      answers.delete(response);
      // While stopping, a connection ends with its last answer instead of waiting for another request.
      if (this.#stopping && answers.size === 0) socket.destroySoon();
    });
    void serve(this.#context(), request, response);
  }

  #context(): ServeContext {
    return {
      options: this.#options,
      limits: this.#limits,
      sources: this.#sources,
      observed: this.#observed,
      streams: this.#streams,
      isStopping: () => this.#stopping,
    };
  }

  #onConnection(socket: Socket): void {
    const address = socket.remoteAddress ?? 'unknown';
    socket.on('error', () => undefined);
    if (this.#stopping || !this.#sources.admitsConnection(address)) {
      this.#observed.refused('connections');
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    this.#observed.connections(this.#connections.size);
    socket.on('close', () => {
      this.#connections.delete(socket);
      this.#observed.connections(this.#connections.size);
      this.#sources.release(address);
    });
  }

  /** What is no HTTP, comes too slowly, or never finished its handshake. */
  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const code = error.code ?? '';
    const spoken = code.startsWith('HPE_') || code.startsWith('ERR_HTTP_');
    this.#observed.refused(spoken ? 'malformed' : 'tls');
    if (!spoken || !socket.writable || !this.#isNext(socket)) {
      socket.destroy();
      return;
    }
    socket.on('error', () => undefined);
    socket.end(this.#refusal(code), () => socket.destroy());
  }

  /** Whether its peer would take what is written now for the answer to what has just come. */
  #isNext(socket: Socket): boolean {
    const [first, ...others] = this.#answers.get(socket) ?? [];
    if (!first) return true;
    return others.length === 0 && !first.headersSent && !first.req.complete;
  }

  /** Written by hand: for what was not understood there is no response object. */
  #refusal(code: string): string {
    const fault =
      refusals[code] ?? (() => new Fault('request.malformed', { what: 'HTTP message' }));
    const requestId = requestIdOf({}, this.#options.random);
    const problem = problemOf(fault(), requestId);
    const body = JSON.stringify(problem);
    return [
      `HTTP/1.1 ${problem.status} ${problem.title}`,
      `content-type: ${problemMediaType}`,
      `content-length: ${Buffer.byteLength(body)}`,
      `x-request-id: ${requestId}`,
      'cache-control: no-store',
      'x-content-type-options: nosniff',
      'connection: close',
      '',
      body,
    ].join('\r\n');
  }

  #address(): AddressInfo {
    const address = this.#server.address();
    assert(address !== null && typeof address !== 'string', 'the listener is bound to a port');
    return address;
  }
}

const addressFaults: ReadonlySet<string> = new Set([
  'EADDRINUSE',
  'EADDRNOTAVAIL',
  'EACCES',
  'ENOTFOUND',
]);

const tlsRules = {
  minVersion: 'TLSv1.2',
  ALPNProtocols: ['http/1.1'],
  secureOptions: SSL_OP_CLEANSE_PLAINTEXT,
} as const;

const refusals: Readonly<Record<string, () => Fault>> = {
  HPE_HEADER_OVERFLOW: () => new Fault('request.header-too-large'),
  ERR_HTTP_REQUEST_TIMEOUT: () => new Fault('request.timeout'),
};
