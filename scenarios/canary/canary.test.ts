/**
 * A hundred secrets, each with a canary in it, and a search for canaries wherever one could have been
 * left: raw, base64, hexadecimal, escaped, as numbers, compressed.
 *
 * 1. They are put through API and command, granted, and are in two containers' memory.
 * 2. Everything is done with them: all stages, a hundred mistakes, all questions, backups, kills; both
 *    programs log all they can.
 * 3. Nothing is in any file: store, logs, state, backups, caches, the engine's data, what containers wrote.
 * 4. Nothing is in what processes show: arguments, environment; the host's mount table shows no mount.
 * 5. Nothing was said: logs, answers, faults, metrics.
 * 6. Controls: what is planted is found, in each of these places and forms.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readInside, Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { Canaries } from './canaries.ts';
import { Exercise, nameOf, secretsCount } from './exercise.ts';
import { descriptorsOf, directoriesOf, hitsInFiles, hitsInProcess } from './places.ts';

test('secrets are in the memory of containers and nowhere else', async (t) => {
  const debug = ['--log-level', 'debug'];
  await using story = await Story.open(t, {
    images: ['busybox'],
    gatewayArguments: debug,
    enforcerArguments: debug,
  });
  if (!story) return;
  const canaries = new Canaries();
  const before = setsOnHost();
  const exercise = new Exercise(story, canaries);
  const { installation } = story;

  t.diagnostic('1. put, granted, delivered');
  const labels = { app: 'canary' };
  const holder = await story.container({ name: 'holder', labels, user: '1000:1000' });
  await story.container({ name: 'read-only', labels, readOnlyRoot: true });
  const pid = await holder.pid();
  const descriptors = descriptorsOf(pid);
  await exercise.putAll();
  const names = Array.from({ length: secretsCount }, (_, index) => nameOf(index));
  await story.grant('canary', names);
  const has = (index: number): boolean =>
    readInside(pid, `/run/secrets/secret-${index}`)?.startsWith(canaries.mark) === true;
  await until('all are there', () => names.every((_, index) => has(index)));

  t.diagnostic('2. everything is done with them');
  await exercise.stages();
  await exercise.mistakes();
  await exercise.lives();
  await exercise.questions();
  ok(has(0) && has(6), 'they are in use while we look');

  t.diagnostic('3. no file has one');
  for (const directory of directoriesOf(story)) deepEqual(hitsInFiles(canaries, directory), []);

  t.diagnostic('4. no process shows one');
  const watchdog = Number(
    readFileSync(join(installation.directory, 'run', 'watchdog.pid'), 'utf8'),
  );
  const programs = [installation.gateway?.child.pid, installation.enforcer?.child.pid, watchdog];
  for (const program of [...programs, pid]) {
    deepEqual(hitsInProcess(canaries, program ?? 0), []);
  }
  deepEqual(descriptorsOf(pid), descriptors, 'the container was given no descriptor');
  equal(setsOnHost(), before, "none was added to the host's mount table");

  t.diagnostic('5. nobody said one');
  const told = Buffer.from(`${JSON.stringify(story.logged)}\n${exercise.said.join('\n')}`);
  deepEqual(canaries.in(told), []);
  t.diagnostic(`${story.logged.length} log lines, ${exercise.said.length} answers`);
  ok(story.logged.length > 20 && exercise.said.length > secretsCount, 'much was said');

  t.diagnostic('6. controls');
  const planted = join(installation.directory, 'planted');
  for (const [form, bytes] of canaries.forms) {
    for (const content of [bytes, gzipSync(bytes)]) {
      writeFileSync(planted, content);
      const found = hitsInFiles(canaries, installation.directory);
      ok(found.includes(`${planted}: ${form}`), `${form} is found`);
    }
  }
  rmSync(planted);
  await holder.exec(['sh', '-c', 'cat /run/secrets/secret-0 > /tmp/copy']);
  const [, engineData = ''] = directoriesOf(story);
  ok(hitsInFiles(canaries, engineData).length > 0, 'a copy that a container makes is found');
  const leaking = spawn('sleep', ['60'], { env: { PATH: '/usr/bin:/bin', LEAK: canaries.mark } });
  try {
    await until('an environment is found', () => {
      return hitsInProcess(canaries, leaking.pid ?? 0).length > 0;
    });
  } finally {
    leaking.kill('SIGKILL');
  }
});

/** What somebody else has left there is not ours to judge. */
function setsOnHost(): number {
  return readFileSync('/proc/self/mountinfo', 'utf8').split(' coffer:').length;
}
