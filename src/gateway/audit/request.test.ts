/**
 * Goal: requests share a commit only if that is as good as one after the other, and nobody is overtaken.
 * Method: the pure choice of a group from a queue, case by case.
 */
import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { testEntry } from '../../testing/audited-store.ts';
import { keysOf, type LogAct, type Pending, takeGroup } from './request.ts';

const bounds = { members: 10, entries: 10, bytes: 1000 };

function pending(
  name: string,
  ids: { readonly writes?: string; readonly expects?: string; readonly act?: LogAct },
): Pending {
  const { writes = '', expects = '', act } = ids;
  const request = {
    writes: writes
      .split('')
      .map((id) => ({ kind: 'secret' as const, id, bytes: Buffer.from('x') })),
    expectations: expects.split('').map((id) => ({ kind: 'secret' as const, id, revision: 1 })),
    entries: [testEntry(name)] as const,
  };
  return { request, keys: keysOf(request), act, resolve: () => {}, reject: () => {} };
}

/** The names of those in one commit after another. */
function groups(queue: Pending[], within = bounds): string[] {
  const found: string[] = [];
  while (queue.length > 0) {
    const names = takeGroup(queue, within).map(({ request }) => request.entries[0].action);
    found.push(names.join(''));
  }
  return found;
}

test('what has no record in common shares a commit, in the order of the queue', () => {
  const queue = [pending('A', { writes: 'x' }), pending('B', { writes: 'y' }), pending('C', {})];
  deepEqual(groups(queue), ['ABC']);
});

test('whoever writes or expects what an earlier one writes has the next commit', () => {
  deepEqual(groups([pending('A', { writes: 'x' }), pending('B', { writes: 'x' })]), ['A', 'B']);
  deepEqual(groups([pending('A', { writes: 'x' }), pending('B', { expects: 'x' })]), ['A', 'B']);
  const readers = [pending('A', { expects: 'x' }), pending('B', { expects: 'x' })];
  deepEqual(groups(readers), ['AB'], 'control: two that write nothing of it');
});

test('nobody is overtaken by a later one that wants what they wait for', () => {
  const queue = [
    pending('A', { writes: 'x' }),
    pending('B', { writes: 'xy' }),
    pending('C', { writes: 'y' }),
    pending('D', { writes: 'z' }),
  ];
  deepEqual(groups(queue), ['AD', 'B', 'C']);
});

test('one act of the log per commit, and no more than the bounds', () => {
  const acts = [pending('A', { act: 'accept' }), pending('B', { act: 'accept' }), pending('C', {})];
  deepEqual(groups(acts), ['AC', 'B']);
  const many = () => ['A', 'B', 'C'].map((name, at) => pending(name, { writes: `${at}` }));
  deepEqual(groups(many(), { ...bounds, members: 2 }), ['AB', 'C']);
  deepEqual(groups(many(), { ...bounds, entries: 1 }), ['A', 'B', 'C']);
  deepEqual(groups(many(), { ...bounds, bytes: 1 }), ['A', 'B', 'C']);
});
