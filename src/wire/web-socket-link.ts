/**
 * A link over one WebSocket: one binary frame per message, no compression (a compressed secret tells
 * its content by its length), frames bounded before they are read.
 */
import type { Readable, Writable } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { assert } from '../base/assert.ts';
import { wipe } from '../base/bytes.ts';
import { FrameWriter } from './frame-writer.ts';
import type { Link, LinkHandlers } from './link.ts';

const normalClosure = 1000;
const policyViolation = 1008;

/** The stream below a socket. Where what goes that way may be secret no copy of it is left behind. */
export interface StreamBelow {
  readonly reads?: Readable | undefined;
  /** Of a server: a client would have to mask what it sends. */
  readonly writes?: Writable | undefined;
  /** Of a client, which sends nothing secret: messages of one turn leave in one write. */
  readonly joins?: Writable | undefined;
}

/** Takes over a socket that is open or about to be. */
export function webSocketLink(socket: WebSocket, { reads, writes, joins }: StreamBelow = {}): Link {
  if (reads !== undefined) wipePieces(socket, reads);
  return new WebSocketLink(socket, writes && new FrameWriter(writes), joins);
}

/**
 * Of a message that came in several pieces ws makes one copy, and leaves the pieces as they are. They are
 * wiped once a later piece has ended a message: the last of them only then, as more may begin in it.
 */
function wipePieces(socket: WebSocket, stream: Readable): void {
  let held: Buffer[] = [];
  let isMessageOver = false;
  socket.on('message', () => (isMessageOver = true));
  // After the listener of ws: what this piece has ended, it has ended by now.
  stream.on('data', (piece: Buffer) => {
    if (isMessageOver) for (const read of held.splice(0)) wipe(read);
    isMessageOver = false;
    held.push(piece);
  });
  socket.on('close', () => {
    for (const read of held) wipe(read);
    held = [];
  });
}

/** A gateway has thousands of them, so that what each of them would bind for itself is kept small. */
class WebSocketLink implements Link {
  readonly #socket: WebSocket;
  readonly #writer: FrameWriter | undefined;
  readonly #joins: Writable | undefined;
  #isJoining = false;
  #handlers: LinkHandlers | undefined;
  #ended: string | undefined;

  constructor(socket: WebSocket, writer: FrameWriter | undefined, joins: Writable | undefined) {
    this.#socket = socket;
    this.#writer = writer;
    this.#joins = joins;
    socket.binaryType = 'nodebuffer';
    // An `error` is always followed by `close`; without a listener it would end the process.
    socket.on('error', ignore);
    socket.on('close', (code) => this.#end(code === normalClosure ? 'closed' : `cut-${code}`));
    socket.on('message', (data, isBinary) => this.#message(data, isBinary));
  }

  open(handlers: LinkHandlers): void {
    assert(this.#handlers === undefined, 'a link is opened once');
    this.#handlers = handlers;
    if (this.#ended !== undefined) handlers.closed(this.#ended);
  }

  send(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) {
      wipe(bytes);
      return;
    }
    if (this.#writer) {
      this.#writer.send(bytes);
      return;
    }
    this.#joinTurn();
    socket.send(bytes, { binary: true, compress: false }, () => wipe(bytes));
  }

  get queuedBytes(): number {
    return this.#socket.bufferedAmount + (this.#writer?.waitingBytes ?? 0);
  }

  get isOpen(): boolean {
    return this.#ended === undefined && this.#socket.readyState === this.#socket.OPEN;
  }

  close(reason: string): void {
    const socket = this.#socket;
    this.#writer?.flush();
    this.#endTurn();
    if (socket.readyState === socket.OPEN) socket.close(normalClosure, reason.slice(0, 100));
    else socket.terminate();
    // The peer may never answer; what it would still send is of no interest.
    this.#end(reason);
    socket.terminate();
  }

  /** A hundred receipts that come together are one record and one system call, here and at the peer. */
  #joinTurn(): void {
    if (this.#joins === undefined || this.#isJoining) return;
    this.#isJoining = true;
    this.#joins.cork();
    process.nextTick(() => this.#endTurn());
  }

  #endTurn(): void {
    if (!this.#isJoining) return;
    this.#isJoining = false;
    this.#joins?.uncork();
  }

  #message(data: RawData, isBinary: boolean): void {
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.#socket.close(policyViolation);
      return;
    }
    try {
      this.#handlers?.message(data);
    } finally {
      // ws hands over a buffer of its own per message, which may have carried values.
      wipe(data);
    }
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#handlers?.closed(reason);
  }
}

function ignore(): void {
  // On purpose nothing.
}
