/**
 * Goal: what has happened is recorded, once and in order, also when the log cannot be written for a while;
 * what is too much is counted, and the count is recorded.
 * Method: the real recorder over a log that fails when told, in virtual time.
 */
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../base/fault.ts';
import { silentLog } from '../../base/log.ts';
import { gatewayPrincipal } from '../../model/principal.ts';
import { SimTime } from '../../testing/sim-clock.ts';
import { SeededRandom } from '../../testing/sim-random.ts';
import type { AuditEntry } from '../audit/audit.ts';
import { Recorder } from './recorder.ts';

const waitingMax = 20_000;

function setUp() {
  const time = new SimTime(new SeededRandom(1));
  const log = { entries: [] as AuditEntry[], commits: 0, failing: false, slowMs: 0 };
  const clock = time.clock();
  const recorder = new Recorder({
    clock,
    log: silentLog,
    audit: {
      async commit({ entries }) {
        if (log.slowMs > 0) await clock.sleep(log.slowMs);
        if (log.failing) throw new Fault('storage.full');
        log.commits += 1;
        log.entries.push(...entries);
        return { revision: log.commits, sequences: [] };
      },
    },
  });
  const record = (from: number, to: number): void => {
    for (let count = from; count < to; count += 1) recorder.record(entry(String(count)));
  };
  const recorded = (): string[] => log.entries.map(({ resource }) => resource);
  return { time, log, recorder, record, recorded };
}

function entry(resource: string): AuditEntry {
  return {
    principal: gatewayPrincipal,
    action: 'delivery.receipt',
    resource,
    outcome: 'ok',
    rule: '',
    requestId: '',
    detail: {},
  };
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => String(from + index));

test('Recorder records together what comes together, in order', async () => {
  const { time, log, record, recorded } = setUp();
  record(0, 40);
  await time.pass(10);
  deepEqual(recorded(), numbers(0, 40));
  equal(log.commits, 1);
  record(40, 41);
  await time.pass(10);
  deepEqual(recorded(), numbers(0, 41));
});

test('Recorder keeps what cannot be recorded, and records it once when it can', async () => {
  const { time, log, record, recorded } = setUp();
  log.failing = true;
  record(0, 1000);
  await time.pass(5500);
  record(1000, 1500);
  deepEqual(recorded(), []);
  log.failing = false;
  await time.pass(1500);
  deepEqual(recorded(), numbers(0, 1500));
});

test('Recorder drops what is too much and says how much, never what is on its way', async () => {
  const { time, log, record, recorded } = setUp();
  log.slowMs = 100;
  record(0, 300);
  await time.pass(50);
  // A commit is under way while far more comes than is kept.
  record(300, waitingMax + 1000);
  log.slowMs = 0;
  await time.pass(5000);
  const dropped = log.entries.filter(({ action }) => action === 'delivery.receipts-dropped');
  deepEqual(
    dropped.map(({ detail }) => detail['count']),
    ['1000'],
  );
  const kept = recorded().filter((resource) => resource !== 'audit');
  equal(kept.length, waitingMax);
  equal(new Set(kept).size, kept.length);
  deepEqual(kept.slice(0, 256), numbers(0, 256));
  equal(kept.at(-1), String(waitingMax + 999));
});

test('what cannot be recorded any more, once it is closed, keeps nothing waiting', async () => {
  const { time, log, recorder, record, recorded } = setUp();
  log.failing = true;
  record(0, 3);
  await time.pass(5000);
  recorder.close();
  await time.pass(5000);
  log.failing = false;
  await time.pass(60_000);
  deepEqual(recorded(), [], 'it has given up');
  const other = setUp();
  other.log.slowMs = 100;
  other.record(0, 1000);
  other.recorder.close();
  await other.time.pass(5000);
  equal(other.recorded().length, 1000, 'control: what can be recorded is');
});
