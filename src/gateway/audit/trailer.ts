/**
 * What the audit log keeps in the head of every commit, and so under the barrier's digest: the edge
 * of the tree, whether a rollback is suspected, and where branches were given up.
 */
import { joinPrefixed } from '../../base/bytes.ts';
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
  const buffer = Buffer.from(bytes);
  const corrupt = new Fault('barrier.corrupt', { kind: 'audit', id: 'trailer' });
  if (buffer.length < 6 || buffer[0] !== formatVersion) throw corrupt;
  const endsBytes = buffer.readUInt32BE(2);
  if (endsBytes % 8 !== 0 || 6 + endsBytes > buffer.length) throw corrupt;
  const frontier = Frontier.fromBytes(buffer.subarray(6 + endsBytes));
  if (frontier === undefined) throw corrupt;
  const epochEnds = Array.from({ length: endsBytes / 8 }, (_, index) =>
    Number(buffer.readBigUInt64BE(6 + 8 * index)),
  );
  return { frontier, suspected: buffer[1] === 1, epochEnds };
}
