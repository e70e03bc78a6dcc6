/**
 * A network between node and gateway that can be cut without a word: connections stay open, nothing
 * passes, new ones are taken and never answered. What a firewall that drops packets looks like.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class BlackHole implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #targetPort: number;
  #isCut = false;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((socket) => this.#connected(socket));
  }

  static async open(): Promise<BlackHole> {
    const hole = new BlackHole(await freePort());
    hole.#server.listen(0, '127.0.0.1');
    await once(hole.#server, 'listening');
    return hole;
  }

  /** For the gateway: where it listens, and where it says that nodes reach it. */
  get gatewayArguments(): readonly string[] {
    const { port } = this.#server.address() as AddressInfo;
    return [
      ...['--node-listen', `127.0.0.1:${this.#targetPort}`],
      ...['--node-advertise', `127.0.0.1:${port}`],
    ];
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** What was stuck is lost, as connections are whose peers have given up. */
  heal(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #connected(near: Socket): void {
    this.#keep(near);
    if (this.#isCut) return;
    const far = connect(this.#targetPort, '127.0.0.1');
    this.#keep(far);
    near.pipe(far);
    far.pipe(near);
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
