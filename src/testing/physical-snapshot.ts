/** A physical storage as it is at one moment, copied into memory. */
import type { Physical, Row } from '../gateway/physical/physical.ts';
import { MemoryPhysical } from './memory-physical.ts';

const rowsPerPage = 1000;

/** To be put back later as by whoever has the disk, or shown in place of what was written since. */
export async function snapshotOf(physical: Physical): Promise<MemoryPhysical> {
  const written = new Map<number, Row[]>();
  for (let page: readonly Row[] | undefined; page?.length !== 0; ) {
    const after = page?.at(-1)?.key;
    const limit = rowsPerPage;
    page = await physical.list('', after === undefined ? { limit } : { limit, after });
    for (const row of page) {
      const rows = written.get(row.revision);
      if (rows) rows.push(row);
      else written.set(row.revision, [row]);
    }
  }
  const copy = new MemoryPhysical();
  const last = await physical.revision();
  for (let revision = 1; revision <= last; revision++) {
    await copy.commit({ revision, writes: written.get(revision) ?? [], expectations: [] });
  }
  return copy;
}
