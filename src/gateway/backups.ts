/**
 * Backups on their way out: a copy of the store beside it, read from there, and gone.
 *
 * Promises
 *   - There is one copy at a time, and none is begun that would take the space which the store needs. A
 *     reader that is too slow is cut (http/file-stream.ts): nobody keeps others from making one.
 *   - A copy has no name from when it is read: a crash leaves at most one that was being made, and the
 *     next start removes that.
 * Does not promise
 *   - That a copy for which there was space when it was begun is finished: others may fill the disk.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { open, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { limits } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import { storePath } from './data-directory.ts';
import { type Physical, storeFiles } from './physical/physical.ts';

export interface BackupsOptions {
  readonly config: { readonly dataDirectory: string };
  readonly physical: Pick<Physical, 'backup'>;
  readonly random: Random;
}

/** Of ours alone: what people put there has other names. Also the directory that a copy is made in. */
const namePattern = /^backup-[0-9a-f]{16}\.db(?:\.new-.+)?$/;

/** Removes what a crash left. For who holds the lock on the store. */
export function sweepBackups({ dataDirectory }: BackupsOptions['config']): void {
  for (const name of readdirSync(dataDirectory)) {
    if (namePattern.test(name)) rmSync(join(dataDirectory, name), { recursive: true, force: true });
  }
}

export class Backups {
  readonly #options: BackupsOptions;
  #isUnderWay = false;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /**
   * The copy is made when the first piece is asked for.
   *
   * @throws Fault `backup.under-way` while there is another; from its pieces also `backup.no-space` and
   *   what `Physical.backup` throws
   */
  take(): AsyncGenerator<Uint8Array> {
    this.#requireTurn();
    return this.#pieces();
  }

  async *#pieces(): AsyncGenerator<Uint8Array> {
    this.#requireTurn();
    this.#isUnderWay = true;
    const { config, physical, random } = this.#options;
    const path = join(config.dataDirectory, `backup-${random.bytes(8).toString('hex')}.db`);
    try {
      await requireSpace(config);
      await physical.backup(path);
      const file = await open(path);
      rmSync(path);
      for await (const piece of file.createReadStream()) yield piece as Buffer;
    } finally {
      rmSync(path, { force: true });
      this.#isUnderWay = false;
    }
  }

  #requireTurn(): void {
    if (this.#isUnderWay) throw new Fault('backup.under-way');
  }
}

/** @throws Fault `backup.no-space` */
async function requireSpace(config: BackupsOptions['config']): Promise<void> {
  const needed = storeFiles(storePath(config))
    .map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
  const { bavail, blocks, bsize } = await statfs(config.dataDirectory);
  const [free, whole] = [bavail * bsize, blocks * bsize];
  const { backupReserveShare, backupReserveBytesMax } = limits;
  const reserve = Math.min(Math.ceil(whole * backupReserveShare), backupReserveBytesMax);
  if (free - needed < reserve) throw new Fault('backup.no-space', { needed, free, reserve });
}
