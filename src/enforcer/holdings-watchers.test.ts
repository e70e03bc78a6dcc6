/**
 * Goal: a program that watches its directory hears of each new set exactly once, and before the signal (G23).
 * Method: real holdings over real mounts, and a program in the container that notes what it hears, in order.
 * Control: a signal that is sent first is noted first; a set of which nothing changed is not noted.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { EnforcerRig } from '../testing/enforcer-rig.ts';
import { fakeFacts } from '../testing/fake-runtime.ts';
import { TestMounts } from '../testing/mount-setup.ts';
import { NamespaceContainer, whyNoContainers } from '../testing/namespace-container.ts';
import { until } from '../testing/until.ts';
import { Holdings } from './holdings.ts';

const directory = mkdtempSync(join(tmpdir(), 'coffer-watch-'));
after(() => rmSync(directory, { recursive: true }));
const source = join(import.meta.dirname, '..', 'testing', 'watch-directory.c');
const watcher = join(directory, 'watch-directory');
const compiled = spawnSync('cc', ['-static', '-O2', '-o', watcher, source], { encoding: 'utf8' });
const skip =
  whyNoContainers() ||
  (compiled.status === 0 ? false : `needs a C compiler: apt-get install gcc libc6-dev`);

test('a program that watches hears of each set once, and before the signal', { skip }, async () => {
  // What its shell opens for whatever runs in the background.
  await using container = await NamespaceContainer.start({ prepare: ': > dev/null' });
  await using opened = new TestMounts();
  const rig = new EnforcerRig();
  const root = `/proc/${container.pid}/root`;
  copyFileSync(watcher, `${root}/bin/watch-directory`);
  const noted = (): string[] => readFileSync(`${root}/tmp/noted`, 'utf8').trimEnd().split('\n');
  let program = 0;
  const holdings = new Holdings({
    ...{ clock: systemClock, log: silentLog, mounts: opened.mounts },
    ...{ remember: () => undefined, remembered: async () => undefined, told: () => undefined },
    signal: (_workload, name) => void process.kill(program, name),
  });
  const { pid, startTicks, mountNamespace } = container;
  const facts = fakeFacts(rig.runtime.start({ name: 'app' }), { kind: 'docker', node: 'node-1' });
  const app = { ...facts, process: { ...facts.process, pid, startTicks, mountNamespace } };
  await holdings.started(app);
  const assign = async (version: number): Promise<void> => {
    const files = [rig.file('db', version, `v${version}`), rig.file(`key-${version}`, 1, 'k')];
    const receipt = await holdings.assign(rig.set(app, files, { signals: ['SIGHUP'] }));
    deepEqual([receipt.outcome, receipt.fault], ['placed', '']);
  };

  await assign(1);
  await container.run('watch-directory /run/secrets /tmp/noted &');
  await until('it watches', async () => (await container.run('cat /tmp/noted')) === 'watching');
  program = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
  const expected = ['watching'];
  for (const version of [2, 3, 4, 5]) {
    await assign(version);
    expected.push('moved ..data', 'signal');
    await until('the signal is heard', () => noted().length >= expected.length);
    deepEqual(noted(), expected);
  }
  deepEqual(await holdings.tampered(), [], 'what only looks moves nothing');
  process.kill(program, 'SIGHUP');
  expected.push('signal');
  await until('the signal is heard', () => noted().length >= expected.length);
  await assign(6);
  expected.push('moved ..data', 'signal');
  await until('the next one is heard', () => noted().length >= expected.length);
  deepEqual(noted(), expected, 'control: what came first is noted first');
  equal(await container.run('cat /run/secrets/db'), 'v6');
  await opened.mounts.withdraw((await opened.mounts.find(app.process))[0]?.id ?? '');
  holdings.close();
});
