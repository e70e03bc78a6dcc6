/**
 * Goal: what the gateway counts is what an operator reads at /metrics, and nothing of it names anything.
 * Method: the registry with parts that say known numbers; a real gateway whose metrics are fetched.
 * Control: before anything was counted, nothing is said.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { silentLog } from '../base/log.ts';
import { Metrics } from '../base/metrics.ts';
import { systemRandom } from '../base/random.ts';
import { until } from '../testing/until.ts';
import { gatewayConfig } from './config.ts';
import { declareGatewayMetrics } from './gateway-metrics.ts';
import { startGateway } from './gateway.ts';
import { initialise } from './init.ts';

/** The lines of one metric. */
const linesOf = (said: string, name: string): readonly string[] =>
  said.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));

test('holdings by state, commits and waiting entries are told as they are', () => {
  const registry = new Metrics();
  const metrics = declareGatewayMetrics(registry);
  deepEqual(linesOf(registry.text(), 'coffer_holdings'), [], 'control');
  const counts = { current: 5, updating: 4, withdrawing: 3, failed: 2, unknown: 1 };
  const held = Object.entries(counts).flatMap(([state, count]) =>
    Array.from({ length: count }, () => ({ state })),
  );
  const update = metrics.updating({
    core: {
      audit: { size: 7, state: 'ready' },
      secrets: { reader: { size: 3 } },
      delivery: { entriesWaiting: 9, holdings: () => held.values() as never },
      policy: { entitlements: { workloads: () => [] } },
    },
    nodePort: { connected: 1, certificateEndsAtMs: 1000 },
  });
  update();
  metrics.committed(0.003);
  metrics.committed(0.3);
  const said = registry.text();
  deepEqual(
    linesOf(said, 'coffer_holdings'),
    Object.entries(counts).map(([state, count]) => `coffer_holdings{state="${state}"} ${count}`),
  );
  deepEqual(linesOf(said, 'coffer_audit_entries_waiting'), ['coffer_audit_entries_waiting 9']);
  deepEqual(linesOf(said, 'coffer_commit_duration_seconds_count'), [
    'coffer_commit_duration_seconds_count 2',
  ]);
  ok(said.includes('coffer_commit_duration_seconds_bucket{le="0.005"} 1'));
});

test('a gateway that runs tells them to whoever has a token', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-metrics-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const config = gatewayConfig({
    data: join(directory, 'data'),
    listen: '127.0.0.1:0',
    'node-listen': '127.0.0.1:0',
    'key-file': join(directory, 'key'),
  });
  const context = { clock: systemClock, random: systemRandom, log: silentLog };
  const { ownerToken } = await initialise(config, { kind: 'keyfile' }, context);
  await using gateway = await startGateway(config, context);
  const fetched = async (path: string): Promise<string> => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${ownerToken}` };
      const url = `https://127.0.0.1:${gateway.apiPort}${path}`;
      get(url, { rejectUnauthorized: false, headers }, resolve).on('error', reject);
    });
    equal(response.statusCode, 200);
    return await text(response);
  };
  // Its entry is a commit.
  await fetched('/v1/status');
  let said = '';
  await until('the metrics are up to date', async () => {
    said = await fetched('/metrics');
    return linesOf(said, 'coffer_holdings').length === 5;
  });
  deepEqual(linesOf(said, 'coffer_audit_entries_waiting'), ['coffer_audit_entries_waiting 0']);
  const [count = ''] = linesOf(said, 'coffer_commit_duration_seconds_count');
  ok(Number(count.split(' ')[1]) > 0, count);
});
