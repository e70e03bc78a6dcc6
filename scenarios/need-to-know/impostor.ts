/**
 * Whoever pretends to be the gateway: a TLS server that takes every connection and counts what it is told.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TlsOptions } from 'node:tls';

export class Impostor implements AsyncDisposable {
  readonly #server: Server;
  /** Bytes after the handshake. */
  heard = 0;
  dialled = 0;

  private constructor(options: TlsOptions) {
    this.#server = createServer({ requestCert: true, rejectUnauthorized: false, ...options });
    this.#server.on('connection', () => (this.dialled += 1));
    this.#server.on('tlsClientError', () => {});
    this.#server.on('secureConnection', (socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => (this.heard += chunk.length));
      socket.on('end', () => socket.destroy());
    });
  }

  static async listen(options: TlsOptions): Promise<Impostor> {
    const impostor = new Impostor(options);
    impostor.#server.listen(0, '127.0.0.1');
    await once(impostor.#server, 'listening');
    return impostor;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}
