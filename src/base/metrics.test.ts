/** Goal: metrics read as Prometheus reads them, and their number is known before the program runs. */
import { equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from './metrics.ts';

test('Metrics writes counters, gauges and histograms in the text format', () => {
  const metrics = new Metrics();
  const decisions = metrics.counter({
    name: 'coffer_decisions_total',
    help: 'Decisions.',
    labels: { decision: ['allow', 'deny'] },
  });
  decisions.add({ decision: 'allow' });
  decisions.add({ decision: 'allow' }, 2);
  metrics.gauge({ name: 'coffer_nodes', help: 'Nodes.', labels: {} }).set({}, 3);
  const seconds = metrics.histogram(
    { name: 'coffer_wait_seconds', help: 'Waits.', labels: { kind: ['a'] } },
    [0.1, 1],
  );
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.observe({ kind: 'a' }, value);
  equal(
    metrics.text(),
    [
      '# HELP coffer_decisions_total Decisions.',
      '# TYPE coffer_decisions_total counter',
      'coffer_decisions_total{decision="allow"} 3',
      '# HELP coffer_nodes Nodes.',
      '# TYPE coffer_nodes gauge',
      'coffer_nodes 3',
      '# HELP coffer_wait_seconds Waits.',
      '# TYPE coffer_wait_seconds histogram',
      'coffer_wait_seconds_bucket{kind="a",le="0.1"} 2',
      'coffer_wait_seconds_bucket{kind="a",le="1"} 3',
      'coffer_wait_seconds_bucket{kind="a",le="+Inf"} 4',
      'coffer_wait_seconds_sum{kind="a"} 7.65',
      'coffer_wait_seconds_count{kind="a"} 4',
      '',
    ].join('\n'),
  );
});

test('Metrics refuses wrong names, undeclared label values, and too many series', () => {
  const metrics = new Metrics();
  const help = 'x';
  throws(() => metrics.counter({ name: 'coffer_a', help, labels: {} }), /_total/);
  throws(() => metrics.gauge({ name: 'other_a', help, labels: {} }), /coffer_/);
  throws(() => metrics.histogram({ name: 'coffer_a', help, labels: {} }), /unit/);
  const gauge = metrics.gauge({ name: 'coffer_a', help, labels: { kind: ['b'] } });
  throws(() => metrics.gauge({ name: 'coffer_a', help, labels: {} }), /once/);
  throws(() => gauge.set({ kind: 'payments/db' as 'b' }, 1), /declared/);
  const many = Array.from({ length: 50 }, (_, index) => `v${index}`);
  throws(() => metrics.gauge({ name: 'coffer_b', help, labels: { x: many, y: many } }), /at most/);
});
