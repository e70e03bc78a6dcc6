/**
 * Writes a server's WebSocket messages to its TLS stream so that no copy of them stays behind.
 *
 * Node's TLS encrypts a single buffer where it lies, but copies buffers that are written together, and
 * frees the copy as it is. ws writes header and payload together. So a message is one frame in one buffer
 * here, and what waits while a write is under way is joined into one buffer for the next.
 *
 * Promises: messages stay in order; all bytes are wiped once the kernel has them, or the stream has ended.
 */
import type { Writable } from 'node:stream';
import { allocate, wipe } from '../base/bytes.ts';

/** Of one write, unless a single message is larger. */
const joinedBytesMax = 64 * 1024;
/** RFC 6455, 5.2: one frame, binary, unmasked as a server's are. */
const finalBinary = 0x82;
const shortMax = 125;
const mediumMax = 0xffff;

/** A gateway has thousands of them: kept small. */
export class FrameWriter {
  readonly #stream: Writable;
  #waiting: Uint8Array[] | undefined;
  #waitingBytes = 0;
  #isWriting = false;

  constructor(stream: Writable) {
    this.#stream = stream;
    // What ws itself still writes (pings, the end) must not be joined with ours.
    Object.assign(stream, { _writev: undefined });
  }

  /** Bytes that the stream has not been given yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Takes the message over. */
  send(message: Uint8Array): void {
    this.#waiting ??= [];
    this.#waiting.push(message);
    this.#waitingBytes += frameBytes(message);
    if (!this.#isWriting) this.#write();
  }

  /** Gives the stream all that waits: after this the stream may be ended. */
  flush(): void {
    while (this.#waiting !== undefined) this.#write();
  }

  #write(): void {
    const waiting = this.#waiting ?? [];
    let count = 0;
    let bytes = 0;
    for (const message of waiting) {
      if (count > 0 && bytes + frameBytes(message) > joinedBytesMax) break;
      count += 1;
      bytes += frameBytes(message);
    }
    const joined = allocate(bytes);
    let at = 0;
    for (const message of waiting.splice(0, count)) {
      at = putFrame(joined, message, at);
      wipe(message);
    }
    this.#waitingBytes -= bytes;
    if (waiting.length === 0) this.#waiting = undefined;
    this.#isWriting = true;
    this.#stream.write(joined, () => {
      wipe(joined);
      this.#isWriting = false;
      // A stream that has ended fails each write: so ends the queue, too.
      if (this.#waiting !== undefined) this.#write();
    });
  }
}

function frameBytes({ length }: Uint8Array): number {
  return length + (length <= shortMax ? 2 : length <= mediumMax ? 4 : 10);
}

/** @returns where the next one begins. */
function putFrame(target: Buffer, message: Uint8Array, from: number): number {
  const { length } = message;
  let at = target.writeUInt8(finalBinary, from);
  if (length <= shortMax) {
    at = target.writeUInt8(length, at);
  } else if (length <= mediumMax) {
    at = target.writeUInt16BE(length, target.writeUInt8(126, at));
  } else {
    at = target.writeBigUInt64BE(BigInt(length), target.writeUInt8(127, at));
  }
  target.set(message, at);
  return at + length;
}
