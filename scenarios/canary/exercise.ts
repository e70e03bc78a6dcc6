/** Does everything that can be done with secrets, well and badly, and keeps every word that is answered. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { systemClock as clock } from '../../src/base/clock.ts';
import { limits } from '../../src/base/limits.ts';
import { systemRandom as random } from '../../src/base/random.ts';
import { Client } from '../../src/client/client.ts';
import { parseName, parseSecretName } from '../../src/model/name.ts';
import { SecretValue } from '../../src/model/secret-value.ts';
import type { Installation } from '../../src/testing/installation.ts';
import { type Story } from '../../src/testing/story.ts';
import { until } from '../../src/testing/until.ts';
import type { Canaries } from './canaries.ts';

export const secretsCount = 100;
export const nameOf = (index: number): string => `canary/secret-${index}`;

export class Exercise {
  readonly #story: Story;
  readonly #canaries: Canaries;
  readonly #home: string;
  /** All that was printed, answered or thrown. */
  readonly said: string[] = [];

  constructor(story: Story, canaries: Canaries) {
    this.#story = story;
    this.#canaries = canaries;
    this.#home = join(story.installation.directory, 'home');
    mkdirSync(this.#home, { mode: 0o700 });
  }

  async putAll(): Promise<void> {
    for (let index = 0; index < secretsCount; index += 1) {
      const value = this.#canaries.value(index);
      if (index % 10 === 0) await this.cli(['secret', 'put', nameOf(index)], value);
      else this.said.push(JSON.stringify(await this.#story.put(nameOf(index), value)));
    }
  }

  /** Every state that a version can be in. */
  async stages(): Promise<void> {
    const { client } = this.#story;
    const name = parseSecretName(nameOf(1));
    await this.#story.put(nameOf(1), this.#canaries.value(1), 'pending');
    for (const act of ['promote', 'rollback', 'revoke'] as const) {
      this.said.push(JSON.stringify(await client.call(`secret.${act}`, { name })));
    }
    await this.#thrown(client.call('secret.destroy', { name, version: 2 }));
    await this.#story.put(nameOf(1), this.#canaries.value(1));
    await this.cli(['secret', 'delete', nameOf(2), '--yes']);
    await this.cli(['secret', 'restore', nameOf(2)]);
    await this.cli(['rotate-root-key']);
  }

  /** Requests that are refused, each with a value in its body or in a place where none belongs. */
  async mistakes(): Promise<void> {
    const { installation, client } = this.#story;
    const stranger = new Client({
      address: installation.address,
      trust: { pins: [installation.pin] },
      token: `coffer_${'0'.repeat(32)}_${this.#canaries.mark}`,
      clock,
      random,
    });
    const good = parseSecretName(nameOf(3));
    const canary = this.#canaries.value(3);
    const long = canary.repeat(Math.ceil((limits.secretValueBytesMax + 1) / canary.length));
    const asName = canary as unknown as typeof good;
    try {
      for (const [who, name, text, more] of [
        [stranger, good, canary, {}],
        [client, good, long, {}],
        [client, good, canary, { createOnly: true }],
        [client, good, canary, { stage: canary as 'pending' }],
        [client, asName, canary, {}],
      ] as const) {
        using value = SecretValue.copy(Buffer.from(text));
        await this.#thrown(who.call('secret.put', { name, ...more }, { value }));
      }
      await this.#thrown(client.call('secret.get', { name: asName }));
      await this.#thrown(client.call('group.get', { name: parseName('nobody') }));
      for (const argv of [
        ['secret', 'put', nameOf(4), canary],
        ['secret', 'put', canary],
        ['secret', 'put', '--from-env', 'CANARY', `Bad Name ${canary}`],
        ['secret', 'put', nameOf(4), '--stage', canary],
        ['secret', 'get', canary],
        [canary],
      ]) {
        // What somebody typed stands on his own terminal, and there only: it is not looked for there.
        await this.cli(argv, canary, { isShown: false });
      }
      await this.cli(['secret', 'put', nameOf(4), '--from-env', 'CANARY', '--create-only']);
      await this.cli(['secret', 'put', nameOf(4)], long);
    } finally {
      await stranger.close();
    }
  }

  /** What people ask, and what machines fetch. */
  async questions(): Promise<void> {
    for (const argv of [
      ['status', '-o', 'json'],
      ['doctor'],
      ['where', '-o', 'json'],
      ['secret', 'list', '-o', 'json'],
      ['secret', 'describe', nameOf(5)],
      ['who-can', nameOf(5)],
      ['explain', 'holder', nameOf(5)],
      ['node', 'list', '-o', 'yaml'],
      ['audit', 'list', '-o', 'json'],
      ['audit', 'verify'],
      ['backup', 'create', join(this.#home, 'by-cli.backup')],
    ]) {
      await this.cli(argv);
    }
    const { client, installation } = this.#story;
    this.said.push(await metricsOf(installation));
    const { pieces } = await client.download('system.backup', {});
    await pipeline(pieces, createWriteStream(join(this.#home, 'by-api.backup')));
    this.said.push(JSON.stringify(await this.#story.audit('secret.put')));
  }

  /** Delivered, rotated, taken up by another enforcer, withdrawn. */
  async lives(): Promise<void> {
    const { installation } = this.#story;
    for (let index = 0; index < secretsCount; index += 5) {
      await this.#story.put(nameOf(index), this.#canaries.value(index));
    }
    installation.enforcer?.child.kill('SIGKILL');
    await installation.startEnforcer();
    await installation.gateway?.stop('SIGKILL');
    await installation.startGateway();
    await this.#story.put(nameOf(6), this.#canaries.value(6));
    await this.#story.client.call('secret.revoke', { name: parseSecretName(nameOf(7)) });
    await until('everything is where it is due', async () => {
      const holdings = await this.#story.holdings();
      return holdings.length > 0 && holdings.every(({ state }) => state === 'current');
    });
  }

  async cli(
    argv: readonly string[],
    input = '',
    { isShown = true }: { readonly isShown?: boolean } = {},
  ): Promise<void> {
    const coffer = join(import.meta.dirname, '..', '..', 'bin', 'coffer.mjs');
    const env = {
      ...this.#story.installation.environment,
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      HOME: this.#home,
      CANARY: this.#canaries.value(4),
    };
    const child = spawn(process.execPath, [coffer, ...argv], { env });
    const pieces: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
    child.stderr.on('data', (piece: Buffer) => pieces.push(piece));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    await once(child, 'close');
    if (isShown) this.said.push(Buffer.concat(pieces).toString('latin1'));
  }

  async #thrown(call: Promise<unknown>): Promise<void> {
    try {
      this.said.push(JSON.stringify(await call));
    } catch (error) {
      const { message, stack } = error as Error;
      this.said.push(message, stack ?? '', JSON.stringify(error));
    }
  }
}

async function metricsOf(installation: Installation): Promise<string> {
  const asked = get(`${installation.address}/metrics`, {
    ca: readFileSync(join(installation.directory, 'data', 'ca.crt')),
    headers: { authorization: `Bearer ${installation.ownerToken}` },
    agent: false,
  });
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  const text = (await answer.setEncoding('utf8').toArray()).join('');
  if (answer.statusCode !== 200) throw new Error(`/metrics: ${answer.statusCode}`);
  return text;
}
