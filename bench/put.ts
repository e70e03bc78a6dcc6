/**
 * Sealed, audited, fsynced puts with 64 concurrent writers, through the one way in: parse, decide,
 * plan, seal, record, SQLite with synchronous=FULL. Then the same over HTTPS.
 */
import { systemClock as clock } from '../src/base/clock.ts';
import { SecretValue } from '../src/model/secret-value.ts';
import { openBenchCore } from './core.ts';
import { putOverHttps } from './put-https.ts';
import { Report } from './report.ts';

const writers = 64;
const seconds = 5;
const valueBytes = 32;

const report = new Report('put');
await using bench = await openBenchCore();
const principals = await Promise.all(
  Array.from({ length: writers }, (_, index) => bench.owner(`writer-${index}`)),
);
const latencies: number[] = [];
const ending = new AbortController();
let count = 0;

async function write(index: number): Promise<void> {
  const principal = principals[index];
  if (!principal) return;
  for (let turn = 0; !ending.signal.aborted; turn += 1) {
    const startedMs = clock.monotonicMs();
    await bench.requests.handle({
      operation: 'secret.put',
      principal,
      input: { name: `bench/w${index}-${turn % 50}` },
      value: SecretValue.copy(Buffer.alloc(valueBytes, index)),
      requestId: 'bench',
    });
    latencies.push(clock.monotonicMs() - startedMs);
    count += 1;
  }
}

// A second to warm up, not counted.
const running = principals.map((_, index) => write(index));
await clock.sleep(1000);
latencies.length = 0;
count = 0;
const startedMs = clock.monotonicMs();
await clock.sleep(seconds * 1000);
const puts = count;
const tookMs = clock.monotonicMs() - startedMs;
ending.abort();
await Promise.all(running);

report.add({
  case: '64 writers',
  metric: 'puts per second',
  value: puts / (tookMs / 1000),
  unit: '/s',
  target: { atLeast: 5000 },
});
report.addSpread('64 writers', 'latency', latencies, 'ms');
await putOverHttps(report);
