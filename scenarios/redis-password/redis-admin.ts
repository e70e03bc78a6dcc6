/**
 * Speaks to redis over its socket, as whoever looks after it would: one connection, one command at a time.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export class RedisAdmin implements Disposable {
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async login(path: string, user: string, password: string): Promise<RedisAdmin> {
    const socket = connect({ path });
    await once(socket, 'connect');
    const admin = new RedisAdmin(socket);
    await admin.command('AUTH', user, password);
    return admin;
  }

  /** Only for commands that are answered by one line. */
  async command(...words: readonly string[]): Promise<string> {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.#socket.write(`*${words.length}\r\n${parts.join('')}`);
    const [answer] = (await once(this.#socket, 'data')) as [Buffer];
    const line = answer.toString('utf8').trimEnd();
    if (line.startsWith('-')) throw new Error(line);
    return line.slice(1);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
