/**
 * Goal: where the way cannot be walked, the table of mounts tells what a container made of ours.
 * Method: tables of containers, as the kernel writes them.
 */
import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { parseMountinfo } from '../../linux/mountinfo.ts';
import { stateIn } from './inspect-mount.ts';

const segments = ['run', 'secrets'];
const root = '10 5 0:30 / / rw - overlay overlay rw';
const ours = '20 10 0:40 / /run/secrets ro,nosuid,nodev,noexec,relatime - tmpfs coffer:x rw';

function stateOf(...lines: readonly string[]): string {
  return stateIn(parseMountinfo(lines.join('\n')), segments, 20);
}

test('stateIn says in-place where the path ends in ours', () => {
  equal(stateOf(root, ours), 'in-place');
  equal(stateOf(root, '11 10 0:31 / /proc rw - proc proc rw', ours), 'in-place');
  // On a volume at /run, itself on something that is hidden by now.
  const below = ours.replace('20 10', '20 12');
  const hidden = '11 10 0:31 / /run rw - tmpfs a rw';
  equal(stateOf(root, hidden, '12 11 0:32 / /run rw - tmpfs b rw', below), 'in-place');
  equal(stateOf(root, '30 10 0:50 / /run/secrets-of-others rw - tmpfs a rw', ours), 'in-place');
});

test('stateIn sees what was altered, covered, moved and removed', () => {
  equal(stateOf(root, ours.replace('ro,', 'rw,')), 'altered');
  equal(stateOf(root, ours, '30 20 0:50 / /run/secrets rw - fuse x rw'), 'over-mounted');
  equal(stateOf(root, ours, '30 10 0:50 / /run rw - fuse x rw'), 'over-mounted');
  equal(stateOf(root, ours.replace('/run/', '/elsewhere/')), 'over-mounted');
  equal(stateOf(root), 'unmounted');
});
