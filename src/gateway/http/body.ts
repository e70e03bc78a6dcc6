/**
 * Reads request bodies as bytes, up to a bound that is known before the first byte.
 *
 * Promises
 *   - A declared length above the bound is refused without reading; an undeclared one as soon as it
 *     passes the bound. At most the bound is ever held.
 *   - The bytes are in a buffer outside the shared pool, and the pieces they came in are wiped.
 */
import type { IncomingMessage } from 'node:http';
import { allocate, wipe } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';

/** How much of a refused body is read and thrown away, so that the peer gets to read the refusal. */
const drainBytesMax = 1024 * 1024;

export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return (
    request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
  );
}

/** @throws Fault `limit.exceeded`, or `request.timeout` if the body ends early. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const declared = request.headers['content-length'];
  const exceeded = (): Fault =>
    new Fault('limit.exceeded', { what: 'body', unit: 'bytes', max: bytesMax });
  if (declared !== undefined && Number(declared) > bytesMax) throw exceeded();
  let bytes = allocate(declared === undefined ? Math.min(bytesMax, 4096) : Number(declared));
  let length = 0;
  return await new Promise((resolve, reject) => {
    const end = (error?: Fault): void => {
      request.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken);
      if (error) {
        wipe(bytes);
        reject(error);
      } else resolve(length === bytes.length ? bytes : shrink(bytes, length));
    };
    const onData = (chunk: Buffer): void => {
      if (length + chunk.length > bytesMax) {
        wipe(chunk);
        end(exceeded());
        return;
      }
      if (length + chunk.length > bytes.length)
        bytes = grow(bytes, length + chunk.length, bytesMax);
      bytes.set(chunk, length);
      length += chunk.length;
      wipe(chunk);
    };
    const onEnd = (): void => end();
    const onBroken = (): void => end(new Fault('request.timeout'));
    request.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken);
  });
}

function grow(bytes: Buffer, needed: number, bytesMax: number): Buffer {
  const larger = allocate(Math.min(bytesMax, Math.max(needed, bytes.length * 2)));
  larger.set(bytes);
  wipe(bytes);
  return larger;
}

function shrink(bytes: Buffer, length: number): Buffer {
  const exact = allocate(length);
  exact.set(bytes.subarray(0, length));
  wipe(bytes);
  return exact;
}

/** Throws away what is left of a body, then cuts the connection if that is too much. */
export function drain(request: IncomingMessage): void {
  if (request.readableEnded || request.destroyed) return;
  let drained = 0;
  request.on('error', () => undefined);
  request.on('data', (chunk: Buffer) => {
    wipe(chunk);
    drained += chunk.length;
    if (drained > drainBytesMax) request.destroy();
  });
}
