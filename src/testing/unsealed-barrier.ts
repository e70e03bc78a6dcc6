/**
 * A barrier over memory or any other storage, sealed by a key file in a directory of its own: for
 * tests of the barrier, the audit log and everything above them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../base/clock.ts';
import { silentLog, type Log } from '../base/log.ts';
import { systemRandom, type Random } from '../base/random.ts';
import { Barrier, type Projection } from '../gateway/barrier/barrier.ts';
import { MemoryPhysical } from './memory-physical.ts';
import type { Physical } from '../gateway/physical/physical.ts';

export interface BarrierSetting {
  readonly physical?: Physical;
  readonly projections?: readonly Projection[];
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
}

/** Where one installation's key file is; outlives its barriers, as a disk outlives processes. */
export class KeyFilePlace {
  readonly directory: string = mkdtempSync(join(tmpdir(), 'coffer-key-'));
  readonly keyFile: string = join(this.directory, 'key');

  /** A barrier that is unsealed, made anew if the storage is empty. */
  async unsealed(setting: BarrierSetting = {}): Promise<Barrier> {
    const barrier = await this.opened(setting);
    const none = Buffer.alloc(0);
    if (barrier.state === 'empty') {
      await barrier.initialise({ kind: 'keyfile' });
      await barrier.commit({ writes: [], expectations: [], trailer: none });
    } else await barrier.unseal(none);
    return barrier;
  }

  /** A barrier as it is after a start: empty or sealed. */
  async opened(setting: BarrierSetting = {}): Promise<Barrier> {
    return Barrier.open({
      physical: setting.physical ?? new MemoryPhysical(),
      clock: setting.clock ?? systemClock,
      random: setting.random ?? systemRandom,
      log: setting.log ?? silentLog,
      projections: setting.projections ?? [],
      seal: { keyFile: this.keyFile },
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
