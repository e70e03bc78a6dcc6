/**
 * The node port: mutual TLS 1.3, one WebSocket per node. The face of the room.
 *
 * Promises
 *   - A connection without a certificate of our own authority for a live node carries no byte of ours.
 *   - There is no TLS resumption: every connection proves itself anew (THREAT-MODEL, V17).
 *   - Connections that have not shown whose they are have little time, and are bounded (`strangers.ts`).
 *   - A node has one stream, and a newer one wins; `NodeStreams.endNotLive` ends it at once.
 *   - No network input ends the process.
 */
import { constants, X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type SecureContextOptions, TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { errorFields, type Log } from '../../base/log.ts';
import { limits } from '../../base/limits.ts';
import { webSocketLink } from '../../wire/web-socket-link.ts';
import type { LivePeer, NodeStreams } from './node-streams.ts';
import { type StrangerLimits, strangerLimits, Strangers } from './strangers.ts';

export { witnessKeyOf } from './cosignature.ts';
export { type LivePeer, NodeStreams } from './node-streams.ts';
export { type NodePresence, Presence } from './presence.ts';

export interface StreamCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  /** PEM of the only authority whose nodes are let in. */
  readonly authority: string;
}

export interface StreamServerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly tls: StreamCertificate;
  /**
   * The live node that this certificate is for.
   *
   * @param source - The peer's address.
   * @throws Fault `node.refused`
   */
  readonly liveNode: (certificate: X509Certificate, source: string) => LivePeer;
  /** Takes over whoever was let in. Its streams end with the port. */
  readonly streams: Pick<NodeStreams, 'accept' | 'close'>;
  /** For tests: what is left out is as `strangerLimits` says. */
  readonly limits?: Partial<StrangerLimits>;
}

/** The port, once it is open. */
export interface StreamListener {
  readonly port: number;
  /** Shows another certificate to connections from now on. */
  renewCertificate(tls: StreamCertificate): void;
  /** Also ends what is connected. */
  close(): Promise<void>;
}

export const streamPath = '/v1/stream';

export class StreamServer implements StreamListener {
  readonly #options: StreamServerOptions;
  readonly #server: Server;
  readonly #webSockets: WebSocketServer;
  readonly #sockets = new Set<Socket>();
  readonly #strangers: Strangers;
  #closed = false;

  private constructor(options: StreamServerOptions) {
    this.#options = options;
    const { clock, log, limits: changed } = options;
    this.#strangers = new Strangers({ clock, log, limits: { ...strangerLimits, ...changed } });
    this.#webSockets = new WebSocketServer({
      noServer: true,
      maxPayload: limits.streamFrameBytesMax,
      perMessageDeflate: false,
      clientTracking: false,
      // No enforcer asks; one that does and reads none would have the answers pile up here.
      autoPong: false,
    });
    this.#server = createServer({
      ...secureContext(options.tls),
      requestCert: true,
      rejectUnauthorized: true,
      maxHeaderSize: limits.httpHeaderBytesMax,
    });
    // There is one protocol. Node would copy its name for each socket into a pool, which that holds up.
    Object.assign(this.#server, { ALPNProtocols: undefined });
    // Before any of Node's own: what is refused costs no handshake.
    this.#server.prependListener('connection', (socket: Socket) => {
      socket.on('error', ignore);
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      this.#strangers.arrived(socket);
    });
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy());
    this.#server.on('clientError', (_error, socket) => socket.destroy());
    this.#server.on('request', (_request, response) => {
      response.writeHead(426, { connection: 'close' }).end();
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  static async listen(options: StreamServerOptions): Promise<StreamServer> {
    const stream = new StreamServer(options);
    await new Promise<void>((resolve, reject) => {
      stream.#server.once('error', (cause: NodeJS.ErrnoException) => {
        const address = `${options.host}:${options.port}`;
        reject(new Fault('gateway.address-in-use', { address, reason: cause.code }, { cause }));
      });
      const { host, port } = options;
      // Or the kernel drops some of a fleet that comes back, without a word to them.
      const backlog = strangerLimits.strangersMax;
      stream.#server.listen({ host, port, backlog }, resolve);
    });
    // From here on, what cannot be accepted (no descriptor left) is no reason to end.
    stream.#server.on('error', (error) => options.log.error('stream.listener', errorFields(error)));
    return stream;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  renewCertificate(tls: StreamCertificate): void {
    this.#server.setSecureContext(secureContext(tls));
  }

  /** Everything that is connected, also what was refused or has not said who it is. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Those of them that are not known to be a live node's. */
  get strangers(): number {
    return this.#strangers.size;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#strangers.close();
    this.#options.streams.close();
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    // Also those that are no HTTP yet, or no longer: nobody outside decides when a gateway seals.
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', ignore);
    let peer: LivePeer;
    try {
      if (this.#closed) throw new Fault('node.refused', { reason: 'closed' });
      if (request.url !== streamPath) throw new Fault('node.refused', { reason: 'path' });
      const source = request.socket.remoteAddress ?? 'unknown';
      peer = this.#options.liveNode(certificateOf(socket), source);
    } catch (error) {
      this.#options.log.warn('stream.refused', errorFields(error));
      // The peer may never close its half: ours ends both, or each refusal would keep a descriptor.
      socket.once('finish', () => socket.destroy());
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.#strangers.letIn(request.socket);
      this.#options.streams.accept(peer, webSocketLink(webSocket, { writes: socket }));
    });
  }
}

/** One for all: a listener made in `#upgrade` would keep the request for as long as the stream lasts. */
function ignore(): void {
  // On purpose nothing.
}

function secureContext(tls: StreamCertificate): SecureContextOptions {
  return {
    cert: tls.certificate,
    key: tls.privateKey,
    ca: tls.authority,
    minVersion: 'TLSv1.3',
    // Without tickets a revoked certificate cannot come back by resumption.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function certificateOf(socket: Duplex): X509Certificate {
  if (!(socket instanceof TLSSocket) || !socket.authorized || socket.isSessionReused()) {
    throw new Fault('node.refused', { reason: 'certificate' });
  }
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) throw new Fault('node.refused', { reason: 'certificate' });
  return new X509Certificate(certificate.raw);
}
