/**
 * Goal (G3): a gateway whose disk fills up under load acknowledges nothing that it does not keep, says by
 * name what is wrong, is not ready, and goes on by itself when there is space again.
 * Method: a real gateway with its store on a small file system; eight clients put secrets over HTTPS while
 * the disk is filled. Then the store is compared with what was acknowledged, before and after a restart.
 * Control: before, and afterwards, all of it works.
 */
import { deepEqual, equal, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { test } from 'node:test';
import { systemClock } from '../base/clock.ts';
import { isFault } from '../base/fault.ts';
import { createLog } from '../base/log.ts';
import { systemRandom } from '../base/random.ts';
import { Client } from '../client/client.ts';
import { parseSecretName } from '../model/name.ts';
import { SecretValue } from '../model/secret-value.ts';
import { LoopDisk, loopDiskMissing } from '../testing/loop-disk.ts';
import { until } from '../testing/until.ts';
import { gatewayConfig } from './config.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { initialise } from './init.ts';

const writers = 8;
/** What is left when it begins: some dozen values of the largest size, and their journal. */
const leftBytes = 3_000_000;
const putsMax = 1000;

/** What there is, and what the log says was put. */
async function find({ core }: Gateway): Promise<{
  readonly secrets: readonly string[];
  readonly recorded: readonly string[];
}> {
  const filter = { action: 'secret.put', outcome: 'ok' };
  const { entries, next } = await core.audit.entries({ from: 0, limit: 4000, filter });
  equal(next, undefined, 'the whole log was read');
  const recorded = entries.map(({ resource }) => resource.replace('secrets/', ''));
  const secrets = [...core.secrets.reader.list({ prefix: '', after: '' })].map(
    ({ secret }) => secret.name,
  );
  return { secrets: secrets.toSorted(), recorded: recorded.toSorted() };
}

async function readiness(gateway: Gateway): Promise<unknown> {
  const url = `https://127.0.0.1:${gateway.apiPort}/readyz?verbose`;
  const [response] = (await once(get(url, { rejectUnauthorized: false }), 'response')) as [
    IncomingMessage,
  ];
  return [response.statusCode, await json(response)];
}

/** Puts values of the largest size, and keeps count of what became of them. */
class Writer {
  readonly acked = new Set<string>();
  readonly refused = new Map<string, string>();
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** @returns `ok`, or the fault's code. */
  async put(text: string): Promise<string> {
    const name = parseSecretName(text);
    using value = SecretValue.copy(systemRandom.bytes(64_000));
    try {
      await this.#client.call('secret.put', { name }, { value });
      this.acked.add(name);
      return 'ok';
    } catch (error) {
      if (!isFault(error)) throw error;
      this.refused.set(name, error.code);
      return error.code;
    }
  }

  /** Until somebody was refused. */
  async putUntilRefused(who: number): Promise<void> {
    for (let index = 0; index < putsMax && this.refused.size === 0; index += 1) {
      await this.put(`load/w${who}-${index}`);
    }
  }
}

test('a gateway on a full disk refuses, keeps, says so, and recovers by itself', {
  skip: loopDiskMissing(),
}, async () => {
  using disk = new LoopDisk(16);
  const ballast = join(disk.path, 'ballast');
  const config = gatewayConfig({
    data: join(disk.path, 'data'),
    'key-file': join(disk.path, 'key'),
    listen: '127.0.0.1:0',
    'node-listen': '127.0.0.1:0',
  });
  const events: string[] = [];
  const log = createLog({ clock: systemClock, level: 'info', write: (line) => events.push(line) });
  const context = { clock: systemClock, random: systemRandom, log };
  const { ownerToken: token, pin } = await initialise(config, { kind: 'keyfile' }, context);
  const ready = [200, { ok: true, failing: [] }];
  let acked: readonly string[];
  {
    await using gateway = await startGateway(config, context);
    const address = `https://127.0.0.1:${gateway.apiPort}`;
    const trust = { pins: [pin] };
    const client = new Client({ ...context, address, trust, token, attemptsMax: 1 });
    const writer = new Writer(client);
    try {
      equal(await writer.put('control'), 'ok');
      deepEqual(await readiness(gateway), ready, 'control');

      disk.fill(ballast, leftBytes);
      const load = Array.from({ length: writers }, (_, who) => writer.putUntilRefused(who));
      await Promise.all(load);
      deepEqual([...new Set(writer.refused.values())], ['storage.full']);
      ok(writer.acked.size > writers, 'it was full after a while, and not at once');

      equal(gateway.core.audit.state, 'read-only');
      deepEqual(await readiness(gateway), [503, { ok: false, failing: ['storage'] }]);
      equal(await writer.put('load/at-once'), 'storage.full');
      // What an operator needs to see is shown, although it cannot be recorded; nothing else is.
      ok((await client.call('system.status', {})).output.storage);
      await rejects(client.call('secret.list', {}), { code: 'storage.full' });

      rmSync(ballast);
      await until('the gateway has recovered', () => gateway.core.audit.state === 'ready');
      deepEqual(await readiness(gateway), ready);
      equal(await writer.put('load/after'), 'ok');
    } finally {
      await client.close();
    }
    ok(events.some((line) => line.includes('audit.read-only')));
    const filter = { action: 'audit.recovered' };
    const { entries } = await gateway.core.audit.entries({ from: 0, limit: 10, filter });
    deepEqual(
      entries.map(({ detail }) => detail['after']),
      ['storage.full'],
    );
    acked = [...writer.acked].toSorted();
    const { secrets, recorded } = await find(gateway);
    deepEqual(secrets, acked, 'what was acknowledged is there, and nothing else');
    deepEqual(recorded, acked, 'each with its entry');
  }
  await using gateway = await startGateway(config, context);
  deepEqual(await find(gateway), { secrets: acked, recorded: acked }, 'after a restart');
});
