/**
 * What can be learnt from the memory of gateway and enforcer, and by whom.
 *
 * 1. Secrets are put, delivered and rotated.
 * 2. How many copies are left in the memory of both. Control: strings are found.
 * 3. Another user, and root in a container, look into them. Control: who may, can.
 * 4. They get every signal: no port opens, nothing is written down. Controls: an ordinary program.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Story } from '../../src/testing/story.ts';
import { MarkedValues, passSecrets, residueIsBounded, stringsAreFound } from './residue.ts';
import {
  allowCoreDumps,
  coreDumpIsFound,
  fatalSignals,
  harmlessSignals,
  inspectorIsFound,
} from './signals.ts';
import { otherUser, rootInContainer } from './strangers.ts';

test('the memory of our programs', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-memory-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  allowCoreDumps(directory);
  await using story = await Story.open(t, { images: ['busybox'] });
  if (!story) return;
  const values = new MarkedValues();
  await passSecrets(story, values);
  await t.test('2a. residue', (inner) => residueIsBounded(inner, story, values));
  await t.test('2b. control: strings are found', () => stringsAreFound(values));
  await t.test('3a. another user', () => otherUser(story));
  await t.test('3b. root in a container', () => rootInContainer(story));
  await t.test('4a. control: an inspector is found', inspectorIsFound);
  await t.test('4b. control: a core dump is found', (inner) => coreDumpIsFound(inner, values));
  await t.test('4c. signals that end nothing', () => harmlessSignals(story));
  await t.test('4d. signals that end it', () => fatalSignals(story, values));
});
