/**
 * Every kind of container that people run, on one node.
 *
 *  1. Somebody inside unmounts or covers what is ours (seen in step 11, when the node has looked).
 *  2. Read-only roots, with and without a place to mount on.
 *  3. Users: the container's own reads, another does not.
 *  4. A lone program without shell or libraries.
 *  5a. Paused.   5b. Renamed.   6. Restarted.   7. Gone within 100 ms.   8. Killed in a storm of rotations.
 *  9. Targets that are links, files, taken, full or out of bounds.
 * 10. Many files, large sets, two grants, two files of one name.
 * 11. The tampering is reported.
 */
import { test } from 'node:test';
import { Story } from '../../src/testing/story.ts';
import { badTargets, tampering } from './hostile.ts';
import { killedInAStorm, paused, renamed, restarted, shortLived } from './lifetimes.ts';
import { distroless, readOnlyRoots, users } from './roots-and-users.ts';
import { largeSets, manyFiles, twoGrants } from './sets.ts';

test('kinds of containers', async (t) => {
  await using story = await Story.open(t, { images: ['busybox', 'distroless'] });
  if (!story) return;
  let reported = async (): Promise<void> => {};
  await t.test('1. somebody unmounts, somebody covers', async () => {
    reported = await tampering(story);
  });
  await t.test('2. read-only roots', () => readOnlyRoots(story));
  await t.test('3. users', () => users(story));
  await t.test('4. a lone program', () => distroless(story));
  await t.test('5a. paused', () => paused(story));
  await t.test('5b. renamed', () => renamed(story));
  await t.test('6. restarted', () => restarted(story));
  await t.test('7. short-lived', () => shortLived(story));
  await t.test('8. killed in a storm', () => killedInAStorm(story));
  await t.test('9. bad targets', () => badTargets(story));
  await t.test('10a. many files', () => manyFiles(story));
  await t.test('10b. large sets', () => largeSets(story));
  await t.test('10c. two grants', () => twoGrants(story));
  await t.test('11. the tampering is reported', () => reported());
});
