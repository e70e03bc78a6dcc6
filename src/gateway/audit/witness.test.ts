/** Goal: what a remembered checkpoint says about this log is said rightly, over any number of epochs. */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { type OurLog, judge } from './witness.ts';

const root = (text: string): Buffer => Buffer.alloc(32, text);
/** Ten entries; rollbacks were accepted at the given sizes. */
const ours = (...epochEnds: readonly number[]): OurLog => ({
  size: 10,
  epochEnds,
  rootAt: async (size) => root(`ours ${size}`),
});

test('judge tells what is behind, given up, missing and something else', async () => {
  const cases = [
    [ours(), 0, 10, 'ours 10', 'consistent'],
    [ours(), 0, 9, 'ours 9', 'behind'],
    [ours(), 0, 11, 'theirs', 'rollback'],
    [ours(), 0, 10, 'theirs', 'fork'],
    // Of an epoch that this store has not reached: one from before the rollback was accepted.
    [ours(), 1, 9, 'theirs', 'rollback'],
    [ours(4), 2, 9, 'theirs', 'rollback'],
    [ours(4), 1, 9, 'ours 9', 'behind'],
    [ours(4), 0, 4, 'ours 4', 'behind'],
    [ours(4), 0, 5, 'theirs', 'superseded'],
    [ours(4), 0, 99, 'theirs', 'superseded'],
    [ours(8, 3), 0, 4, 'theirs', 'superseded'],
    [ours(8, 3), 1, 4, 'theirs', 'superseded'],
    [ours(8, 3), 2, 4, 'ours 4', 'behind'],
    [ours(8, 3), 0, 3, 'theirs', 'fork'],
  ] as const;
  for (const [log, epoch, size, text, verdict] of cases) {
    const extensions = epoch === 0 ? [] : [`epoch ${epoch}`];
    const remembered = { origin: 'log', size, root: root(text), extensions };
    const about = `${log.epochEnds.join()} / epoch ${epoch} size ${size} ${text}`;
    equal(await judge(remembered, log), verdict, about);
  }
});
