/**
 * The listener: TLS, connections and their limits, the end. What a request means is serve.ts.
 *
 * Fastify is the shell here: listening, timeouts, draining. It does not parse paths, queries or
 * bodies; a second parser would be a second opinion about what was asked.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server as HttpsServer, ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { fastify, type FastifyInstance } from 'fastify';
import { AssertionError, assert } from '../../base/assert.ts';
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

type App = FastifyInstance<HttpsServer>;

const compilesNothing = () => (): never => {
  throw new AssertionError('no route has a schema of Fastify’s');
};

const checkEveryMs = 1_000;

export class Listener implements HttpServer {
  readonly #options: HttpOptions;
  readonly #limits: HttpLimits;
  readonly #sources: SourceLimits;
  readonly #observed: HttpMetrics;
  readonly #streams = new Set<ServerResponse>();
  /** The answer that is under way on a connection, so that a parser error does not write into it. */
  readonly #answers = new WeakMap<Socket, ServerResponse>();
  readonly #app: App;
  #connections = 0;
  #stopping = false;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#limits = { ...httpLimits, ...options.limits };
    this.#sources = new SourceLimits(this.#limits, options.clock);
    this.#observed = declareHttpMetrics(options.metrics);
    this.#app = this.#build();
  }

  get host(): string {
    return this.#address().address;
  }

  get port(): number {
    return this.#address().port;
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    try {
      await this.#app.listen({ host, port });
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === undefined || !addressFaults.has(code)) throw cause;
      const address = `${host}:${port}`;
      throw new Fault('gateway.address-in-use', { address, reason: code }, { cause });
    }
  }

  renewCertificate(certificate: string, key: string | Buffer): void {
    this.#app.server.setSecureContext({ ...tlsRules, cert: certificate, key });
  }

  async close(): Promise<void> {
    this.#stopping = true;
    for (const stream of this.#streams) stream.destroy();
    const { server } = this.#app;
    const patience = this.#options.clock.setTimer(this.#limits.drainMs, () =>
      server.closeAllConnections(),
    );
    await this.#app.close();
    patience.cancel();
  }

  #build(): App {
    const limits = this.#limits;
    const https: ServerOptions = {
      ...tlsRules,
      cert: this.#options.certificate,
      key: this.#options.key,
      handshakeTimeout: limits.handshakeTimeoutMs,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: checkEveryMs,
      maxHeaderSize: sizes.httpHeaderBytesMax,
      // Answered by us, as a problem document.
      requireHostHeader: false,
    };
    const app = fastify({
      https,
      logger: false,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      connectionTimeout: limits.idleTimeoutMs,
      maxRequestsPerSocket: limits.requestsPerConnectionMax,
      forceCloseConnections: 'idle',
      return503OnClosing: false,
      exposeHeadRoutes: false,
      rewriteUrl: () => '/',
      // No route has a schema of Fastify's: without these it loads two compilers of schemas: 20 ms.
      schemaController: {
        compilersFactory: { buildValidator: compilesNothing, buildSerializer: compilesNothing },
      },
      clientErrorHandler: (error, socket) => this.#onClientError(error, socket),
    });
    app.addHook('onRequest', async (request, reply) => {
      reply.hijack();
      await this.#serve(request.raw, reply.raw, request.originalUrl);
    });
    app.all('/', (_request, reply) => reply.hijack());
    this.#guard(app.server);
    return app;
  }

  async #serve(request: IncomingMessage, response: ServerResponse, target: string): Promise<void> {
    this.#answers.set(request.socket, response);
    // While stopping, a connection ends with its last answer instead of waiting for another request.
    response.on('close', () => {
      if (this.#stopping) this.#app.server.closeIdleConnections();
    });
    await serve(this.#context(), request, response, target);
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

  #guard(server: HttpsServer): void {
    server.maxConnections = this.#limits.connectionsMax;
    server.maxHeadersCount = 100;
    server.prependListener('connection', (socket: Socket) => this.#onConnection(socket));
    server.on('checkContinue', (request, response) => server.emit('request', request, response));
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
    server.on('connect', (_request, socket) => socket.destroy());
    server.on('error', (error) => {
      // Until it listens `listen` says what is wrong.
      if (server.listening) this.#options.log.error('http.listener', errorFields(error));
    });
  }

  #onConnection(socket: Socket): void {
    const address = socket.remoteAddress ?? 'unknown';
    socket.on('error', () => undefined);
    if (this.#stopping || !this.#sources.admitsConnection(address)) {
      this.#observed.refused('connections');
      socket.destroy();
      return;
    }
    this.#connections += 1;
    this.#observed.connections(this.#connections);
    socket.on('close', () => {
      this.#connections -= 1;
      this.#observed.connections(this.#connections);
      this.#sources.release(address);
    });
  }

  /** What is no HTTP, comes too slowly, or never finished its handshake. */
  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const code = error.code ?? '';
    const spoken = code.startsWith('HPE_') || code.startsWith('ERR_HTTP_');
    this.#observed.refused(spoken ? 'malformed' : 'tls');
    if (!spoken || !socket.writable || this.#answers.get(socket)?.headersSent === true) {
      socket.destroy();
      return;
    }
    socket.on('error', () => undefined);
    socket.end(this.#refusal(code), () => socket.destroy());
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
    const address = this.#app.server.address();
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
