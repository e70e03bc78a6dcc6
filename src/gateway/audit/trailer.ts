/**
 * What the audit log keeps in the head of every commit, and so under the barrier's digest: the edge
 * of the tree, whether a rollback is suspected, and where branches were given up.
 */
import { joinPrefixed, takePrefixed } from '../../base/bytes.ts';
import { Fault } from '../../base/fault.ts';
import { Frontier } from '../../crypto/merkle.ts';

export interface Trailer {
  readonly frontier: Frontier;
  readonly suspected: boolean;
  /**
   * Sizes at which an operator accepted a rollback, ascending in time: epoch n ends where the n-th
   * was. Checkpoints carry their epoch, so that a branch that was given up is told from an attack.
   */
  readonly epochEnds: readonly number[];
}

const formatVersion = 1;

export function encodeTrailer(trailer: Trailer): Buffer {
  const ends = Buffer.alloc(8 * trailer.epochEnds.length);
  trailer.epochEnds.forEach((size, index) => ends.writeBigUInt64BE(BigInt(size), 8 * index));
  const header = Buffer.of(formatVersion, trailer.suspected ? 1 : 0);
  return Buffer.concat([header, joinPrefixed([ends]), trailer.frontier.toBytes()]);
}

/** Of a new store, nothing. @throws Fault `barrier.corrupt` */
export function decodeTrailer(bytes: Uint8Array): Trailer {
  if (bytes.length === 0) return { frontier: Frontier.empty(), suspected: false, epochEnds: [] };
  const taken = bytes[0] === formatVersion ? takePrefixed(bytes.subarray(2)) : undefined;
  const frontier = taken && Frontier.fromBytes(taken.rest);
  if (frontier === undefined || taken === undefined || taken.part.length % 8 !== 0) {
    throw new Fault('barrier.corrupt', { kind: 'audit', id: 'trailer' });
  }
  const { part: ends } = taken;
  const epochEnds = Array.from({ length: ends.length / 8 }, (_, index) =>
    Number(ends.readBigUInt64BE(8 * index)),
  );
  return { frontier, suspected: bytes[1] === 1, epochEnds };
}
