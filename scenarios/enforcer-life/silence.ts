/**
 * The gateway falls silent, or the enforcer does, for longer than a lease. Times here are bounds that we
 * promise: not before the lease's end, and not later than so many seconds after.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock as clock } from '../../src/base/clock.ts';
import { stateFromText } from '../../src/enforcer/remembered.ts';
import { readInside, type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import { constant, FileWatcher } from '../../src/testing/file-watcher.ts';

/** Of the boot clock. */
const grainMs = 10;
export const wipedPath = '/run/secrets/wiped';
const keptPath = '/run/coffer/kept/kept';

/** What is promised, after a lease's end: G26, G27. */
export const wipedByItself = 5000;
const wipedByWatchdog = 10_000;

export interface Silenced {
  readonly story: Story;
  readonly pid: number;
  /** As the gateway was told. */
  readonly leaseMs: number;
}

/** One container with two sets: one is wiped when its lease is lost, the other (the control) is kept. */
export async function startLeased(story: Story, leaseMs: number): Promise<Silenced> {
  await story.put('lease/wiped', 'value 1');
  await story.put('lease/kept', 'for ever');
  await story.grant('lease', ['lease/wiped']);
  const match = { docker: { labels: { app: 'lease' } } };
  const terms = { target: '/run/coffer/kept', onLeaseLoss: 'keep' } as const;
  await story.grantTo('lease-kept', match, ['lease/kept'], terms);
  const container = await story.container({ name: 'leased', labels: { app: 'lease' } });
  const pid = await container.pid();
  const silenced = { story, pid, leaseMs };
  await isThere(silenced, 'value 1');
  return silenced;
}

/** A grant's lease may be shorter than the gateway's: while the gateway is there it is never lost. */
export async function shortLease(story: Story): Promise<void> {
  await story.put('short/lease', 'short');
  const leaseMs = 5000;
  await story.grant('short', ['short/lease'], { leaseSeconds: leaseMs / 1000 });
  const container = await story.container({ name: 'short', labels: { app: 'short' } });
  const pid = await container.pid();
  await until('it is delivered', () => readInside(pid, '/run/secrets/lease') === 'short');
  await using watcher = new FileWatcher([pid], '/run/secrets/lease', constant('short'));
  await clock.sleep(leaseMs * 1.5);
  // Also of an enforcer that came back to what it held already.
  await story.installation.enforcer?.stop('SIGKILL');
  await story.installation.startEnforcer();
  await clock.sleep(leaseMs * 1.5);
  deepEqual(watcher.breaches, []);
}

/** G26: the gateway hangs. */
export async function gatewayHangs(silenced: Silenced): Promise<void> {
  const gateway = silenced.story.installation.gateway?.child;
  await wipedInTime(silenced, wipedByItself, () => gateway?.kill('SIGSTOP'));
  gateway?.kill('SIGCONT');
  await isThere(silenced, 'value 1');
  // The gateway's log shows what was done while nobody could tell it.
  await until('the wipe is on record', async () => (await receipts(silenced, 'wiped')).length > 0);
}

/** Control: a pause shorter than the lease changes nothing. */
export async function shortPause({ story, pid, leaseMs }: Silenced): Promise<void> {
  await using watcher = new FileWatcher([pid], wipedPath, constant('value 1'));
  for (const program of [story.installation.gateway, story.installation.enforcer]) {
    await isHeard(story);
    program?.child.kill('SIGSTOP');
    await clock.sleep(leaseMs / 2);
    program?.child.kill('SIGCONT');
  }
  await isHeard(story);
  deepEqual(watcher.breaches, []);
}

