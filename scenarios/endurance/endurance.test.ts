/**
 * G42: what gateway, enforcer and watchdog hold stays flat under load, and what a container has of them.
 *
 * 1. Control: a program that keeps a descriptor and some memory per turn is found by the same watch.
 * 2. Warming up: caches fill, the compiler compiles.
 * 3. Rotations, revocations, containers that come and go, questions; the programs are watched.
 *
 * Twenty seconds in all. `COFFER_LONG=1` for ten minutes, or `COFFER_MINUTES` for as many as are wanted: only
 * these say something about slow growth.
 */
import { deepEqual, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock as clock } from '../../src/base/clock.ts';
import { Story, times } from '../../src/testing/story.ts';
import { Flatness, type Slack } from './flatness.ts';
import { Load } from './load.ts';

const minutes = Number(process.env['COFFER_MINUTES'] ?? times(1 / 6, 10));
const samplesCount = Math.round(minutes * 60 * 4);
const sampleEveryMs = 250;
const warmUpMs = times(5_000, 60_000);
/**
 * Descriptors come and go with connections and containers. Memory: the collector decides when it gives back,
 * and the log of what was done grows by what is done.
 */
const slack: Slack = { descriptors: 6, threads: 1, sets: 0, residentKib: 12 * 1024 };

test('what the programs hold stays flat', async (t) => {
  t.diagnostic('1. control');
  await leaksAreFound();

  await using story = await Story.open(t, { images: ['busybox'] });
  if (!story) return;
  await using load = await Load.start(story);
  t.diagnostic('2. warming up');
  await clock.sleep(warmUpMs);

  t.diagnostic(`3. ${Math.round(minutes * 60)} seconds`);
  const { gateway, enforcer, directory } = story.installation;
  const watchdog = readFileSync(join(directory, 'run', 'watchdog.pid'), 'utf8');
  const watched = {
    gateway: new Flatness(gateway?.child.pid ?? 0),
    enforcer: new Flatness(enforcer?.child.pid ?? 0),
    watchdog: new Flatness(Number(watchdog)),
    'a container': new Flatness(await load.staying.pid()),
  };
  for (let taken = 0; taken < samplesCount; taken += 1) {
    for (const flatness of Object.values(watched)) flatness.sample();
    await clock.sleep(sampleEveryMs);
  }
  t.diagnostic(`${load.rotations} rotations, ${load.containers} containers`);
  for (const [name, flatness] of Object.entries(watched)) {
    t.diagnostic(`${name}: ${flatness.describe()}`);
    deepEqual(flatness.breaches(slack), [], name);
  }
  ok(load.rotations > 30 && load.containers > 3, 'there was a load');
});

/** A program that opens a file and keeps 512 KiB per turn, 100 turns. */
async function leaksAreFound(): Promise<void> {
  const program = `
    const kept = [];
    process.stdin.on('data', () => {
      kept.push(require('node:fs').openSync('/dev/null'), Buffer.alloc(512 * 1024, 1));
      process.stdout.write('turn');
    });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const flatness = new Flatness(child.pid ?? 0);
  try {
    for (let turn = 0; turn < 100; turn += 1) {
      child.stdin.write('x');
      await once(child.stdout, 'data');
      flatness.sample();
    }
    const breaches = flatness.breaches(slack);
    ok(breaches.includes('descriptors') && breaches.includes('residentKib'), flatness.describe());
  } finally {
    child.kill('SIGKILL');
  }
}
