/**
 * Goal: a trailer comes back as it was written, and one that was cut or lengthened is refused.
 * Method: round trips; every cut; bytes more. Control: the whole one is read.
 */
import { deepEqual, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { systemRandom } from '../../base/random.ts';
import { Frontier } from '../../crypto/merkle.ts';
import { decodeTrailer, encodeTrailer, type Trailer } from './trailer.ts';

function trailerOf(leaves: number, epochEnds: readonly number[], suspected: boolean): Trailer {
  const frontier = Frontier.empty();
  for (let leaf = 0; leaf < leaves; leaf++) frontier.append(systemRandom.bytes(32));
  return { frontier, suspected, epochEnds };
}

test('decodeTrailer reads what encodeTrailer wrote, and nothing at all in a new store', () => {
  for (const trailer of [
    trailerOf(0, [], false),
    trailerOf(7, [3, 2 ** 40], true),
    trailerOf(64, [1], false),
  ]) {
    const { frontier, suspected, epochEnds } = decodeTrailer(encodeTrailer(trailer));
    deepEqual(frontier.toBytes(), trailer.frontier.toBytes());
    deepEqual([suspected, epochEnds], [trailer.suspected, trailer.epochEnds]);
  }
  const { frontier, epochEnds } = decodeTrailer(Buffer.alloc(0));
  deepEqual([frontier.size, epochEnds], [0, []]);
});

test('decodeTrailer refuses a trailer that was cut, lengthened or is of another format', () => {
  const whole = encodeTrailer(trailerOf(5, [1, 4], false));
  ok(decodeTrailer(whole), 'control');
  const altered = Array.from({ length: whole.length - 1 }, (_, at) => whole.subarray(0, at + 1));
  altered.push(Buffer.concat([whole, Buffer.alloc(1)]));
  altered.push(Buffer.concat([Buffer.of(2), whole.subarray(1)]));
  for (const bytes of altered) {
    throws(() => decodeTrailer(bytes), { code: 'barrier.corrupt' }, `${bytes.length} bytes`);
  }
});
