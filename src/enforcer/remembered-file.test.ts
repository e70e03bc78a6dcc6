/**
 * Goal: what must be known before something is done is written before it, and a burst of it only once.
 * Method: the real file over a place that counts, in virtual time. What is in it: `remembered.ts`, by the
 * tests of holdings and watchdog.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../base/log.ts';
import { SimTime } from '../testing/sim-clock.ts';
import { SeededRandom } from '../testing/sim-random.ts';
import { RememberedFile } from './remembered-file.ts';
import { stateFromText } from './remembered.ts';

function setUp() {
  const time = new SimTime(new SeededRandom(1));
  const clock = time.clock();
  const disk = { texts: [] as string[], isFull: false };
  const logged: string[] = [];
  const log = createLog({ clock, level: 'warn', write: (line) => void logged.push(line) });
  const place = {
    read: () => disk.texts.at(-1),
    write(text: string) {
      if (disk.isFull) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
      disk.texts.push(text);
    },
  };
  const file = new RememberedFile({ place, clock, log });
  const change = (heardAtBootMs: number): void =>
    file.soon(() => ({ heardAtBootMs, processes: [], holdings: [], newest: [] }));
  const written = (): number[] => disk.texts.map((text) => stateFromText(text).heardAtBootMs);
  const waitUntilWritten = async (): Promise<void> => {
    const done = file.written();
    await time.pass(1);
    await done;
  };
  return { time, file, disk, logged, change, written, waitUntilWritten };
}

test('changes that must be known first are written together, before any of them is made', async () => {
  const { time, file, change, written } = setUp();
  const made: number[] = [];
  for (const number of [1, 2, 3]) {
    change(number);
    void file.written().then(() => made.push(number, written().length));
  }
  deepEqual([written(), made], [[], []]);
  await time.pass(1);
  deepEqual([written(), made], [[3], [1, 1, 2, 1, 3, 1]]);
  change(4);
  void file.written();
  await time.pass(1);
  deepEqual(written(), [3, 4], 'control: what comes later is another write');
});

test('what need only be known soon is written with that, or by itself', async () => {
  const { time, change, written, waitUntilWritten } = setUp();
  change(1);
  await time.pass(1);
  deepEqual(written(), []);
  await waitUntilWritten();
  deepEqual(written(), [1]);
  await time.pass(1000);
  deepEqual(written(), [1], 'once');
  change(2);
  await time.pass(1000);
  deepEqual(written(), [1, 2]);
});

test('what cannot be written is logged, and what waits for it goes on', async () => {
  const { disk, logged, change, written, waitUntilWritten } = setUp();
  disk.isFull = true;
  change(1);
  await waitUntilWritten();
  deepEqual([written(), logged.length], [[], 1]);
  equal(logged[0]?.includes('"remembered.not-written"'), true);
  disk.isFull = false;
  change(2);
  await waitUntilWritten();
  deepEqual(written(), [2], 'control');
});
