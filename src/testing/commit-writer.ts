/**
 * A program that commits the known history to a store as fast as it can, and tells each revision on
 * its standard output after it was acknowledged: to be killed, cut off and starved by tests.
 *
 * Usage: node commit-writer.ts PATH [--ack-early]
 *
 * `--ack-early` is the control: it tells of a group of commits before it makes them, as a careless
 * writer would that wants to share an fsync.
 */
import { writeSync } from 'node:fs';
import { openSqlite } from '../gateway/physical/sqlite.ts';
import { batchAt } from './commit-history.ts';
import { keepCompiled } from './compile-cache.ts';

keepCompiled();
const earlyGroup = 32;
const [path = '', flag] = process.argv.slice(2);
const isEarly = flag === '--ack-early';
const physical = openSqlite({ path, missing: 'create' });
let revision = await physical.revision();
tell(`open ${revision}`);
for (;;) {
  revision += 1;
  if (isEarly && revision % earlyGroup === 0) tell(String(revision + earlyGroup - 1));
  const outcome = await physical.commit(batchAt(revision));
  if (outcome.kind !== 'committed') throw new Error(`the writer met ${outcome.kind}`);
  if (!isEarly) tell(String(revision));
}

/** Straight to the pipe: what was told must not wait in this process. */
function tell(line: string): void {
  writeSync(1, `${line}\n`);
}
