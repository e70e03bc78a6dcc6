/** Goal: sets for one node come in pieces that it can begin with; sets for many are not held up. */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from './pace.ts';

function pausesOf(nodes: readonly string[], count = nodes.length): number {
  const pace = new Pace({ nextTurn: () => Promise.resolve() }, count);
  return nodes.filter((node) => pace.before(node) !== undefined).length;
}

const times = (count: number, node: string): string[] => Array.from({ length: count }, () => node);

test('Pace pauses before every seventeenth set for one node', () => {
  equal(pausesOf(times(16, 'a')), 0);
  equal(pausesOf(times(17, 'a')), 1);
  equal(pausesOf(times(100, 'a')), 6);
});

test('Pace pauses for none of many nodes in turn, and not where a whole turn is due', () => {
  equal(pausesOf(times(100, 'a').flatMap((node) => [node, 'b'])), 0);
  equal(pausesOf([...times(16, 'a'), ...times(16, 'b')]), 0);
  equal(pausesOf(times(256, 'a')), 0);
  equal(pausesOf(times(255, 'a')), 15, 'control');
});
