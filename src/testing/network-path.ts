/**
 * The network between node and gateway, in a test's hands, inside the test's own process. Cut, connections
 * stay open, nothing passes, new ones are taken and never answered. Led elsewhere, whoever dials the gateway
 * reaches an impostor. For packets that the kernel drops, see `gateway-network.ts`.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { freePorts } from './free-ports.ts';

export class NetworkPath implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #targetPort: number;
  #isCut = false;
  #elsewhere: number | undefined;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((socket) => this.#connected(socket));
  }

  static async open(): Promise<NetworkPath> {
    const path = new NetworkPath((await freePorts(1))[0] ?? 0);
    path.#server.listen(0, '127.0.0.1');
    await once(path.#server, 'listening');
    return path;
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

  /** From now on, and after what is connected has been torn down. `undefined`: to the gateway again. */
  leadTo(port: number | undefined): void {
    this.#elsewhere = port;
    this.heal();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #connected(near: Socket): void {
    this.#keep(near);
    if (this.#isCut) return;
    const far = connect(this.#elsewhere ?? this.#targetPort, '127.0.0.1');
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
