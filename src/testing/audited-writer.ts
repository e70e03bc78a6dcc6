/**
 * A program that writes secrets with their entries over SQLite, eight at a time, and rotates the root
 * key meanwhile; it tells each id on its standard output once that was acknowledged. To be killed.
 *
 * Usage: node audited-writer.ts STORE KEY-FILE [--entry-late]
 *
 * `--entry-late` is the control: the effect is committed first and its entry afterwards.
 */
import { writeSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { Audit } from '../gateway/audit/audit.ts';
import { Barrier, type RecordWrite } from '../gateway/barrier/barrier.ts';
import { openSqlite } from '../gateway/physical/sqlite.ts';
import { testEntry } from './audited-store.ts';
import { keepCompiled } from './compile-cache.ts';

keepCompiled();
const writers = 8;
const [path = '', keyFile = '', flag] = process.argv.slice(2);
const parts = { clock: systemClock, random: systemRandom, log: silentLog };
const physical = openSqlite({ path, missing: 'create' });
const barrier = await Barrier.open({ ...parts, physical, projections: [], seal: { keyFile } });
if (barrier.state === 'empty') await barrier.initialise({ kind: 'keyfile', existing: true });
else await barrier.unseal(Buffer.alloc(0));
const audit = new Audit({ ...parts, barrier });
const run = barrier.revision;

await Promise.all([...Array.from({ length: writers }, (_, writer) => write(writer)), rotate()]);

async function write(writer: number): Promise<never> {
  for (let index = 0; ; index++) {
    const id = `r${run}-${writer}-${index}`;
    const bytes = Buffer.from(id);
    const writes: readonly RecordWrite[] = [
      { kind: 'secret', id, bytes },
      { kind: 'value', id: `${id}/1`, bytes },
    ];
    const expectations = [{ kind: 'secret', id, revision: 0 }] as const;
    const entries = [{ ...testEntry('put'), resource: id }] as const;
    if (flag === '--entry-late') {
      await audit.commit({ writes, expectations, entries: [testEntry('without its own entry')] });
      await audit.commit({ writes: [], expectations: [], entries });
    } else await audit.commit({ writes, expectations, entries });
    await tell(`${id}\n`);
  }
}

/** Straight to the pipe, so that what was told does not wait in this process; it may be full. */
async function tell(line: string): Promise<void> {
  for (let rest = Buffer.from(line); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await systemClock.nextTurn();
    }
  }
}

async function rotate(): Promise<never> {
  const { signal } = new AbortController();
  for (;;) {
    await audit.rewrap(signal);
    await systemClock.sleep(5);
    const maintenance = barrier.rootKeys.rotate();
    const entries = [testEntry('system.rotate-root-key')] as const;
    await audit.commit({ writes: [], expectations: [], entries, maintenance });
  }
}