/** G26: an enforcer that was stopped for twice the lease wipes first, before it takes anything. */
export async function enforcerStopped(silenced: Silenced): Promise<void> {
  const { story, pid, leaseMs } = silenced;
  const enforcer = story.installation.enforcer?.child;
  const wipes = (await receipts(silenced, 'wiped')).length;
  enforcer?.kill('SIGSTOP');
  // Waits in the connection, to be read first when the enforcer goes on.
  await story.put('lease/wiped', 'value 2');
  process.kill(watchdogOf(story), 'SIGKILL');
  await clock.sleep(leaseMs * 2);
  equal(readInside(pid, wipedPath), 'value 1', 'nobody was there to wipe it');
  const before = story.logged.length;
  enforcer?.kill('SIGCONT');
  await isThere(silenced, 'value 2');
  const told = story.logged
    .slice(before)
    .filter(({ program }) => program === 'enforcer')
    .map(({ event }) => String(event));
  const at = (event: string): number => told.indexOf(event);
  ok(at('lease.wiped') >= 0, told.join(' '));
  ok(at('gateway.connected') > at('lease.wiped'), `on a connection of its own: ${told.join(' ')}`);
  ok((await receipts(silenced, 'wiped')).length > wipes);
  await until('a watchdog is back', () => watchdogLives(story));
}

/** G27: the enforcer is dead and stays dead; its watchdog wipes, and then ends. */
export async function enforcerDies(silenced: Silenced): Promise<void> {
  const { story } = silenced;
  const { enforcer } = story.installation;
  await until('a watchdog is there', () => watchdogLives(story));
  await wipedInTime(silenced, wipedByWatchdog, () => {
    // Nor does anybody read its log any more, which is the watchdog's, too.
    enforcer?.child.stderr?.destroy();
    enforcer?.child.kill('SIGKILL');
  });
  await until('the watchdog has nothing left to do', () => !watchdogLives(story));
  await story.installation.startEnforcer();
  await isThere(silenced, 'value 1');
}

/** G27: the enforcer is there and does nothing. */
export async function enforcerHangs(silenced: Silenced): Promise<void> {
  const { story } = silenced;
  const { enforcer } = story.installation;
  await until('a watchdog is there', () => watchdogLives(story));
  await wipedInTime(silenced, wipedByWatchdog, () => enforcer?.child.kill('SIGSTOP'));
  ok(watchdogLives(story), 'it stays with an enforcer that may go on');
  enforcer?.child.kill('SIGCONT');
  await isThere(silenced, 'value 1');
}

/**
 * @param lateMs - How long after the lease's end at the latest.
 * @param silence - Begins it.
 */
export async function wipedInTime(
  { story, pid, leaseMs }: Silenced,
  lateMs: number,
  silence: () => unknown,
): Promise<void> {
  await isHeard(story);
  await silence();
  const heardMs = heardAtMs(story);
  const withinMs = leaseMs + lateMs;
  await until('it is wiped', () => readInside(pid, wipedPath) === undefined, { withinMs });
  const heldMs = clock.bootMs() - heardMs;
  ok(heldMs >= leaseMs - 2 * grainMs, `not before the lease has ended: after ${heldMs} ms`);
  ok(heldMs <= withinMs, `not later than promised: after ${heldMs} ms`);
  equal(readInside(pid, keptPath), 'for ever', 'control: what is to be kept is kept');
}

/** After a pause the enforcer may be waiting to dial again, with a lease that is half over. */
async function isHeard(story: Story): Promise<void> {
  const nowMs = clock.bootMs();
  await until('the gateway is heard', () => heardAtMs(story) > nowMs, { withinMs: 40_000 });
}

/** When the enforcer heard the gateway, by what it writes down for its watchdog; perhaps once more since. */
function heardAtMs({ installation }: Story): number {
  const text = readFileSync(join(installation.directory, 'run', 'holdings.json'), 'utf8');
  return stateFromText(text).heardAtBootMs;
}

export async function isThere({ pid }: Silenced, value: string): Promise<void> {
  await until(`${value} is there`, () => readInside(pid, wipedPath) === value, {
    withinMs: 40_000,
  });
  await until('the control is there', () => readInside(pid, keptPath) === 'for ever');
}

async function receipts({ story }: Silenced, receipt: string): Promise<readonly unknown[]> {
  return (await story.audit('delivery.receipt')).filter(
    ({ detail }) => detail['receipt'] === receipt,
  );
}

function watchdogOf(story: Story): number {
  return Number(readFileSync(join(story.installation.directory, 'run', 'watchdog.pid'), 'utf8'));
}

function watchdogLives(story: Story): boolean {
  try {
    return readFileSync(`/proc/${watchdogOf(story)}/cmdline`, 'utf8').includes('watchdog');
  } catch {
    return false;
  }
}
