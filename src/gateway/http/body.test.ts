/**
 * Goal: a body is in one buffer that its owner wipes, and nowhere else (T9); no more than the bound is
 * ever taken, whatever is declared.
 * Method: requests in memory, in pieces of every size; every buffer that is made meanwhile is searched.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { systemRandom } from '../../base/random.ts';
import { BufferWatch } from '../../testing/buffer-watch.ts';
import { readBody } from './body.ts';

function requestOf(pieces: readonly Buffer[], declared?: number): IncomingMessage {
  const stream = new PassThrough();
  const headers = declared === undefined ? {} : { 'content-length': String(declared) };
  for (const piece of pieces) stream.write(piece);
  stream.end();
  return Object.assign(stream, { headers }) as unknown as IncomingMessage;
}

function piecesOf(body: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    pieces.push(Buffer.copyBytesFrom(body, at, Math.min(size, body.length - at)));
  }
  return pieces;
}

test('a body is whole, and no piece or earlier buffer of it is left', async (t) => {
  const body = systemRandom.bytes(20_000);
  const start = body.subarray(0, 32);
  const watch = new BufferWatch(t);
  for (const declared of [undefined, body.length]) {
    for (const size of [100, 4096, 30_000]) {
      const pieces = piecesOf(body, size);
      const read = await readBody(requestOf(pieces, declared), 65_536);
      equal(read.compare(body), 0);
      ok(
        pieces.every((piece) => piece.every((byte) => byte === 0)),
        'pieces',
      );
      equal(
        watch.holding(start),
        1,
        `${declared} in pieces of ${size}: the one that was handed out`,
      );
      read.fill(0);
    }
  }
});

test('a body that is longer than its bound is refused, and nothing of it is kept', async (t) => {
  const body = systemRandom.bytes(5000);
  const watch = new BufferWatch(t);
  for (const declared of [undefined, 5000, 10]) {
    for (const size of [100, 5000]) {
      const pieces = piecesOf(body, size);
      await rejects(readBody(requestOf(pieces, declared), 4999), { code: 'limit.exceeded' });
      equal(watch.holding(body.subarray(0, 32)), 0);
    }
  }
  deepEqual([...(await readBody(requestOf(piecesOf(body, 100)), 5000))], [...body], 'control');
});
