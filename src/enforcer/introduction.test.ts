/**
 * Goal: whatever runs on a node, its gateway takes its hello, and learns of everything.
 * Method: nodes with few large, many small and no containers, through the gateway's own decoder.
 */
import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../base/limits.ts';
import type { HeldSet } from '../model/assignment.ts';
import type { WorkloadFacts } from '../model/workload.ts';
import { decodeFromEnforcer, encodeFromEnforcer } from '../protocol/stream-messages.ts';
import { fakeFacts, FakeRuntime } from '../testing/fake-runtime.ts';
import { introduce } from './introduction.ts';

const runtime = new FakeRuntime();

function workload(name: string, labels: Readonly<Record<string, string>> = {}): WorkloadFacts {
  return fakeFacts(runtime.start({ name, labels }), { kind: 'docker', node: 'node-1' });
}

function heldBy({ id }: WorkloadFacts): HeldSet {
  return { workloadId: id, target: '/run/secrets', setRevision: 1, files: [], terms: '' };
}

function helloOf(workloads: readonly WorkloadFacts[], held: readonly HeldSet[]): Uint8Array {
  const rest = { protocol: 1, version: '1', bootId: '', checkpoint: '', weakenings: [] };
  return encodeFromEnforcer({ kind: 'hello', ...rest, workloads, held });
}

test('introduce says everything at once where that fits', () => {
  deepEqual(introduce([], []), { workloads: [], held: [], later: [] });
  const [one, two] = [workload('one'), workload('two')];
  const { workloads, held, later } = introduce([one, two], [heldBy(two)]);
  deepEqual(new Set(workloads), new Set([one, two]));
  deepEqual([held, later], [[heldBy(two)], []]);
});

test('introduce leaves for later what does not fit a frame, first those that hold nothing', () => {
  const labels = Object.fromEntries(
    Array.from({ length: limits.containerLabelsMax }, (_, at) => [
      `${at}`.padEnd(limits.containerLabelCharsMax, 'k'),
      'v'.repeat(limits.containerLabelCharsMax),
    ]),
  );
  const large = Array.from({ length: 12 }, (_, at) => workload(`large-${at}`, labels));
  const small = Array.from({ length: 500 }, (_, at) => workload(`small-${at}`));
  const all = [...large, ...small];
  const holding = [large[11], small[499]].filter((one) => one !== undefined);
  const { workloads, held, later } = introduce(all, holding.map(heldBy));
  const hello = helloOf(workloads, held);
  ok(hello.length < limits.streamFrameBytesMax);
  equal(decodeFromEnforcer(hello)?.kind, 'hello');
  deepEqual(held, holding.map(heldBy));
  deepEqual(new Set([...workloads, ...later]), new Set(all));
  ok(holding.every((one) => workloads.includes(one)));
  // Control: all at once is more than one frame.
  ok(helloOf(all, held).length > limits.streamFrameBytesMax);
  for (const one of later) {
    const bytes = encodeFromEnforcer({ kind: 'workload-started', workload: one });
    ok(bytes.length < limits.streamFrameBytesMax);
  }
});

test('introduce leaves for later what a gateway would not count', () => {
  const all = Array.from({ length: 3 }, (_, at) => workload(`many-${at}`));
  const sets = all.flatMap((one) =>
    Array.from({ length: limits.workloadsPerNodeMax / 2 }, (_, at) => ({
      ...heldBy(one),
      target: `/run/secrets/${at}`,
    })),
  );
  const { workloads, held, later } = introduce(all, sets, Number.POSITIVE_INFINITY);
  deepEqual([workloads.length, later.length], [2, 1]);
  equal(decodeFromEnforcer(helloOf(workloads, held))?.kind, 'hello');
  throws(() => decodeFromEnforcer(helloOf(all, sets)), { code: 'stream.malformed' });
});
