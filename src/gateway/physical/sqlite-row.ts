/**
 * What SQLite gives back, as rows of ours. The file may have been edited: what no commit of ours can have
 * written, or what stands where it cannot be, is refused by name. Whether it is what was committed the
 * barrier knows.
 */
import { Fault } from '../../base/fault.ts';
import { isPhysicalKey } from './key-range.ts';
import type { Row } from './physical.ts';

type Found = Readonly<Record<string, unknown>>;

/** @throws Fault `storage.corrupt` */
export function readRow(found: Found, place: string): Row {
  const { key, revision, bytes } = found;
  if (typeof key !== 'string' || !isPhysicalKey(key)) throw damaged(place, 'key');
  if (!isRevision(revision)) throw damaged(place, 'revision');
  if (!(bytes instanceof Uint8Array)) throw damaged(place, 'bytes');
  return { key, revision, bytes };
}

/** In the order of their keys, or against it. @throws Fault `storage.corrupt` */
export function readRows(
  found: readonly Found[],
  options: { readonly place: string; readonly reverse: boolean },
): readonly Row[] {
  const rows = found.map((row) => readRow(row, options.place));
  // Whoever goes on after the last key would otherwise never come to an end.
  const isInOrder = rows.every(({ key }, index) => {
    const before = rows[index - 1]?.key;
    return before === undefined || (options.reverse ? key < before : key > before);
  });
  if (!isInOrder) throw damaged(options.place, 'order');
  return rows;
}

/** The store's. @throws Fault `storage.corrupt` */
export function readStoreRevision(found: Found | undefined, place: string): number {
  const revision = found?.['revision'];
  if (revision === 0 || isRevision(revision)) return revision;
  throw damaged(place, 'store-revision');
}

function isRevision(revision: unknown): revision is number {
  return typeof revision === 'number' && Number.isSafeInteger(revision) && revision > 0;
}

export function damaged(path: string, what: string): Fault {
  return new Fault('storage.corrupt', { path, reason: 'damaged', what });
}
