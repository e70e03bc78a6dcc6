/**
 * A program that commits the known history to a store as fast as it can, and tells each revision on
 * its standard output after it was acknowledged: to be killed, cut off and starved by tests.
 *
 * Usage: node commit-writer.ts PATH [--ack-early]
 *
 * `--ack-early` is the control: it tells before it commits, as a careless writer would.
 */
import { writeSync } from 'node:fs';
import { openSqlite } from '../gateway/physical/sqlite.ts';
import { batchAt } from './commit-history.ts';

const [path = '', flag] = process.argv.slice(2);
const physical = openSqlite({ path, missing: 'create' });
let revision = await physical.revision();
tell(`open ${revision}`);
for (;;) {
  revision += 1;
  if (flag === '--ack-early') tell(String(revision));
  const outcome = await physical.commit(batchAt(revision));
  if (outcome.kind !== 'committed') throw new Error(`the writer met ${outcome.kind}`);
  if (flag !== '--ack-early') tell(String(revision));
}

/** Straight to the pipe: what was told must not wait in this process. */
function tell(line: string): void {
  writeSync(1, `${line}\n`);
}
