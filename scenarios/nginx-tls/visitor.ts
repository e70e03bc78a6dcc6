/**
 * A visitor who never stops: a new TLS connection each time, the chain and the name verified, one
 * request answered. Keeps every failure, and the serial that was shown last.
 */
import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import { systemClock } from '../../src/base/clock.ts';
import { host } from './certificates.ts';

export class Visitor implements AsyncDisposable {
  readonly #port: number;
  readonly #authority: string;
  readonly #stop = new AbortController();
  readonly #walking: Promise<void>;
  readonly failures: string[] = [];
  /** In the order in which they were first shown. */
  readonly serials: string[] = [];
  handshakes = 0;

  constructor(port: number, authority: X509Certificate) {
    this.#port = port;
    this.#authority = authority.toString();
    this.#walking = this.#walk();
  }

  get serial(): string | undefined {
    return this.serials.at(-1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#walking;
  }

  async #walk(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const serial = await this.#visit();
        this.handshakes += 1;
        if (serial !== this.serial) this.serials.push(serial);
      } catch (error) {
        this.failures.push((error as Error).message);
      }
      await systemClock.sleep(1);
    }
  }

  async #visit(): Promise<string> {
    const socket = connect({
      host: '127.0.0.1',
      port: this.#port,
      servername: host,
      ca: this.#authority,
      minVersion: 'TLSv1.3',
    });
    try {
      await once(socket, 'secureConnect');
      const serial = socket.getPeerX509Certificate()?.serialNumber ?? 'none';
      socket.write(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
      const chunks: Buffer[] = [];
      for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
      const answer = Buffer.concat(chunks).toString('latin1');
      if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`answered ${answer.slice(0, 40)}`);
      return serial;
    } finally {
      socket.destroy();
    }
  }
}
